"""Faults of the simulated Vast.ai: of its answers, and of the machines and orders behind them."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from local.simulators.faults import Fault, FaultKind, FaultQueue
from local.simulators.vastai.boots import BootFailure, Loss
from local.simulators.vastai.endpoints import Endpoint


class VastaiFaultKind(StrEnum):
    """Faults that only Vast.ai has.

    Of the common kinds, `refused` answers `status` (200 unless given) with success:false, `error` and `text`, and
    `disconnected` breaks the connection without an answer.
    """

    TOO_FREQUENT = "too_frequent"
    """429 as plain text, or as JSON with `retry_after_in` json; see `retry_after_seconds`."""
    SEARCH_QUOTA = "search_quota"
    """429 search_quota_exceeded, with X-RateLimit-Reset at the next midnight UTC."""
    SERVER_ERROR = "server_error"
    """500 as JSON."""
    BAD_GATEWAY = "bad_gateway"
    """502 as an HTML page."""
    NO_MEMBERS = "no_members"
    """200 with `{"success": true}` and nothing else: no `instances`, no `offers`, no `new_contract`."""
    UNAUTHORIZED = "unauthorized"
    """auth_error, as for a revoked key."""
    FORBIDDEN = "forbidden"
    """403 not_authorized."""

    ASK_GONE = "ask_gone"
    """Another account took the machine: no_such_ask with `status`, and the offer leaves the market."""
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
    """A listing lacks its latest `rows_count` instances, or all; `counted` says whether it counts them."""
    NOT_SHOWN = "not_shown"
    """A single read of an instance that exists is null."""
    DEARER = "dearer"
    """The next contract's GPU costs `price_factor` times its offer's price."""
    PRICE_RISE = "price_rise"
    """The next contract's GPU costs `price_factor` times as much from `delay_seconds` after the order on."""
    STORAGE_DEARER = "storage_dearer"
    """The next contract's disk costs `price_factor` times as much while the instance is stopped."""
    SLOW_HOST = "slow_host"
    """The next contract's host has only `bandwidth_ratio` of the bandwidth that its offer states."""
    FILTERS_IGNORED = "filters_ignored"
    """A search filters nothing; order and limit stay."""
    DESTROY_IGNORED = "destroy_ignored"
    """Success is answered and nothing is destroyed."""
    DESTROY_SLOW = "destroy_slow"
    """Success is answered; the instance ends, and its bill with it, after `delay_seconds`."""
    GPU_TAKEN = "gpu_taken"
    """A start is queued for `delay_seconds`."""


REFUSALS_OF_CREATE = frozenset(
    {
        VastaiFaultKind.ASK_GONE,
        VastaiFaultKind.UNAVAILABLE,
        VastaiFaultKind.LOW_BID,
        VastaiFaultKind.INSUFFICIENT_CREDIT,
        VastaiFaultKind.SPEND_RATE_LIMIT,
        VastaiFaultKind.MISSING_BILLING,
    }
)
"""Refusals of an order that would otherwise succeed."""

EFFECTS = REFUSALS_OF_CREATE | frozenset(
    {
        VastaiFaultKind.BOOT,
        VastaiFaultKind.LOSS,
        VastaiFaultKind.READ_LAG,
        VastaiFaultKind.DEARER,
        VastaiFaultKind.SLOW_HOST,
        VastaiFaultKind.PRICE_RISE,
        VastaiFaultKind.STORAGE_DEARER,
        VastaiFaultKind.ROWS_MISSING,
        VastaiFaultKind.NOT_SHOWN,
        VastaiFaultKind.FILTERS_IGNORED,
        VastaiFaultKind.DESTROY_IGNORED,
        VastaiFaultKind.DESTROY_SLOW,
        VastaiFaultKind.GPU_TAKEN,
    }
)
"""Faults of what was asked for; one request can have one of each kind. All other kinds are faults of the answer."""
_ANSWERS = (frozenset(FaultKind) | frozenset(VastaiFaultKind)) - EFFECTS

