"""Whose key a request carries, and what it allows."""

from local.simulators.vastai.endpoints import OPEN_ENDPOINTS, Endpoint, scope_of
from local.simulators.vastai.rate_limits import Identity
from local.simulators.vastai.wire import VastAnswer, VastRequest, failure
from local.simulators.vastai.world import World

_OF_INSTANCE_KEY = frozenset({Endpoint.MANAGE, Endpoint.DESTROY})


def identify(world: World, request: VastRequest) -> Identity:
    """Return whose key it is; older clients send it as `api_key` in the query."""
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
    world: World, identity: Identity, endpoint: Endpoint, request: VastRequest, number: int | None
) -> VastAnswer | None:
    """Return the refusal of a request that its key does not allow; None where it does."""
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


def unauthorized(world: World) -> VastAnswer:
    """Return the answer to a wrong key."""
    return failure(world.settings.unauthorized_status, "auth_error", "Invalid user key")
