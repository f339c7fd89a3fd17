from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.aws.dynamodb_table import MAX_TRIES
from rune.aws.errors import REFUSED_SENTENCE, is_transient
from rune.aws.job_rows import event_from_item, event_item, hot_item, job_from_item
from rune.aws.job_store import LARGEST_ROW_BYTES, DynamoJobStore, NoObjectStore
from rune.errors import StoreRefusedError, StoreUnavailableError
from rune.jobs.lifecycle import claim, request_cancel
from rune.jobs.outcomes import Again, Done, Next, Outcome
from rune.jobs.particulars import Particulars
from rune.jobs.record import DueClass, Event, Failure, Job, Kind, Status, StepName
from rune.jobs.store import JobHistory, JobStore, Refused, StoredJob, Submission
from rune.jobs.transitions import LONGEST_SENTENCE_BYTES, make_transition
from rune.storage.change import allows, apply
from tests import strategies
from tests.builders import (
    JOB_ID,
    NOW,
    a_claimed_job,
    a_failure,
    a_job,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
)
from tests.functional.aws.scripted import CONFLICT, ScriptedTransactions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from tests.cloud import Cloud


def put(cloud: Cloud, *jobs: Job) -> DynamoJobStore:
    for job in jobs:
        cloud.store.submit(Submission(job, json.dumps({"question": job.job_id}), an_event()))
    return cloud.store


# ---------------------------------------------------------------- rows


@given(strategies.jobs)
def test_row_keeps_every_field_of_a_job(job: Job) -> None:
    assert job_from_item(hot_item(job)) == job


@settings(max_examples=50)
@given(job=strategies.jobs)
def test_table_keeps_every_field_of_a_job(job: Job, shared_cloud: Cloud) -> None:
    shared_cloud.dynamodb.put_item(TableName="rune-test", Item=hot_item(job))

    assert shared_cloud.store.read(JOB_ID) == job


@given(strategies.events)
def test_row_keeps_every_field_of_an_event(event: Event) -> None:
    assert event_from_item(event_item(a_job(), event)) == event


def size_bytes(value: dict[str, Any]) -> int:
    """Return what DynamoDB bills for an attribute's value (DynamoDB developer guide, "item sizes and formats")."""
    ((kind, plain),) = value.items()
    match kind:
        case "S":
            return len(plain.encode())
        case "N":
            return 1 + (len(plain) + 1) // 2
        case "BOOL":
            return 1
        case "M":
            return 3 + sum(1 + len(name.encode()) + size_bytes(inner) for name, inner in plain.items())
        case "L":
            return 3 + sum(1 + size_bytes(inner) for inner in plain)
        case _:
            raise AssertionError(f"A hot item holds no {kind}.")


USUAL_SENTENCE_BYTES = 140
LONGEST_DISPLAY_BYTES = 310
"""Of a job that has used two machines, with long names, and bought tokens."""

PHASES = ("search", "rent", "reconcile", "boot", "pull", "load", "first_token", "measure")
PROGRESS = {"point": 12, "points": 12, "requests": 10_000, "requests_total": 10_000, "chunks": 9_999_999}


