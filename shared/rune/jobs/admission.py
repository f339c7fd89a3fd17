"""What is refused at the door, so that no job is accepted which could only fail later."""

from dataclasses import dataclass

from rune.agents.registry import find_agent
from rune.agents.settings import TenantAgents
from rune.contracts import (
    AgenticAgentRequest,
    BackendChoice,
    BenchmarkRequest,
    LlmInstanceRequest,
    Question,
    RentalChoice,
)
from rune.errors import AddressRefusedError, InvalidRequestError
from rune.jobs.record import Kind, StepName
from rune.net.addresses import AddressPolicy, parse_backend_url


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


def admit_benchmark(request: BenchmarkRequest, policy: AddressPolicy) -> Admitted:
    """Return the benchmark to be run; raises InvalidRequestError, as all of this module does."""
    _refuse_rental(request)
    if request.attestation_required:
        raise InvalidRequestError(
            "No machine here can prove what it is, so attestation_required cannot be honoured.",
            pointer="/attestation_required",
            code="attestation_not_available",
        )
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


def admit_llm_instance(request: LlmInstanceRequest, policy: AddressPolicy) -> Admitted:
    """Return the instance to be found."""
    _refuse_rental(request)
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


def _refuse_rental(request: RentalChoice) -> None:
    if request.wants_rental:
        raise InvalidRequestError(
            "Renting GPUs on Vast.ai is not available yet; name a running model server in backend_url.",
            pointer="/vastai" if request.vastai else "/provisioning/vastai",
            code="vastai_not_available",
        )
