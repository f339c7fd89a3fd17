"""Which tenant calls."""

from typing import Annotated

from fastapi import Depends, Request

from rune.errors import UnauthorizedError
from rune.tenants.tokens import TENANT, TokenBook

DEFAULT_TENANT = "default"

REFUSED = "A valid token of this tenant is needed: Authorization: Bearer <token>, or X-API-Key: <token>."


async def authenticate(request: Request) -> str:
    """Return the calling tenant; raises UnauthorizedError.

    The tenant is `X-Tenant-ID`, or "default"; the token comes as a bearer or as `X-API-Key`. Where both are sent,
    they must be equal.
    """
    tenant = request.headers.get("x-tenant-id", DEFAULT_TENANT)
    if not TENANT.fullmatch(tenant):
        raise UnauthorizedError(REFUSED)
    if request.app.state.auth_disabled:
        return tenant
    tokens: TokenBook = request.app.state.tokens
    token = _token(request)
    if token is None or not tokens.admits(tenant, token):
        raise UnauthorizedError(REFUSED)
    return tenant


Tenant = Annotated[str, Depends(authenticate)]


def _token(request: Request) -> str | None:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    offered = {bearer.strip() if scheme.lower() == "bearer" else "", request.headers.get("x-api-key", "")} - {
        ""
    }
    return offered.pop() if len(offered) == 1 else None