# A job that has ended has no progress any more, and one that goes on has no failure yet.
@pytest.mark.parametrize(
    ("phases", "progress", "failure"),
    [
        (PHASES, PROGRESS, None),
        (
            PHASES,
            {},
            a_failure(
                code="x" * 26,
                sentence="x" * USUAL_SENTENCE_BYTES,
                stage=StepName.RECONCILE,
                retryable=False,
            ),
        ),
    ],
    ids=["at work", "failed"],
)
def test_hot_item_is_under_one_kilobyte_when_everything_is_long(
    phases: tuple[str, ...], progress: dict[str, int], failure: Failure | None
) -> None:
    ends_as = Status.FAILED if failure else Status.SUCCEEDED
    job = an_ended_job(
        ends_as,
        # Where all the rest is as long, a longer name costs such a job a second unit a write, and no more.
        tenant="t" * 30,
        kind=Kind.LLM_INSTANCE,
        step=StepName.RELEASE,
        due_at=NOW,
        due_class=DueClass.RELEASE,
        max_runtime_seconds=86_400,
        slot=999,
        lease_owner="f" * 32,
        lease_until=NOW,
        cancel_requested_at=NOW,
        seq=999,
        epoch=999,
        version=99_999,
        event_count=9999,
        attempts=4,
        failures=2,
        dispatches=20,
        failure=failure,
        progress=progress,
        phases_ms=dict.fromkeys(phases, 870_000),
        rents=True,
        rental_id=f"{'f' * 32}-12",
        ends_as=ends_as,
        cost_micro_usd=999_999_999,
        borrowed_micro_usd=99_999_999,
        cap_micro_usd=999_990_000,
        cost_cap_at=NOW,
        warnings=("template_not_allowed",),
    )

    row = hot_item(job)

    # One that waits, or may wait again, has no machine and no earlier step; one that buys tokens seldom rents. Only
    # the last write of all has the sentence for people.
    assert set(Job.__slots__) - set(row) <= {
        "cancelled_by",
        "display",
        "failure",
        "waiting_since",
        "begin_by",
        "looks_again_at",
        "cap_micro_usd",
        "cost_cap_at",
        "reserved_micro_usd",
        "shared_micro_usd",
        "token_micro_usd",
        "token_bound_micro_usd",
        "token_cap_micro_usd",
    }
    assert row_bytes(row) < 1024
    # One that quotes a server at length costs a second unit in its few last writes.
    assert row_bytes(row) + LONGEST_SENTENCE_BYTES - USUAL_SENTENCE_BYTES < 2048
    last = hot_item(replace(job, display="x" * LONGEST_DISPLAY_BYTES))
    assert row_bytes(last) < 2048
    # A job with a cap passes the kilobyte only if it fails with the longest sentence, and all else is long too.
    capped = hot_item(replace(job, cap_micro_usd=999_999_999, cost_cap_at=NOW))
    assert row_bytes(capped) < (1088 if failure else 1024)
    # So may one that is cancelled, by a token whose name is as long as it may be.
    assert row_bytes({"cancelled_by": {"S": f"token:{'n' * 64}"}}) < 128


def row_bytes(row: Mapping[str, AttributeValueTypeDef]) -> int:
    return sum(len(name) + size_bytes(dict(value)) for name, value in row.items())


def test_all_rows_of_a_job_leave_the_table_together(cloud: Cloud) -> None:
    store = put(cloud, a_claimed_job())
    store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))

    rows = cloud.rows()

    of_job = f"JOB#{JOB_ID}"
    assert [(row["pk"]["S"], row["sk"]["S"]) for row in rows] == [
        (of_job, "EVENT#00000001"),
        (of_job, "EVENT#00000002"),
        (of_job, "EVENT#00000003"),
        (of_job, "JOB"),
        (of_job, "REQUEST"),
        (of_job, "RESULT"),
        ("TENANT#default", f"JOB#1795435200000#{JOB_ID}"),
    ]
    assert {row["expires_at"]["N"] for row in rows} == {str(int(after(30 * 86400).timestamp()))}


# ---------------------------------------------------------------- reads and writes


def test_submit_writes_job_request_and_event(cloud: Cloud) -> None:
    store = put(cloud, a_job())

    assert store.read(JOB_ID) == a_job()
    assert store.read_request(a_job()) == json.dumps({"question": JOB_ID})
    assert store.read_events(JOB_ID, 0) == JobHistory(a_job(), (an_event(),))
    assert store.read_with_result(JOB_ID) == StoredJob(a_job(), None)


def test_particulars_stand_beside_the_job_in_its_tenants_list(cloud: Cloud) -> None:
    store, particulars = cloud.store, Particulars("nightly", {"on": "main"}, submitted_by="token:ci")
    assert store.read_particulars(a_job()) == Particulars()

    store.submit(Submission(a_job(), "{}", an_event(), particulars=particulars))

    assert store.read_particulars(a_job()) == particulars


def test_commit_writes_job_events_and_result(cloud: Cloud) -> None:
    job = a_claimed_job()
    transition = make_transition(job, Done('{"answer": "é"}'), after(2), 5)
    store = put(cloud, job)

    assert store.commit(job, transition)

    ended = apply(transition.change, job)
    assert store.read_with_result(JOB_ID) == StoredJob(ended, '{"answer": "é"}')
    assert store.read_events(JOB_ID, 0) == JobHistory(ended, (an_event(), *transition.events))


