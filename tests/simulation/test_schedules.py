"""Each occurrence of a schedule has one job, whatever happens to the tick; callers win from the next one on."""

from __future__ import annotations

import bisect
import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rune.contracts.schedules import ScheduleChange
from rune.errors import SettingsUnavailableError, StoreUnavailableError
from rune.jobs.record import Status
from rune.logs import JsonFormatter
from rune.schedules.due import ScheduleKey
from rune.schedules.lifecycle import LONGEST_LATENESS
from rune.schedules.occurrences import next_after
from rune.schedules.record import Overlap, PauseReason, RunOutcome, Schedule, ScheduleState
from rune.services.jobs import Caller
from rune.tenants.settings import FixedTenants, TenantSettings
from tests.builders import NOW, after
from tests.schedule_builders import SCHEDULE_ID, a_schedule
from tests.schedule_oracle import Rule, clock_of, expected
from tests.simulation.faults import Fault
from tests.simulation.schedules import REQUEST_JSON, TENANT, ScheduleWorld

KEY = ScheduleKey(TENANT, SCHEDULE_ID)
HOUR = 3600.0
DUE = [after(HOUR), after(2 * HOUR), after(3 * HOUR)]
TICKS = [hour * HOUR + minute * 60 for hour in (1, 2, 3) for minute in range(4)]
"""After each occurrence, enough of them to make good what one of them did not do."""

type Visit = Callable[[ScheduleWorld], object]


def hourly(**overrides: object) -> Schedule:
    return a_schedule(tenant=TENANT, **overrides)


def run_three_hours(world: ScheduleWorld, schedule: Schedule | None = None) -> ScheduleWorld:
    world.put(schedule or hourly())
    for seconds in TICKS:
        if not seconds % HOUR:
            world.end_jobs()
        world.clock.instant = after(seconds)
        world.try_tick()
    return world


def fired(world: ScheduleWorld) -> list[tuple[str, str]]:
    """Return the occurrences and jobs that were told."""
    events = world.events_of(SCHEDULE_ID)
    assert [event.sequence for event in events] == [*range(1, len(events) + 1)]
    return [
        (str(event.data["due_at"]), str(event.data["job_id"]))
        for event in events
        if event.event_type == "rune.schedule.fired"
    ]


def assert_one_job_an_occurrence(world: ScheduleWorld) -> None:
    told = fired(world)

    assert [due_at for due_at, _ in told] == [f"{due_at:%Y-%m-%dT%H:%M:%S}Z" for due_at in DUE]
    assert Counter(job_id for _, job_id in told) == Counter(world.jobs.jobs.keys())
    assert [run.job_id for run in world.schedule(KEY).runs] == [job_id for _, job_id in told]
    assert len(world.events_of(SCHEDULE_ID)) == len(DUE)
    assert world.schedule(KEY).due_at == after(4 * HOUR)


CUT_POINTS = run_three_hours(ScheduleWorld()).cut_points


def test_tick_has_these_cut_points() -> None:
    first_tick = CUT_POINTS[: CUT_POINTS.index("after replace") + 1]

    assert first_tick == [
        *("before find_due", "after find_due"),
        *("before read", "after read", "before read_request"),
        *("before read_places", "before submit", "after submit"),
        *("before replace", "after replace"),
    ]


@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.OUTAGE])
@pytest.mark.parametrize("number", range(len(CUT_POINTS)))
def test_occurrence_has_one_job_when_one_thing_goes_wrong(number: int, fault: Fault) -> None:
    assert_one_job_an_occurrence(run_three_hours(ScheduleWorld({number: fault})))


@pytest.mark.parametrize("second", [1, 3])
@pytest.mark.parametrize("number", range(len(CUT_POINTS)))
def test_occurrence_has_one_job_when_two_things_go_wrong(number: int, second: int) -> None:
    planned = {number: Fault.CRASH, number + second: Fault.OUTAGE}

    assert_one_job_an_occurrence(run_three_hours(ScheduleWorld(planned)))


