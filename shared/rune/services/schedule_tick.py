"""Schedules that are due: their jobs are posted, once a minute."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rune.clock import Clock
from rune.errors import (
    InvalidRequestError,
    JobFinishedError,
    JobNotFoundError,
    RequestError,
    SettingsUnavailableError,
    StoreUnavailableError,
    TenantUnknownError,
    UnreadableRowError,
)
from rune.events.notices import NoticeQueue
from rune.jobs.record import Status
from rune.jobs.store import JobStore
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC
from rune.schedules import lifecycle
from rune.schedules.due import ScheduleKey
from rune.schedules.lifecycle import Step, Written
from rune.schedules.record import (
    Overlap,
    PauseReason,
    Run,
    RunOutcome,
    Schedule,
    ScheduleState,
    with_outcomes,
)
from rune.schedules.store import ScheduleStore, Stale
from rune.services.audit import tell_cancelled, tell_submitted
from rune.services.jobs import Caller, JobService
from rune.services.schedule_jobs import ScheduleJobs, actor_of, occurrence
from rune.services.schedules import send_notice
from rune.tenants.settings import TenantSource

log = logging.getLogger(__name__)

OUTAGE_ROWS = 3
"""After so many schedules one after another at which the store failed, the tick gives up."""

SET_ASIDE = timedelta(minutes=5)
"""For how long a schedule that is not understood is left alone."""

PUT_OFF = timedelta(minutes=1)
"""For how long a schedule waits while the settings of its tenant cannot be read."""

_TRIES = 4
"""Of a write while callers or another tick write the same schedule, and of a schedule that is looked at again."""

_OUTCOMES = {
    Status.SUCCEEDED: RunOutcome.SUCCEEDED,
    Status.FAILED: RunOutcome.FAILED,
    Status.CANCELLED: RunOutcome.CANCELLED,
}


@dataclass(slots=True)
class FiredSchedules:
    """What a tick did about schedules: jobs that were posted, and schedules that were left to the next tick."""

    fired_count: int = 0
    left_count: int = 0


class ScheduleTick:
    """Posts the jobs of schedules that are due.

    A tick may die after each line, come twice, late or not at all. The job is posted under a key of its schedule
    and occurrence, and the schedule waits for the next occurrence only by the write after that. So an occurrence
    has one job, whoever tries again.
    """

    def __init__(
        self,
        *,
        schedules: ScheduleStore,
        jobs: JobService,
        job_store: JobStore,
        schedule_jobs: ScheduleJobs,
        tenants: TenantSource,
        clock: Clock,
        notices: NoticeQueue,
    ) -> None:
        self._schedules = schedules
        self._jobs = jobs
        self._job_store = job_store
        self._schedule_jobs = schedule_jobs
        self._tenants = tenants
        self._clock = clock
        self._notices = notices

    def fire(self, due: Iterable[ScheduleKey], may_go_on: Callable[[], bool]) -> FiredSchedules:
        """Deal with schedules that the index shows as due; it may be older than their rows.

        Parameters
        ----------
        may_go_on
            Called before each; once it returns False, the rest waits for the next tick.

        Raises
        ------
        StoreUnavailableError
            The store failed at some, which stay due. The others were dealt with, unless it failed at several in a
            row.
        """
        result = FiredSchedules()
        failure: StoreUnavailableError | None = None
        failures_in_a_row = 0
        for key in due:
            if not may_go_on():
                result.left_count += 1
                continue
            try:
                result.fired_count += self._deal_with(key)
                failures_in_a_row = 0
            except StoreUnavailableError as error:
                failure = error
                failures_in_a_row += 1
                if failures_in_a_row == OUTAGE_ROWS:
                    raise
                log.warning("schedule.store_unavailable", exc_info=True, extra=_named(key))
        if failure is not None:
            raise failure
        return result

    def _deal_with(self, key: ScheduleKey) -> int:
        """Return how many jobs were posted."""
        try:
            for _ in range(_TRIES):
                fired_count = self._take_step(key)
                if fired_count is not None:
                    return fired_count
        except StoreUnavailableError:
            raise
        except Exception:
            # The outermost edge of one schedule: an unforeseen error must not keep the others waiting.
            log.exception("row.unreadable", extra={**_named(key), "metric": ROWS_NOT_UNDERSTOOD_METRIC})
            self._schedules.set_aside(key, self._clock.now() + SET_ASIDE)
        return 0

    def _take_step(self, key: ScheduleKey) -> int | None:
        """Return how many jobs were posted; None if the schedule has to be looked at again."""
        found = self._schedules.read(key)
        if found is None:
            return 0
        known, now = with_outcomes(found, self._outcomes_of(found)), self._clock.now()
        match lifecycle.decide(known, now):
            case Step.NOTHING:
                return 0
            case Step.CATCH_UP:
                self._replace(found, lifecycle.catch_up(known, now), now)
                return None
            case Step.PAUSE:
                log.warning("schedule.failing", extra=_named(key))
                written = lifecycle.pause(known, PauseReason.FAILURES, now)
            case Step.SKIP:
                written = lifecycle.skip(known, now)
            case Step.FIRE:
                return self._fire(found, known, known.next_at or now)
        return 0 if self._replace(found, written, now) else None

    def _fire(self, found: Schedule, known: Schedule, due_at: datetime) -> int:
        """Post the job of an occurrence, or note why there is none; return how many were posted."""
        is_failure, fired_count = False, 0
        try:
            settings = self._tenants.of(found.tenant)
        except SettingsUnavailableError:
            now = self._clock.now()
            self._replace(found, Written(replace(found, due_at=now + PUT_OFF)), now)
            raise
        try:
            if found.has_document and not settings.has_document:
                raise TenantUnknownError
            known = replace(known, has_document=settings.has_document)
            caller = Caller.of(found.tenant, settings)
            submitted = self._schedule_jobs.post(
                found, self._schedules.read_request(found), caller, settings, occurrence(found, due_at)
            )
        except RequestError as error:
            now = self._clock.now()
            # The next one would be refused too.
            is_failure = isinstance(error, (InvalidRequestError, TenantUnknownError))
            code = error.specific_code if isinstance(error, InvalidRequestError) else error.code
            log.warning("schedule.refused", extra={"schedule_id": found.schedule_id, "code": code})
            run = Run(due_at, now, reason=code)
        else:
            now = self._clock.now()
            run = Run(due_at, now, job_id=submitted.job_id)
            fired_count = int(not submitted.is_replay)
            tell_submitted(
                found.tenant, actor_of(found), found.kind, submitted, schedule_id=found.schedule_id
            )
            if known.overlap is Overlap.CANCEL_RUNNING:
                # After the new one is accepted: if it were refused, there would be none.
                self._cancel_unfinished(known)
        self._note(found, known, run, is_failure=is_failure)
        return fired_count

    def _note(self, found: Schedule, known: Schedule, run: Run, *, is_failure: bool) -> None:
        """Write down what became of an occurrence; callers may have changed the schedule meanwhile.

        Raises
        ------
        StoreUnavailableError
            It could not be written. The next tick comes to the same.
        """
        for _ in range(_TRIES):
            now = self._clock.now()
            if self._replace(found, lifecycle.record_run(known, run, now, is_failure=is_failure), now):
                return
            latest = self._schedules.read(ScheduleKey(found.tenant, found.schedule_id))
            if latest is None or latest.state is ScheduleState.DELETED:
                return
            found, known = latest, with_outcomes(latest, _known_outcomes(known))
        raise StoreUnavailableError("The schedule changes all the time.")

    def _replace(self, found: Schedule, written: Written, now: datetime) -> bool:
        """Write a schedule; return False if others wrote it first."""
        if written.schedule == found:
            return True
        if isinstance(self._schedules.replace(found, written.schedule, written.events, now=now), Stale):
            return False
        send_notice(self._notices, written)
        return True

    def _cancel_unfinished(self, schedule: Schedule) -> None:
        actor = actor_of(schedule)
        for job_id in schedule.unfinished_job_ids:
            with suppress(JobFinishedError, JobNotFoundError):
                self._jobs.cancel(schedule.tenant, job_id, by=actor)
                tell_cancelled(schedule.tenant, actor, job_id, schedule_id=schedule.schedule_id)

    def _outcomes_of(self, schedule: Schedule) -> dict[str, RunOutcome]:
        """Return what is known of the schedule's jobs that had not ended."""
        job_ids = schedule.unfinished_job_ids
        if not job_ids:
            return {}
        outcomes: dict[str, RunOutcome] = {}
        jobs = {job.job_id: job for job in self._job_store.read_many(job_ids)}
        for job_id in job_ids:
            job = jobs.get(job_id)
            if job is None and self._is_gone(job_id):
                outcomes[job_id] = RunOutcome.UNKNOWN
            elif job is not None and job.status in _OUTCOMES:
                outcomes[job_id] = _OUTCOMES[job.status]
        return outcomes

    def _is_gone(self, job_id: str) -> bool:
        """Return whether a job is no longer kept; one that this version does not understand may be running."""
        try:
            return self._job_store.read(job_id) is None
        except UnreadableRowError:
            return False


def _known_outcomes(schedule: Schedule) -> dict[str, RunOutcome]:
    return {
        run.job_id: run.outcome for run in schedule.runs if run.job_id is not None and run.outcome is not None
    }


def _named(key: ScheduleKey) -> dict[str, str]:
    return {"tenant": key.tenant, "schedule_id": key.schedule_id}
