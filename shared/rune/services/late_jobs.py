"""What is due, once a minute: turns whose message or worker was lost, and jobs whose time is over.

Each class of what is due is looked for by itself, in an order: what bills comes first, and a long list of one class
keeps no other class waiting for more than its part of the tick.
"""

import logging
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from rune.clock import Clock
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.jobs import closing, lifecycle, plan, releases
from rune.jobs.admission import Admission
from rune.jobs.plan import Lane
from rune.jobs.record import DueClass, Job, Status
from rune.jobs.store import JobStore, Refused, StepQueue
from rune.jobs.transitions import (
    Transition,
    expire_queued,
    forced_outcome,
    make_transition,
    out_of_time,
)
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC
from rune.storage.change import apply

log = logging.getLogger(__name__)

JOBS_PER_CLASS = 500
"""Of one class in one tick."""

READ_AT_ONCE = 100
"""Rows of one batch read."""

BACKLOG = 20
"""Messages that wait in a lane, from which on no copies of late ones are added: the lost ones are most likely among
them. Jobs are admitted by slots, so a lane that works has fewer."""

LONGEST_RELEASE_PAUSE = lifecycle.DISPATCH_GRACE_LIMIT
"""Until the next due time of a job that gives a machine back."""

OUTAGE_ROWS = 3
"""After so many jobs one after another at which the store failed, the tick fails. One alone may be contended."""


@dataclass(slots=True)
class LateJobs:
    """What was done about late jobs.

    Attributes
    ----------
    sent_count
        Messages that were sent again.
    ended_count
        Jobs whose time was over.
    left_count
        Jobs that were found and left to the next tick.
    """

    sent_count: int = 0
    ended_count: int = 0
    left_count: int = 0


@dataclass(slots=True)
class _Tick:
    may_go_on: Callable[[], bool]
    found: LateJobs
    backlogs: dict[Lane, int] = field(default_factory=dict)
    failures_in_a_row: int = 0
    failure: StoreUnavailableError | None = None


