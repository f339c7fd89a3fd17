"""What is refused at the door, so that no job is accepted which could only fail later."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from rune.amounts import to_micro_usd
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, Document, LlmInstanceRequest
from rune.contracts.workloads import PROCESS_CONCURRENCY
from rune.errors import InvalidRequestError, quote
from rune.jobs.record import Kind, StepName
from rune.money.sizing import SMALLEST_MODEL, size_model
from rune.net.addresses import AddressPolicy
from rune.services.admission.bedrock_budget import TokenMoney, check_bedrock_budget
from rune.services.admission.receivers import check_receiver
from rune.services.admission.suites import FindSuite, admit_suite, find_brought
from rune.services.admission.workloads import admit_work
from rune.tenants.backends import NO_BACKENDS, TenantBackends, check_backend
from rune.tenants.document import TenantAgents
from rune.tenants.settings import TenantSettings
from rune.workflows.graph import Request, Trait, first_step, traits_of


@dataclass(frozen=True, slots=True)
class Renting:
    """Whether a tenant may rent machines here, how long it may keep one, and which templates it may name."""

    is_possible: bool
    longest_keep: timedelta
    templates: frozenset[str] = frozenset()


TEMPLATE_WARNING = "template_not_allowed"
"""The tenant may not name the template that the request names, and the plain image runs instead."""

KUBECONFIG_WARNING = "kubeconfig_ignored"
"""An agent's job names a kubeconfig. It is a path on the caller's machine, and no cluster is reached by it."""

BOUNDS_ALONE = ("max_turns", "max_tool_calls", "max_tokens")
"""What bounds an agent that asks its model more than once, and no other."""

SERVER_ALONE = ("backend_url", "backend_credential")
"""What names a model server, which an agent with a server of its own does not use."""

RENTAL_ALONE = ("max_cost_usd", "keep_seconds", "boot_timeout_seconds", "min_vram_mb")
"""Fields that say something of a rental alone; a job without one is warned of them.

Clients in the field send Vast.ai's terms in every request, so those are left out."""

_OLLAMA_NAME = re.compile(r"[A-Za-z0-9_](?:[/:@]?[A-Za-z0-9_.-])*")
"""Wider than Ollama's own rule (https://github.com/ollama/ollama/blob/main/types/model/name.go), which is checked
only on a machine that has been paid for."""

