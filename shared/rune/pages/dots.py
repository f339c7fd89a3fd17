"""Single requests of a records' file, as dots over time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

_NO_TIME_MS = 1e12
"""Thirty years: no request takes that long."""


@dataclass(frozen=True, slots=True)
class RequestDot:
    """What a page shows of one request.

    Attributes
    ----------
    sent_s
        Since the point began.
    ttft_ms, e2el_ms
        Of a completed one; None where not defined.
    until_end_ms
        Sending to its end.
    """

    status: str
    sent_s: float
    until_end_ms: float
    ttft_ms: float | None
    e2el_ms: float | None


@dataclass(frozen=True, slots=True)
class DotSample:
    """The dots of one run.

    Attributes
    ----------
    is_whole
        Whether the whole file was read; where it is too large, parts of it were, spread evenly over the time.
    unsent_count
        Requests that were never sent, which have no place in time.
    """

    dots: tuple[RequestDot, ...]
    is_whole: bool
    unsent_count: int = 0


def read_dots(lines: Iterable[str], *, is_whole: bool) -> DotSample:
    """Return the dots of a file's lines (`rune.bench.records_file`).

    Lines that are cut or not understood are none.
    """
    dots, unsent_count = [], 0
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        dot = _dot_of(record) if isinstance(record, dict) else None
        if dot is not None:
            dots.append(dot)
        elif isinstance(record, dict) and "status" in record and record.get("sent_ms") is None:
            unsent_count += 1
    return DotSample(tuple(dots), is_whole, unsent_count)


def thinned(dots: Sequence[RequestDot], most: int) -> tuple[Sequence[RequestDot], int]:
    """Return every n-th dot in the order of their sending, with the least n that leaves at most so many."""
    every = max(1, -(-len(dots) // most))
    return sorted(dots, key=lambda dot: dot.sent_s)[::every], every


def _dot_of(record: dict[str, Any]) -> RequestDot | None:
    sent_ms, ended_ms, status = (record.get(name) for name in ("sent_ms", "ended_ms", "status"))
    if not (_is_time(sent_ms) and _is_time(ended_ms) and isinstance(status, str)):
        return None
    ttft_ms, e2el_ms = (
        value if _is_time(value := record.get(name)) else None for name in ("ttft_ms", "e2el_ms")
    )
    return RequestDot(status, sent_ms / 1000, max(ended_ms - sent_ms, 0), ttft_ms, e2el_ms)


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _NO_TIME_MS
