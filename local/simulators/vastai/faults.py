"""What goes wrong on purpose: with answers, and with what they stand for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from local.simulators.scripts import Script
from local.simulators.vastai.boots import BootFailure, Loss
from local.simulators.vastai.endpoints import Endpoint


class FaultKind(StrEnum):
    """What can go wrong."""

    TOO_FREQUENT = "too_frequent"
    """429 as plain text, or as JSON with `retry_after_in` json; see `retry_after_seconds`."""
    SEARCH_QUOTA = "search_quota"
    """429 search_quota_exceeded, with X-RateLimit-Reset at the next midnight UTC."""
    SERVER_ERROR = "server_error"
    """500 as JSON."""
    BAD_GATEWAY = "bad_gateway"
    """502 as an HTML page."""
    REFUSED = "refused"
    """`status` (200 unless given) with success:false, `error` and `text`."""
    NO_MEMBERS = "no_members"
    """200 with `{"success": true}` and nothing else: no `instances`, no `offers`, no `new_contract`."""
    NOT_JSON = "not_json"
    """200 with an HTML page."""
    UNAUTHORIZED = "unauthorized"
    """auth_error, as for a revoked key."""
    FORBIDDEN = "forbidden"
    """403 not_authorized."""
    LOST = "lost"
    """The connection breaks without an answer."""
    HANG = "hang"
    """No answer ever comes."""

    ASK_GONE = "ask_gone"
    """Somebody else took the machine: no_such_ask with `status`, and the offer leaves the market."""
    UNAVAILABLE = "unavailable"
    """Taken while starting: 410, or with cancel_unavail false a stopped contract."""
    LOW_BID = "low_bid"
    """success:false together with a stopped contract."""
    INSUFFICIENT_CREDIT = "insufficient_credit"
    SPEND_RATE_LIMIT = "spend_rate_limit"
    MISSING_BILLING = "missing_billing"

    BOOT = "boot"
    """The next machine boots as `boot` says."""
    LOSS = "loss"
    """The next machine is lost in the way of `loss`, `delay_seconds` after it began to run."""
    READ_LAG = "read_lag"
    """The next contract is null for `reads_count` single reads and not listed for `delay_seconds`."""
    ROWS_MISSING = "rows_missing"
    """A listing shows no instances, although it counts them."""
    DEARER = "dearer"
    """The next contract's GPU costs `price_factor` times what its offer said."""
    FILTERS_IGNORED = "filters_ignored"
    """A search filters nothing; order and limit stay."""
    DESTROY_LIE = "destroy_lie"
    """Success is answered and nothing is destroyed."""
    DESTROY_SLOW = "destroy_slow"
    """Success is answered; the instance goes, and ceases to bill, after `delay_seconds`."""
    GPU_TAKEN = "gpu_taken"
    """A start is queued for `delay_seconds`."""


REFUSALS_OF_CREATE = frozenset(
    {
        FaultKind.ASK_GONE,
        FaultKind.UNAVAILABLE,
        FaultKind.LOW_BID,
        FaultKind.INSUFFICIENT_CREDIT,
        FaultKind.SPEND_RATE_LIMIT,
        FaultKind.MISSING_BILLING,
    }
)
"""What only an order that would otherwise succeed can meet."""

EFFECTS = REFUSALS_OF_CREATE | frozenset(
    {
        FaultKind.BOOT,
        FaultKind.LOSS,
        FaultKind.READ_LAG,
        FaultKind.DEARER,
        FaultKind.ROWS_MISSING,
        FaultKind.FILTERS_IGNORED,
        FaultKind.DESTROY_LIE,
        FaultKind.DESTROY_SLOW,
        FaultKind.GPU_TAKEN,
    }
)
"""Faults of the thing asked for; all others spoil the answer. One of each kind may befall the same request."""
_ANSWERS = frozenset(FaultKind) - EFFECTS

