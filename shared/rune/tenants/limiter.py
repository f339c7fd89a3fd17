"""How many failed authentications a source address may make; decisions only.

Ten within any 60 seconds, then the address is blocked until the tenth-last of them is 60 seconds old. Answers to a
blocked address are not counted, so a block always ends.

The window keeps the instants of the last ten failures: as long as each is written on top of the window it was
judged by, every interval [t, t + 60 s) holds at most ten. Counters per minute would let twenty pass around the full
minute.
"""

from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address

from rune.net.addresses import unmapped

FAILURE_LIMIT = 10
"""Failed authentications (the specification's "Rate Limiting")."""

WINDOW_MS = 60_000
"""The rolling window of the specification, in milliseconds."""

KEEP_MS = 2 * WINDOW_MS
"""How long a window is kept after its newest failure: twice its length, so that a clock up to a minute fast forgets
nothing that still counts."""

UNKNOWN_SUBJECT = "unknown"
"""Requests without an address, which API Gateway never sends. They share one window."""


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """The failed authentications of one subject.

    Attributes
    ----------
    count
        Failures since the window was begun, those that have left it included.
    failed_at_ms
        Instants of the last failures in epoch milliseconds, oldest first, at most ten; never decreasing.
    blocked_until_ms
        When the block ends, in epoch milliseconds; absent unless the newest failure was one too many for more.
    """

    count: int = 0
    failed_at_ms: tuple[int, ...] = ()
    blocked_until_ms: int | None = None

    @property
    def newest_ms(self) -> int:
        """When the last failure was, in epoch milliseconds; 0 before the first."""
        return self.failed_at_ms[-1] if self.failed_at_ms else 0

    @property
    def expires_at_seconds(self) -> int:
        """From when on the window no longer matters, in epoch seconds."""
        return -(-(self.newest_ms + KEEP_MS) // 1000)


EMPTY = SlidingWindow()


def subject_of(source_address: str) -> str:
    """Return whose failures count together: an IPv4 address, or the /64 network of an IPv6 address.

    One customer has a whole /64, so counting single addresses would count nothing (RFC 6177).
    """
    try:
        address = unmapped(ip_address(source_address.partition("%")[0]))
    except ValueError:
        return UNKNOWN_SUBJECT
    if address.version == 4:  # noqa: PLR2004  # the protocol's name
        return str(address)
    return str(IPv6Network((int(address), 64), strict=False))


def seconds_blocked(window: SlidingWindow, now_ms: int) -> int | None:
    """Return for how many seconds, 1 to 60, the subject is still blocked; None if it is not.

    Time never goes back before the newest failure, so a slow clock waits no longer than the window's length.
    """
    if window.blocked_until_ms is None:
        return None
    remaining_ms = window.blocked_until_ms - max(now_ms, window.newest_ms)
    return -(-remaining_ms // 1000) if remaining_ms > 0 else None


def after_failure(window: SlidingWindow, now_ms: int) -> SlidingWindow:
    """Return the window with one more failure; for a window that `seconds_blocked` does not call blocked."""
    instant_ms = max(now_ms, window.newest_ms)
    failed_at_ms = (*window.failed_at_ms, instant_ms)[-FAILURE_LIMIT:]
    ends_ms = failed_at_ms[0] + WINDOW_MS
    blocked = len(failed_at_ms) == FAILURE_LIMIT and ends_ms > instant_ms
    return SlidingWindow(window.count + 1, failed_at_ms, ends_ms if blocked else None)
