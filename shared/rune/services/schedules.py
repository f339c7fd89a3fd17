"""Schedules for their callers: create, find, list, change, pause, resume, delete, run now."""

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rune.clock import Clock
from rune.contracts.schedules import ScheduleChange, ScheduleCreation
from rune.errors import (
    InvalidRequestError,
    ScheduleNameTakenError,
    ScheduleNotFoundError,
    StoreUnavailableError,
    TooManySchedulesError,
)
from rune.events.notices import NoticeQueue, SubjectNotice
from rune.events.record import Subject, SubjectKind
from rune.jobs.record import Kind, Status
from rune.jobs.store import JobStore, Submitted
from rune.schedules import lifecycle
from rune.schedules.due import ScheduleKey
from rune.schedules.expressions import parse_cron, parse_rate, write_rate
from rune.schedules.lifecycle import Written
from rune.schedules.record import Overlap, PauseReason, Run, Schedule, ScheduleState
from rune.schedules.store import NameTaken, ScheduleStore, Stale, TooMany
from rune.schedules.zones import find_zone
from rune.services.jobs import Caller
from rune.services.schedule_jobs import ScheduleJobs, request_to_run
from rune.tenants.settings import TenantSettings

log = logging.getLogger(__name__)

MOST_SCHEDULES = 50
"""Of a tenant."""

TIMES_SHOWN = 5

_TRIES = 4
"""Of a write while the tick writes the same schedule."""

_SCHEDULE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ShownSchedule:
    """A schedule as callers see it.

    Attributes
    ----------
    statuses
        Of the jobs of its runs, by id; one that is no longer kept is absent.
    """

    schedule: Schedule
    request: Mapping[str, object]
    next_times: tuple[datetime, ...]
    statuses: Mapping[str, Status]


