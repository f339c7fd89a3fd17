"""When a call, or its result, is the same as before. Kept outside the transcript, which models forget."""

import hashlib
import json
from collections.abc import Mapping

_CHANGING = frozenset({"id", "as_of"})
"""Of a result's header: what differs from call to call although nothing else does."""


def key_of(name: str, arguments: Mapping[str, object]) -> str:
    """Return a call in one way of writing: order, case, blanks, and numbers as text do not count."""
    told = {key.strip().casefold(): _normal(value) for key, value in arguments.items()}
    kept = {key: value for key, value in told.items() if value not in ("", None)}
    return f"{name} {json.dumps(kept, sort_keys=True, ensure_ascii=False)}"


def digest_of(tool: str, text: str) -> str:
    """Return a digest of a result that is equal where the same was read again."""
    head, _, body = text.partition("\n")
    try:
        header = json.loads(head)
    except ValueError:
        return _digest(f"{tool}\n{text}")
    if not isinstance(header, dict):
        return _digest(f"{tool}\n{text}")
    told = {name: value for name, value in header.items() if name not in _CHANGING}
    return _digest(f"{tool}\n{json.dumps(told, sort_keys=True)}\n{body}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _normal(value: object) -> object:
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    if isinstance(value, int | float | bool):
        return json.dumps(value)
    return value
