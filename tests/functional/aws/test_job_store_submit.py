"""Submissions with an idempotency key and a caller's address: what is written, and what keeps it out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rune.aws.auth_limiter import DynamoLimiter
from rune.aws.auth_limiter import key as limiter_key
from rune.aws.job_rows import key_write
from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.clock import to_epoch_ms
from rune.errors import (
    IdempotencyKeyReusedError,
    RateLimitedError,
    StoreContendedError,
    StoreUnavailableError,
)
from rune.events.outbox import OutboxState, advance
from rune.events.record import Subject, SubjectKind
from rune.jobs import closing
from rune.jobs.lifecycle import begin
from rune.jobs.record import Callback, Event, Job, Kind, Status
from rune.jobs.store import IdempotencyKey, JobStore, Refused, Submission, Submitted
from rune.jobs.transitions import cancel_queued
from tests.builders import JOB_ID, NOW, FakeClock, a_job, after, an_event
from tests.functional.aws.scripted import CONFLICT, ScriptedTransactions
from tests.memory_job_store import MemoryJobStore

if TYPE_CHECKING:
    from tests.cloud import Cloud

KEY = IdempotencyKey("my-key", "fingerprint-1")
OTHER = IdempotencyKey("my-key", "fingerprint-2")
ADDRESS = "203.0.113.7"
KEPT_SECONDS = 31 * 86400
"""A key stands for a day longer than its job."""


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def submit(
    store: JobStore, job: Job, key: IdempotencyKey | None = KEY, address: str | None = None
) -> Submitted:
    submitted = store.submit(Submission(job, "{}", an_event(), key, address))
    assert isinstance(submitted, Submitted)
    return submitted


# ---------------------------------------------------------------- idempotency keys


def test_key_stands_for_the_first_job(store: JobStore) -> None:
    first = submit(store, a_job())
    second = submit(store, a_job(job_id="second"))

    assert (first, second) == (Submitted(JOB_ID), Submitted(JOB_ID, is_replay=True))
    assert store.read("second") is None
    assert [line.job_id for line in store.list_jobs("default", None, 10)] == [JOB_ID]


def test_key_refuses_another_request_and_writes_nothing(store: JobStore) -> None:
    submit(store, a_job())

    with pytest.raises(IdempotencyKeyReusedError):
        submit(store, a_job(job_id="second"), OTHER)

    assert store.read("second") is None
    assert submit(store, a_job(job_id="third")) == Submitted(JOB_ID, is_replay=True)


@pytest.mark.parametrize(
    "job",
    [a_job(job_id="x", tenant="acme"), a_job(job_id="x", kind=Kind.LLM_INSTANCE)],
    ids=["tenant", "kind"],
)
def test_key_is_of_one_tenant_and_kind(job: Job, store: JobStore) -> None:
    submit(store, a_job())

    assert submit(store, job, OTHER) == Submitted("x")


@pytest.mark.parametrize(
    ("later_seconds", "expected"),
    [
        (0, Submitted(JOB_ID, is_replay=True)),
        (KEPT_SECONDS - 86400, Submitted(JOB_ID, is_replay=True)),
        (KEPT_SECONDS, Submitted(JOB_ID, is_replay=True)),
        (KEPT_SECONDS + 1, Submitted("second")),
    ],
)
def test_key_is_taken_anew_when_it_has_run_out(later_seconds: int, expected: Submitted, cloud: Cloud) -> None:
    submit(cloud.store, a_job())

    assert submit(cloud.store, a_job(job_id="second", created_at=after(later_seconds))) == expected


def test_key_that_was_taken_anew_stands_for_the_new_job(cloud: Cloud) -> None:
    submit(cloud.store, a_job())
    late = after(KEPT_SECONDS + 1)
    submit(cloud.store, a_job(job_id="second", created_at=late, expires_at=after(2 * KEPT_SECONDS)), OTHER)

    third = submit(cloud.store, a_job(job_id="third", created_at=late), OTHER)

    assert third == Submitted("second", is_replay=True)


def test_row_of_a_key_holds_neither_key_nor_request(cloud: Cloud) -> None:
    write = key_write("rune-test", a_job(), IdempotencyKey("perhaps-a-secret", "f"))["Put"]

    assert "perhaps-a-secret" not in str(write)
    assert write["Item"].keys() == {"pk", "sk", "job_id", "fingerprint", "expires_at"}
    assert write["Item"]["pk"] == {"S": "KEY#default#benchmark"}


def test_id_that_is_taken_is_no_replay_although_there_is_a_key(cloud: Cloud) -> None:
    submit(cloud.store, a_job())

    with pytest.raises(StoreUnavailableError):
        submit(cloud.store, a_job(), IdempotencyKey("another", "f"))

    assert len([row for row in cloud.rows() if row["pk"]["S"].startswith("KEY#")]) == 1


def test_submission_with_everything_is_one_transaction_of_six(cloud: Cloud, clock: FakeClock) -> None:
    store, client = limited(cloud, clock, None)

    submit(store, a_job(), address=ADDRESS)
    asked = cloud.operations

    assert (client.sizes, asked) == ([6], ["TransactWriteItems"])
    assert [row["pk"]["S"].partition("#")[0] for row in cloud.rows()] == ["JOB"] * 3 + ["KEY", "TENANT"]


# ---------------------------------------------------------------- a caller's address


def limited(
    cloud: Cloud, clock: FakeClock, *script: list[str] | None
) -> tuple[DynamoJobStore, ScriptedTransactions]:
    client = ScriptedTransactions(cloud.dynamodb, list(script))
    limiter = DynamoLimiter(cloud.dynamodb, "rune-test", clock)
    return DynamoJobStore(client, "rune-test", NoObjectStore(), limiter), client  # type: ignore[arg-type]  # forwards


def fail_elsewhere(cloud: Cloud, clock: FakeClock, failures: int = 10) -> None:
    """Let some fail in another environment, so that this one's memory knows nothing."""
    other = DynamoLimiter(cloud.dynamodb, "rune-test", clock)
    assert [other.count_failure(ADDRESS) for _ in range(failures)] == [None] * failures
    cloud.calls.clear()


