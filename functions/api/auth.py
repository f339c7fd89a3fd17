"""Who calls: which tenant, from which address, and whether they may."""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.services import Services, services_of
from rune.errors import RateLimitedError, RuneError, UnauthorizedError
from rune.services.jobs import Caller
from rune.tenants.limiter import subject_of
from rune.tenants.tokens import TENANT

DEFAULT_TENANT = "default"

REFUSED = "A valid token of this tenant is needed: Authorization: Bearer <token>, or X-API-Key: <token>."


class Authentication:
    """Lets a request in only with a valid token, before anything of it is read.

    Unknown paths need one too, so that strangers learn nothing of what there is.
    """

    def __init__(self, app: ASGIApp, services: Services, open_paths: frozenset[str]) -> None:
        self._app = app
        self._services = services
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            try:
                scope["caller"] = authenticate(Request(scope), self._services)
            except RuneError as error:
                await problems.as_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def authenticate(request: Request, services: Services) -> Caller:
    """Return the caller, whose address is still to be looked up with whatever is read next.

    The tenant is `X-Tenant-ID`, or "default"; the token comes as a bearer or as `X-API-Key`. Where both are sent,
    they must be equal.

    Raises
    ------
    UnauthorizedError
        No token, or not one of the tenant's. It counts against the caller's address.
    RateLimitedError
        Too many of those came from the address within 60 seconds.
    StoreUnavailableError
        The tokens cannot be known now.
    """
    tenant = request.headers.get("x-tenant-id", DEFAULT_TENANT)
    if services.tokens is None:
        if not TENANT.fullmatch(tenant):
            raise UnauthorizedError(REFUSED)
        return Caller(tenant)
    # The TCP peer as the gateway saw it; X-Forwarded-For is the caller's own claim.
    subject = subject_of(request.client.host if request.client else "")
    _refuse_blocked(services.limiter.recall(subject))
    token = _token(request)
    is_known = token is not None and services.tokens.current().admits(tenant, token)
    if not is_known or not TENANT.fullmatch(tenant):
        _refuse_blocked(services.limiter.count_failure(subject))
        raise UnauthorizedError(REFUSED)
    return Caller(tenant, subject)


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
