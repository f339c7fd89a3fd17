"""Schedules in a small world of their own: a tick, callers, and bad luck at every cut point.

Everything real is the product's own code; simulated are time, the table, and when jobs end. Stores stand for all
processes; a process is what runs between two calls of the world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import override

from rune.clock import Clock
from rune.errors import StoreUnavailableError
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.jobs.places import Places, RowChange
from rune.jobs.record import ACTIVE, Job, Status
from rune.jobs.store import CompanionsRefused, Submission, Submitted
from rune.net.addresses import AddressPolicy
from rune.schedules.due import ScheduleKey
from rune.schedules.record import Schedule
from rune.schedules.store import NameTaken, Stale
from rune.services.jobs import JobLimits, JobService
from rune.services.schedule_jobs import ScheduleJobs
from rune.services.schedule_tick import FiredSchedules, ScheduleTick
from rune.services.schedules import ScheduleService
from rune.tenants.settings import FixedTenants, TenantSettings, TenantSource
from tests.builders import NOW, RecordingQueue
from tests.memory_job_store import MemoryJobStore
from tests.memory_outbox import RecordingNotices
from tests.memory_schedule_store import MemoryScheduleStore
from tests.simulation.faults import Crash, Fault

SHORTEST_RETENTION = timedelta(days=1)
"""The shortest that a deployment may have: its idempotency keys are forgotten the soonest."""

LIMITS = JobLimits(timedelta(hours=1), timedelta(hours=1), SHORTEST_RETENTION, 10_000_000, calls_back=True)
TENANT = "acme"
REQUEST_JSON = '{"question": "q", "model": "m", "backend_url": "http://sim.example:11434"}'


class SimulatedClock(Clock):
    """The world's time."""

    def __init__(self) -> None:
        self.instant = NOW

    @override
    def now(self) -> datetime:
        return self.instant

    @override
    def monotonic_seconds(self) -> float:
        return self.instant.timestamp()


class ScheduleWorld:
    """One simulated deployment with schedules.

    Parameters
    ----------
    planned
        Faults by number of the cut point at which they happen.
    visits
        What others do, by number of the cut point at which they do it, while the process there stands still.
    """

    def __init__(
        self,
        planned: Mapping[int, Fault] | None = None,
        visits: Mapping[int, Callable[[ScheduleWorld], object]] | None = None,
        tenants: TenantSource | None = None,
    ) -> None:
        self.clock = SimulatedClock()
        self.cut_points: list[str] = []
        self.jobs = CutJobStore(self)
        self.schedules = CutScheduleStore(self)
        self.notices = RecordingNotices()
        self.tenants = tenants or FixedTenants({TENANT: TenantSettings()})
        self._planned = planned or {}
        self._visits = visits or {}
        self._is_visited = False

    def cut(self, place: str) -> None:
        """Pass a cut point."""
        if self._is_visited:
            return
        number = len(self.cut_points)
        self.cut_points.append(place)
        if number in self._visits:
            self._is_visited = True
            with suppress(Crash, StoreUnavailableError):
                self._visits[number](self)
            self._is_visited = False
        match self._planned.get(number):
            case Fault.CRASH:
                raise Crash
            case Fault.OUTAGE:
                raise StoreUnavailableError("Simulated outage.")

    def tick(self) -> FiredSchedules:
        """Do what the janitor does about schedules, in a process of its own."""
        due = self.schedules.find_due(self.clock.now(), 100)
        return self._tick_of().fire(due, lambda: True)

    def tick_with_an_old_index(self) -> None:
        """Do the same, with an index that still shows every schedule there ever was."""
        self._tick_of().fire([*self.schedules.rows], lambda: True)

    def try_tick(self) -> None:
        """Do the same, in a process that may die."""
        with suppress(Crash, StoreUnavailableError):
            self.tick()

    @property
    def service(self) -> ScheduleService:
        """What the API calls."""
        return ScheduleService(self.schedules, self.jobs, self._posting(), self.clock, self.notices)

    def put(self, schedule: Schedule) -> Schedule:
        """Store a schedule, without a fault."""
        created = MemoryScheduleStore.create(self.schedules, schedule, REQUEST_JSON, 50)
        assert created == schedule
        return schedule

    def end_jobs(self, status: Status = Status.SUCCEEDED) -> None:
        """Let all jobs end."""
        for job_id, job in self.jobs.jobs.items():
            if job.status in ACTIVE:
                self.jobs.jobs[job_id] = replace(job, status=status, due_at=None, slot=None)
        self.jobs.slots.clear()
        self.jobs.shares.clear()

    def schedule(self, key: ScheduleKey) -> Schedule:
        """Return a schedule as it is stored."""
        return self.schedules.rows[key]

    def events_of(self, schedule_id: str) -> tuple[PublicEvent, ...]:
        """Return what was told of a schedule."""
        return self.schedules.outbox.log_of(Subject(SubjectKind.SCHEDULE, schedule_id))

    def _tick_of(self) -> ScheduleTick:
        return ScheduleTick(
            schedules=self.schedules,
            jobs=self._job_service(),
            job_store=self.jobs,
            schedule_jobs=self._posting(),
            tenants=self.tenants,
            clock=self.clock,
            notices=self.notices,
        )

    def _job_service(self) -> JobService:
        return JobService(
            self.jobs, RecordingQueue(), self.clock, LIMITS, slot_count=10, budgets=self.jobs.budgets
        )

    def _posting(self) -> ScheduleJobs:
        return ScheduleJobs(self._job_service(), AddressPolicy(), has_provider=False)


class CutJobStore(MemoryJobStore):
    """The jobs, which forget what has expired, with a cut point before and after each call of a tick."""

    def __init__(self, world: ScheduleWorld) -> None:
        super().__init__()
        self._world = world

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        self._world.cut("before submit")
        self._forget()
        submitted = super().submit(submission)
        self._world.cut("after submit")
        return submitted

    @override
    def read_places(self) -> Places:
        self._world.cut("before read_places")
        return super().read_places()

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        self._world.cut("before read_many")
        return super().read_many(job_ids)

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        return super().write_rows(changes)

    def _forget(self) -> None:
        now = self._world.clock.now()
        for named, (_, job_id) in [*self._keys.items()]:
            job = self.jobs.get(job_id)
            if job is not None and job.expires_at + timedelta(days=1) < now:
                del self._keys[named]


class CutScheduleStore(MemoryScheduleStore):
    """The schedules, with a cut point before each call of a tick, and after each write."""

    def __init__(self, world: ScheduleWorld) -> None:
        super().__init__()
        self._world = world

    @override
    def replace(
        self,
        before: Schedule,
        after: Schedule,
        events: Sequence[PublicEvent] = (),
        *,
        request_json: str | None = None,
        now: datetime,
    ) -> Schedule | NameTaken | Stale:
        self._world.cut("before replace")
        written = super().replace(before, after, events, request_json=request_json, now=now)
        self._world.cut("after replace")
        return written

    @override
    def read(self, key: ScheduleKey) -> Schedule | None:
        self._world.cut("before read")
        found = super().read(key)
        self._world.cut("after read")
        return found

    @override
    def read_request(self, schedule: Schedule) -> str:
        self._world.cut("before read_request")
        return super().read_request(schedule)

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[ScheduleKey, ...]:
        self._world.cut("before find_due")
        found = super().find_due(now, limit)
        self._world.cut("after find_due")
        return found
