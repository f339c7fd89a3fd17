"""How many requests one tenant may send, so that its flood leaves the API to the others.

What reads and what changes something are counted apart, in windows of ten seconds. Each process counts by itself.
Its first requests of a window cost no call: a client that polls never costs a write. A process that gets more than
a quarter of what the tenant may send tells the table, in blocks, and learns what others have told. A tenant that
has sent too much is refused until the window ends, from memory.

So one process lets through what the tenant may send, and several at most a quarter of it more each. To be exact
would take a write for each request, which costs more than most requests do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from rune.clock import Clock, to_epoch_ms
from rune.errors import TooManyPollsError, TooManyRequestsError, TooManySubmitsError
from rune.settings import read_whole_number

if TYPE_CHECKING:
    from rune.tenants.settings import TenantSettings

WINDOW_SECONDS = 10

_FREE_DIVISOR = 4
"""A process tells nobody of a quarter of the limit."""

_BLOCK_DIVISOR = 10
"""It takes a tenth at a time after that: ten writes a window at most, where one process gets all."""


class RequestClass(StrEnum):
    """What is counted apart."""

    POLLS = "polls"
    SUBMITS = "submits"


_READING = frozenset({"GET", "HEAD", "OPTIONS"})

_ERRORS: Mapping[RequestClass, type[TooManyRequestsError]] = {
    RequestClass.POLLS: TooManyPollsError,
    RequestClass.SUBMITS: TooManySubmitsError,
}


def class_of(method: str) -> RequestClass:
    """Return what a request of this method counts as: a poll where it reads, else a submit."""
    return RequestClass.POLLS if method in _READING else RequestClass.SUBMITS


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests per second that one tenant may send, over each window of ten seconds."""

    polls_per_second: int
    submits_per_second: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the deployment's limits; raises SettingsError naming the variable that is wrong."""
        return cls(
            read_whole_number(environment, "RUNE_TENANT_POLLS_PER_SECOND"),
            read_whole_number(environment, "RUNE_TENANT_SUBMITS_PER_SECOND"),
        )

    def per_second(self, what: RequestClass, settings: "TenantSettings") -> int:
        """Return what a tenant may send: as its document says, else as the deployment does."""
        own, deployments = (
            (settings.max_polls_per_second, self.polls_per_second)
            if what is RequestClass.POLLS
            else (settings.max_submits_per_second, self.submits_per_second)
        )
        return deployments if own is None else own


class RateCounter(Protocol):
    """What all processes count together."""

    def add(self, tenant: str, what: RequestClass, window: int, count: int) -> int | None:
        """Count requests of a window; return all that were told of it, or None where that cannot be known now."""
        ...


@dataclass(slots=True)
class _Use:
    """Requests of one tenant in this window and process."""

    sent: int = 0
    allowed: int = 0
    is_telling: bool = False
    is_over: bool = False


class TenantRates:
    """Refuses a tenant's requests above its limits.

    Parameters
    ----------
    counter
        Called when a process gets many requests of one tenant, and not before.
    """

    def __init__(self, limits: RateLimits, counter: Callable[[], RateCounter], clock: Clock) -> None:
        self._limits = limits
        self._counter = counter
        self._clock = clock
        self._window = 0
        self._uses: dict[tuple[str, RequestClass], _Use] = {}

    def take(self, tenant: str, settings: "TenantSettings", method: str) -> None:
        """Count a request.

        Raises
        ------
        TooManyPollsError, TooManySubmitsError
            The tenant has sent as many as it may in this window.
        """
        now_ms = to_epoch_ms(self._clock.now())
        window = now_ms // (WINDOW_SECONDS * 1000)
        if window != self._window:
            self._window = window
            self._uses.clear()
        what = class_of(method)
        limit = self._limits.per_second(what, settings) * WINDOW_SECONDS
        use = self._uses.setdefault((tenant, what), _Use(allowed=max(1, limit // _FREE_DIVISOR)))
        if use.sent >= use.allowed and not use.is_over:
            self._ask(use, tenant, what, limit)
        if use.sent >= use.allowed:
            remaining_ms = (window + 1) * WINDOW_SECONDS * 1000 - now_ms
            raise _ERRORS[what](limit, WINDOW_SECONDS, -(-remaining_ms // 1000))
        use.sent += 1

    def _ask(self, use: _Use, tenant: str, what: RequestClass, limit: int) -> None:
        """Tell what was sent and take some more, as far as the limit goes."""
        block = max(1, limit // _BLOCK_DIVISOR)
        untold = 0 if use.is_telling else use.sent
        total = self._counter().add(tenant, what, self._window, untold + block)
        if total is None:
            # The others are unknown; this process goes on by itself.
            more = min(block, limit - use.sent)
        else:
            use.is_telling = True
            more = min(block, limit - (total - block))
        use.allowed = use.sent + max(0, more)
        use.is_over = more <= 0
