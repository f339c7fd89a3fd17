"""Who calls: which tenant, from which address, and whether they may."""

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import event_streams, problems
from api.services import Services, services_of
from rune.errors import RateLimitedError, RuneError, UnauthorizedError
from rune.services.jobs import Caller
from rune.tenants.entries import TENANT
from rune.tenants.limiter import subject_of
from rune.tenants.settings import TenantSettings

DEFAULT_TENANT = "default"

REFUSED = "A valid token of this tenant is needed: Authorization: Bearer <token>, or X-API-Key: <token>."


class Authentication:
    """Lets a request in only with a valid token, before anything of it is read.

    Unknown paths need one too, so that callers without a token learn nothing of what there is.
    """

    def __init__(self, app: ASGIApp, services: Services, open_paths: frozenset[str]) -> None:
        self._app = app
        self._services = services
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            try:
                scope["caller"], scope["tenant_settings"] = authenticate(Request(scope), self._services)
            except RuneError as error:
                await _refusal(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(request: Request, error: RuneError) -> Response:
    """Return a problem; for what passes by itself, a pause to a stream, which a problem would end for good."""
    paused = event_streams.pause(error) if event_streams.is_asked_for(request) else None
    return problems.as_response(error) if paused is None else paused


def authenticate(request: Request, services: Services) -> tuple[Caller, TenantSettings]:
    """Return the caller, whose address is still to be looked up with the next read, and its tenant.

    The tenant is `X-Tenant-ID`, or "default"; the token comes as a bearer or as `X-API-Key`. Where both are sent,
    they must be equal.

    Raises
    ------
    UnauthorizedError
        No token, or not one of the tenant's. It counts against the caller's address, unless the tenant is
        suspended.
    RateLimitedError
        Too many of those came from the address within 60 seconds.
    TenantSuspendedError
        The token is the tenant's, and the tenant is suspended.
    StoreUnavailableError
        The tenant's settings cannot be known now.
    """
    tenant = request.headers.get("x-tenant-id", DEFAULT_TENANT)
    is_name = TENANT.fullmatch(tenant) is not None
    if not services.has_authentication:
        if not is_name:
            raise UnauthorizedError(REFUSED)
        settings = services.tenants.of(tenant)
        return Caller.of(tenant, settings), settings
    # The TCP peer as the gateway saw it; X-Forwarded-For is the caller's own claim.
    subject = subject_of(request.client.host if request.client else "")
    _refuse_blocked(services.limiter.recall(subject))
    token = _token(request)
    found = _find_settings(services, tenant, subject) if is_name and token is not None else None
    if found is None or token is None or not found.admits(token):
        # A document that is not understood suspends its tenant, and its tokens are unknown. If calls of its clients
        # counted, they would block the other tenants at their address.
        if found is None or not found.is_suspended:
            _refuse_blocked(services.limiter.count_failure(subject))
        raise UnauthorizedError(REFUSED)
    return Caller.of(tenant, found, subject), found


def _find_settings(services: Services, tenant: str, subject: str) -> TenantSettings:
    """Return the tenant's settings; where they must be read, a blocked address is refused before."""
    settings = services.tenants.recall(tenant)
    if settings is not None:
        return settings
    _refuse_blocked(services.limiter.read(subject))
    return services.tenants.of(tenant)


def tenant_settings_of(request: Request) -> TenantSettings:
    """Return what the operator decided for the caller's tenant."""
    settings: TenantSettings = request.scope["tenant_settings"]
    return settings


def caller_of(request: Request) -> Caller:
    """Return the caller whom `Authentication` let in, where the first read or write looks up the address."""
    caller: Caller = request.scope["caller"]
    return caller


def admitted_caller_of(request: Request) -> Caller:
    """Return the caller, for all other routes: once its address is known not to be blocked.

    Raises
    ------
    RateLimitedError
        It is.
    """
    caller = caller_of(request)
    if caller.address is not None:
        _refuse_blocked(services_of(request).limiter.read(caller.address))
    return caller


def _refuse_blocked(remaining_seconds: int | None) -> None:
    if remaining_seconds is not None:
        raise RateLimitedError(remaining_seconds)


def _token(request: Request) -> str | None:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    offered = {bearer.strip() if scheme.lower() == "bearer" else "", request.headers.get("x-api-key", "")} - {
        ""
    }
    return offered.pop() if len(offered) == 1 else None
