from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from rune.aws.job_rows import DUE_SHARDS, EARLIER_DUE_BUCKET, due_buckets, hot_item
from rune.aws.job_store import DynamoJobStore
from rune.aws.outbox import DUE_SHARDS as NOTICE_SHARDS
from rune.aws.webhook_store import DynamoWebhookStore
from rune.errors import SettingsError, StoreUnavailableError
from rune.events.record import Subject, SubjectKind
from rune.jobs import closing
from rune.jobs.admission import Admission
from rune.jobs.lifecycle import OVERRUN, accept
from rune.jobs.places import Terms
from rune.jobs.record import DueClass, Job, Kind, Status, StepName
from rune.jobs.store import Submission
from rune.jobs.transitions import cancel_queued
from rune.logs import NAMESPACE, ROWS_NOT_UNDERSTOOD_METRIC, JsonFormatter
from rune.services.late_jobs import BACKLOG
from rune.services.orphan_sweep import SweepResult
from rune.storage.change import make_change
from rune.webhooks.lifecycle import postpone
from tests.builders import (
    JOB_ID,
    NOW,
    TENANT,
    FakeClock,
    a_claimed_job,
    a_job,
    a_sample_event,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
)
from tests.functional.functions.loading import loaded
from tests.template import load_template
from tests.webhook_builders import an_endpoint

if TYPE_CHECKING:
    from tests.cloud import Cloud

QUEUE_TIMEOUT = timedelta(days=1)

TICK = a_sample_event("schedule-tick")


@pytest.fixture(scope="module")
def janitor(shared_cloud: Cloud) -> Iterator[ModuleType]:
    with loaded("janitor.handler", {**shared_cloud.environment, "RUNE_RUNNING_JOBS": "2"}) as handler:
        yield handler


@dataclass(frozen=True)
class Context:
    """What Lambda tells of an invocation."""

    remaining_ms: int = 50_000
    aws_request_id: str = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def put(cloud: Cloud, *jobs: Job) -> None:
    for job in jobs:
        cloud.store.submit(Submission(job, "{}", an_event()))
    cloud.calls.clear()


def submit(cloud: Cloud, clock: FakeClock, job_id: str, slot_count: int = 2) -> None:
    """Hand a job in as the API does, where so many jobs may run; without slots it waits."""
    job, event = accept(
        job_id=job_id,
        tenant=TENANT,
        kind=Kind.BENCHMARK,
        first_step=StepName.CHECK,
        now=clock.now(),
        queue_timeout=QUEUE_TIMEOUT,
        max_runtime=timedelta(hours=1),
        retention=timedelta(days=30),
    )
    Admission(cloud.store, cloud.queue, clock, slot_count).submit(Submission(job, "{}", event), Terms())
    cloud.calls.clear()


def put_as_earlier_version(cloud: Cloud, job: Job) -> None:
    """Write a job's row as the version before classes of due work did."""
    later = ("due_class", "max_runtime_seconds", "waiting_since", "slot")
    row = {name: value for name, value in hot_item(job).items() if name not in later}
    cloud.dynamodb.put_item(TableName="rune-test", Item={**row, "due_bucket": {"S": EARLIER_DUE_BUCKET}})
    cloud.calls.clear()


def fill(cloud: Cloud, lane: str, count: int) -> None:
    """Put messages of other jobs into a lane."""
    for _ in range(count):
        cloud.sqs.send_message(QueueUrl=cloud.queue_urls[lane], MessageBody="{}")
    cloud.calls.clear()


def end_without_giving_back(cloud: Cloud, job_id: str) -> None:
    """End a job in a process that dies before it gives the slot back."""
    job = cloud.store.read(job_id)
    assert job
    assert cloud.store.commit(job, cancel_queued(job, after(5)))
    cloud.calls.clear()


def messages_of(cloud: Cloud) -> list[str]:
    """Return which jobs' messages were sent, in order."""
    bodies = [call.arguments["MessageBody"] for call in cloud.calls if call.operation == "SendMessage"]
    return [message["job_id"] for message in map(json.loads, bodies) if "job_id" in message]