def jobs_stored(cloud: Cloud) -> list[str]:
    return [row["job_id"]["S"] for row in cloud.rows() if row["sk"]["S"] == "JOB"]


def test_blocked_address_writes_nothing_and_learns_for_how_long(cloud: Cloud, clock: FakeClock) -> None:
    store, _ = limited(cloud, clock, None)
    fail_elsewhere(cloud, clock)
    before = cloud.rows()
    cloud.calls.clear()

    with pytest.raises(RateLimitedError) as raised:
        submit(store, a_job(), address=ADDRESS)
    asked = cloud.operations

    assert raised.value.retry_after_seconds == 60
    assert asked == ["TransactWriteItems"]
    assert cloud.rows() == before


@pytest.mark.parametrize(("until_ms", "stored"), [(-1, [JOB_ID]), (0, [JOB_ID]), (1, []), (60_000, [])])
def test_block_keeps_a_submission_out_until_its_very_end(
    until_ms: int, stored: list[str], cloud: Cloud, clock: FakeClock
) -> None:
    store, _ = limited(cloud, clock, None)
    fail_elsewhere(cloud, clock)
    cloud.dynamodb.update_item(
        TableName="rune-test",
        Key=limiter_key(ADDRESS),
        UpdateExpression="SET blocked_until = :until",
        ExpressionAttributeValues={":until": {"N": str(to_epoch_ms(NOW) + until_ms)}},
    )

    if stored:
        submit(store, a_job(), address=ADDRESS)
    else:
        with pytest.raises(RateLimitedError):
            submit(store, a_job(), address=ADDRESS)

    assert jobs_stored(cloud) == stored


@pytest.mark.parametrize("failures", [0, 1, 9])
def test_address_that_failed_less_than_ten_times_is_let_in(
    failures: int, cloud: Cloud, clock: FakeClock
) -> None:
    store, _ = limited(cloud, clock, None)
    fail_elsewhere(cloud, clock, failures)

    assert submit(store, a_job(), address=ADDRESS) == Submitted(JOB_ID)


def test_block_comes_before_the_key(cloud: Cloud, clock: FakeClock) -> None:
    store, _ = limited(cloud, clock, None)
    submit(cloud.store, a_job())
    fail_elsewhere(cloud, clock)

    with pytest.raises(RateLimitedError):
        submit(store, a_job(job_id="second"), address=ADDRESS)