@pytest.mark.parametrize("number", range(len(CUT_POINTS)))
def test_occurrence_has_one_job_when_two_ticks_overlap(number: int) -> None:
    assert_one_job_an_occurrence(run_three_hours(ScheduleWorld(visits={number: ScheduleWorld.tick})))


@pytest.mark.parametrize("number", range(len(CUT_POINTS)))
def test_old_index_does_no_harm(number: int) -> None:
    visits = {number: ScheduleWorld.tick_with_an_old_index}

    assert_one_job_an_occurrence(run_three_hours(ScheduleWorld(visits=visits)))


# ---------------------------------------------------------------- callers meanwhile


def pause(world: ScheduleWorld) -> object:
    return world.service.pause(TENANT, SCHEDULE_ID)


def delete(world: ScheduleWorld) -> None:
    world.service.delete(TENANT, SCHEDULE_ID)


def slow_down(world: ScheduleWorld) -> object:
    change = ScheduleChange(rate="rate(5 hours)")
    return world.service.change(Caller(TENANT), TenantSettings(), SCHEDULE_ID, change)


@pytest.mark.parametrize("visit", [pause, delete, slow_down])
@pytest.mark.parametrize("number", range(len(CUT_POINTS)))
def test_callers_win_from_the_next_occurrence_on(number: int, visit: Visit) -> None:
    visited_at: list[datetime] = []

    def note_and_visit(world: ScheduleWorld) -> None:
        visited_at.append(world.clock.now())
        visit(world)

    world = run_three_hours(ScheduleWorld(visits={number: note_and_visit}))

    due_before = [due_at for due_at in DUE if due_at <= visited_at[0]]
    assert len(due_before) - 1 <= len(world.jobs.jobs) <= len(due_before)
    # What was told is true, but a job that was posted just before its schedule was deleted is told nowhere.
    told = [job_id for _, job_id in fired(world)]
    assert Counter(told) <= Counter(world.jobs.jobs.keys())
    if visit is not delete:
        assert len(told) == len(world.jobs.jobs)


@pytest.mark.parametrize("number", range(14))
@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.OUTAGE])
def test_deleted_schedule_never_posts_a_job_again(number: int, fault: Fault) -> None:
    world = ScheduleWorld({number: fault})
    world.put(hourly())
    world.clock.instant = DUE[0]
    world.try_tick()
    with_job = len(world.jobs.jobs)
    # Again where the first try met the fault.
    for _ in range(2):
        if world.schedule(KEY).state is not ScheduleState.DELETED:
            with_suppressed(lambda: delete(world))

    for hours in range(1, 48):
        world.clock.instant = after(hours * HOUR)
        world.tick_with_an_old_index()

    assert len(world.jobs.jobs) == with_job


def with_suppressed(act: Callable[[], object]) -> None:
    try:
        act()
    except BaseException as error:  # noqa: BLE001  # a simulated crash is one
        assert type(error).__name__ in {"Crash", "StoreUnavailableError"}  # noqa: PT017


def test_request_that_was_changed_meanwhile_makes_no_second_job() -> None:
    """The job is posted, the process dies, and a caller changes the request before the next tick."""
    number = CUT_POINTS.index("after submit")
    world = ScheduleWorld({number: Fault.CRASH})
    world.put(hourly())
    world.clock.instant = DUE[0]
    world.try_tick()

    change = ScheduleChange.model_validate({"request": {"question": "Another?", "model": "m"}})
    with pytest.raises(Exception, match="backend_url"):
        world.service.change(Caller(TENANT), TenantSettings(), SCHEDULE_ID, change)
    changed = ScheduleChange.model_validate(
        {"request": {"question": "Another?", "model": "m", "backend_url": "http://other.example:1"}}
    )
    world.service.change(Caller(TENANT), TenantSettings(), SCHEDULE_ID, changed)
    world.tick()

    assert len(world.jobs.jobs) == len(fired(world)) == 1


