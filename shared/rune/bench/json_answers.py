"""JSON in what a model says, which is untrusted text."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Never

MAX_JSON_CHARS = 1_000_000
"""Of an answer that is read as JSON."""
MAX_DEPTH = 64
"""How deep JSON may be nested."""

_FENCE = "```"


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value that was found, which may be null."""

    value: object


def read_json_answer(answer: str) -> JsonValue | None:
    """Return the value that an answer is, or that the only fenced block in it holds; None where there is none."""
    if len(answer) > MAX_JSON_CHARS:
        return None
    whole = _parse(answer)
    if whole is not None:
        return whole
    blocks = list(_fenced_blocks(answer))
    return _parse(blocks[0]) if len(blocks) == 1 else None


def nesting_depth(value: object) -> int:
    """Return how many lists and objects lie around the innermost value."""
    return max(depth for _, depth in _walk(value))


def members_named(value: object, names: frozenset[str]) -> int:
    """Return how many members of all objects within a value have one of the names."""
    return sum(len(names & inner.keys()) for inner, _ in _walk(value) if isinstance(inner, dict))


def _walk(value: object) -> Iterator[tuple[object, int]]:
    """Yield each value within a value, and how deep it lies; without recursion, since depth is the caller's."""
    waiting = [(value, 0)]
    while waiting:
        current, depth = waiting.pop()
        yield current, depth
        if isinstance(current, dict):
            waiting += [(member, depth + 1) for member in current.values()]
        elif isinstance(current, list):
            waiting += [(member, depth + 1) for member in current]


def _parse(text: str) -> JsonValue | None:
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return JsonValue(value) if nesting_depth(value) <= MAX_DEPTH else None


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON.")


def _fenced_blocks(text: str) -> Iterator[str]:
    """Yield what lies between lines that begin with three backticks; line by line, for a time like the length."""
    block: list[str] | None = None
    for line in text.splitlines():
        if line.lstrip().startswith(_FENCE):
            if block is not None:
                yield "\n".join(block)
            block = [] if block is None else None
        elif block is not None:
            block.append(line)
