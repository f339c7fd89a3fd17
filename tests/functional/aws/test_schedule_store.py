from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rune.aws.due_schedules import DynamoDueSchedules
from rune.aws.outbox import DynamoOutbox
from rune.aws.schedule_store import DynamoScheduleStore
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.record import Subject, SubjectKind
from rune.schedules import lifecycle
from rune.schedules.due import ScheduleKey
from rune.schedules.record import PauseReason, Run, RunOutcome, Schedule
from rune.schedules.store import NameTaken, Stale, TooMany, as_written
from tests.builders import NOW, after
from tests.schedule_builders import KEY, SCHEDULE_ID, a_paused_schedule, a_run, a_schedule

if TYPE_CHECKING:
    from tests.cloud import Cloud

TABLE = "rune-test"
OTHER_ID = "0" * 32


@pytest.fixture
def store(cloud: Cloud) -> DynamoScheduleStore:
    return DynamoScheduleStore(cloud.dynamodb, TABLE)


@pytest.fixture
def due(cloud: Cloud) -> DynamoDueSchedules:
    return DynamoDueSchedules(cloud.dynamodb, TABLE)


def put(store: DynamoScheduleStore, schedule: Schedule, request_json: str = "{}") -> Schedule:
    assert store.create(schedule, request_json, 50) == schedule
    return schedule


def replaced(store: DynamoScheduleStore, before: Schedule, after_: Schedule) -> Schedule:
    written = store.replace(before, after_, now=after(1))
    assert written == as_written(before, after_, after(1))
    assert isinstance(written, Schedule)
    return written


def test_schedule_is_read_as_it_was_written(store: DynamoScheduleStore) -> None:
    run = a_run(NOW, outcome=RunOutcome.FAILED, is_manual=True)
    whole = a_schedule(
        ends_at=after(999),
        runs=(run, Run(after(60), after(61), reason="overlap")),
        failures=2,
        event_count=7,
        paused_because=PauseReason.FAILURES,
        rate=None,
        cron="0 9 * * *",
    )
    put(store, whole, '{"question": "q"}')

    assert store.read(KEY) == whole
    assert store.read_request(whole) == '{"question": "q"}'
    assert store.read(ScheduleKey("acme", SCHEDULE_ID)) is None


def test_names_are_unique_in_a_tenant(store: DynamoScheduleStore) -> None:
    put(store, a_schedule())

    assert store.create(a_schedule(schedule_id=OTHER_ID), "{}", 50) == NameTaken()
    put(store, a_schedule(schedule_id=OTHER_ID, tenant="acme"))
    assert store.read(ScheduleKey("default", OTHER_ID)) is None


def test_tenant_has_at_most_so_many(store: DynamoScheduleStore) -> None:
    first = a_schedule()
    assert store.create(first, "{}", 1) == first
    second = a_schedule(schedule_id=OTHER_ID, name="second")

    assert store.create(second, "{}", 1) == TooMany()
    replaced(store, first, lifecycle.delete(first, NOW))
    assert store.create(second, "{}", 1) == second


def test_same_id_twice_is_refused(store: DynamoScheduleStore) -> None:
    put(store, a_schedule())

    with pytest.raises(StoreUnavailableError):
        store.create(a_schedule(name="other"), "{}", 50)


def test_due_schedules_are_found_earliest_first(store: DynamoScheduleStore, due: DynamoDueSchedules) -> None:
    put(store, a_schedule())
    put(store, a_schedule(schedule_id=OTHER_ID, name="b", due_at=after(60)))
    put(store, a_paused_schedule(schedule_id="1" * 32, name="c"))
    put(store, a_schedule(schedule_id="2" * 32, name="d", due_at=after(3601)))

    assert due.find_due(after(3600), 10) == (ScheduleKey("default", OTHER_ID), KEY)
    assert due.find_due(after(3600), 1) == (ScheduleKey("default", OTHER_ID),)
    assert due.find_due(after(59), 10) == ()


def test_paused_schedule_leaves_the_index_and_comes_back(
    store: DynamoScheduleStore, due: DynamoDueSchedules
) -> None:
    put(store, a_schedule())

    paused = replaced(store, a_schedule(), lifecycle.pause(a_schedule(), PauseReason.ASKED, NOW).schedule)
    found = due.find_due(after(9999), 10)
    replaced(store, paused, lifecycle.resume(paused, NOW).schedule)

    assert found == ()
    assert due.find_due(after(9999), 10) == (KEY,)