def commit(store: JobStore, job: Job, outcome: Outcome) -> Job:
    """Commit a turn's end, and return the job as that left it."""
    transition = make_transition(job, outcome, NOW, 5)
    assert store.commit(job, transition)
    return apply(transition.change, job)


def test_commit_of_one_row_is_an_update_and_happens_once(cloud: Cloud) -> None:
    job = a_claimed_job()
    store = put(cloud, job)
    cloud.calls.clear()
    transition = make_transition(job, Again(0), NOW, 5)

    assert store.commit(job, transition)
    # Without a token the second call is refused by what the first one wrote.
    assert not store.commit(job, transition)

    assert cloud.operations == ["UpdateItem", "UpdateItem"]
    assert store.read(JOB_ID) == apply(transition.change, job)


def test_commit_writes_the_state_that_the_next_turn_reads(cloud: Cloud) -> None:
    job = a_claimed_job()
    store = put(cloud, job)
    assert store.read_state(job) is None

    job = commit(store, job, Again(0, state_json='{"runs": 1}'))
    assert store.read_state(job) == '{"runs": 1}'
    job = commit(store, job, Again(0))
    assert store.read_state(job) == '{"runs": 1}'
    commit(store, job, Next(StepName.JUDGE, state_json='{"runs": 2}'))
    assert store.read_state(job) == '{"runs": 2}'


def test_state_leaves_the_table_with_its_job(cloud: Cloud) -> None:
    job = a_claimed_job()
    put(cloud, job).commit(job, make_transition(job, Again(0, state_json="{}"), NOW, 5))

    assert {row["expires_at"]["N"] for row in cloud.rows()} == {str(int(after(30 * 86400).timestamp()))}
    assert "STATE" in {row["sk"]["S"] for row in cloud.rows()}


def test_reads_return_none_when_there_is_no_such_job(cloud: Cloud) -> None:
    store = put(cloud, a_job(job_id="another"))

    assert (store.read(JOB_ID), store.read_with_result(JOB_ID), store.read_events(JOB_ID, 0)) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("after_number", "numbers"), [(0, range(1, 13)), (9, range(10, 13)), (12, []), (99, [])]
)
def test_read_events_returns_the_later_ones_in_order(after_number: int, numbers: range, cloud: Cloud) -> None:
    job = a_claimed_job()
    store = put(cloud, job)
    rest = tuple(an_event(number) for number in range(2, 13))
    store.commit(job, replace(make_transition(job, Next(StepName.WARM_UP), NOW, 5), events=rest))

    history = store.read_events(JOB_ID, after_number)

    assert history
    assert [event.number for event in history.events] == list(numbers)


