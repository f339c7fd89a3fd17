"""Tokens as they stand in a tenant's document."""

from datetime import datetime

from rune.tenants.document import TokenSettings
from rune.tenants.entries import NAME, EntryError
from rune.tenants.shapes import validate
from rune.tenants.tokens import SHORTEST_TOKEN_CHARS, Scope, Token, read_hash

_SCOPES = frozenset(Scope)


def read_token_entry(name: str, value: object) -> tuple[Token, int]:
    """Return a token, and how many of its scopes are none.

    Raises
    ------
    EntryError
        It is not understood, apart from such scopes: with a wrong field, a token that should expire would not.
    """
    if not NAME.fullmatch(name) or len(name) >= SHORTEST_TOKEN_CHARS:
        raise EntryError(
            f"Its name is none: letters, digits, `_`, `.` and `-`, fewer than {SHORTEST_TOKEN_CHARS}."
        )
    if isinstance(value, str):
        return Token(name, read_hash(value)), 0
    if not isinstance(value, dict):
        raise EntryError("It is neither a text nor an object that stands there once.")
    entry = validate(TokenSettings, value)
    scopes = frozenset(Scope(scope) for scope in entry.scopes if scope in _SCOPES)
    token = Token(
        name=name,
        digest=read_hash(entry.hash),
        scopes=scopes,
        expires_at=None if entry.expires_at is None else _read_time(entry.expires_at),
        contact=entry.contact,
    )
    return token, len(set(entry.scopes)) - len(scopes)


def _read_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise EntryError("expires_at: It is no date with time and time zone, such as 2027-01-31T00:00:00Z.")
    return time
