"""Limits of how often a key may call an endpoint."""

from collections import deque
from dataclasses import dataclass

from local.simulators.vastai.endpoints import (
    INTERVAL_SECONDS,
    PENALTY_SECONDS,
    SEARCHES_PER_MINUTE_COUNT,
    Endpoint,
)
from local.simulators.vastai.wire import VastAnswer, VastRequest, plain

_MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key a request carries.

    Attributes
    ----------
    kind
        `account`, `scoped`, `instance`, `none` or `wrong`.
    contract_id
        Of an instance's own key.
    """

    kind: str
    key: str = ""
    contract_id: int | None = None


class RateLimiter:
    """Least time between two calls, by endpoint and key; of searches, by address."""

    def __init__(self) -> None:
        self._open_from: dict[tuple[Endpoint, str, str], float] = {}
        self._searches: dict[str, deque[float]] = {}

    def refuse(
        self, endpoint: Endpoint, request: VastRequest, identity: Identity, now: float
    ) -> VastAnswer | None:
        """Return the 429 of a call that comes too early; None for any other."""
        if endpoint is Endpoint.SEARCH:
            return self._refuse_search(request.address, now)
        interval_seconds = INTERVAL_SECONDS.get(endpoint)
        if interval_seconds is None:
            return None
        who = (endpoint, request.method, identity.key or request.address)
        if now < self._open_from.get(who, now):
            if endpoint in PENALTY_SECONDS:
                self._open_from[who] = now + PENALTY_SECONDS[endpoint]
            text = f"API requests too frequent: endpoint threshold={interval_seconds}"
            return plain(429, text)
        self._open_from[who] = now + interval_seconds
        return None

    def _refuse_search(self, address: str, now: float) -> VastAnswer | None:
        latest = self._searches.setdefault(address, deque())
        while latest and latest[0] <= now - _MINUTE_SECONDS:
            latest.popleft()
        if len(latest) >= SEARCHES_PER_MINUTE_COUNT:
            return plain(429, "API requests too frequent")
        latest.append(now)
        return None
