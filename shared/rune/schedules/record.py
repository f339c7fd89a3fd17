"""A schedule's row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from rune.jobs.record import Kind
from rune.schedules.expressions import parse_rate
from rune.schedules.occurrences import Timing
from rune.schedules.zones import find_zone


class ScheduleState(StrEnum):
    """Whether a schedule posts jobs."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    """Nothing is due any more, by its `ends_at` or its expression."""
    DELETED = "deleted"
    """Its row is left until the table forgets it; for callers it is gone."""


class Overlap(StrEnum):
    """What happens to an occurrence while a job of the schedule has not ended."""

    SKIP = "skip"
    ALLOW = "allow"
    CANCEL_RUNNING = "cancel_running"


class PauseReason(StrEnum):
    """Why a schedule is paused."""

    ASKED = "asked"
    FAILURES = "failures"


class RunOutcome(StrEnum):
    """How the job of a run has ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The job is no longer kept."""


OVERLAP = "overlap"
"""Why an occurrence posts no job: one of the schedule has not ended."""

MISSED = "missed"
"""Why occurrences post no job: nothing looked at the schedule for so long."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one occurrence.

    Attributes
    ----------
    due_at
        The occurrence; of a run that a caller asked for, when it did.
    decided_at
        When the job was posted, or was not.
    job_id
        None where none was posted.
    reason
        Why none was: `OVERLAP`, `MISSED`, or the code with which the request was refused.
    outcome
        None until it is known.
    """

    due_at: datetime
    decided_at: datetime
    job_id: str | None = None
    reason: str | None = None
    outcome: RunOutcome | None = None
    is_manual: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule. None means that the attribute is absent.

    Attributes
    ----------
    cron, rate
        One of them, as `rune.schedules.expressions` writes it.
    anchor_at
        From which a rate counts.
    next_at
        The next occurrence; with the id it names the job that is posted for it.
    due_at
        When the tick looks at it, in the index: `next_at`, or later where something was in the way.
    held_at
        An occurrence that was due, and not posted yet, when a caller paused the schedule.
    runs
        The latest, oldest first.
    failures
        Jobs in a row that failed, as far as is known. Those that were cancelled do not count.
    event_count
        Number of its last event.
    has_document
        Whether its tenant had a document of the operator's, when it was made or at an occurrence since. If it has
        none any more, the tenant is gone.
    version
        Rises with each write; a write requires that nobody has written since the row was read.
    """

    schedule_id: str
    tenant: str
    name: str
    kind: Kind
    state: ScheduleState
    timezone: str
    overlap: Overlap
    created_at: datetime
    updated_at: datetime
    anchor_at: datetime
    version: int = 1
    cron: str | None = None
    rate: str | None = None
    ends_at: datetime | None = None
    next_at: datetime | None = None
    due_at: datetime | None = None
    held_at: datetime | None = None
    paused_because: PauseReason | None = None
    runs: tuple[Run, ...] = ()
    failures: int = 0
    event_count: int = 0
    has_document: bool = False
    expires_at: datetime | None = None

    @property
    def timing(self) -> Timing:
        """When it is due."""
        rule: str | timedelta = self.cron if self.cron is not None else parse_rate(self.rate or "")
        return Timing(rule, find_zone(self.timezone), self.anchor_at, self.ends_at)

    @property
    def unfinished_job_ids(self) -> tuple[str, ...]:
        """Jobs of its latest runs that had not ended when it was written."""
        return tuple(run.job_id for run in self.runs if run.job_id is not None and run.outcome is None)


def with_outcomes(schedule: Schedule, outcomes: Mapping[str, RunOutcome]) -> Schedule:
    """Return the schedule with what is known of its jobs now.

    Parameters
    ----------
    outcomes
        Of jobs that have ended, by id.
    """
    failures, runs = schedule.failures, []
    for run in schedule.runs:
        outcome = outcomes.get(run.job_id or "") if run.outcome is None else None
        if outcome is not None and not run.is_manual:
            failures = _count_failures(failures, outcome)
        runs.append(run if outcome is None else replace(run, outcome=outcome))
    return replace(schedule, runs=tuple(runs), failures=failures)


def _count_failures(failures: int, outcome: RunOutcome) -> int:
    match outcome:
        case RunOutcome.FAILED:
            return failures + 1
        case RunOutcome.SUCCEEDED:
            return 0
        case RunOutcome.CANCELLED | RunOutcome.UNKNOWN:
            return failures
