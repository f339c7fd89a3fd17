"""Tokens of tenants, kept as hashes only."""

import hashlib
import hmac
import re
from collections.abc import Mapping, MutableMapping
from typing import Protocol, Self

from rune.errors import SettingsError

VARIABLE = "RUNE_API_TOKENS"

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
        book = cls.parse(environment.pop(VARIABLE, ""))
        if book.is_empty and not auth_disabled:
            raise SettingsError(
                f"{VARIABLE} is empty, so nobody could call; set it or RUNE_API_AUTH_DISABLED."
            )
        return book

    @classmethod
    def parse(cls, text: str, source: str = VARIABLE) -> Self:
        """Return the tokens of a text in the form of `RUNE_API_TOKENS`; none if it is blank.

        Parameters
        ----------
        source
            Where the text comes from, for the error's message.

        Raises
        ------
        SettingsError
            An entry is malformed or its token too short. The message names the entry's place and nothing of it:
            where the halves are exchanged, or one is missing, the tenant is the token.
        """
        digests: dict[str, tuple[bytes, ...]] = {}
        entries = filter(None, (part.strip() for part in text.split(",")))
        for place, entry in enumerate(entries, start=1):
            tenant, colon, token = entry.partition(":")
            if not colon or not TENANT.fullmatch(tenant):
                raise SettingsError(
                    f"{source} holds an entry ({place}.) that is not of the form tenant:token."
                )
            digest = _digest(token)
            if digest is None:
                raise SettingsError(
                    f"{source} holds an entry ({place}.) whose token is shorter than {SHORTEST_TOKEN} characters."
                )
            digests[tenant] = (*digests.get(tenant, ()), digest)
        return cls(digests)

    @property
    def is_empty(self) -> bool:
        """Whether nobody has a token."""
        return not self._digests

    def current(self) -> Self:
        """Return the book itself: one that never changes is its own source."""
        return self

    def admits(self, tenant: str, token: str) -> bool:
        """Return whether the token is one of the tenant's; takes as long for a tenant that does not exist."""
        offered = hashlib.sha256(token.encode()).digest()
        matches = [hmac.compare_digest(offered, known) for known in self._digests.get(tenant, _NOBODY)]
        return any(matches) and tenant in self._digests


class TokenSource(Protocol):
    """Where the tokens of this moment are; a `TokenBook` is a source that never changes."""

    def current(self) -> TokenBook:
        """Return the tokens; raises StoreUnavailableError if they cannot be known now."""
        ...


def _digest(token: str) -> bytes | None:
    """Return the token's hash, or None if it is too short."""
    hashed = _HASHED.fullmatch(token)
    if hashed:
        return bytes.fromhex(hashed[1])
    if len(token) < SHORTEST_TOKEN:
        return None
    return hashlib.sha256(token.encode()).digest()
