"""What is refused at the door, so that no job is accepted which could only fail later."""

from dataclasses import dataclass
from datetime import timedelta

from rune.agents.registry import find_agent
from rune.agents.settings import TenantAgents
from rune.contracts import (
    AgenticAgentRequest,
    BackendChoice,
    BenchmarkRequest,
    LlmInstanceRequest,
    Question,
)
from rune.errors import AddressRefusedError, InvalidRequestError
from rune.jobs.record import Kind, StepName
from rune.money.sizing import size_model
from rune.net.addresses import AddressPolicy, parse_backend_url


@dataclass(frozen=True, slots=True)
class Renting:
    """Whether a tenant may rent machines here, and how long it may keep one."""

    is_possible: bool
    longest_keep: timedelta


NO_RENTING = Renting(is_possible=False, longest_keep=timedelta(0))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that can be worked on.

    Attributes
    ----------
    request_json
        The request as the job keeps it: understood, defaulted, without what the job does not use. Two requests
        that mean the same have the same document.
    """

    kind: Kind
    first_step: StepName
    request_json: str
    rents: bool = False


def admit_benchmark(
    request: BenchmarkRequest, policy: AddressPolicy, renting: Renting = NO_RENTING
) -> Admitted:
    """Return the benchmark to be run; raises InvalidRequestError, as all of this module does."""
    if request.attestation_required:
        raise InvalidRequestError(
            "No machine here can prove what it is, so attestation_required cannot be honoured.",
            pointer="/attestation_required",
            code="attestation_not_available",
        )
    if request.wants_rental:
        return _admitted_to_rent(Kind.BENCHMARK, request, renting)
    return _admitted(Kind.BENCHMARK, StepName.CHECK, request, policy)


def admit_agentic_agent(
    request: AgenticAgentRequest, policy: AddressPolicy, agents: TenantAgents
) -> Admitted:
    """Return the agent's work to be done; an agent that the tenant does not have is refused by name."""
    kind = find_agent(request.agent, agents)
    if not kind.needs_model_server:
        # It has a server of its own, so this one is not used, and not kept.
        request = request.model_copy(update={"backend_url": None})
    return _admitted(
        Kind.AGENTIC_AGENT, StepName.CHECK_AGENT, request, policy, needs_url=kind.needs_model_server
    )


def admit_llm_instance(
    request: LlmInstanceRequest, policy: AddressPolicy, renting: Renting = NO_RENTING
) -> Admitted:
    """Return the instance to be found or rented."""
    if request.wants_rental:
        return _admitted_to_rent(Kind.LLM_INSTANCE, request, renting)
    return _admitted(Kind.LLM_INSTANCE, StepName.VERIFY, request, policy)


def judge_backend_url(url: str | None, policy: AddressPolicy) -> str:
    """Return the address in its one spelling."""
    if url is None:
        raise InvalidRequestError(
            "Name a running model server in backend_url.", pointer="/backend_url", code="backend_url_missing"
        )
    try:
        return parse_backend_url(url, policy).url
    except AddressRefusedError as error:
        raise InvalidRequestError(error.sentence, pointer="/backend_url", code=error.code) from None


def _admitted(
    kind: Kind, first_step: StepName, request: BackendChoice, policy: AddressPolicy, *, needs_url: bool = True
) -> Admitted:
    used: dict[str, object] = {"kubeconfig": None} if isinstance(request, Question) else {}
    if needs_url:
        used["backend_url"] = judge_backend_url(request.backend_url, policy)
    return Admitted(kind, first_step, request.model_copy(update=used).model_dump_json(exclude_none=True))


def _admitted_to_rent(
    kind: Kind, request: BenchmarkRequest | LlmInstanceRequest, renting: Renting
) -> Admitted:
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
    if request.model is not None:
        size_model(request.model, request.min_vram_mb)
    longest_seconds = int(renting.longest_keep.total_seconds())
    if "keep_seconds" in request.model_fields_set and request.keep_seconds > longest_seconds:
        raise InvalidRequestError(
            f"Your tenant keeps machines for at most {longest_seconds} seconds.",
            pointer="/keep_seconds",
            code="keep_seconds_too_long",
        )
    kept = request.model_copy(update={"keep_seconds": min(request.keep_seconds, longest_seconds)})
    unused = {"kubeconfig"} if isinstance(request, Question) else set()
    document = kept.model_dump_json(exclude_none=True, exclude=unused)
    return Admitted(kind, StepName.RENT, document, rents=True)
