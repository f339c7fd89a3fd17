"""How often things happened in jobs, and how long they took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Self

from rune.jobs.record import Event


@dataclass(frozen=True, slots=True)
class Tally:
    """One event name, counted; times in milliseconds."""

    ok_count: int
    error_count: int
    sum_ms: int
    min_ms: int
    max_ms: int

    @property
    def total_count(self) -> int:
        """All of them."""
        return self.ok_count + self.error_count

    def plus(self, other: Self) -> Self:
        """Return both together."""
        return type(self)(
            self.ok_count + other.ok_count,
            self.error_count + other.error_count,
            self.sum_ms + other.sum_ms,
            min(self.min_ms, other.min_ms),
            max(self.max_ms, other.max_ms),
        )


type Tallies = Mapping[str, Tally]
"""Tallies by event name."""


def tally(events: Iterable[Event]) -> Tallies:
    """Return the tallies of events; those without a duration are left out."""
    return merge(
        {event.name: Tally(int(event.status == "ok"), int(event.status == "error"), ms, ms, ms)}
        for event in events
        if (ms := event.duration_ms) is not None
    )


def merge(many: Iterable[Tallies]) -> Tallies:
    """Return all tallies together."""
    return reduce(_merge_two, many, {})


def _merge_two(one: Tallies, other: Tallies) -> Tallies:
    both = {name: one[name].plus(other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}