@pytest.mark.parametrize("seen", [(), (1,), (1, 3), (3,), (2, 3), (1, 2)], ids=str)
@pytest.mark.parametrize("after_number", [0, 1])
def test_read_events_leaves_out_none_of_a_commit_that_is_being_written(
    after_number: int, seen: tuple[int, ...], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_claimed_job(attempts=2)
    store = put(cloud, job)
    assert store.commit(job, make_transition(job, Next(StepName.WARM_UP), NOW, 5))
    query, answers = store._table.query, []

    def query_beside_a_commit(*key: str) -> Iterator[Mapping[str, Any]]:
        """Bring each row as it was before the commit or as it is after it, the first time."""
        answers.append(key)
        is_seen = {f"EVENT#{number:08d}" for number in seen} | {"JOB"}
        return (row for row in query(*key) if len(answers) > 1 or row["sk"]["S"] in is_seen)

    monkeypatch.setattr(store._table, "query", query_beside_a_commit)
    history = store.read_events(JOB_ID, after_number)

    assert history
    assert [event.number for event in history.events] == [*range(after_number + 1, 4)]


def test_read_events_reads_twice_at_most(cloud: Cloud) -> None:
    store = put(cloud, an_ended_job(event_count=9))
    cloud.calls.clear()

    history = store.read_events(JOB_ID, 0)

    assert history
    assert [event.number for event in history.events] == [1]
    assert cloud.operations == ["Query", "Query"]


def test_read_events_reads_on_when_there_are_several_pages(cloud: Cloud) -> None:
    job = a_claimed_job()
    store = put(cloud, job)
    # A page ends at 1 MB.
    for first in range(2, 14, 3):
        long = tuple(an_event(n, labels={"step": "x" * 120_000}) for n in range(first, first + 3))
        transition = replace(make_transition(job, Next(StepName.WARM_UP), NOW, 5), events=long)
        assert store.commit(job, transition)
        job = apply(transition.change, job)
    cloud.calls.clear()

    history = store.read_events(JOB_ID, 0)

    assert history
    assert [event.number for event in history.events] == list(range(1, 14))
    assert len(cloud.operations) > 1


READS: dict[str, Callable[[JobStore], object]] = {
    "read": lambda store: store.read(JOB_ID),
    "read_with_result": lambda store: store.read_with_result(JOB_ID),
    "read_events": lambda store: store.read_events(JOB_ID, 0),
    "read_request": lambda store: store.read_request(a_job()),
    "read_particulars": lambda store: store.read_particulars(a_job()),
    "read_state": lambda store: store.read_state(a_job()),
    "read_many": lambda store: store.read_many([JOB_ID, "another"]),
    "list_jobs": lambda store: store.list_jobs("default", None, 10),
    "read_tallies": lambda store: store.read_tallies("default", NOW),
    "read_usage": lambda store: store.read_usage("default", NOW.date(), NOW.date()),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_read_is_one_consistent_call(read: Callable[[JobStore], object], cloud: Cloud) -> None:
    store = put(cloud, a_job())
    cloud.calls.clear()

    read(store)

    (call,) = cloud.calls
    batch = call.arguments.get("RequestItems", {}).get("rune-test", call.arguments)
    assert batch["ConsistentRead"] is True


def test_find_late_returns_the_longest_overdue_first(cloud: Cloud) -> None:
    store = put(
        cloud,
        a_job(job_id="late", due_at=after(-1)),
        a_job(job_id="latest", due_at=after(-9)),
        a_job(job_id="due now", due_at=NOW),
        a_job(job_id="not yet", due_at=after(0.001)),
        an_ended_job(job_id="ended"),
    )

    assert store.find_late(DueClass.MESSAGE, NOW, 10) == ("latest", "late", "due now")
    assert store.find_late(DueClass.MESSAGE, NOW, 2) == ("latest", "late")


def test_find_late_forgets_a_job_when_it_has_ended(cloud: Cloud) -> None:
    job = a_claimed_job(due_at=after(-1))
    store = put(cloud, job)
    assert store.find_late(DueClass.LEASE, NOW, 10) == (JOB_ID,)

    store.commit(job, make_transition(job, Done("{}"), NOW, 5))

    assert store.find_late(DueClass.LEASE, after(9999), 10) == ()


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data())
def test_dynamodb_agrees_with_the_lifecycles_own_definition(data: st.DataObject, shared_cloud: Cloud) -> None:
    job = data.draw(strategies.jobs)
    change = data.draw(strategies.changes_of(job))
    shared_cloud.dynamodb.put_item(TableName="rune-test", Item=hot_item(job))
    expected = apply(change, job) if allows(change, job) else job

    written = shared_cloud.store.update(JOB_ID, change)

    assert written == (expected if allows(change, job) else Refused(job))
    assert shared_cloud.row(JOB_ID) == hot_item(expected)


# ---------------------------------------------------------------- large bodies


FITTING = {
    "empty": "",
    "short": '{"question": "é"}',
    "longest": "x" * LARGEST_ROW_BYTES,
    "longest in two bytes": "é" * (LARGEST_ROW_BYTES // 2),
}
LARGE_TEXT, OTHER_LARGE_TEXT = "w" * (LARGEST_ROW_BYTES + 1), "z" * (LARGEST_ROW_BYTES + 1)
LARGE = {
    "one too long": "x" * (LARGEST_ROW_BYTES + 1),
    "one too long in two bytes": "é" * (LARGEST_ROW_BYTES // 2) + "x",
    "very long": "x" * 3_000_000,
}


@pytest.mark.parametrize("body", FITTING.values(), ids=FITTING.keys())
def test_body_is_in_its_row_when_it_fits(body: str, cloud: Cloud) -> None:
    job = a_claimed_job()
    cloud.store.submit(Submission(job, body, an_event()))
    cloud.store.commit(job, make_transition(job, Done(body), NOW, 5))

    stored = cloud.store.read_with_result(JOB_ID)

    assert stored
    assert (cloud.store.read_request(job) == body, stored.result_json == body) == (True, True)
    assert cloud.object_keys() == []


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE.keys())
def test_body_is_in_the_bucket_when_it_is_large(body: str, cloud: Cloud) -> None:
    job = a_claimed_job(epoch=3)
    cloud.store.submit(Submission(job, body, an_event()))
    cloud.store.commit(job, make_transition(job, Done(body), NOW, 5))

    stored = cloud.store.read_with_result(JOB_ID)

    assert stored
    assert (cloud.store.read_request(job) == body, stored.result_json == body) == (True, True)
    assert cloud.object_keys() == [f"requests/{JOB_ID}.json", f"results/{JOB_ID}/3.json"]


def test_large_result_stays_the_winners_when_a_zombie_commits_later(cloud: Cloud) -> None:
    zombie, winner = a_claimed_job(epoch=1), a_claimed_job(epoch=2)
    store = put(cloud, winner)
    assert store.commit(winner, make_transition(winner, Done(LARGE_TEXT), NOW, 5))

    assert not store.commit(zombie, make_transition(zombie, Done(OTHER_LARGE_TEXT), NOW, 5))

    stored = store.read_with_result(JOB_ID)
    assert stored
    assert stored.result_json == LARGE_TEXT


def test_large_state_stays_the_winners_when_a_zombie_commits_later(cloud: Cloud) -> None:
    zombie, winner = a_claimed_job(epoch=1), a_claimed_job(epoch=2)
    store = put(cloud, winner)
    assert store.commit(winner, make_transition(winner, Again(0, state_json=LARGE_TEXT), NOW, 5))

    assert not store.commit(zombie, make_transition(zombie, Again(0, state_json=OTHER_LARGE_TEXT), NOW, 5))

    assert store.read_state(winner) == LARGE_TEXT
    assert cloud.object_keys() == [f"results/{JOB_ID}/state-1.json", f"results/{JOB_ID}/state-2.json"]


def test_large_body_is_in_the_bucket_before_the_row_that_points_there(cloud: Cloud) -> None:
    cloud.store.submit(Submission(a_job(), LARGE_TEXT, an_event()))

    assert cloud.operations == ["PutObject", "TransactWriteItems"]


def test_no_bodies_refuses_both_ways() -> None:
    with pytest.raises(StoreUnavailableError):
        NoObjectStore().put("key", "text")
    with pytest.raises(StoreUnavailableError):
        NoObjectStore().get("key")


# ---------------------------------------------------------------- what AWS may answer


def scripted(cloud: Cloud, *script: list[str] | None) -> tuple[DynamoJobStore, ScriptedTransactions]:
    put(cloud, a_claimed_job())
    client = ScriptedTransactions(cloud.dynamodb, list(script))
    return DynamoJobStore(client, "rune-test", NoObjectStore()), client  # type: ignore[arg-type]  # forwards the rest


def test_commit_tries_again_as_the_same_transaction_when_another_write_is_in_the_way(cloud: Cloud) -> None:
    store, client = scripted(cloud, CONFLICT, CONFLICT, None)

    assert store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))
    assert len(client.tokens) == 3
    assert len(set(client.tokens)) == 1