class ScheduleService:
    """The schedules of the caller's own tenant; one of another tenant counts as not found.

    Every method raises StoreUnavailableError when the store cannot be reached.
    """

    def __init__(
        self,
        schedules: ScheduleStore,
        job_store: JobStore,
        schedule_jobs: ScheduleJobs,
        clock: Clock,
        notices: NoticeQueue,
    ) -> None:
        self._schedules = schedules
        self._job_store = job_store
        self._schedule_jobs = schedule_jobs
        self._clock = clock
        self._notices = notices

    def create(self, caller: Caller, settings: TenantSettings, asked: ScheduleCreation) -> Schedule:
        """Return a new schedule.

        Raises
        ------
        InvalidRequestError, InvalidDocumentError
            When it is due is not understood, or never; or its request would be refused.
        ScheduleNameTakenError, TooManySchedulesError
            The tenant has one of this name, or as many as it may have.
        """
        kind, now = Kind(asked.kind), self._clock.now()
        request_json = self._schedule_jobs.check(kind, asked.request, caller, settings)
        schedule = Schedule(
            schedule_id=uuid.uuid4().hex,
            tenant=caller.tenant,
            name=asked.name,
            kind=kind,
            state=ScheduleState.ACTIVE,
            timezone=find_zone(asked.timezone).key,
            overlap=Overlap(asked.overlap),
            created_at=now,
            updated_at=now,
            anchor_at=now,
            ends_at=_to_the_millisecond(asked.ends_at),
            has_document=settings.has_document,
        )
        begun = lifecycle.begin(_with_rule(schedule, asked.cron, asked.rate), now, is_paused=asked.paused)
        _require_due(begun)
        created = self._schedules.create(begun, request_json, MOST_SCHEDULES)
        match created:
            case NameTaken():
                raise ScheduleNameTakenError(asked.name)
            case TooMany():
                raise TooManySchedulesError(MOST_SCHEDULES)
            case _:
                return created

    def list_schedules(self, tenant: str) -> tuple[Schedule, ...]:
        """Return the tenant's schedules, by name."""
        found = [each for each in self._schedules.read_all(tenant) if _is_visible(each)]
        return tuple(sorted(found, key=lambda schedule: schedule.name))

    def show(self, tenant: str, schedule_id: str) -> ShownSchedule:
        """Return a schedule with all that is known of it; raises ScheduleNotFoundError."""
        return self.describe(self._find(tenant, schedule_id))

    def describe(self, schedule: Schedule) -> ShownSchedule:
        """Return a schedule with all that is known of it."""
        request: dict[str, object] = json.loads(self._schedules.read_request(schedule))
        jobs = self._job_store.read_many(schedule.unfinished_job_ids)
        return ShownSchedule(
            schedule,
            request,
            lifecycle.next_times(schedule, TIMES_SHOWN, self._clock.now()),
            {job.job_id: job.status for job in jobs},
        )

    def change(
        self, caller: Caller, settings: TenantSettings, schedule_id: str, asked: ScheduleChange
    ) -> Schedule:
        """Return a schedule with what a caller wants to be different.

        Raises
        ------
        ScheduleNotFoundError
            The tenant has no such schedule.
        InvalidRequestError, InvalidDocumentError, ScheduleNameTakenError
            As for a new one.
        """
        request_json = None
        if asked.request is not None:
            kind = self._find(caller.tenant, schedule_id).kind
            request_json = self._schedule_jobs.check(kind, asked.request, caller, settings)

        def decide(found: Schedule, now: datetime) -> Written:
            changed = lifecycle.change(found, _changed(found, asked), now)
            if changed.state is not found.state:
                _require_due(changed)
            # Its jobs may succeed now.
            return Written(changed if request_json is None else replace(changed, failures=0))

        return self._write(caller.tenant, schedule_id, decide, request_json)

    def pause(self, tenant: str, schedule_id: str) -> Schedule:
        """Return a schedule that posts no jobs from its next occurrence on; raises ScheduleNotFoundError."""
        return self._write(
            tenant, schedule_id, lambda found, now: lifecycle.pause(found, PauseReason.ASKED, now)
        )

    def resume(self, tenant: str, schedule_id: str) -> Schedule:
        """Return a schedule that posts jobs from its next occurrence on; raises ScheduleNotFoundError."""
        return self._write(tenant, schedule_id, lifecycle.resume)

    def delete(self, tenant: str, schedule_id: str) -> None:
        """Let a schedule never be due again; its jobs go on. Raises ScheduleNotFoundError."""
        self._write(tenant, schedule_id, lambda found, now: Written(lifecycle.delete(found, now)))

    def run_now(
        self, caller: Caller, settings: TenantSettings, schedule_id: str, idempotency_key: str | None
    ) -> Submitted:
        """Post a job of the schedule at once, also of one that is paused or has ended.

        Raises
        ------
        ScheduleNotFoundError
            The tenant has no such schedule.
        RequestError
            The job is refused, as a request of the caller would be.
        """
        schedule = self._find(caller.tenant, schedule_id)
        occasion = None if idempotency_key is None else request_to_run(schedule, idempotency_key)
        request_json = self._schedules.read_request(schedule)
        now = self._clock.now()
        submitted = self._schedule_jobs.post(schedule, request_json, caller, settings, occasion)
        run = Run(now, now, job_id=submitted.job_id, is_manual=True)
        try:
            self._write(caller.tenant, schedule_id, lambda found, now: lifecycle.record_run(found, run, now))
        except (StoreUnavailableError, ScheduleNotFoundError):
            # The job is there. If this failed, a caller without a key would post a second one.
            log.warning("schedule.run_not_noted", exc_info=True, extra={"job_id": submitted.job_id})
        return submitted

    def _find(self, tenant: str, schedule_id: str) -> Schedule:
        found = (
            self._schedules.read(ScheduleKey(tenant, schedule_id))
            if _SCHEDULE_ID.fullmatch(schedule_id)
            else None
        )
        if found is None or not _is_visible(found):
            raise ScheduleNotFoundError(schedule_id[:64])
        return found

    def _write(
        self,
        tenant: str,
        schedule_id: str,
        decide: Callable[[Schedule, datetime], Written],
        request_json: str | None = None,
    ) -> Schedule:
        """Return the schedule as it is written; decide again where others wrote first."""
        for _ in range(_TRIES):
            found, now = self._find(tenant, schedule_id), self._clock.now()
            decided = decide(found, now)
            if decided.schedule == found and request_json is None:
                return found
            written = self._schedules.replace(
                found, decided.schedule, decided.events, request_json=request_json, now=now
            )
            match written:
                case NameTaken():
                    raise ScheduleNameTakenError(decided.schedule.name)
                case Stale():
                    continue
                case _:
                    send_notice(self._notices, decided)
                    return written
        raise StoreUnavailableError("The schedule changes all the time; try again.")


def send_notice(notices: NoticeQueue, written: Written) -> None:
    """Tell the notifier that there are events; a lost notice is made good by the tick."""
    if written.events:
        notices.send(SubjectNotice(Subject(SubjectKind.SCHEDULE, written.schedule.schedule_id)))


def _changed(found: Schedule, asked: ScheduleChange) -> Schedule:
    changed = _with_rule(found, asked.cron, asked.rate)
    return replace(
        changed,
        name=asked.name or found.name,
        timezone=found.timezone if asked.timezone is None else find_zone(asked.timezone).key,
        overlap=found.overlap if asked.overlap is None else Overlap(asked.overlap),
        ends_at=_to_the_millisecond(asked.ends_at) if "ends_at" in asked.model_fields_set else found.ends_at,
    )


def _with_rule(schedule: Schedule, cron: str | None, rate: str | None) -> Schedule:
    """Return the schedule with another rule, if one is given."""
    if cron is not None:
        return replace(schedule, cron=parse_cron(cron), rate=None)
    if rate is not None:
        return replace(schedule, cron=None, rate=write_rate(parse_rate(rate)))
    return schedule


def _require_due(schedule: Schedule) -> None:
    if schedule.state is ScheduleState.ENDED:
        raise InvalidRequestError(
            "The schedule would never be due: nothing is due before ends_at.",
            pointer="/ends_at",
            code="schedule_never_due",
        )


def _to_the_millisecond(instant: datetime | None) -> datetime | None:
    """Return an instant as it is stored."""
    if instant is None:
        return None
    return instant.astimezone(UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


def _is_visible(schedule: Schedule) -> bool:
    return schedule.state is not ScheduleState.DELETED
