"""Tokens of tenants, kept as hashes only."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
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


def admits(digests: Sequence[bytes], token: str) -> bool:
    """Return whether the token is one of those; takes as long where there are none."""
    offered = digest_of(token)
    matches = [hmac.compare_digest(offered, known) for known in digests or _NO_TOKENS]
    return any(matches) and bool(digests)


class TokenBook:
    """The tokens of `RUNE_API_TOKENS`, by tenant.

    Attributes
    ----------
    refused
        Entries without effect. The others count.
    """

    def __init__(
        self, digests: Mapping[str, tuple[bytes, ...]] | None = None, refused: Iterable[RefusedEntry] = ()
    ) -> None:
        self._digests = digests or {}
        self.refused = tuple(refused)

    @classmethod
    def take_from(cls, environment: MutableMapping[str, str]) -> Self:
        """Return the tokens of the variable, and remove it from the environment."""
        return cls.parse(environment.pop(VARIABLE, ""))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the tokens of a text: `tenant:token` entries, separated by commas or line ends.

        A token may be given as `sha256:<64 hexadecimal digits>`, and a tenant may have several. An entry that is
        not understood is refused alone. Its place is a number: where the halves are exchanged, the tenant is the
        token.
        """
        digests: dict[str, tuple[bytes, ...]] = {}
        refused = []
        entries = filter(None, (part.strip() for part in re.split(r"[,\r\n]", text)))
        for number, entry in enumerate(entries, start=1):
            try:
                tenant, digest = _read_entry(entry)
            except EntryError as error:
                refused.append(RefusedEntry(f"{VARIABLE}/{number}", error.sentence))
            else:
                digests[tenant] = (*digests.get(tenant, ()), digest)
        return cls(digests, refused)

    def __contains__(self, tenant: str) -> bool:
        """Return whether the tenant has a token."""
        return tenant in self._digests

    @property
    def is_empty(self) -> bool:
        """Whether it holds no token."""
        return not self._digests

    def digests_of(self, tenant: str) -> tuple[bytes, ...]:
        """Return the digests of the tenant's tokens."""
        return self._digests.get(tenant, ())


def _read_entry(entry: str) -> tuple[str, bytes]:
    tenant, colon, token = entry.partition(":")
    if not colon or not TENANT.fullmatch(tenant):
        raise EntryError("It is not of the form tenant:token.")
    return tenant, read_token(token)
