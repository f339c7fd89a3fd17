"""Where callers hand in jobs, ask for them, and take them back."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from rune.clock import Clock
from rune.errors import JobFinishedError, JobNotFoundError
from rune.jobs import lifecycle
from rune.jobs.record import ACTIVE, Job, Kind, Status
from rune.jobs.settlement import cancel_queued
from rune.jobs.store import History, JobStore, Refused, StepQueue, StoredJob


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a job may run, and how long it is kept after it was posted."""

    run_limit: timedelta
    retention: timedelta


class Desk:
    """Jobs as one tenant's callers see them: another tenant's job does not exist."""

    def __init__(self, store: JobStore, queue: StepQueue, clock: Clock, terms: Terms) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._terms = terms

    def submit(self, tenant: str, kind: Kind, request_json: str) -> Job:
        """Accept a job; once this returns, it will end."""
        job, event, send = lifecycle.accept(
            job_id=uuid.uuid4().hex,
            tenant=tenant,
            kind=kind,
            now=self._clock.now(),
            run_limit=self._terms.run_limit,
            retention=self._terms.retention,
        )
        self._store.submit(job, request_json, event)
        # From here on a lost message is a late turn, which the janitor sends.
        self._queue.send(send)
        return job

    def find(self, tenant: str, job_id: str) -> StoredJob:
        """Return the job and its result; raises JobNotFoundError."""
        stored = self._store.read_with_result(job_id)
        if stored is None or not self._is_visible(stored.job, tenant):
            raise JobNotFoundError(job_id)
        return stored

    def find_events(self, tenant: str, job_id: str, after: int = 0) -> History:
        """Return the job and its events numbered above `after`; raises JobNotFoundError."""
        history = self._store.read_events(job_id, after)
        if history is None or not self._is_visible(history.job, tenant):
            raise JobNotFoundError(job_id)
        return history

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Return the job as it stands: cancelled if nobody had begun it, else asked to stop.

        Raises
        ------
        JobNotFoundError
            The tenant has no such job.
        JobFinishedError
            It had already ended.
        """
        job = self._store.read(job_id)
        if job is None or not self._is_visible(job, tenant):
            raise JobNotFoundError(job_id)
        now = self._clock.now()
        if job.status is Status.QUEUED and self._store.commit(job, cancel_queued(job, now)):
            return self.find(tenant, job_id).job
        if job.status not in ACTIVE:
            raise JobFinishedError(job_id, job.status)
        flagged = self._store.update(job_id, lifecycle.request_cancel(now))
        if isinstance(flagged, Refused):
            raise JobFinishedError(job_id, flagged.found.status if flagged.found else job.status)
        self._queue.send(lifecycle.message_for(flagged))
        return flagged

    def _is_visible(self, job: Job, tenant: str) -> bool:
        # TTL removes rows days late, so the time is looked at here too.
        return job.tenant == tenant and job.expires_at > self._clock.now()