# ---------------------------------------------------------------- overlap, failures, refusals


def tick_at(world: ScheduleWorld, *hours: float) -> None:
    for hour in hours:
        world.clock.instant = after(hour * HOUR)
        world.tick()


def told(world: ScheduleWorld) -> list[str]:
    return [
        str(event.data.get("reason") or event.event_type.removeprefix("rune.schedule."))
        for event in world.events_of(SCHEDULE_ID)
    ]


def test_job_of_a_schedule_calls_back_where_its_request_says_so() -> None:
    world = ScheduleWorld()
    schedule = world.put(hourly())
    asking = REQUEST_JSON.replace('"q"', '"q", "callback_url": "https://hooks.example/rune"')
    world.schedules.replace(schedule, schedule, request_json=asking, now=NOW)

    tick_at(world, 1)

    (job,) = world.jobs.jobs.values()
    callback = world.jobs.read_callback(job)
    assert callback is not None
    assert callback.callback_url == "https://hooks.example/rune"


def test_schedule_of_a_tenant_that_is_gone_posts_nothing_and_pauses_itself() -> None:
    """Its document was deleted; a tenant that never had one is known by its tokens alone."""
    world = ScheduleWorld(tenants=FixedTenants({TENANT: TenantSettings(has_document=True)}))
    world.put(hourly(overlap=Overlap.ALLOW))
    tick_at(world, 1)
    world.tenants = FixedTenants()

    for hour in range(2, 9):
        tick_at(world, hour)

    assert told(world) == ["fired", *["tenant_unknown"] * 5, "failures"]
    assert len(world.jobs.jobs) == 1


def test_occurrence_is_skipped_while_a_job_runs() -> None:
    world = ScheduleWorld()
    world.put(hourly())

    tick_at(world, 1, 2, 3)
    world.end_jobs()
    tick_at(world, 4)

    assert told(world) == ["fired", "overlap", "overlap", "fired"]
    assert world.schedule(KEY).runs[0].outcome is RunOutcome.SUCCEEDED


def test_occurrence_is_not_skipped_for_ever_when_the_job_is_no_longer_kept() -> None:
    world = ScheduleWorld()
    world.put(hourly())
    tick_at(world, 1)
    world.jobs.jobs.clear()

    tick_at(world, 2)

    assert told(world) == ["fired", "fired"]
    assert world.schedule(KEY).runs[0].outcome is RunOutcome.UNKNOWN


def test_jobs_run_side_by_side_where_that_is_wanted() -> None:
    world = ScheduleWorld()
    world.put(hourly(overlap=Overlap.ALLOW))

    tick_at(world, 1, 2, 3)

    assert [job.status for job in world.jobs.jobs.values()] == [Status.QUEUED] * 3


@pytest.mark.parametrize("fault", [None, Fault.CRASH, Fault.OUTAGE])
@pytest.mark.parametrize("place", ["after submit", "before replace", "after replace"])
def test_running_job_is_cancelled_once_the_next_is_posted(place: str, fault: Fault | None) -> None:
    numbers = [number for number, name in enumerate(CUT_POINTS) if name == place]
    world = ScheduleWorld({} if fault is None else {numbers[0]: fault})
    world.put(hourly(overlap=Overlap.CANCEL_RUNNING))

    for seconds in (*range(3600, 3840, 60), *range(7200, 7440, 60)):
        world.clock.instant = after(seconds)
        world.try_tick()

    first, second = world.jobs.jobs.values()
    assert (first.status, second.status) == (Status.CANCELLED, Status.QUEUED)
    assert told(world) == ["fired", "fired"]