QUERIES_OF_A_TICK = (len(DueClass) + 1) * DUE_SHARDS + 1 + 2 + 1 + 1 + NOTICE_SHARDS
"""Each shard of each class, those of releases twice, the jobs that an earlier version wrote last, the places of
running jobs twice, schedules, stops, and each shard of the outboxes."""


def what_was_done(**counts: int) -> dict[str, int]:
    """Return the answer of a tick that did so much and nothing else."""
    parts = (
        "sent",
        "ended",
        "left",
        "freed",
        "admitted",
        "fired",
        "notices",
        "charged",
        "destroyed",
        "proven",
    )
    assert counts.keys() <= set(parts)
    return {**dict.fromkeys(parts, 0), **counts}


def sent_to(cloud: Cloud, lane: str) -> list[str]:
    return sorted(json.loads(body)["job_id"] for body in cloud.received(lane))


def writes_and_reads(cloud: Cloud) -> list[str]:
    """Return the operations of a tick beside the looks at what is due and at the places."""
    queries = [operation for operation in cloud.operations if operation == "Query"]
    assert len(queries) == QUERIES_OF_A_TICK
    return [operation for operation in cloud.operations if operation != "Query"]


def a_late_release(job_id: str = "releasing", **overrides: object) -> Job:
    """Return a job whose machine is being given back, by a worker that is lost."""
    return a_claimed_job(
        job_id=job_id,
        step=StepName.RELEASE,
        rents=True,
        ends_as=Status.FAILED,
        due_class=DueClass.RELEASE,
        due_at=after(-1),
        lease_until=after(-1),
        **overrides,
    )


def test_tick_sends_late_turns_into_their_lanes(janitor: ModuleType, cloud: Cloud) -> None:
    put(
        cloud,
        a_job(job_id="never-begun", due_at=after(-1)),
        a_waiting_job(job_id="waiting", due_at=after(-2)),
        a_claimed_job(job_id="worker-lost", due_at=after(-3)),
        a_late_release(),
        a_job(job_id="on-its-way"),
        an_ended_job(job_id="ended"),
    )

    assert janitor.handle(TICK, Context()) == what_was_done(sent=4)

    sent = {lane: sent_to(cloud, lane) for lane in ("money", "inference")}
    assert sent == {"money": ["releasing"], "inference": ["never-begun", "waiting", "worker-lost"]}


def test_tick_takes_four_calls_for_a_late_turn(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(due_at=after(-1)))

    janitor.handle(TICK, Context())

    assert writes_and_reads(cloud) == ["BatchGetItem", "GetQueueAttributes", "UpdateItem", "SendMessage"]
    job = cloud.store.read(JOB_ID)
    assert job
    assert (job.due_at, job.dispatches, job.seq) == (after(60), 1, 1)


def test_tick_only_looks_when_nothing_is_late(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(), an_ended_job(job_id="ended"))

    assert janitor.handle(TICK, Context()) == what_was_done()
    assert writes_and_reads(cloud) == []


def test_second_tick_sends_nothing_when_the_first_has(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(due_at=after(-1)))

    assert [janitor.handle(TICK, Context()) for _ in range(2)] == [
        what_was_done(sent=1),
        what_was_done(),
    ]


def test_tick_sends_the_late_turn_of_an_earlier_version(janitor: ModuleType, cloud: Cloud) -> None:
    """An earlier version wrote one partition for all that is due, and no class."""
    put_as_earlier_version(cloud, a_claimed_job(due_at=after(-1)))

    assert janitor.handle(TICK, Context()) == what_was_done(sent=1)

    assert sent_to(cloud, "inference") == [JOB_ID]
    assert cloud.row(JOB_ID)["due_bucket"]["S"] in due_buckets(DueClass.MESSAGE)


# ---------------------------------------------------------------- a lane with a backlog


@pytest.mark.parametrize(("backlog", "sent"), [(BACKLOG - 1, 1), (BACKLOG, 0)])
def test_tick_adds_no_copy_of_a_message_to_a_backlog(
    backlog: int, sent: int, janitor: ModuleType, cloud: Cloud
) -> None:
    fill(cloud, "inference", backlog)
    put(cloud, a_job(due_at=after(-1)))

    assert janitor.handle(TICK, Context()) == what_was_done(sent=sent)

    job = cloud.store.read(JOB_ID)
    assert job
    # Late again at the next tick, and no dispatch is counted, since none was made.
    assert (job.due_at, job.dispatches) == (after(60), sent)