def test_address_is_looked_up_by_reading_when_its_row_is_in_conflict(cloud: Cloud, clock: FakeClock) -> None:
    store, client = limited(cloud, clock, CONFLICT, None)

    assert submit(store, a_job(), address=ADDRESS) == Submitted(JOB_ID)
    assert cloud.operations == ["GetItem", "TransactWriteItems"]
    # The second transaction has no part in the row that all callers of the address share.
    assert client.sizes == [6, 5]
    assert len(set(client.tokens)) == 2


def test_blocked_address_is_found_by_reading_when_its_row_is_in_conflict(
    cloud: Cloud, clock: FakeClock
) -> None:
    store, client = limited(cloud, clock, CONFLICT, None)
    fail_elsewhere(cloud, clock)

    with pytest.raises(RateLimitedError):
        submit(store, a_job(), address=ADDRESS)

    assert (client.sizes, cloud.operations, jobs_stored(cloud)) == ([6], ["GetItem"], [])


def test_replay_is_found_after_a_conflict_too(cloud: Cloud, clock: FakeClock) -> None:
    store, _ = limited(cloud, clock, CONFLICT, None)
    submit(cloud.store, a_job())

    again = submit(store, a_job(job_id="second"), address=ADDRESS)

    assert again == Submitted(JOB_ID, is_replay=True)


def test_round_of_a_submission_ends_when_another_write_is_in_the_way(cloud: Cloud, clock: FakeClock) -> None:
    store, client = limited(cloud, clock, CONFLICT, CONFLICT)

    with pytest.raises(StoreContendedError):
        submit(store, a_job(), address=ADDRESS)

    # The second one does not hold the address's row, which other callers of the address hold too.
    assert client.sizes == [6, 5]


def test_later_round_of_a_submission_waits_longer_after_a_conflict(
    cloud: Cloud, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("rune.aws.dynamodb_table.time.sleep", pauses.append)
    store, _ = limited(cloud, clock, *[CONFLICT] * 3)

    for number in (1, 4, 10):
        with pytest.raises(StoreContendedError):
            store.submit(Submission(a_job(), "{}", an_event(), address=ADDRESS, round=number))

    longest = (0.04, 0.32, 1.28)
    assert [most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True)] == [True] * 3


def test_read_looks_up_the_address_in_the_same_call(cloud: Cloud, clock: FakeClock) -> None:
    store, _ = limited(cloud, clock)
    submit(cloud.store, a_job())
    fail_elsewhere(cloud, clock, 9)

    assert store.read_with_result(JOB_ID, ADDRESS)
    assert cloud.operations == ["BatchGetItem"]


@pytest.mark.parametrize("job_id", [JOB_ID, "nothing"])
def test_read_is_blocked_whether_or_not_the_job_is_there(job_id: str, cloud: Cloud, clock: FakeClock) -> None:
    store, _ = limited(cloud, clock)
    submit(cloud.store, a_job())
    fail_elsewhere(cloud, clock)

    with pytest.raises(RateLimitedError):
        store.read_with_result(job_id, ADDRESS)

    assert cloud.operations == ["BatchGetItem"]


# ---------------------------------------------------------------- callbacks

CALLBACK = Callback("https://hooks.example.com/a", "token-1", "arn:aws:states:eu-central-1:1:execution:x:y")


def test_callback_is_stored_with_its_job(store: JobStore) -> None:
    store.submit(Submission(a_job(calls_back=True), "{}", an_event(), callback=CALLBACK))

    job = store.read(JOB_ID)

    assert job is not None
    assert job.calls_back
    assert store.read_callback(job) == CALLBACK


def test_job_without_callback_tells_nobody(store: JobStore) -> None:
    submit(store, a_job())

    assert store.read_callback(a_job()) is None
    assert not store.replace_callback(a_job(), CALLBACK, CALLBACK)
    assert store.read_callback(a_job(calls_back=True)) is None


def test_newest_task_token_takes_the_place_of_the_earlier_one(store: JobStore) -> None:
    job = a_job(calls_back=True)
    store.submit(Submission(job, "{}", an_event(), callback=CALLBACK))
    newest = Callback(None, "token-2", CALLBACK.execution, NOW, ("token-1",))

    assert store.replace_callback(job, CALLBACK, newest)

    assert store.read_callback(job) == replace(newest, version=2)