_ENDPOINT_OF: dict[StrEnum, frozenset[Endpoint]] = {
    **dict.fromkeys(REFUSALS_OF_CREATE, frozenset({Endpoint.CREATE})),
    VastaiFaultKind.BOOT: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.LOSS: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.READ_LAG: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.DEARER: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.SLOW_HOST: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.PRICE_RISE: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.STORAGE_DEARER: frozenset({Endpoint.CREATE}),
    VastaiFaultKind.ROWS_MISSING: frozenset({Endpoint.LIST}),
    VastaiFaultKind.NOT_SHOWN: frozenset({Endpoint.SHOW}),
    VastaiFaultKind.SEARCH_QUOTA: frozenset({Endpoint.SEARCH}),
    VastaiFaultKind.FILTERS_IGNORED: frozenset({Endpoint.SEARCH}),
    VastaiFaultKind.DESTROY_IGNORED: frozenset({Endpoint.DESTROY, Endpoint.DESTROY_MANY}),
    VastaiFaultKind.DESTROY_SLOW: frozenset({Endpoint.DESTROY, Endpoint.DESTROY_MANY}),
    VastaiFaultKind.GPU_TAKEN: frozenset({Endpoint.MANAGE}),
}


class Counted(StrEnum):
    """What a listing that lacks rows says of their number."""

    KEPT = "kept"
    """`total_instances` is right, so that the loss can be seen."""
    LOWERED = "lowered"
    """`total_instances` counts what is shown."""
    ABSENT = "absent"
    """There is no `total_instances`."""


class RetryAfterIn(StrEnum):
    """Where a 429 says how long to wait."""

    HEADER = "header"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VastaiFault(Fault):
    """One fault.

    Attributes
    ----------
    endpoint
        Only requests to this endpoint; None for all that can have the kind.
    machine_id
        Only orders of this machine, or requests that name a contract on it.
    contract_id
        Only requests that name this contract.
    after_effect
        Whether what was asked for is done before the answer fails.
    status, text
        Instead of the kind's own.
    error
        The code of `refused`.
    """

    kind: FaultKind | VastaiFaultKind
    endpoint: Endpoint | None = None
    machine_id: int | None = None
    contract_id: int | None = None
    after_effect: bool = False
    status: int | None = None
    text: str | None = None
    error: str = "invalid_request"
    retry_after_seconds: float | None = None
    retry_after_in: RetryAfterIn = RetryAfterIn.HEADER
    delay_seconds: float = 0.0
    reads_count: int = 0
    rows_count: int | None = None
    counted: Counted = Counted.KEPT
    price_factor: float = 1.0
    bandwidth_ratio: float = 1.0
    boot: BootFailure | None = None
    loss: Loss = Loss.OFFLINE

    def concerns(self, endpoint: Endpoint, machine_id: int | None, contract_id: int | None) -> bool:
        """Return whether a request is one that may have the fault."""
        if self.endpoint is not None and self.endpoint is not endpoint:
            return False
        possible = _ENDPOINT_OF.get(self.kind)
        if possible is not None and endpoint not in possible:
            return False
        if self.machine_id is not None and self.machine_id != machine_id:
            return False
        return self.contract_id is None or self.contract_id == contract_id


class VastaiFaults(FaultQueue[VastaiFault]):
    """The faults to come."""

    def take_answer(
        self, endpoint: Endpoint, machine_id: int | None = None, contract_id: int | None = None
    ) -> VastaiFault | None:
        """Return the fault of the answer to this request, and count the request."""
        return self._take(_ANSWERS, endpoint, machine_id, contract_id)

    def take_refusal_of_create(self, machine_id: int) -> VastaiFault | None:
        """Return the fault that refuses an order which could be carried out, and count the order."""
        return self._take(REFUSALS_OF_CREATE, Endpoint.CREATE, machine_id, None)

    def take_effect(
        self,
        kind: VastaiFaultKind,
        endpoint: Endpoint,
        machine_id: int | None = None,
        contract_id: int | None = None,
    ) -> VastaiFault | None:
        """Return the fault of this kind of what was asked for, and count the request."""
        return self._take({kind}, endpoint, machine_id, contract_id)

    def _take(
        self,
        kinds: Collection[StrEnum],
        endpoint: Endpoint,
        machine_id: int | None,
        contract_id: int | None,
    ) -> VastaiFault | None:
        return self.take(
            lambda fault: fault.kind in kinds and fault.concerns(endpoint, machine_id, contract_id)
        )
