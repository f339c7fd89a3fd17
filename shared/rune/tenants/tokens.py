"""Tokens of tenants, kept as hashes only."""

import hashlib
import hmac
import re
from collections.abc import Mapping, MutableMapping
from typing import Self

from rune.errors import SettingsError

SHORTEST_TOKEN = 32
"""Characters. A token of 256 random bits makes guessing hopeless, so a plain hash of it is enough."""

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_HASHED = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
_NOBODY = (hashlib.sha256(b"nobody").digest(),)


class TokenBook:
    """Which tokens open which tenant."""

    def __init__(self, digests: Mapping[str, tuple[bytes, ...]]) -> None:
        self._digests = digests

    @classmethod
    def take_from(cls, environment: MutableMapping[str, str], *, auth_disabled: bool) -> Self:
        """Return the tokens of `RUNE_API_TOKENS`, and remove the variable from the environment.

        The variable holds `tenant:token` pairs, comma-separated; a token may be given as `sha256:<64 hex digits>`
        of it, and a tenant may have several.

        Raises
        ------
        SettingsError
            An entry is malformed, a token is shorter than 32 characters, or there is none although callers must
            authenticate. The message never holds a token.
        """
        digests: dict[str, tuple[bytes, ...]] = {}
        for entry in filter(
            None, (part.strip() for part in environment.pop("RUNE_API_TOKENS", "").split(","))
        ):
            tenant, _, token = entry.partition(":")
            if not TENANT.fullmatch(tenant):
                raise SettingsError("RUNE_API_TOKENS holds an entry that is not of the form tenant:token.")
            digests[tenant] = (*digests.get(tenant, ()), _digest(tenant, token))
        if not digests and not auth_disabled:
            raise SettingsError(
                "RUNE_API_TOKENS is empty, so nobody could call; set it or RUNE_API_AUTH_DISABLED."
            )
        return cls(digests)

    def admits(self, tenant: str, token: str) -> bool:
        """Return whether the token is one of the tenant's; takes as long for a tenant that does not exist."""
        offered = hashlib.sha256(token.encode()).digest()
        matches = [hmac.compare_digest(offered, known) for known in self._digests.get(tenant, _NOBODY)]
        return any(matches) and tenant in self._digests


def _digest(tenant: str, token: str) -> bytes:
    hashed = _HASHED.fullmatch(token)
    if hashed:
        return bytes.fromhex(hashed[1])
    if len(token) < SHORTEST_TOKEN:
        raise SettingsError(f"A token of tenant {tenant!r} is shorter than {SHORTEST_TOKEN} characters.")
    return hashlib.sha256(token.encode()).digest()