def test_what_a_schedule_posts_and_cancels_is_audited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rune")
    world = ScheduleWorld()
    world.put(hourly(overlap=Overlap.CANCEL_RUNNING))

    tick_at(world, 1, 2)

    first, second = world.jobs.jobs
    lines = [json.loads(JsonFormatter().format(each)) for each in caplog.records]
    audited = [line for line in lines if line["event"] == "audit"]
    assert [(line["action"], line["job_id"]) for line in audited] == [
        ("post_benchmark", first),
        ("post_benchmark", second),
        ("cancel_job", first),
    ]
    assert {(line["tenant"], line["actor"], line["schedule_id"]) for line in audited} == {
        (TENANT, f"schedule:{SCHEDULE_ID}", SCHEDULE_ID)
    }


def test_schedule_whose_jobs_fail_pauses_itself() -> None:
    world = ScheduleWorld()
    world.put(hourly())

    for hour in range(1, 10):
        tick_at(world, hour)
        world.end_jobs(Status.FAILED)

    assert told(world) == [*["fired"] * 5, "failures"]
    assert world.schedule(KEY).paused_because is PauseReason.FAILURES
    assert len(world.jobs.jobs) == 5

    world.service.resume(TENANT, SCHEDULE_ID)
    tick_at(world, 10)

    assert told(world)[-2:] == ["resumed", "fired"]


@pytest.mark.parametrize(
    ("settings", "reason", "is_paused"),
    [
        (TenantSettings(is_suspended=True), "tenant_suspended", False),
        (TenantSettings(max_running_jobs=1, max_waiting_jobs=0), "too_many_waiting_jobs", False),
        (TenantSettings(max_runtime=timedelta(seconds=60)), "time_too_long", True),
    ],
)
def test_refused_job_is_told_and_the_schedule_goes_on(
    settings: TenantSettings, reason: str, *, is_paused: bool
) -> None:
    """A refusal that the next request would meet too counts as a failure."""
    world = ScheduleWorld(tenants=FixedTenants({TENANT: settings}))
    schedule = world.put(hourly(overlap=Overlap.ALLOW))
    asking = REQUEST_JSON.replace('"q"', '"q", "max_runtime_seconds": 3600')
    world.schedules.replace(schedule, schedule, request_json=asking, now=NOW)
    refused = {"tenant_suspended": 0, "too_many_waiting_jobs": 1, "time_too_long": 0}[reason]

    for hour in range(1, 8):
        tick_at(world, hour)

    assert len(world.jobs.jobs) == refused
    refusals = [each for each in told(world) if each == reason]
    assert len(refusals) == (5 if is_paused else 7 - refused)
    assert (world.schedule(KEY).state is ScheduleState.PAUSED) == is_paused


class Unreadable(FixedTenants):
    """Settings that cannot be read."""

    def of(self, tenant: str) -> TenantSettings:
        raise SettingsUnavailableError("Simulated outage.")


def test_occurrence_waits_while_the_tenants_settings_cannot_be_read() -> None:
    world = ScheduleWorld(tenants=Unreadable())
    world.put(hourly())
    world.clock.instant = DUE[0]

    with pytest.raises(StoreUnavailableError):
        world.tick()
    put_off = world.schedule(KEY)
    world.tenants = FixedTenants()
    tick_at(world, 1 + 1 / 60)

    assert (put_off.next_at, put_off.due_at) == (DUE[0], after(HOUR + 60))
    assert [due_at for due_at, _ in fired(world)] == ["2026-11-23T13:00:00Z"]


def test_one_schedule_that_is_not_understood_keeps_no_other_waiting() -> None:
    world = ScheduleWorld()
    broken = hourly(schedule_id="0" * 32, name="broken", cron="x", rate=None, due_at=NOW)
    world.put(broken)
    world.put(hourly())

    tick_at(world, 1)

    assert told(world) == ["fired"]
    set_aside = world.schedule(ScheduleKey(TENANT, "0" * 32))
    assert set_aside == replace(broken, due_at=after(HOUR + 300))