class LateJobSweep:
    """Sends the messages of late turns again, and ends jobs whose time is over.

    The new due time is written first, and only the janitor whose write was carried out sends: two at once send one
    message. A job that cannot be dealt with costs itself alone: it is named, counted for an alarm, and set aside.
    """

    def __init__(self, store: JobStore, queue: StepQueue, clock: Clock, admission: Admission) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._admission = admission

    def sweep(self, classes: Iterable[DueClass], may_go_on: Callable[[], bool]) -> LateJobs:
        """Deal with what is late, class by class.

        Parameters
        ----------
        may_go_on
            Called before each job; once it returns False, the rest waits for the next tick.

        Raises
        ------
        StoreUnavailableError
            The store failed at some jobs, so that what is late stays late. The others were dealt with, unless it
            failed at several in a row.
        """
        tick = _Tick(may_go_on, LateJobs())
        for due_class in classes:
            ids = self._store.find_late(due_class, self._clock.now(), JOBS_PER_CLASS)
            for start in range(0, len(ids), READ_AT_ONCE):
                self._sweep_some(tick, due_class, ids[start : start + READ_AT_ONCE])
        if tick.found.left_count:
            log.warning("sweep.left", extra={"left": tick.found.left_count})
        if tick.failure is not None:
            raise tick.failure
        return tick.found

    def tell_long_releases(self, may_go_on: Callable[[], bool]) -> int:
        """Tell the operator of the jobs that have been giving a machine back for too long; return how many.

        Such a job need not be late: each of its tries may be on time.
        """
        now, told_count = self._clock.now(), 0
        ids = self._store.find_late(DueClass.RELEASE, now + LONGEST_RELEASE_PAUSE, READ_AT_ONCE)
        for job in self._store.read_many(ids):
            if not may_go_on():
                break
            history = self._store.read_events(job.job_id, after=0) if releases.may_be_long(job, now) else None
            if history is not None and releases.is_long(history.job, history.events, now):
                reason = releases.find_hindrance(history.events)
                extra = {"job_id": job.job_id, "code": reason, "metric": "LongReleases"}
                log.error("release.long", extra=extra)
                told_count += 1
        return told_count

    def _sweep_some(self, tick: _Tick, due_class: DueClass, ids: tuple[str, ...]) -> None:
        """Deal with up to `READ_AT_ONCE` jobs that were read together; the index may be older than the rows."""
        if not tick.may_go_on():
            tick.found.left_count += len(ids)
            return
        jobs = {job.job_id: job for job in self._store.read_many(ids)}
        for number, job_id in enumerate(ids):
            if not tick.may_go_on():
                tick.found.left_count += len(ids) - number
                return
            try:
                self._deal_with(tick, due_class, job_id, jobs.get(job_id))
                tick.failures_in_a_row = 0
            except StoreUnavailableError as error:
                tick.failure = error
                tick.failures_in_a_row += 1
                if tick.failures_in_a_row == OUTAGE_ROWS:
                    raise
                # It is still late at the next tick.
                log.warning("turn.store_unavailable", exc_info=True, extra={"job_id": job_id})

    def _deal_with(self, tick: _Tick, due_class: DueClass, job_id: str, job: Job | None) -> None:
        try:
            # Those that are gone, and those that were not understood, are not among the jobs read together.
            job = job or self._store.read(job_id)
            now = self._clock.now()
            if job is None or not lifecycle.is_late(job, now):
                return
            if not job.is_releasing and now >= lifecycle.overrun_at(job):
                tick.found.ended_count += self._end(job)
            else:
                tick.found.sent_count += self._send_again(tick, job)
        except StoreUnavailableError:
            raise
        except Exception:
            # The outermost edge of one job: an unforeseen error must not keep the other jobs waiting.
            log.exception("row.unreadable", extra={"job_id": job_id, "metric": ROWS_NOT_UNDERSTOOD_METRIC})
            with suppress(UnreadableRowError):
                self._store.update(job_id, lifecycle.set_aside(due_class, self._clock.now()))

    def _send_again(self, tick: _Tick, job: Job) -> bool:
        now, lane = self._clock.now(), plan.lane_of(job)
        if job.lease_owner is None and not job.is_releasing and self._has_backlog(tick, lane):
            self._store.update(job.job_id, lifecycle.put_off(job, now))
            return False
        won = self._store.update(job.job_id, lifecycle.redispatch(job, now))
        if isinstance(won, Refused):
            return False
        lost = "worker" if job.lease_owner else "message"
        extra = {"job_id": job.job_id, "seq": won.seq, "step": won.step, "lost": lost, "metric": "LateTurns"}
        log.warning("turn.late", extra=extra)
        return self._queue.send(lifecycle.message_for(won))

    def _has_backlog(self, tick: _Tick, lane: Lane) -> bool:
        if lane not in tick.backlogs:
            tick.backlogs[lane] = self._queue.count_backlog(lane)
        return tick.backlogs[lane] >= BACKLOG

    def _end(self, job: Job) -> bool:
        """End a job whose time is over, whether or not its lane works; return whether it is over or on its way.

        A job that rents goes to `release`, in the lane of rented machines.
        """
        now = self._clock.now()
        if job.status is Status.QUEUED:
            return self._commit(job, expire_queued(job, now))
        # Like a worker: a live lease refuses it.
        claimed = self._store.update(job.job_id, lifecycle.claim(job, job.seq, uuid.uuid4().hex, now))
        if isinstance(claimed, Refused):
            return False
        outcome = forced_outcome(claimed, now) or out_of_time(claimed)
        return self._commit(claimed, make_transition(claimed, outcome, now, 0))

    def _commit(self, job: Job, transition: Transition) -> bool:
        if not closing.commit(self._store, job, transition):
            return False
        log.warning("job.overdue", extra={"job_id": job.job_id, "step": job.step, "status": job.status})
        if transition.send:
            self._queue.send(transition.send)
        if closing.ends(transition):
            self._admission.leave(apply(transition.change, job))
        return True