def test_token_that_was_written_meanwhile_stays(store: JobStore) -> None:
    job = a_job(calls_back=True)
    store.submit(Submission(job, "{}", an_event(), callback=CALLBACK))
    meanwhile = replace(CALLBACK, other_tokens=("token-2",))
    assert store.replace_callback(job, CALLBACK, meanwhile)

    assert not store.replace_callback(job, CALLBACK, replace(CALLBACK, other_tokens=("token-3",)))

    assert store.read_callback(job) == replace(meanwhile, version=2)


def test_callback_stays_as_it_was_when_the_request_is_repeated(store: JobStore) -> None:
    job = a_job(calls_back=True)
    store.submit(Submission(job, "{}", an_event(), KEY, callback=CALLBACK))
    again = Submission(
        a_job(job_id="b", calls_back=True), "{}", an_event(), KEY, callback=Callback("https://b")
    )

    assert store.submit(again) == Submitted(JOB_ID, is_replay=True)
    assert store.read_callback(job) == CALLBACK


def test_task_token_is_not_shown() -> None:
    assert "token-1" not in repr(CALLBACK)


# ---------------------------------------------------------------- the first claim


def test_first_claim_is_written_with_its_event(store: JobStore) -> None:
    submit(store, a_job())

    begun = store.begin(a_job(), *begin(a_job(), 1, "worker-1", after(5)))

    assert begun == store.read(JOB_ID)
    assert isinstance(begun, Job)
    assert (begun.lease_owner, begun.event_count, begun.started_at) == ("worker-1", 2, after(5))
    history = store.read_events(JOB_ID, 0)
    assert history
    assert history.events == (an_event(), Event(2, "job.running", "ok", after(5)))


@pytest.mark.parametrize(
    "found",
    [
        a_job(status=Status.CANCELLED),
        a_job(started_at=after(-5)),
        a_job(waiting_since=NOW),
        a_job(seq=2),
        a_job(lease_until=after(60)),
    ],
    ids=["ended", "begun", "waiting", "stale", "held"],
)
def test_first_claim_that_is_refused_writes_no_event_and_shows_the_job(found: Job, store: JobStore) -> None:
    submit(store, found)

    assert store.begin(a_job(), *begin(a_job(), 1, "worker-1", after(5))) == Refused(found)

    history = store.read_events(JOB_ID, 0)
    assert history
    assert (history.job, len(history.events)) == (found, 1)


def test_first_claim_of_a_job_that_is_gone_is_refused(store: JobStore) -> None:
    assert store.begin(a_job(), *begin(a_job(), 1, "worker-1", after(5))) == Refused(None)


# ---------------------------------------------------------------- the outbox of a job


@pytest.fixture
def cloud_store(cloud: Cloud) -> DynamoJobStore:
    return cloud.store


def test_end_of_a_job_makes_its_outbox_due_in_the_same_transaction(
    cloud: Cloud, cloud_store: DynamoJobStore
) -> None:
    subject = Subject(SubjectKind.JOB, JOB_ID)
    submit(cloud_store, a_job())
    cloud.outbox.update(
        subject, advance(OutboxState(), {"bus": 1}, NOW, has_failed=False, expires_at=a_job().expires_at)
    )
    cloud.calls.clear()

    assert closing.commit(cloud_store, a_job(), cancel_queued(a_job(), after(5)))

    assert cloud.operations.count("TransactWriteItems") == 1
    state = cloud.outbox.read(subject)
    assert (state.pointers, state.due_at, state.version) == ({"bus": 1}, after(65), 2)
    assert cloud.outbox.find_due(after(65), 10) == (subject,)


def test_end_that_is_refused_makes_nothing_due(cloud: Cloud, cloud_store: DynamoJobStore) -> None:
    submit(cloud_store, a_job(status=Status.RUNNING))

    assert not closing.commit(cloud_store, a_job(), cancel_queued(a_job(), after(5)))

    assert cloud.outbox.read(Subject(SubjectKind.JOB, JOB_ID)) == OutboxState()