_ENDPOINT_OF: dict[FaultKind, frozenset[Endpoint]] = {
    **dict.fromkeys(REFUSALS_OF_CREATE, frozenset({Endpoint.CREATE})),
    FaultKind.BOOT: frozenset({Endpoint.CREATE}),
    FaultKind.LOSS: frozenset({Endpoint.CREATE}),
    FaultKind.READ_LAG: frozenset({Endpoint.CREATE}),
    FaultKind.DEARER: frozenset({Endpoint.CREATE}),
    FaultKind.ROWS_MISSING: frozenset({Endpoint.LIST}),
    FaultKind.SEARCH_QUOTA: frozenset({Endpoint.SEARCH}),
    FaultKind.FILTERS_IGNORED: frozenset({Endpoint.SEARCH}),
    FaultKind.DESTROY_LIE: frozenset({Endpoint.DESTROY, Endpoint.DESTROY_MANY}),
    FaultKind.DESTROY_SLOW: frozenset({Endpoint.DESTROY, Endpoint.DESTROY_MANY}),
    FaultKind.GPU_TAKEN: frozenset({Endpoint.MANAGE, Endpoint.MANAGE_MANY}),
}


class RetryAfterIn(StrEnum):
    """Where a 429 says how long to wait."""

    HEADER = "header"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong.

    Attributes
    ----------
    endpoint
        Only requests of this sort; None for all that the kind can befall.
    machine_id
        Only orders of this machine, or requests that name a contract on it.
    contract_id
        Only requests that name this contract.
    after_requests
        Requests of this sort that go well first.
    times
        Requests spoiled before the fault is used up; None for all.
    after_effect
        Whether what was asked for is done before the answer is spoiled.
    status
        Instead of the kind's own.
    text
        Instead of the kind's own message.
    error
        The code of `refused`.
    """

    kind: FaultKind
    endpoint: Endpoint | None = None
    machine_id: int | None = None
    contract_id: int | None = None
    after_requests: int = 0
    times: int | None = 1
    after_effect: bool = False
    status: int | None = None
    text: str | None = None
    error: str = "invalid_request"
    retry_after_seconds: float | None = None
    retry_after_in: RetryAfterIn = RetryAfterIn.HEADER
    delay_seconds: float = 0.0
    reads_count: int = 0
    price_factor: float = 1.0
    boot: BootFailure | None = None
    loss: Loss = Loss.OFFLINE

    def concerns(self, endpoint: Endpoint, machine_id: int | None, contract_id: int | None) -> bool:
        """Return whether a request is one that the fault may befall."""
        if self.endpoint is not None and self.endpoint is not endpoint:
            return False
        possible = _ENDPOINT_OF.get(self.kind)
        if possible is not None and endpoint not in possible:
            return False
        if self.machine_id is not None and self.machine_id != machine_id:
            return False
        return self.contract_id is None or self.contract_id == contract_id


class FaultScript(Script[Fault]):
    """The faults still to come, first come first served."""

    def add(self, faults: Fault | Iterable[Fault]) -> None:
        """Put one fault, or several, at the end."""
        super().add((faults,) if isinstance(faults, Fault) else faults)

    def take_answer(
        self, endpoint: Endpoint, machine_id: int | None = None, contract_id: int | None = None
    ) -> Fault | None:
        """Return what is to spoil the answer to this request, and count it."""
        return self._take(_ANSWERS, endpoint, machine_id, contract_id)

    def take_refusal_of_create(self, machine_id: int) -> Fault | None:
        """Return what is to refuse an order that could be carried out, and count it."""
        return self._take(REFUSALS_OF_CREATE, Endpoint.CREATE, machine_id, None)

    def take_effect(
        self,
        kind: FaultKind,
        endpoint: Endpoint,
        machine_id: int | None = None,
        contract_id: int | None = None,
    ) -> Fault | None:
        """Return what is to befall the thing asked for, and count it."""
        return self._take({kind}, endpoint, machine_id, contract_id)

    def _take(
        self,
        kinds: Collection[FaultKind],
        endpoint: Endpoint,
        machine_id: int | None,
        contract_id: int | None,
    ) -> Fault | None:
        return self.take_where(
            lambda fault: fault.kind in kinds and fault.concerns(endpoint, machine_id, contract_id)
        )