def test_commit_gives_up_when_another_write_is_always_in_the_way(cloud: Cloud) -> None:
    store, client = scripted(cloud, *[CONFLICT] * MAX_TRIES)

    with pytest.raises(StoreUnavailableError):
        store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))

    assert len(client.tokens) == MAX_TRIES
    assert len(set(client.tokens)) == 1


def test_commit_is_refused_when_the_condition_failed_beside_a_conflict(cloud: Cloud) -> None:
    store, client = scripted(cloud, ["ConditionalCheckFailed", "TransactionConflict"])

    assert not store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))
    assert len(client.tokens) == 1


def test_commit_that_is_repeated_after_an_outage_is_the_same_transaction(cloud: Cloud) -> None:
    store, client = scripted(cloud, *[CONFLICT] * MAX_TRIES, None)
    transition = make_transition(a_claimed_job(), Done("{}"), NOW, 5)
    with pytest.raises(StoreUnavailableError):
        store.commit(a_claimed_job(), transition)

    assert store.commit(a_claimed_job(), transition)

    assert len(client.tokens) == MAX_TRIES + 1
    assert len(set(client.tokens)) == 1


THROTTLED = ["ThrottlingError", "ProvisionedThroughputExceeded"]


@pytest.mark.parametrize("code", THROTTLED)
def test_commit_tries_again_as_the_same_transaction_when_it_is_throttled(code: str, cloud: Cloud) -> None:
    store, client = scripted(cloud, ["None", code], [code, "TransactionConflict"], None)

    assert store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))
    assert len(client.tokens) == 3
    assert len(set(client.tokens)) == 1


