"""Tokens of tenants, kept as hashes only."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from rune.tenants.entries import TENANT, EntryError, RefusedEntry

VARIABLE = "RUNE_API_TOKENS"

SHORTEST_TOKEN_CHARS = 32
"""A token of 256 random bits makes guessing hopeless, so a plain hash of it is enough."""

_HASHED = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)

_HASH_LIKE = re.compile(
    # The name of a hash at the beginning, as in `sha384-…`, whose base64 may hold letters and digits alone.
    r"^(?:sha|blake)[_-]?\d"
    # More hexadecimal digits in a row than a random token has: 40 digits with a wrong one among them have 20.
    r"|[0-9a-f]{20}",
    re.IGNORECASE,
)

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
"""What `secrets.token_urlsafe` makes: without colons, quotes, `=` and `$`, which stand beside or within a hash."""

_NO_TOKENS = (hashlib.sha256(b"no token").digest(),)


class Scope(StrEnum):
    """What a token may do. None of them includes another."""

    READ = "read"
    SUBMIT = "submit"
    MANAGE = "manage"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a tenant.

    Attributes
    ----------
    name
        By which the operator knows it; `env-1` is the tenant's first of `RUNE_API_TOKENS`.
    digest
        SHA-256 of the token.
    expires_at
        From when on it opens nothing; None for never.
    contact
        Who has it, as the operator wrote.
    """

    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope] = ALL_SCOPES
    expires_at: datetime | None = None
    contact: str | None = None

    def has_expired(self, now: datetime) -> bool:
        """Return whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


LINK = Token("link", b"", frozenset({Scope.READ}))
"""Stands for a token where a link was used."""

NO_AUTHENTICATION = Token("none", b"")
"""Stands for one where a deployment asks for none."""


def read_hash(text: str) -> bytes:
    """Return the digest that `sha256:<64 hexadecimal digits>` spells.

    Raises
    ------
    EntryError
        It has another form.
    """
    hashed = _HASHED.fullmatch(text)
    if hashed is None:
        raise EntryError("A token's hash is `sha256:` and 64 hexadecimal digits, and nothing else.")
    return bytes.fromhex(hashed[1])


def read_token(text: str) -> bytes:
    """Return the digest of a token that is given in plain text, or as `read_hash` takes it.

    Raises
    ------
    EntryError
        It is too short, holds another character than letters, digits, `_` and `-`, or looks like a hash and is
        none: a mistyped hash would be a password that everybody knows who may read the configuration.
    """
    if _HASHED.fullmatch(text):
        return read_hash(text)
    if not _TOKEN.fullmatch(text):
        raise EntryError(
            "A token is letters, digits, `_` and `-`; a hash is `sha256:` and 64 hexadecimal digits."
        )
    if _HASH_LIKE.search(text):
        raise EntryError("It looks like a hash and is none: a hash is `sha256:` and 64 hexadecimal digits.")
    if len(text) < SHORTEST_TOKEN_CHARS:
        raise EntryError(f"The token is shorter than {SHORTEST_TOKEN_CHARS} characters.")
    return digest_of(text)


def digest_of(token: str) -> bytes:
    """Return the digest by which a token is known."""
    return hashlib.sha256(token.encode()).digest()


def find_token(tokens: Sequence[Token], text: str) -> Token | None:
    """Return the token that the text is; takes as long where there are none.

    One that stands there several times may only what each of its entries allows, under the name of the first.
    """
    offered = digest_of(text)
    # All of them, so that the time tells nothing of which one matches.
    matches = [
        hmac.compare_digest(offered, known) for known in [token.digest for token in tokens] or _NO_TOKENS
    ]
    found = [token for token, is_match in zip(tokens, matches, strict=False) if is_match]
    if not found:
        return None
    ends = [token.expires_at for token in found if token.expires_at is not None]
    scopes = frozenset.intersection(*(token.scopes for token in found))
    return replace(found[0], scopes=scopes, expires_at=min(ends, default=None))


class TokenBook:
    """The tokens of `RUNE_API_TOKENS`, by tenant.

    Attributes
    ----------
    refused
        Entries without effect. The others count.
    """

    def __init__(
        self, tokens: Mapping[str, tuple[Token, ...]] | None = None, refused: Iterable[RefusedEntry] = ()
    ) -> None:
        self._tokens = tokens or {}
        self.refused = tuple(refused)

    @classmethod
    def take_from(cls, environment: MutableMapping[str, str], *, may_be_plain: bool = True) -> Self:
        """Return the tokens of the variable, and remove it from the environment."""
        return cls.parse(environment.pop(VARIABLE, ""), may_be_plain=may_be_plain)

    @classmethod
    def parse(cls, text: str, *, may_be_plain: bool = True) -> Self:
        """Return the tokens of a text: `tenant:token` entries, separated by commas or line ends.

        A token may be given as `sha256:<64 hexadecimal digits>`, and a tenant may have several. An entry that is
        not understood is refused alone. Its place is a number: where the halves are exchanged, the tenant is the
        token. Where a token may not be plain, only its hash counts: who may read a function's configuration reads
        its environment.
        """
        tokens: dict[str, tuple[Token, ...]] = {}
        refused = []
        entries = filter(None, (part.strip() for part in re.split(r"[,\r\n]", text)))
        for number, entry in enumerate(entries, start=1):
            try:
                tenant, digest = _read_entry(entry, may_be_plain=may_be_plain)
            except EntryError as error:
                refused.append(RefusedEntry(f"{VARIABLE}/{number}", error.sentence))
            else:
                earlier = tokens.get(tenant, ())
                tokens[tenant] = (*earlier, Token(f"env-{len(earlier) + 1}", digest))
        return cls(tokens, refused)

    def __contains__(self, tenant: str) -> bool:
        """Return whether the tenant has a token."""
        return tenant in self._tokens

    @property
    def is_empty(self) -> bool:
        """Whether it holds no token."""
        return not self._tokens

    def tokens_of(self, tenant: str) -> tuple[Token, ...]:
        """Return the tenant's tokens, which may everything and never expire."""
        return self._tokens.get(tenant, ())


def _read_entry(entry: str, *, may_be_plain: bool) -> tuple[str, bytes]:
    tenant, colon, token = entry.partition(":")
    if not colon or not TENANT.fullmatch(tenant):
        raise EntryError("It is not of the form tenant:token.")
    return tenant, read_token(token) if may_be_plain else read_hash(token)
