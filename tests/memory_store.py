"""Jobs in memory: a store for unit tests, the state machine and the simulation.

It judges and applies a `Change` by `rune.jobs.change` itself, so what is tested against it is the engine's own
definition. That DynamoDB does the same is what `tests/functional/jobs/test_dynamodb.py` shows.
"""

from __future__ import annotations

from datetime import datetime

from rune.errors import StoreUnavailableError
from rune.jobs.change import Change, allows, apply
from rune.jobs.record import Event, Job
from rune.jobs.settlement import Settlement
from rune.jobs.store import History, Refused, StoredJob


class MemoryJobStore:
    """Implements `rune.jobs.store.JobStore`.

    Attributes
    ----------
    jobs
        The hot items by id.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._requests: dict[str, str] = {}
        self._results: dict[str, str] = {}
        # By number, as the table's sort key has it: an event of the same number would overwrite.
        self._events: dict[str, dict[int, Event]] = {}

    def submit(self, job: Job, request_json: str, event: Event) -> None:
        """Write a new job with its request and first event; raises StoreUnavailableError if the id is taken."""
        if job.job_id in self.jobs:
            raise StoreUnavailableError("A job with this id is there already.")
        self.jobs[job.job_id] = job
        self._requests[job.job_id] = request_json
        self._events[job.job_id] = {event.number: event}

    def update(self, job_id: str, change: Change) -> Job | Refused:
        """Apply the change if its requirements hold."""
        found = self.jobs.get(job_id)
        if found is None or not allows(change, found):
            return Refused(found)
        self.jobs[job_id] = apply(change, found)
        return self.jobs[job_id]

    def commit(self, job: Job, settlement: Settlement) -> bool:
        """Apply the change, and keep events and result, if its requirements hold."""
        if isinstance(self.update(job.job_id, settlement.change), Refused):
            return False
        self._events[job.job_id] |= {event.number: event for event in settlement.events}
        if settlement.result_json is not None:
            self._results[job.job_id] = settlement.result_json
        return True

    def read(self, job_id: str) -> Job | None:
        """Return the job."""
        return self.jobs.get(job_id)

    def read_with_result(self, job_id: str) -> StoredJob | None:
        """Return the job and its result."""
        job = self.jobs.get(job_id)
        return None if job is None else StoredJob(job, self.result_of(job_id))

    def read_events(self, job_id: str, after: int) -> History | None:
        """Return the job and its events numbered above `after`."""
        job = self.jobs.get(job_id)
        if job is None:
            return None
        return History(job, tuple(event for event in self.events_of(job_id) if event.number > after))

    def read_request(self, job: Job) -> str:
        """Return the request as it was submitted."""
        return self._requests[job.job_id]

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return ids of jobs that were due by `now`, longest overdue first."""
        late = [(job.due_at, job.job_id) for job in self.jobs.values() if job.due_at and job.due_at <= now]
        return tuple(job_id for _, job_id in sorted(late)[:limit])

    def events_of(self, job_id: str) -> tuple[Event, ...]:
        """Return a job's events by number, for tests to look at."""
        return tuple(event for _, event in sorted(self._events.get(job_id, {}).items()))

    def result_of(self, job_id: str) -> str | None:
        """Return a job's result, for tests to look at."""
        return self._results.get(job_id)