def test_write_is_refused_when_others_wrote_first(store: DynamoScheduleStore, cloud: Cloud) -> None:
    put(store, a_schedule())
    paused = replaced(store, a_schedule(), a_paused_schedule())
    fired = lifecycle.record_run(a_schedule(), a_run(after(3600)), after(3600))

    assert store.replace(a_schedule(), fired.schedule, fired.events, now=after(3600)) == Stale()

    assert store.read(KEY) == paused
    assert (
        DynamoOutbox(cloud.dynamodb, TABLE).read_log(Subject(SubjectKind.SCHEDULE, SCHEDULE_ID), 0, 9) == ()
    )


def test_events_are_written_with_the_schedule(store: DynamoScheduleStore, cloud: Cloud) -> None:
    put(store, a_schedule())
    fired = lifecycle.record_run(a_schedule(), a_run(after(3600)), after(3600))

    store.replace(a_schedule(), fired.schedule, fired.events, now=after(3600))

    outbox, subject = DynamoOutbox(cloud.dynamodb, TABLE), Subject(SubjectKind.SCHEDULE, SCHEDULE_ID)
    assert outbox.read_log(subject, 0, 9) == fired.events
    assert outbox.find_due(after(3660), 10) == (subject,)


def test_name_and_request_are_changed_with_the_schedule(store: DynamoScheduleStore) -> None:
    first = put(store, a_schedule())
    put(store, a_schedule(schedule_id=OTHER_ID, name="taken"))

    assert store.replace(first, replace(first, name="taken"), request_json="[]", now=NOW) == NameTaken()
    renamed = store.replace(first, replace(first, name="other"), request_json='{"a": 1}', now=NOW)

    assert isinstance(renamed, Schedule)
    assert (renamed.name, store.read_request(renamed)) == ("other", '{"a": 1}')
    # The earlier name is free again.
    put(store, a_schedule(schedule_id="3" * 32))


def test_deleted_schedule_leaves_its_name_and_its_rows_expire(
    store: DynamoScheduleStore, due: DynamoDueSchedules, cloud: Cloud
) -> None:
    first = put(store, a_schedule())

    deleted = replaced(store, first, lifecycle.delete(first, after(1)))

    assert store.read(KEY) == deleted
    assert due.find_due(after(9999), 10) == ()
    put(store, a_schedule(schedule_id=OTHER_ID))
    kept = {row["sk"]["S"] for row in cloud.rows() if "expires_at" not in row}
    assert kept == {
        f"SCHEDULE#{OTHER_ID}",
        f"SCHEDULE-REQUEST#{OTHER_ID}",
        "SCHEDULE-NAME#nightly",
        "SCHEDULES",
    }


def test_tenants_schedules_are_listed_without_what_is_not_understood(
    store: DynamoScheduleStore, cloud: Cloud
) -> None:
    put(store, a_schedule())
    put(store, a_schedule(schedule_id=OTHER_ID, name="b"))
    put(store, a_schedule(schedule_id="4" * 32, tenant="acme"))
    write(cloud, OTHER_ID, "overlap", "of_another_version")

    assert store.read_all("default") == (a_schedule(),)
    with pytest.raises(UnreadableRowError):
        store.read(ScheduleKey("default", OTHER_ID))


def test_schedule_that_is_not_understood_is_set_aside(
    store: DynamoScheduleStore, due: DynamoDueSchedules, cloud: Cloud
) -> None:
    put(store, a_schedule())
    write(cloud, SCHEDULE_ID, "overlap", "of_another_version")

    store.set_aside(KEY, after(7200))
    store.set_aside(ScheduleKey("default", OTHER_ID), after(7200))

    assert (due.find_due(after(7199), 10), due.find_due(after(7200), 10)) == ((), (KEY,))
    write(cloud, SCHEDULE_ID, "overlap", "skip")
    # Its occurrence is what it was: it names the job.
    assert store.read(KEY) == a_schedule(due_at=after(7200))


def write(cloud: Cloud, schedule_id: str, name: str, value: str) -> None:
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": "TENANT#default"}, "sk": {"S": f"SCHEDULE#{schedule_id}"}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": {"S": value}},
    )