def test_backlog_is_asked_for_once_a_lane(janitor: ModuleType, cloud: Cloud) -> None:
    fill(cloud, "inference", BACKLOG)
    put(cloud, *[a_job(job_id=f"job-{number}", due_at=after(-1)) for number in range(3)])

    assert janitor.handle(TICK, Context()) == what_was_done()

    assert cloud.operations.count("GetQueueAttributes") == 1
    assert cloud.operations.count("UpdateItem") == 3


def test_turn_whose_worker_was_lost_is_sent_into_a_backlog(janitor: ModuleType, cloud: Cloud) -> None:
    fill(cloud, "inference", BACKLOG)
    fill(cloud, "money", BACKLOG)
    put(cloud, a_claimed_job(job_id="worker-lost", due_at=after(-1)), a_late_release())

    assert janitor.handle(TICK, Context()) == what_was_done(sent=2)


# ---------------------------------------------------------------- the end of a job's time


def test_tick_ends_a_job_that_was_never_begun(janitor: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    submit(cloud, clock, "first", slot_count=0)
    submit(cloud, clock, "second", slot_count=0)
    clock.advance(QUEUE_TIMEOUT.total_seconds())

    # Both waited for too long, and a slot would have been free: what is over is ended before anything is admitted.
    assert janitor.handle(TICK, Context()) == what_was_done(ended=2)

    job, history = cloud.store.read("first"), cloud.store.read_events("first", 0)
    assert job
    assert job.failure
    assert history
    assert (job.status, job.failure.code, job.finished_at) == (Status.FAILED, "queue_timeout", clock.now())
    assert [event.name for event in history.events] == ["job.accepted", "job.failed"]
    assert cloud.store.read_places().share_of(TENANT).waiting == 0
    assert sent_to(cloud, "inference") == []


def test_tick_counts_a_job_that_it_ends(janitor: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    submit(cloud, clock, "first", slot_count=0)
    clock.advance(QUEUE_TIMEOUT.total_seconds())

    janitor.handle(TICK, Context())

    tallies = cloud.store.read_tallies(TENANT, clock.now())
    assert tallies["job.failed"].error_count == 1


@pytest.mark.parametrize(("late_seconds", "code"), [(-0.001, None), (0, "deadline_exceeded")])
def test_tick_ends_a_job_that_its_lane_did_not_end(
    late_seconds: float, code: str | None, janitor: ModuleType, cloud: Cloud
) -> None:
    overrun = OVERRUN.total_seconds() + late_seconds
    put(cloud, a_waiting_job(due_at=after(-1), deadline_at=after(-overrun)))

    done = janitor.handle(TICK, Context())

    job = cloud.store.read(JOB_ID)
    assert job
    assert done == (what_was_done(ended=1) if code else what_was_done(sent=1))
    assert (job.failure.code if job.failure else None) == code


def test_next_job_is_admitted_when_the_tick_has_ended_one(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    for job_id, after_seconds in (("first", 1), ("second", 199), ("third", 0)):
        submit(cloud, clock, job_id)
        clock.advance(after_seconds)
    assert sent_to(cloud, "inference") == ["first", "second"]
    clock.advance(QUEUE_TIMEOUT.total_seconds() - 200)

    assert janitor.handle(TICK, Context())["ended"] == 1

    places = cloud.store.read_places()
    assert [slot.job_id for slot in places.slots] == ["third", "second"]
    assert (places.share_of(TENANT).running, places.share_of(TENANT).waiting) == (2, 0)


def test_job_that_rents_gives_its_machine_back_when_its_time_is_over(
    janitor: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_waiting_job(step=StepName.BOOT, rents=True, due_at=after(-1), deadline_at=after(-600)))

    assert janitor.handle(TICK, Context()) == what_was_done(ended=1)

    job = cloud.store.read(JOB_ID)
    assert job
    assert (job.status, job.step, job.ends_as) == (Status.RUNNING, StepName.RELEASE, Status.FAILED)
    assert job.due_class is DueClass.RELEASE
    assert [json.loads(body) for body in cloud.received("money")] == [{"job_id": JOB_ID, "seq": 3}]


def test_job_that_a_worker_holds_is_not_ended(janitor: ModuleType, cloud: Cloud) -> None:
    """Its due time may be older than its lease; see `lifecycle.renew`."""
    held = a_claimed_job(due_at=after(-1), lease_until=after(40), deadline_at=after(-600))
    put(cloud, held)

    assert janitor.handle(TICK, Context()) == what_was_done()

    assert cloud.store.read(JOB_ID) == held


def test_release_has_no_end_of_time(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_late_release(deadline_at=after(-86_400)))

    assert janitor.handle(TICK, Context()) == what_was_done(sent=1)


# ---------------------------------------------------------------- places


def test_slot_of_a_job_that_has_ended_goes_to_the_next(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    for job_id in ("first", "second", "third"):
        submit(cloud, clock, job_id)
        clock.advance(1)
    end_without_giving_back(cloud, "first")
    cloud.received("inference")

    assert janitor.handle(TICK, Context()) == what_was_done(freed=1, admitted=1)

    assert [slot.job_id for slot in cloud.store.read_places().slots] == ["third", "second"]
    assert sent_to(cloud, "inference") == ["third"]


def test_slot_of_a_job_that_is_not_understood_stays_its_own(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    submit(cloud, clock, JOB_ID)
    cloud.write_field(JOB_ID, "step", "a_step_of_another_version")

    assert janitor.handle(TICK, Context()) == what_was_done()

    assert [slot.job_id for slot in cloud.store.read_places().slots] == [JOB_ID]


def test_waiting_jobs_are_admitted_when_there_are_slots(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    for job_id in ("first", "second", "third"):
        submit(cloud, clock, job_id, slot_count=0)
        clock.advance(1)

    assert janitor.handle(TICK, Context()) == what_was_done(admitted=2)

    assert sent_to(cloud, "inference") == ["first", "second"]
    third = cloud.store.read("third")
    assert third
    assert third.is_waiting


# ---------------------------------------------------------------- the order of the parts


def test_tick_begins_with_what_bills(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Sweep:
        async def sweep(self, _may_go_on: object) -> SweepResult:
            seen.append(messages_of(cloud))
            return SweepResult(destroyed_count=2, proven_count=1)

    monkeypatch.setattr(janitor, "orphan_sweep", Sweep())
    submit(cloud, clock, "admitted", slot_count=0)
    put(
        cloud,
        a_job(job_id="message-lost", due_at=after(-9)),
        a_claimed_job(job_id="worker-lost", due_at=after(-8)),
        a_late_release(),
    )

    done = janitor.handle(TICK, Context())

    assert done == what_was_done(sent=3, admitted=1, destroyed=2, proven=1)
    assert seen == [["releasing"]]
    assert messages_of(cloud) == ["releasing", "worker-lost", "message-lost", "admitted"]


def test_line_of_a_tick_says_all_that_was_done(
    janitor: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud, a_job(due_at=after(-1)))

    done = janitor.handle(TICK, Context())

    (record,) = [record for record in caplog.records if record.msg == "tick.done"]
    line = json.loads(JsonFormatter().format(record))
    assert {name: line[name] for name in (*done, "failed")} == {**done, "failed": []}


def test_tick_fails_after_all_other_parts_when_one_has_failed(
    janitor: ModuleType,
    cloud: Cloud,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    find_late = DynamoJobStore.find_late

    def fail_once(self: DynamoJobStore, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        if due_class is DueClass.LEASE:
            raise StoreUnavailableError("The table cannot be reached now.")
        return find_late(self, due_class, now, limit)

    monkeypatch.setattr(DynamoJobStore, "find_late", fail_once)
    submit(cloud, clock, "admitted", slot_count=0)
    put(cloud, a_job(job_id="message-lost", due_at=after(-1)), a_late_release())

    with pytest.raises(StoreUnavailableError, match="lease"):
        janitor.handle(TICK, Context())

    assert messages_of(cloud) == ["releasing", "message-lost", "admitted"]
    (line,) = [record.__dict__ for record in caplog.records if record.msg == "tick.done"]
    assert {name: line[name] for name in ("sent", "admitted", "failed")} == {
        "sent": 2,
        "admitted": 1,
        "failed": ["lease"],
    }


def test_tick_goes_on_when_the_share_of_a_tenant_is_not_understood(
    janitor: ModuleType, cloud: Cloud, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    submit(cloud, clock, "placed")
    cloud.dynamodb.put_item(
        TableName="rune-test",
        Item={"pk": {"S": "PLACES"}, "sk": {"S": "SHARE#acme"}, "running": {"S": "many"}},
    )
    put(cloud, a_job(due_at=after(-1)))

    janitor.handle(TICK, Context())

    assert messages_of(cloud) == [JOB_ID]
    lines = [record.__dict__ for record in caplog.records if record.msg == "row.unreadable"]
    assert {(line["tenant"], line["metric"]) for line in lines} == {("acme", "RowsNotUnderstood")}


@pytest.mark.parametrize(
    ("remaining_ms", "counts"), [(5_001, {"sent": 1, "admitted": 1}), (5_000, {"left": 1})]
)
def test_tick_leaves_the_rest_to_the_next_when_time_is_short(
    remaining_ms: int, counts: dict[str, int], janitor: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    submit(cloud, clock, "waiting", slot_count=0)
    put(cloud, a_job(due_at=after(-1)))

    assert janitor.handle(TICK, Context(remaining_ms)) == what_was_done(**counts)


def test_tick_fails_so_that_the_alarm_sees_it_when_the_store_is_away(
    janitor: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(BaseClient, "_make_api_call", fail)

    with pytest.raises(StoreUnavailableError):
        janitor.handle(TICK, Context())


@dataclass(frozen=True)
class BrokenSweep:
    error: Exception

    async def sweep(self, _may_go_on: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [StoreUnavailableError("rentals"), TypeError("unexpected keyword argument")],
    ids=["store is away", "unforeseen"],
)
def test_tick_sends_late_turns_when_the_sweep_of_machines_fails(
    janitor: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    put(cloud, a_job(due_at=after(-1)))
    monkeypatch.setattr(janitor, "orphan_sweep", BrokenSweep(error))

    assert janitor.handle(TICK, Context()) == what_was_done(sent=1)


@pytest.mark.parametrize(
    "missing",
    [
        "RUNE_TABLE",
        "RUNE_MONEY_QUEUE_URL",
        "RUNE_INFERENCE_QUEUE_URL",
        "RUNE_NOTICE_QUEUE_URL",
        "RUNE_RUNNING_JOBS",
    ],
)
def test_start_is_refused_when_a_setting_is_missing(missing: str, cloud: Cloud) -> None:
    environment = {**cloud.environment, missing: ""}

    with pytest.raises(SettingsError, match=missing), loaded("janitor.handler", environment):
        pass


def test_tick_goes_on_when_a_row_is_not_understood(
    janitor: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud, a_job(job_id="unknown", due_at=after(-9)), a_job(job_id="late", due_at=after(-1)))
    cloud.write_field("unknown", "step", "a_step_of_another_version")

    assert janitor.handle(TICK, Context()) == what_was_done(sent=1)

    lines = [record for record in caplog.records if record.msg == "row.unreadable"]
    (line,) = [record for record in lines if hasattr(record, "metric")]
    assert (line.__dict__["job_id"], line.__dict__["metric"]) == ("unknown", "RowsNotUnderstood")


def test_tick_leaves_a_row_that_is_not_understood_alone_for_five_minutes(
    janitor: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_job(due_at=after(-1)))
    cloud.write_field(JOB_ID, "step", "a_step_of_another_version")
    before = cloud.row(JOB_ID)
    janitor.handle(TICK, Context())
    cloud.calls.clear()

    assert janitor.handle(TICK, Context()) == what_was_done()

    assert writes_and_reads(cloud) == []
    changed = {name for name, stored in cloud.row(JOB_ID).items() if stored != before[name]}
    assert changed == {"due_at", "version"}


def test_alarm_rings_when_a_row_is_not_understood() -> None:
    resources = load_template()["Resources"]

    counted = [each.get("Properties", {}) for each in resources.values()]
    ringing = [each for each in counted if each.get("MetricName") == ROWS_NOT_UNDERSTOOD_METRIC]
    assert {each["Namespace"] for each in ringing} == {NAMESPACE}
    assert {dimension["Value"]["Ref"] for each in ringing for dimension in each["Dimensions"]} == {
        name
        for name, resource in resources.items()
        if resource.get("Properties", {}).get("Handler", "").startswith(("janitor.", "notifier.", "worker."))
    }


# ---------------------------------------------------------------- events that must still be published


def test_tick_sends_the_notice_of_a_job_that_ended_without_one(janitor: ModuleType, cloud: Cloud) -> None:
    subject = Subject(SubjectKind.JOB, JOB_ID)
    put(cloud, a_job(waiting_since=after(0)))
    job = cloud.store.read(JOB_ID)
    assert job
    # The process that commits the end dies before it sends the notice.
    assert closing.commit(cloud.store, job, cancel_queued(job, after(-61)))
    cloud.calls.clear()

    assert [janitor.handle(TICK, Context())["notices"] for _ in range(2)] == [1, 0]

    assert [json.loads(body) for body in cloud.received("notice")] == [{"subject": str(subject)}]
    assert cloud.outbox.read(subject).due_at == after(60)


def test_job_that_the_tick_ends_is_told_at_once(janitor: ModuleType, cloud: Cloud) -> None:
    overdue = a_job(
        waiting_since=after(-60), deadline_at=after(-1), due_at=after(-1), due_class=DueClass.WAIT
    )
    put(cloud, overdue)

    assert janitor.handle(TICK, Context()) == what_was_done(ended=1)

    assert [json.loads(body) for body in cloud.received("notice")] == [{"subject": f"job:{JOB_ID}"}]


# ---------------------------------------------------------------- webhooks


def test_webhook_with_something_to_do_gets_one_notice_in_two_minutes(cloud: Cloud, clock: FakeClock) -> None:
    store = DynamoWebhookStore(cloud.dynamodb, "rune-test")
    for name, due_seconds in (("late", -1.0), ("not_yet", 30.0)):
        endpoint = an_endpoint(endpoint_id=f"wh_{name}", due_at=None)
        store.create(endpoint, make_change("create", NOW, requires=(), sets={}))
        store.update(endpoint, postpone(endpoint, NOW, after(due_seconds)))
    with loaded("janitor.handler", {**cloud.environment, "RUNE_WEBHOOKS": "true"}) as with_webhooks:
        first = with_webhooks.handle({}, Context())
        sent = cloud.received("notice")
        second = with_webhooks.handle({}, Context())
        clock.advance(121)
        with_webhooks.handle({}, Context())

    assert (first["notices"], second["notices"]) == (1, 0)
    assert sent == [json.dumps({"endpoint": "default/wh_late"})]
    assert len(cloud.received("notice")) == 2


def test_webhook_that_is_not_understood_keeps_no_other_from_its_notice(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    store = DynamoWebhookStore(cloud.dynamodb, "rune-test")
    for name in ("a", "b"):
        endpoint = an_endpoint(endpoint_id=f"wh_{name}")
        store.create(endpoint, make_change("create", NOW, requires=(), sets={}))
        store.update(endpoint, postpone(endpoint, NOW, NOW))
    key = {"pk": {"S": "TENANT#default"}, "sk": {"S": "WEBHOOK#wh_a"}}
    cloud.dynamodb.update_item(
        TableName="rune-test",
        Key=key,
        UpdateExpression="SET #format = :later",
        ExpressionAttributeNames={"#format": "format"},
        ExpressionAttributeValues={":later": {"N": "99"}},
    )
    with loaded("janitor.handler", {**cloud.environment, "RUNE_WEBHOOKS": "true"}) as with_webhooks:
        done = with_webhooks.handle({}, Context())

    assert done["notices"] == 1
    assert [vars(line)["endpoint"] for line in caplog.records if line.msg == "row.unreadable"] == [
        "default/wh_a"
    ]
