"""Which jobs run: a bounded number; the others wait in the table and are admitted in turn.

A submit admits, a worker that has ended a job does, and so does the janitor every minute.
No admission is lost with a process: what one does not do, the next does.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from rune.clock import Clock
from rune.errors import StoppedError, StoreUnavailableError, TooManyWaitingJobsError, UnreadableRowError
from rune.jobs import lifecycle
from rune.jobs.places import (
    JobRow,
    Places,
    QueuePlace,
    RowChange,
    Share,
    ShareRow,
    SlotRow,
    Terms,
    choose_job,
    choose_share,
    count_admitted,
    count_begun,
    count_ended,
    count_waiting,
    estimate_wait_seconds,
    free_slot,
    may_begin_at_once,
    stop_checks,
    take_slot,
)
from rune.jobs.record import Job, Status
from rune.jobs.store import CompanionsRefused, JobStore, StepQueue, Submission, Submitted
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC

log = logging.getLogger(__name__)

TRIES = 3
"""Of one admission. Each failed one means that another process admitted a job at the same moment."""

CANDIDATES = 25
"""Waiting jobs that are looked at for one admission: the index may still show some that were admitted just now."""

MORE_CANDIDATES = 100
"""The same where none of the first may be begun, since they wait for a machine of their tenant to end."""

COUNTED = 100
"""Places in the queue that are told exactly."""

READ_AT_ONCE = 100


ENDED_METRICS: Mapping[Status, str] = {
    Status.SUCCEEDED: "JobsSucceeded",
    Status.FAILED: "JobsFailed",
    Status.CANCELLED: "JobsCancelled",
}
"""Metrics that count ended jobs; the dashboard shows them (template.yaml)."""


class Admission:
    """Gives slots to jobs, and takes them back.

    Parameters
    ----------
    slot_count
        Jobs that run at the same time.
    """

    def __init__(self, store: JobStore, queue: StepQueue, clock: Clock, slot_count: int) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._slot_count = slot_count

    def submit(self, submission: Submission, terms: Terms) -> Submitted | CompanionsRefused:
        """Store a new job: with a slot if it is its turn, otherwise as one that waits.

        Parameters
        ----------
        submission
            Its own companions come first; where one of them is refused, that is the answer.

        Raises
        ------
        TooManyWaitingJobsError
            The tenant has as many waiting jobs as it may have.
        StoppedError
            The tenant is stopped, or all are.
        IdempotencyKeyReusedError, RateLimitedError
            As `JobStore.submit`.
        """
        for _ in range(TRIES):
            places = self._store.read_places()
            free = places.free_numbers(self._slot_count)
            job, now = submission.job, self._clock.now()
            if not free or not may_begin_at_once(places, job.tenant, terms, now, rents=job.rents):
                break
            submitted = self._begin(submission, terms, free[0])
            if submitted is not None:
                return submitted
        return self._wait(submission, terms)

    def admit_waiting(
        self, may_go_on: Callable[[], bool] = lambda: True, *, new_job: Job | None = None
    ) -> int:
        """Give the free slots to waiting jobs in their turn; return how many were admitted.

        Parameters
        ----------
        may_go_on
            Called before each admission; once it returns False, the rest is left to the next call.
        new_job
            One that was stored just now; the index need not show it yet.
        """
        admitted_count = failed_count = 0
        passed_over: set[str] = set()
        while failed_count < TRIES and may_go_on():
            places = self._store.read_places()
            free = places.free_numbers(self._slot_count)
            stopped = places.stopped_tenants
            share = choose_share(places.shares, self._clock.now(), passed_over | stopped)
            if not free or share is None or places.find_stop(None):
                break
            job = self._find_next(places, share, new_job)
            if job is None:
                # None of its jobs may rent now, or the index does not show its new ones yet.
                passed_over.add(share.tenant)
            elif self._admit(job, share, free[0]):
                admitted_count += 1
            else:
                failed_count += 1
        return admitted_count

    def leave(self, job: Job) -> None:
        """Take the slot of a job that has ended, and admit what waits for it.

        A failure is left to the janitor, which finds slots of ended jobs.
        """
        ended = {"job_id": job.job_id, "status": job.status}
        log.info("job.ended", extra={**ended, "metric": ENDED_METRICS.get(job.status)})
        if job.slot is None:
            return
        with _left_to_the_janitor("slot.not_freed", job):
            self._free(job.slot, job.job_id, job.tenant, job)
            self.admit_waiting()

    def fill_slot(self, job: Job) -> None:
        """Admit what waits for the slot of a job that waits again; a failure is left to the janitor."""
        with _left_to_the_janitor("admission.put_off", job):
            self.admit_waiting()

    def read_places(self) -> Places:
        """Return the slots, and what each tenant has running and waiting."""
        return self._store.read_places()

    def free_lost_slots(self, places: Places | None = None) -> int:
        """Take the slots of jobs that have ended without giving theirs back; return how many."""
        freed_count = 0
        slots = (self._store.read_places() if places is None else places).slots
        for start in range(0, len(slots), READ_AT_ONCE):
            some = slots[start : start + READ_AT_ONCE]
            held = {slot.job_id: slot for slot in some if slot.job_id is not None}
            # One that cannot be understood may be running: it keeps its slot.
            found = {job.job_id: job for job in self._store.read_many([*held])}
            for job_id, slot in held.items():
                job = found.get(job_id)
                if slot.tenant is None or (job is None and self._is_there(job_id)):
                    continue
                if job is None or not job.is_active:
                    freed_count += self._free(slot.number, job_id, slot.tenant, job)
                    log.warning("slot.lost", extra={"job_id": job_id})
        return freed_count

    def would_wait(self, tenant: str, terms: Terms, *, rents: bool = False) -> QueuePlace | None:
        """Return where a new job would wait for a slot; None where it would not.

        Raises
        ------
        TooManyWaitingJobsError
            It would be refused.
        StoppedError
            Nothing new is taken.
        """
        places, now = self._store.read_places(), self._clock.now()
        stop = places.find_stop(tenant)
        if stop is not None:
            raise StoppedError(of_tenant=stop.tenant is not None)
        is_free = bool(places.free_numbers(self._slot_count))
        if is_free and may_begin_at_once(places, tenant, terms, now, rents=rents):
            return None
        waiting = places.share_of(tenant).waiting
        if waiting >= terms.max_waiting:
            raise TooManyWaitingJobsError(terms.max_waiting)
        wait_seconds = estimate_wait_seconds(places, tenant, waiting + 1, self._slot_count)
        return QueuePlace(waiting + 1, is_exact=True, wait_seconds=wait_seconds)

    def find_place(self, job: Job) -> QueuePlace | None:
        """Return where a waiting job stands; None for a job that does not wait."""
        if not job.is_waiting:
            return None
        before_count = self._store.count_waiting_before(job, COUNTED)
        position, places = before_count + 1, self._store.read_places()
        wait_seconds = estimate_wait_seconds(places, job.tenant, position, self._slot_count)
        limit = places.share_of(job.tenant).max_machines if job.rents else None
        waits_for_machine = not places.may_rent(job.tenant, limit)
        return QueuePlace(
            position, before_count < COUNTED, wait_seconds, limit if waits_for_machine else None
        )

    def _begin(self, submission: Submission, terms: Terms, slot: int) -> Submitted | CompanionsRefused | None:
        """Store a new job with a slot; return None if the slot or the tenant's last running job was taken."""
        now = self._clock.now()
        job = lifecycle.place(submission.job, slot, now)
        companions = (
            RowChange(SlotRow(slot), take_slot(job, now)),
            RowChange(ShareRow(job.tenant), count_begun(terms, now)),
        )
        own = submission.companions
        submitted = self._submit(replace(submission, job=job, companions=(*own, *companions)))
        if isinstance(submitted, CompanionsRefused):
            return submitted if submitted.positions[0] < len(own) else None
        if not submitted.is_replay:
            # If this message is lost, the turn is late, and the janitor sends it.
            self._queue.send(lifecycle.message_for(job))
        return submitted

    def _wait(self, submission: Submission, terms: Terms) -> Submitted | CompanionsRefused:
        job, now = submission.job, self._clock.now()
        companions = (RowChange(ShareRow(job.tenant), count_waiting(terms, now)),)
        own = submission.companions
        submitted = self._submit(replace(submission, companions=(*own, *companions)))
        if isinstance(submitted, CompanionsRefused):
            if submitted.positions[0] < len(own):
                return submitted
            raise TooManyWaitingJobsError(terms.max_waiting)
        if not submitted.is_replay:
            self._admit_new(job)
        return submitted

    def _submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        """Store a new job, unless its tenant is stopped, or all are; raises StoppedError."""
        checks = stop_checks(submission.job.tenant)
        first = len(submission.companions)
        submitted = self._store.submit(replace(submission, companions=(*submission.companions, *checks)))
        if isinstance(submitted, CompanionsRefused):
            stopped = [position - first for position in submitted.positions if position >= first]
            if stopped:
                raise StoppedError(of_tenant=stopped[0] == 1)
        return submitted

    def _admit_new(self, job: Job) -> None:
        """Admit what may be admitted, since a slot may have become free before the new job was stored."""
        with _left_to_the_janitor("admission.put_off", job):
            self.admit_waiting(new_job=job)

    def _find_next(self, places: Places, share: Share, new_job: Job | None) -> Job | None:
        """Return the tenant's job that is begun next; None where none may be, or is seen."""
        waiting: list[Job] = []
        seen_count = 0
        for limit in (CANDIDATES, MORE_CANDIDATES):
            ids = self._store.find_waiting(share.tenant, limit)
            waiting += self._read_waiting(ids[seen_count:])
            is_all = len(ids) < limit
            if is_all and new_job is not None and new_job.tenant == share.tenant:
                waiting += self._unseen(new_job, ids, waiting, share)
            now = self._clock.now()
            # One whose time to wait is over is not begun any more; the janitor ends it.
            job = choose_job([job for job in waiting if job.deadline_at > now], places, share, now)
            if job is not None or is_all:
                return job
            seen_count = len(ids)
        return None

    def _read_waiting(self, ids: tuple[str, ...]) -> list[Job]:
        return [job for job in self._store.read_many(ids) if job.is_waiting]

    def _unseen(
        self, new_job: Job, ids: tuple[str, ...], waiting: list[Job], share: Share
    ) -> tuple[Job, ...]:
        """Return a new job that the index does not show, unless it may hide others that wait for longer."""
        is_only_one = len(waiting) + 1 == share.waiting
        return (new_job,) if new_job.job_id not in ids and is_only_one else ()

    def _admit(self, job: Job, share: Share, slot: int) -> bool:
        """Give a slot to a waiting job; return False if the job, the slot or the tenant's share was not as read."""
        now = self._clock.now()
        refused = self._store.write_rows(
            (
                RowChange(JobRow(job.job_id), lifecycle.admit(job, slot, now)),
                RowChange(SlotRow(slot), take_slot(job, now)),
                RowChange(ShareRow(job.tenant), count_admitted(share, now)),
            )
        )
        if refused:
            return False
        log.info("job.admitted", extra={"job_id": job.job_id})
        self._queue.send(lifecycle.message_for(job))
        return True

    def _is_there(self, job_id: str) -> bool:
        """Return whether there is such a job, even one that this version does not understand."""
        try:
            return self._store.read(job_id) is not None
        except UnreadableRowError:
            return True

    def _free(self, slot: int, job_id: str, tenant: str, job: Job | None) -> bool:
        now = self._clock.now()
        share, ran_seconds, rents = Share(tenant), None, job is not None and job.rents
        if job is not None and job.started_at is not None and job.finished_at is not None:
            share = self._store.read_places().share_of(tenant)
            ran_seconds = (job.finished_at - job.started_at).total_seconds()
        refused = self._store.write_rows(
            (
                RowChange(SlotRow(slot), free_slot(job_id, now)),
                RowChange(ShareRow(tenant), count_ended(share, ran_seconds, now, rents=rents)),
            )
        )
        return not refused


@contextmanager
def _left_to_the_janitor(event: str, job: Job) -> Iterator[None]:
    """Log what keeps slots from being given or taken, after a job was stored or has ended.

    Neither may be undone or reported as failed, and the janitor does the rest.
    """
    try:
        yield
    except StoreUnavailableError:
        log.warning(event, exc_info=True, extra={"job_id": job.job_id})
    except UnreadableRowError:
        extra = {"job_id": job.job_id, "metric": ROWS_NOT_UNDERSTOOD_METRIC}
        log.exception(event, extra=extra)