@pytest.mark.parametrize("code", THROTTLED)
def test_commit_reports_an_outage_when_it_is_throttled_for_long(code: str, cloud: Cloud) -> None:
    store, _ = scripted(cloud, *[["None", code]] * MAX_TRIES)

    with pytest.raises(StoreUnavailableError, match="throttles") as raised:
        store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))

    assert raised.value.retryable


@pytest.mark.parametrize(
    "codes", [["None", "ValidationError"], ["ThrottlingError", "ItemCollectionSizeLimitExceeded"]]
)
def test_commit_is_not_repeated_when_another_try_does_not_help(codes: list[str], cloud: Cloud) -> None:
    store, client = scripted(cloud, codes)

    with pytest.raises(StoreRefusedError):
        store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))

    assert len(client.tokens) == 1


def test_each_commit_is_a_transaction_of_its_own_unless_it_is_repeated(cloud: Cloud) -> None:
    store, client = scripted(cloud, CONFLICT, None, None)

    job = a_claimed_job()
    for seconds in (0, 1):
        transition = make_transition(job, Next(StepName.WARM_UP), after(seconds), 5)
        assert store.commit(job, transition)
        job = apply(transition.change, job)

    first, *repeated, second = client.tokens
    assert set(repeated) == {first}
    assert second != first


def test_update_is_tried_again_when_a_transaction_is_at_work_on_the_row(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cloud, a_job())
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # what each operation goes through
    conflicts = [1, 2]

    def contended(self: BaseClient, operation: str, arguments: object) -> object:
        if operation == "UpdateItem" and conflicts:
            conflicts.pop()
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, operation)
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", contended)

    assert cloud.store.update(JOB_ID, request_cancel(a_job(), NOW)) == apply(
        request_cancel(a_job(), NOW), a_job()
    )


OPERATIONS: dict[str, Callable[[JobStore], object]] = {
    **READS,
    "submit": lambda store: store.submit(Submission(a_job(job_id="new"), "{}", an_event())),
    "update": lambda store: store.update(JOB_ID, request_cancel(a_job(), NOW)),
    "commit": lambda store: store.commit(a_job(), make_transition(a_job(), Done("{}"), NOW, 5)),
    "find_late": lambda store: store.find_late(DueClass.MESSAGE, NOW, 10),
}


def a_client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "a secret"}}, "Any")


ERRORS: list[BotoCoreError | ClientError] = [
    a_client_error("ProvisionedThroughputExceededException"),
    a_client_error("ThrottlingException"),
    a_client_error("AccessDeniedException"),
    a_client_error("ResourceNotFoundException"),
    a_client_error("TransactionInProgressException"),
    EndpointConnectionError(endpoint_url="https://dynamodb"),
    ReadTimeoutError(endpoint_url="https://dynamodb"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
@pytest.mark.parametrize("operate", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_store_reports_itself_unavailable_when_aws_fails(
    operate: Callable[[JobStore], object],
    error: BotoCoreError | ClientError,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    store = cloud.store
    monkeypatch.setattr(BaseClient, "_make_api_call", fail)

    with pytest.raises(StoreUnavailableError) as caught:
        operate(store)

    # Sentences of our own: those of AWS may repeat what was sent.
    is_outage = not isinstance(caught.value, StoreRefusedError)
    assert caught.value.sentence == ("The table cannot be reached now." if is_outage else REFUSED_SENTENCE)
    assert is_outage is is_transient(error)


def test_update_returns_the_job_as_it_was_when_it_refuses(cloud: Cloud) -> None:
    store = put(cloud, a_waiting_job(progress={"chunks": 3}))
    cloud.calls.clear()

    refused = store.update(JOB_ID, claim(a_waiting_job(), 1, "worker-9", NOW))

    assert refused == Refused(a_waiting_job(progress={"chunks": 3}))
    assert cloud.operations == ["UpdateItem"]
