"""A call of the API as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from rune_client.errors import InvalidArgumentError

type Member = str | int | float | bool | None
type Query = Mapping[str, Member | Sequence[str]]

KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21\x23-\x7e][\x20\x21\x23-\x7e]{0,254}")
"""As `functions/api/idempotency.py` takes it: printable ASCII without a quotation mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call[T]:
    """One request, and how its answer is read.

    Attributes
    ----------
    is_repeatable
        Whether it may be sent twice: it reads, it has a key, or the second time changes nothing.
    is_raw
        Whether an error is an answer too.
    """

    method: str
    path: str
    reads: Callable[[httpx.Response], T]
    query: Query = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False
    is_raw: bool = False

    @property
    def idempotency_key(self) -> str | None:
        """The key, as it was given."""
        quoted = self.headers.get(KEY_HEADER)
        return None if quoted is None else quoted.removeprefix('"').removesuffix('"')

    @property
    def query_members(self) -> list[tuple[str, str]]:
        """The query without what was not given; a list is a member that comes several times."""
        found: list[tuple[str, str]] = []
        for name, value in self.query.items():
            values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            found += [(name, _text_of(each)) for each in values if each is not None]
        return found


def require_finite(body: object, place: str = "") -> None:
    """Refuse a body with a number that JSON does not have; raises InvalidArgumentError that names its place."""
    if isinstance(body, float) and not math.isfinite(body):
        raise InvalidArgumentError(f"{place or 'The body'} is {body}; it must be a finite number.")
    if isinstance(body, Mapping):
        for name, each in body.items():
            require_finite(each, f"{place}/{name}")
    elif isinstance(body, list | tuple):
        for number, each in enumerate(body):
            require_finite(each, f"{place}/{number}")


def segment(value: str, what: str) -> str:
    """Return a name or an id as one part of a path.

    Raises
    ------
    InvalidArgumentError
        It would lead to another path.
    """
    if value.strip() in {"", ".", ".."}:
        raise InvalidArgumentError(f"{what} is missing.")
    return quote(value, safe="")


def key_headers(key: str) -> dict[str, str]:
    """Return the header of an idempotency key, quoted: bare, a comma would be read as two keys.

    Raises
    ------
    InvalidArgumentError
        It is no key.
    """
    if _KEY.fullmatch(key) is None:
        raise InvalidArgumentError(
            "An idempotency key is 1 to 255 printable ASCII characters without quotation marks, no blank first."
        )
    return {KEY_HEADER: f'"{key}"'}


def named(**members: object) -> dict[str, Any]:
    """Return the members that were given: None is not sent."""
    return {name: value for name, value in members.items() if value is not None}


def _text_of(value: Member) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