NO_RENTING = Renting(is_possible=False, longest_keep=timedelta(0))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that can be worked on.

    Attributes
    ----------
    request_json
        The request as the job keeps it: understood, defaulted, without what the job does not use. Two requests
        that mean the same to this version have the same document.
    warnings
        What is done otherwise than asked, by name.
    sent_json
        What the caller sent, in one spelling. Versions with other defaults have the same document; None where no
        caller sent it.
    queue_timeout, max_runtime
        How long the job may wait to be begun, and run, if the request says so.
    max_cost_micro_usd
        What it may cost, if the request says so.
    asked_micro_usd_per_hour
        Its `max_dph`, if it rents and the request names one.
    tokens
        What its tokens of Bedrock may cost; None where it buys none.
    callback_url
        Where the job's end is to be posted.
    model, agent
        What works on it; None where it names none.
    name, metadata
        The caller's own.
    backend
        `vastai`, or the kind of the model server.
    """

    kind: Kind
    first_step: StepName
    request_json: str
    rents: bool = False
    warnings: tuple[str, ...] = ()
    sent_json: str | None = None
    queue_timeout: timedelta | None = None
    max_runtime: timedelta | None = None
    asked_micro_usd_per_hour: int | None = None
    max_cost_micro_usd: int | None = None
    tokens: TokenMoney | None = None
    callback_url: str | None = None
    model: str | None = None
    agent: str | None = None
    name: str | None = None
    metadata: Mapping[str, str] | None = None
    backend: str | None = None


CLUSTER_AGENT = "kubernetes"
"""Which agent it is where a request names a cluster and no agent."""


def admit(
    request: Request,
    tenant: TenantSettings,
    policy: AddressPolicy,
    *,
    has_provider: bool,
    most_concurrency: int = PROCESS_CONCURRENCY,
    find_suite: FindSuite = find_brought,
) -> Admitted:
    """Return what is to be done for a tenant, by its settings, whichever way the request came in.

    Parameters
    ----------
    has_provider
        Whether the deployment has an account with a provider of GPUs.
    most_concurrency
        Most requests that the deployment has under way; see `rune.contracts.workloads.most_concurrency`.
    find_suite
        Finds suites that RUNE brings, and the tenant's own.
    """
    if request.dry_run:
        # Who asks in another way than by POST gets no answer, and wants no job.
        raise InvalidRequestError(
            "Only POST /v1/jobs answers with a plan.", pointer="/dry_run", code="dry_run_not_here"
        )
    renting = Renting(has_provider, tenant.keep_limit, tenant.templates)
    match request:
        case BenchmarkRequest():
            admitted = admit_benchmark(
                request, policy, renting, tenant.backends, most_concurrency, find_suite=find_suite
            )
        case AgenticAgentRequest():
            admitted = admit_agentic_agent(
                request, policy, tenant.agents, tenant.backends, tenant.clusters.keys()
            )
        case LlmInstanceRequest():
            admitted = admit_llm_instance(request, policy, renting, tenant.backends)
    if request.callback_url is None:
        return admitted
    return replace(admitted, callback_url=check_receiver(request.callback_url, policy, "/callback_url"))


def admit_benchmark(
    request: BenchmarkRequest,
    policy: AddressPolicy,
    renting: Renting = NO_RENTING,
    backends: TenantBackends = NO_BACKENDS,
    most_concurrency: int = PROCESS_CONCURRENCY,
    *,
    find_suite: FindSuite = find_brought,
) -> Admitted:
    """Return the benchmark to be run; raises InvalidRequestError, as all of this module does."""
    if request.attestation_required:
        raise InvalidRequestError(
            "No machine here can prove what it is, so attestation_required cannot be honoured.",
            pointer="/attestation_required",
            code="attestation_not_available",
        )
    server: dict[str, object] = (
        _terms_of_rental(request, renting)
        if request.wants_rental
        else {"backend_url": check_backend(backends, request, policy, model=request.model)}
    )
    known = request.model_copy(update={**server, "kubeconfig": None})
    work = admit_work(admit_suite(known, find_suite), policy, backends, most_concurrency)
    return _admitted(Kind.BENCHMARK, request, work, backends, _warnings_about(request, renting))


def admit_agentic_agent(
    request: AgenticAgentRequest,
    policy: AddressPolicy,
    agents: TenantAgents,
    backends: TenantBackends = NO_BACKENDS,
    clusters: Collection[str] = (),
) -> Admitted:
    """Return the agent's work to be done; an agent that the tenant does not have is refused by name.

    Parameters
    ----------
    clusters
        Names of the tenant's clusters; what opens them is read by workers alone.
    """
    # Imported here: agents bring an HTTP client, and most jobs are benchmarks.
    from rune.agents.registry import find_agent  # noqa: PLC0415

    sent = request
    if request.cluster is not None and "agent" not in request.model_fields_set:
        request = request.model_copy(update={"agent": CLUSTER_AGENT})
    kind = find_agent(request.agent, agents)
    _check_cluster(request, clusters, is_needed=kind.needs_cluster)
    server: dict[str, object] = (
        {"backend_url": check_backend(backends, request, policy, model=request.model)}
        if kind.needs_model_server
        # It has a server of its own, so this one is not used, and not kept.
        else {"backend_url": None, "backend_credential": None}
    )
    known = request.model_copy(update={**server, "kubeconfig": None})
    unused = _warnings_of_agent(sent, has_own_server=not kind.needs_model_server, asks_often=kind.asks_often)
    warnings = (*((KUBECONFIG_WARNING,) if request.kubeconfig else ()), *unused)
    return _admitted(Kind.AGENTIC_AGENT, sent, known, backends, warnings)


def _check_cluster(request: AgenticAgentRequest, clusters: Collection[str], *, is_needed: bool) -> None:
    if request.cluster is None and is_needed:
        raise InvalidRequestError(
            f"The agent {request.agent!r} reads a cluster: name one of your tenant's in cluster.",
            pointer="/cluster",
            code="cluster_missing",
        )
    if request.cluster is not None and request.cluster not in clusters:
        known = ", ".join(sorted(clusters)) or "none"
        raise InvalidRequestError(
            f"Your tenant has no cluster {quote(request.cluster)}; it has: {known}.",
            pointer="/cluster",
            code="cluster_unknown",
        )
    if request.cluster is not None and not is_needed:
        raise InvalidRequestError(
            f"The agent {request.agent!r} reads no cluster: leave cluster out, or name {CLUSTER_AGENT!r} as agent.",
            pointer="/cluster",
        )


def admit_llm_instance(
    request: LlmInstanceRequest,
    policy: AddressPolicy,
    renting: Renting = NO_RENTING,
    backends: TenantBackends = NO_BACKENDS,
) -> Admitted:
    """Return the instance to be found or rented."""
    server: dict[str, object] = (
        _terms_of_rental(request, renting)
        if request.wants_rental
        else {"backend_url": check_backend(backends, request, policy, model=request.model)}
    )
    known = request.model_copy(update=server)
    return _admitted(Kind.LLM_INSTANCE, request, known, backends, _warnings_about(request, renting))


def _admitted(
    kind: Kind, sent: Request, known: Request, backends: TenantBackends, warnings: tuple[str, ...] = ()
) -> Admitted:
    """Return what is kept of a request. Every kind of job passes here, and with it the budget for Bedrock."""
    tokens = check_bedrock_budget(known, backends)
    rents = Trait.RENTS in traits_of(kind, known)
    return Admitted(
        kind,
        first_step(kind, known),
        # Whom the job tells is kept apart, since no step needs it.
        known.model_dump_json(exclude_none=True, exclude={"callback_url", "dry_run"}),
        rents=rents,
        warnings=(
            *sent.leniences,
            *warnings,
            *_warnings_of_no_rental(sent, rents=rents, buys=tokens is not None),
        ),
        sent_json=normalize_sent(sent),
        queue_timeout=_seconds(known.queue_timeout_seconds),
        max_runtime=_seconds(known.max_runtime_seconds),
        max_cost_micro_usd=None if known.max_cost_usd is None else to_micro_usd(known.max_cost_usd),
        asked_micro_usd_per_hour=_asked_micro_usd_per_hour(sent) if rents else None,
        tokens=tokens,
        model=known.model or (SMALLEST_MODEL.name if rents else None),
        agent=known.agent if isinstance(known, AgenticAgentRequest) else None,
        name=known.name,
        metadata=known.metadata or None,
        backend=_backend_of(known, rents=rents),
    )


def _backend_of(known: Request, *, rents: bool) -> str | None:
    """Return what kind of server answers; None for an agent that has its own."""
    if rents:
        return "vastai"
    has_server = known.backend_url is not None or known.backend_type == "bedrock"
    return known.backend_type if has_server else None


def _asked_micro_usd_per_hour(sent: Request) -> int | None:
    if isinstance(sent, AgenticAgentRequest):
        return None
    nested = sent.provisioning.vastai if sent.provisioning is not None else None
    terms = sent if nested is None else nested
    if "max_dph" not in terms.model_fields_set or terms.max_dph is None:
        return None
    return to_micro_usd(terms.max_dph)


def normalize_sent(request: Document) -> str:
    """Return what a caller sent in one spelling: members sorted, numbers as their fields have them, no nulls."""
    sent = request.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"dry_run"})
    return json.dumps(sent, sort_keys=True)


def _seconds(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _warnings_about(request: BenchmarkRequest | LlmInstanceRequest, renting: Renting) -> tuple[str, ...]:
    """Return what is done otherwise than asked.

    Clients in the field name a template in every request, so one that is not allowed is left out and not refused.
    """
    is_refused = request.wants_rental and not _may_name_template(request, renting)
    return (TEMPLATE_WARNING,) if is_refused else ()


def _warnings_of_no_rental(sent: Request, *, rents: bool, buys: bool) -> tuple[str, ...]:
    """Return a warning for each term that only a rental uses, of a job that rents nothing.

    A default says nothing: a request that was stored before has every one of them in it.

    Parameters
    ----------
    buys
        Whether the job buys tokens, whose money counts against `max_cost_usd` as well.
    """
    if rents:
        return ()
    return _ignored(sent, [name for name in RENTAL_ALONE if not (buys and name == "max_cost_usd")])


def _warnings_of_agent(
    sent: AgenticAgentRequest, *, has_own_server: bool, asks_often: bool
) -> tuple[str, ...]:
    """Return a warning for each field that the agent does not use."""
    return _ignored(sent, [*(SERVER_ALONE if has_own_server else ()), *(() if asks_often else BOUNDS_ALONE)])


def _ignored(sent: Request, names: Sequence[str]) -> tuple[str, ...]:
    """Return a warning for each of these fields that says other than its default."""
    fields = type(sent).model_fields
    return tuple(
        f"{name}_ignored"
        for name in names
        if name in fields and getattr(sent, name) not in (None, fields[name].default)
    )


def _may_name_template(request: BenchmarkRequest | LlmInstanceRequest, renting: Renting) -> bool:
    named = request.rental_terms.template_hash
    return not named or named in renting.templates


def _terms_of_rental(request: BenchmarkRequest | LlmInstanceRequest, renting: Renting) -> dict[str, object]:
    """Return what of the request is to be kept in another way; raises InvalidRequestError.

    The terms are kept in the flat form alone: a document with every default in it would hold both, and is refused
    when it is read again.
    """
    if not renting.is_possible:
        raise InvalidRequestError(
            "This deployment has no account with Vast.ai; name a running model server in backend_url.",
            pointer="/vastai" if request.vastai else "/provisioning/vastai",
            code="vastai_not_available",
        )
    if request.backend_url is not None:
        raise InvalidRequestError(
            "Name a running model server in backend_url, or rent one, but not both.",
            pointer="/backend_url",
            code="backend_url_and_vastai",
        )
    if request.backend_type != "ollama":
        raise InvalidRequestError(
            "A rented machine runs Ollama.", pointer="/backend_type", code="rental_backend_type"
        )
    if request.backend_credential is not None:
        raise InvalidRequestError(
            "A rented machine takes no credential of yours.",
            pointer="/backend_credential",
            code="rental_backend_credential",
        )
    # What nobody asked for must not cost more than it needs to: a large model is dear to download and to hold.
    model = request.model or SMALLEST_MODEL.name
    if not _OLLAMA_NAME.fullmatch(model):
        raise InvalidRequestError(
            "Ollama has no model of this name: it is letters, digits and _.-, parted by / and :.",
            pointer="/model",
            code="rental_model_name",
        )
    size_model(model, request.min_vram_mb)
    longest_seconds = int(renting.longest_keep.total_seconds())
    if "keep_seconds" in request.model_fields_set and request.keep_seconds > longest_seconds:
        raise InvalidRequestError(
            f"Your tenant keeps machines for at most {longest_seconds} seconds.",
            pointer="/keep_seconds",
            code="keep_seconds_too_long",
        )
    terms = request.rental_terms
    if terms.max_dph == 0:
        raise InvalidRequestError(
            "No machine costs nothing: max_dph must be above 0.",
            pointer="/max_dph" if request.max_dph is not None else "/provisioning/vastai/max_dph",
            code="max_dph_zero",
        )
    return {
        "vastai": True,
        "provisioning": None,
        "model": model,
        "template_hash": terms.template_hash if _may_name_template(request, renting) else None,
        "min_dph": terms.min_dph,
        "max_dph": terms.max_dph,
        "reliability": terms.reliability,
        "vastai_stop_instance": terms.stop_instance,
        "keep_seconds": min(request.keep_seconds, longest_seconds),
    }
