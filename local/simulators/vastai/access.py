"""Who asks, what they may do, and how often."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.simulators.vastai.endpoints import (
    INTERVAL_SECONDS,
    OPEN_ENDPOINTS,
    PENALTY_SECONDS,
    SEARCHES_PER_MINUTE_COUNT,
    Endpoint,
    scope_of,
)
from local.simulators.vastai.wire import VastAnswer, VastRequest, failure, plain

if TYPE_CHECKING:
    from local.simulators.vastai.world import World

_MINUTE_SECONDS = 60.0
_OF_INSTANCE_KEY = frozenset({Endpoint.MANAGE, Endpoint.DESTROY})


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


def identify(world: "World", request: VastRequest) -> Identity:
    """Return whose key it is, from the header or, as in older clients, the query's `api_key`."""
    key = request.query.get("api_key", "")
    if request.authorization is not None:
        scheme, _, key = request.authorization.partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
    if not key:
        return Identity("none")
    if key == world.settings.api_key:
        return Identity("account", key)
    if key in world.settings.scoped_keys:
        return Identity("scoped", key)
    for contract in world.account.live.values():
        if contract.api_key == key:
            return Identity("instance", key, contract.contract_id)
    return Identity("wrong", key)


def refuse_access(
    world: "World", identity: Identity, endpoint: Endpoint, request: VastRequest, number: int | None
) -> VastAnswer | None:
    """Return why somebody may not ask this; None where they may."""
    if identity.kind == "account" or (identity.kind == "none" and endpoint in OPEN_ENDPOINTS):
        return None
    if identity.kind in {"none", "wrong"}:
        return unauthorized(world)
    if identity.kind == "scoped":
        scope = scope_of(endpoint)
        if scope in world.settings.scoped_keys[identity.key]:
            return None
        return failure(403, "not_authorized", f"This key lacks the permission {scope}.")
    body = request.body
    is_own = endpoint in _OF_INSTANCE_KEY and number == identity.contract_id
    if is_own and (endpoint is Endpoint.DESTROY or (isinstance(body, dict) and set(body) == {"state"})):
        return None
    return failure(403, "not_authorized", "This key may only start, stop or destroy its own instance.")


def unauthorized(world: "World") -> VastAnswer:
    """Return the answer to a wrong key."""
    return failure(world.settings.unauthorized_status, "auth_error", "Invalid user key")


class RateLimiter:
    """Least times between calls: per endpoint and key, and for searches per address."""

    def __init__(self) -> None:
        self._open_from: dict[tuple[Endpoint, str, str], float] = {}
        self._searches: dict[str, deque[float]] = {}

    def refuse(
        self, endpoint: Endpoint, request: VastRequest, identity: Identity, now: float
    ) -> VastAnswer | None:
        """Return the 429 of a call that comes too early; None where it does not."""
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
