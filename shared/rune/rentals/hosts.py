"""What all jobs know of a host from those that rented it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

EXCLUDED = timedelta(hours=1)
"""How long a host is left alone after a failure; twice as long after each further one in a row."""

LONGEST_EXCLUDED = timedelta(hours=24)

_MOST_DOUBLINGS = 5
_SLOWEST_MBIT_PER_SECOND = 0.1


@dataclass(frozen=True, slots=True)
class HostRecord:
    """What is known of a host; every field may be unknown.

    Attributes
    ----------
    failures_in_row
        How often it failed jobs since it last served one.
    failed_at
        When it failed last.
    mbit_per_second
        How fast it downloaded a model last.
    """

    failures_in_row: int = 0
    failed_at: datetime | None = None
    mbit_per_second: float | None = None

    @property
    def odds_ratio(self) -> float:
        """The odds that it does not fail again, as a share of those that the provider states.

        Laplace's rule of succession after failures alone, with one success assumed before them.
        """
        return 2 / (2 + self.failures_in_row)

    def excluded_until(self) -> datetime | None:
        """Return until when it is left alone; None where it has not failed."""
        if self.failed_at is None or not self.failures_in_row:
            return None
        doublings = min(self.failures_in_row - 1, _MOST_DOUBLINGS)
        return self.failed_at + min(EXCLUDED * (1 << doublings), LONGEST_EXCLUDED)

    def believable_mbit_per_second(self, stated: float) -> float:
        """Return with which bandwidth to reckon: what it states, or what it had, whichever is less."""
        measured = stated if self.mbit_per_second is None else self.mbit_per_second
        return max(min(stated, measured), _SLOWEST_MBIT_PER_SECOND)


UNKNOWN_HOST = HostRecord()