def test_tick_goes_on_after_a_failure_and_gives_up_after_three_in_a_row() -> None:
    world = ScheduleWorld()
    for number in range(6):
        world.put(hourly(schedule_id=f"{number:032x}", name=f"s{number}"))
    reads = [number for number, name in enumerate(CUT_POINTS) if name == "before read"]
    world = ScheduleWorld({reads[0]: Fault.OUTAGE})
    for number in range(3):
        world.put(hourly(schedule_id=f"{number:032x}", name=f"s{number}"))
    world.clock.instant = DUE[0]

    with pytest.raises(StoreUnavailableError):
        world.tick()

    assert len(world.jobs.jobs) == 2


# ---------------------------------------------------------------- two years


RULES = {
    "Europe/Berlin": Rule("30 2 * * *", (30,), (2,)),
    "America/New_York": Rule("*/30 1-2 * * SUN", (0, 30), (1, 2), lambda day: day.isoweekday() == 7),
    "Australia/Lord_Howe": Rule("0,40 1,2 * * SUN", (0, 40), (1, 2), lambda day: day.isoweekday() == 7),
    "Africa/Casablanca": Rule("15 3 * * *", (15,), (3,)),
    "America/Santiago": Rule("0 0 * * *", (0,), (0,)),
    "America/Sao_Paulo": Rule("5 12 1 * *", (5,), (12,), lambda day: day.day == 1),
}
"""Times at which each zone sets its clock; São Paulo no longer does."""

FIRST, LAST = datetime(2026, 1, 2, tzinfo=UTC), datetime(2028, 1, 2, tzinfo=UTC)


def ticks_of(due: list[datetime], luck: random.Random) -> list[datetime]:
    """Return when something looks at a schedule: late, twice, or not at all for hours and days."""
    ticks: list[datetime] = []
    down_until = FIRST
    for due_at in due:
        tick = due_at + timedelta(seconds=luck.uniform(0, 90))
        if luck.random() < 0.02:
            down_until = max(down_until, tick + timedelta(hours=luck.choice([0.2, 3, 30, 80, 400])))
            ticks.append(down_until)
        if tick > down_until:
            ticks += [tick, tick + timedelta(seconds=luck.uniform(0, 120))][: luck.choice([1, 1, 2])]
    return [tick.replace(microsecond=tick.microsecond // 1000 * 1000) for tick in sorted(ticks)]


def expected_runs(due: list[datetime], ticks: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Return which occurrence posts a job at which tick: what is late is made up for once, for a day."""
    found, position = [], 0
    for tick in ticks:
        if position < len(due) and due[position] <= tick:
            if tick - due[position] > LONGEST_LATENESS:
                latest = bisect.bisect_right(due, tick) - 1
                position = latest if tick - due[latest] < LONGEST_LATENESS else latest + 1
            if position < len(due) and due[position] <= tick:
                found.append((due[position], tick))
                position = bisect.bisect_right(due, tick)
    return found


@pytest.mark.parametrize("zone", RULES)
def test_schedule_posts_one_job_an_occurrence_for_two_years(zone: str) -> None:
    rule, luck = RULES[zone], random.Random(zone)
    due = expected(rule, clock_of(zone, 2026), FIRST, LAST)
    ticks = ticks_of(due, luck)
    world = ScheduleWorld()
    schedule = hourly(rate=None, cron=rule.fields, timezone=zone, ends_at=LAST, anchor_at=FIRST)
    first = next_after(schedule.timing, FIRST)
    world.put(replace(schedule, next_at=first, due_at=first))

    for tick in ticks:
        world.end_jobs()
        world.clock.instant = tick
        world.tick()

    told = [
        (datetime.fromisoformat(str(event.data["due_at"])), event.occurred_at)
        for event in world.events_of(SCHEDULE_ID)
        if event.event_type == "rune.schedule.fired"
    ]
    assert told == expected_runs(due, ticks)
    assert len(world.jobs.jobs) == len(told) > len(due) / 2
