"""Tokens for the local stack: what its caller holds, and what the template gets."""

import hashlib
import re
import secrets
from dataclasses import dataclass

# A hash, or what was meant for one. The functions judge it: hashed here, a mistyped hash would become a token.
_HASH = re.compile(r"sha[\w-]*[:=]", re.IGNORECASE)
# Callers that name no tenant are this one.
DEFAULT_TENANT = "default"
_RANDOM_BYTES = 32


@dataclass(frozen=True)
class LocalTokens:
    """The tokens of one stack.

    Parameters
    ----------
    tenant
        Whose token the stack's own tools use.
    tenants
        All that have a token, this one first.
    token
        That token in plain text, or None when only hashes were given.
    deployed
        The value of the template's ApiTokens: hashes only.
    """

    tenant: str
    token: str | None
    deployed: str
    tenants: tuple[str, ...]


def make_tokens(configured: str) -> LocalTokens:
    """Tokens from `tenant:token` and `tenant:sha256:<hex>` entries, or a new one for this run when there is none.

    Parameters
    ----------
    configured
        Entries as in RUNE_API_TOKENS, separated by commas or line ends; may be empty.

    Raises
    ------
    ValueError
        An entry has no tenant or no token. The message does not repeat the token.
    """
    entries = [entry.strip() for entry in re.split(r"[,\r\n]", configured) if entry.strip()]
    if not entries:
        entries = [f"{DEFAULT_TENANT}:{secrets.token_urlsafe(_RANDOM_BYTES)}"]
    pairs = [_split(entry, position) for position, entry in enumerate(entries, start=1)]
    plain = next((pair for pair in pairs if not _HASH.match(pair[1])), None)
    tenant, token = plain if plain is not None else (pairs[0][0], None)
    deployed = ",".join(f"{name}:{_hash(value)}" for name, value in pairs)
    return LocalTokens(tenant, token, deployed, tuple(dict.fromkeys([tenant, *(name for name, _ in pairs)])))


def _split(entry: str, position: int) -> tuple[str, str]:
    tenant, separator, token = entry.partition(":")
    if not (tenant and separator and token):
        raise ValueError(f"entry {position} of RUNE_API_TOKENS is not `tenant:token`")
    return tenant, token


def _hash(token: str) -> str:
    if _HASH.match(token):
        return token
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()
