"""What a request offers as credentials, and what its caller is told where they are not enough.

The sentences say what was sent. None depends on what RUNE knows: not on whether there is such a tenant, nor on what
it has.
"""

import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers

from rune.tenants.entries import TENANT
from rune.tenants.tokens import SHORTEST_TOKEN_CHARS

DEFAULT_TENANT = "default"

HOW = "Authorization: Bearer <token>, or X-API-Key: <token>"

NO_TOKEN = f"No token was sent. Send {HOW}."
NOT_BEARER = f"Authorization does not begin with `Bearer`. Send {HOW}."
TWO_TOKENS = "Authorization and X-API-Key hold different tokens. Send one of them, or the same in both."
NO_TENANT = (
    "X-Tenant-ID is no tenant's name: 1 to 64 letters, digits, `_`, `.` and `-`, "
    "of which the first is a letter or a digit."
)
WRONG = "The token is not one of the tenant that X-Tenant-ID names."
WRONG_OF_DEFAULT = f"The token is not one of the tenant `{DEFAULT_TENANT}`, and no X-Tenant-ID names another."
TOO_SHORT = f" It has fewer than {SHORTEST_TOKEN_CHARS} characters; tokens have more."
A_HASH = " What was sent looks like a token's hash; send the token itself."

_HASH = re.compile(r"(?:sha256:)?[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Offer:
    """The credentials of one request.

    Attributes
    ----------
    names_tenant
        Whether it names the tenant; else it is the one that is assumed.
    token
        None where there is nothing to compare.
    hindrance
        Why there is nothing to compare, in a sentence; None where there is.
    """

    tenant: str
    names_tenant: bool
    token: str | None = field(repr=False)
    hindrance: str | None

    @property
    def refusal(self) -> str:
        """Why the request is refused whose token was compared, and is none of the tenant's."""
        sentence = WRONG if self.names_tenant else WRONG_OF_DEFAULT
        token = self.token or ""
        if _HASH.fullmatch(token):
            return sentence + A_HASH
        return sentence + TOO_SHORT if len(token) < SHORTEST_TOKEN_CHARS else sentence


def read_offer(headers: Headers) -> Offer:
    """Return what a request offers."""
    tenant = headers.get("x-tenant-id")
    names_tenant = tenant is not None
    tenant = DEFAULT_TENANT if tenant is None else tenant
    token, hindrance = _read_token(headers)
    if hindrance is None and not TENANT.fullmatch(tenant):
        token, hindrance = None, NO_TENANT
    return Offer(tenant, names_tenant, token, hindrance)


def _read_token(headers: Headers) -> tuple[str | None, str | None]:
    """Return the token, or why there is none to compare."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    offered = {bearer.strip() if is_bearer else "", headers.get("x-api-key", "")} - {""}
    match sorted(offered):
        case [token]:
            return token, None
        case []:
            return None, NO_TOKEN if is_bearer or not scheme else NOT_BEARER
        case _:
            return None, TWO_TOKENS
