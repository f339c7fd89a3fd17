"""Reading untrusted JSON: every field may be absent, of another type or out of range."""

import json
from collections.abc import Mapping

_EMPTY: Mapping[str, object] = {}
_MAX_COUNT = 2**53
"""Largest whole number that every JSON reader holds exactly (RFC 8259, section 6)."""


def parse_json(data: bytes) -> object:
    """Return the value; bytes that are not UTF-8 become U+FFFD, as a token may end within a character.

    Raises
    ------
    ValueError
        It is not JSON, or nested too deeply for the parser.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_object(value: object) -> Mapping[str, object]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def as_list(value: object) -> list[object]:
    """Return the value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def read_text(holder: Mapping[str, object], key: str) -> str:
    """Return the member if it is a string, else an empty one."""
    value = holder.get(key)
    return value if isinstance(value, str) else ""


def read_count(holder: Mapping[str, object], key: str) -> int | None:
    """Return the member if it is a whole number from 0 to 2**53, also written as 12.0, else None."""
    value = read_number(holder, key)
    return int(value) if value is not None and value.is_integer() else None


def read_number(holder: Mapping[str, object], key: str) -> float | None:
    """Return the member if it is a finite number from 0 to 2**53, else None."""
    value = holder.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The comparison takes whole numbers of any size and is false for infinity and NaN.
    return float(value) if 0 <= value <= _MAX_COUNT else None


def mend_text(text: str) -> str:
    r"""Return the text with surrogate pairs joined and single surrogates replaced.

    JSON may hold half a surrogate pair ("\ud83d"), and a server may send the halves in two chunks. Python keeps
    them as two characters, which cannot be encoded in UTF-8.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
