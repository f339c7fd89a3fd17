"""The events that a job leaves behind."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from rune.jobs import plan
from rune.jobs.outcomes import Note
from rune.jobs.record import Event, Failure, Job, Status


class History:
    """The events of one write, numbered on from the job's last.

    Attributes
    ----------
    events
        In order; their numbers follow `job.event_count` without a gap.
    """

    def __init__(self, job: Job, now: datetime) -> None:
        self._job = job
        self._now = now
        self.events: tuple[Event, ...] = ()

    def add_lost_workers(self) -> None:
        """Add one event if earlier workers took this turn and were never heard of again."""
        lost_count = self._job.attempts - 1
        if lost_count > 0:
            self._add("worker.lost", "worker_lost", None, {"step": self._job.step, "lost": str(lost_count)})

    def add_notes(self, notes: Iterable[Note]) -> None:
        """Add what the step found worth an event."""
        for note in notes:
            self._add(note.name, note.error_type, note.duration_ms, note.labels)

    def add_step_end(
        self, duration_ms: int, error_type: str | None = None, labels: Mapping[str, str] | None = None
    ) -> None:
        """Add the step's own event; an error where `error_type` is given."""
        labels = {"step": self._job.step, "try": str(self._job.failures + 1), **(labels or {})}
        self._add(plan.STEPS[self._job.step].event, error_type, duration_ms, labels)

    def add_job_end(self, status: Status, failure: Failure | None) -> None:
        """Add the last event of the job; its duration is the job's whole life."""
        duration_ms = round((self._now - self._job.created_at).total_seconds() * 1000)
        self._add(f"job.{status}", failure.code if failure else None, duration_ms, {})

    def _add(
        self, name: str, error_type: str | None, duration_ms: int | None, labels: Mapping[str, str]
    ) -> None:
        number = self._job.event_count + len(self.events) + 1
        status: Literal["ok", "error"] = "error" if error_type else "ok"
        event = Event(number, name, status, self._now, duration_ms, error_type, labels)
        self.events = (*self.events, event)
