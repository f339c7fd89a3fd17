"""Where callers hand in jobs, ask for them, and take them back."""

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rune.clock import Clock
from rune.errors import JobFinishedError, JobNotFoundError
from rune.jobs import lifecycle
from rune.jobs.metrics import Tallies, tally
from rune.jobs.record import ACTIVE, Job, Kind, Status
from rune.jobs.store import (
    IdempotencyKey,
    JobHistory,
    JobStore,
    Refused,
    StepQueue,
    StoredJob,
    Submission,
    Submitted,
)
from rune.jobs.transitions import cancel_queued
from rune.services.admission.requests import Admitted
from rune.storage.change import apply

_LONGEST_JOB_ID = 64
_JOB_ID = re.compile(rf"[0-9A-Za-z_-]{{1,{_LONGEST_JOB_ID}}}")

LISTED_AT_ONCE = 100
"""Jobs looked at in one round of two calls, at most; also what one batch read holds."""

LONGEST_SEARCH_PAGES = 5
"""Rounds of one request; a filter that finds little goes on with the next page."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How long a job may run, and how long it is kept after it was posted."""

    deadline: timedelta
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes
    ----------
    address
        Where from, as the limiter counts it; None where nobody counts.
    """

    tenant: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of a tenant's jobs, and the position of older ones; None where there are none."""

    jobs: tuple[Job, ...]
    position: str | None


class JobService:
    """Jobs as one tenant's callers see them: another tenant's job does not exist."""

    def __init__(self, store: JobStore, queue: StepQueue, clock: Clock, limits: JobLimits) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._limits = limits

    def submit(self, caller: Caller, admitted: Admitted, idempotency_key: str | None = None) -> Submitted:
        """Accept a job; once this returns, it will end.

        Raises
        ------
        IdempotencyKeyReusedError
            The key came before with another request.
        RateLimitedError
            The caller's address is blocked.
        """
        job, event, send = lifecycle.accept(
            job_id=uuid.uuid4().hex,
            tenant=caller.tenant,
            kind=admitted.kind,
            first_step=admitted.first_step,
            now=self._clock.now(),
            deadline=self._limits.deadline,
            retention=self._limits.retention,
            rents=admitted.rents,
        )
        key = None
        if idempotency_key is not None:
            key = IdempotencyKey(idempotency_key, hashlib.sha256(admitted.request_json.encode()).hexdigest())
        submitted = self._store.submit(Submission(job, admitted.request_json, event, key, caller.address))
        if not submitted.is_replay:
            # From here on a lost message is a late turn, which the janitor sends.
            self._queue.send(send)
        return submitted

    def find(self, caller: Caller, job_id: str) -> StoredJob:
        """Return the job and its result; raises JobNotFoundError, RateLimitedError."""
        stored = self._store.read_with_result(_known_shape(job_id), caller.address)
        if stored is None or not self._is_visible(stored.job, caller.tenant):
            raise JobNotFoundError(job_id)
        return stored

    def find_many(self, caller: Caller, job_ids: Sequence[str]) -> tuple[StoredJob, ...]:
        """Return up to 40 different jobs and their results, in the order of their ids, from one read.

        Raises
        ------
        JobNotFoundError
            The tenant does not have one of them.
        RateLimitedError
            The caller's address is blocked.
        """
        known = [_known_shape(job_id) for job_id in job_ids]
        found = {
            stored.job.job_id: stored
            for stored in self._store.read_results(known, caller.address)
            if self._is_visible(stored.job, caller.tenant)
        }
        for job_id in known:
            if job_id not in found:
                raise JobNotFoundError(job_id)
        return tuple(found[job_id] for job_id in job_ids)

    def list_jobs(
        self,
        tenant: str,
        *,
        before: str | None,
        limit: int,
        status: Status | None = None,
        kind: Kind | None = None,
    ) -> JobPage:
        """Return own jobs from newest to oldest, up to `limit`, beginning after a position.

        A page may be shorter than `limit` and still not be the last: filters are applied to a bounded number of
        jobs, and the page's position tells where to go on.
        """
        found: list[Job] = []
        # One line more than asked for tells whether there are older ones.
        at_once = LISTED_AT_ONCE if status or kind else min(LISTED_AT_ONCE, limit + 1)
        for _ in range(LONGEST_SEARCH_PAGES):
            lines = self._store.list_jobs(tenant, before, at_once)
            wanted = [line for line in lines if kind in (None, line.kind)]
            jobs = {job.job_id: job for job in self._store.read_many([line.job_id for line in wanted])}
            for line in lines:
                before = line.position
                job = jobs.get(line.job_id)
                if job and self._is_visible(job, tenant) and status in (None, job.status):
                    found.append(job)
                if len(found) == limit:
                    is_last = len(lines) < at_once and line is lines[-1]
                    return JobPage(tuple(found), None if is_last else before)
            if len(lines) < at_once:
                return JobPage(tuple(found), None)
        return JobPage(tuple(found), before)

    def summarize(self, tenant: str, job_id: str | None = None) -> Tallies:
        """Return how often things happened, in one job or in all that have ended; raises JobNotFoundError."""
        if job_id is None:
            return self._store.read_tallies(tenant, self._clock.now())
        return tally(self.find_events(tenant, job_id).events)

    def find_events(self, tenant: str, job_id: str, after: int = 0) -> JobHistory:
        """Return the job and its events numbered above `after`; raises JobNotFoundError."""
        history = self._store.read_events(_known_shape(job_id), after)
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
        job = self._store.read(_known_shape(job_id))
        if job is None or not self._is_visible(job, tenant):
            raise JobNotFoundError(job_id)
        now = self._clock.now()
        if job.status is Status.QUEUED:
            cancelled = cancel_queued(job, now)
            if self._store.commit(job, cancelled, tally(cancelled.events)):
                return apply(cancelled.change, job)
        if job.status not in ACTIVE:
            raise JobFinishedError(job_id, job.status)
        flagged = self._store.update(job_id, lifecycle.request_cancel(now))
        if isinstance(flagged, Refused):
            raise JobFinishedError(job_id, flagged.found.status if flagged.found else job.status)
        self._queue.send(lifecycle.message_for(flagged))
        return flagged

    def seconds_until_news(self, job: Job) -> int | None:
        """Return when it is worth asking for the job again, in seconds; None once it has ended."""
        return lifecycle.seconds_until_news(job, self._clock.now())

    def _is_visible(self, job: Job, tenant: str) -> bool:
        # TTL removes rows days late, so the time is looked at here too.
        return job.tenant == tenant and job.expires_at > self._clock.now()


def _known_shape(job_id: str) -> str:
    """Return the id if it could be one; the table refuses keys of any length and form."""
    if not _JOB_ID.fullmatch(job_id):
        raise JobNotFoundError(job_id[:_LONGEST_JOB_ID])
    return job_id
