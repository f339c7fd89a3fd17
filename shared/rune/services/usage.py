"""What a tenant has used: its ended jobs by day, kind and model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from rune.clock import Clock
from rune.jobs.store import JobStore
from rune.jobs.usage import Usage, UsageRow, add_up

LONGEST_DAYS = 92
"""Of one report: a quarter."""

MOST_MODELS = 100
"""Of one report: names are the callers' own, and there may be as many as jobs."""


@dataclass(frozen=True, slots=True)
class UsageView:
    """What jobs have used that ended from one day to another.

    Attributes
    ----------
    by_kind, by_model
        Dearest first.
    """

    first: date
    last: date
    totals: Usage
    by_day: tuple[tuple[date, Usage], ...]
    by_kind: tuple[tuple[str, Usage], ...]
    by_model: tuple[tuple[str, Usage], ...]


class UsageService:
    """Usage as one tenant's callers see it; raises StoreUnavailableError."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def read(self, tenant: str, days: int) -> UsageView:
        """Return what was used today and on the days before it, `days` in all."""
        last = self._clock.now().astimezone(UTC).date()
        first = last - timedelta(days=days - 1)
        used = self._store.read_usage(tenant, first, last)
        by_day = _group(used, lambda row: row.day)
        return UsageView(
            first,
            last,
            add_up(used.values()),
            tuple(sorted(by_day.items())),
            _dearest_first(_group(used, lambda row: row.kind)),
            _dearest_first(_group(used, lambda row: row.model))[:MOST_MODELS],
        )


def _group[K](used: Mapping[UsageRow, Usage], key_of: Callable[[UsageRow], K]) -> dict[K, Usage]:
    found: dict[K, Usage] = {}
    for row, usage in used.items():
        key = key_of(row)
        found[key] = found.get(key, Usage()).plus(usage)
    return found


def _dearest_first(grouped: Mapping[str, Usage]) -> tuple[tuple[str, Usage], ...]:
    return tuple(sorted(grouped.items(), key=lambda each: (-each[1].cost_micro_usd, each[0])))
