from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rune.aws.auth_limiter import DynamoLimiter, from_item, key, to_attributes
from rune.clock import to_epoch_ms
from rune.tenants.limiter import SlidingWindow, subject_of
from tests.builders import NOW, FakeClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.cloud import Cloud

TABLE = "rune-test"
SUBJECT = "203.0.113.7"
NOW_MS = to_epoch_ms(NOW)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def environment(cloud: Cloud, clock: FakeClock) -> Callable[..., DynamoLimiter]:
    """Return a maker of limiters, each with a memory of its own, as Lambda's environments have."""

    def make(own_clock: FakeClock | None = None, **named: int) -> DynamoLimiter:
        return DynamoLimiter(cloud.dynamodb, TABLE, own_clock or clock, **named)

    return make


@pytest.fixture
def limiter(environment: Callable[..., DynamoLimiter]) -> DynamoLimiter:
    return environment()


def fail(limiter: DynamoLimiter, times: int, subject: str = SUBJECT) -> list[int | None]:
    return [limiter.count_failure(subject) for _ in range(times)]


def stored(cloud: Cloud, subject: str = SUBJECT) -> dict[str, Any] | None:
    found = cloud.dynamodb.get_item(TableName=TABLE, Key=key(subject), ConsistentRead=True)
    return found.get("Item")


class Before:
    """Acts before each PutItem of a client, and may answer in DynamoDB's place."""

    def __init__(self, client: DynamoDBClient, act: Callable[[int], object]) -> None:
        self.client, self.act, self.count, self.busy = client, act, 0, False

    def __enter__(self) -> None:
        self.client.meta.events.register("before-call.dynamodb.PutItem", self.on_call)

    def __exit__(self, *_: object) -> None:
        self.client.meta.events.unregister("before-call.dynamodb.PutItem", self.on_call)

    def on_call(self, **_: object) -> Any:  # noqa: ANN401  # botocore's stub says None
        if self.busy:
            return None
        self.busy, self.count = True, self.count + 1
        try:
            answer = self.act(self.count)
            return answer if isinstance(answer, tuple) else None
        finally:
            self.busy = False


def refusing(code: str) -> tuple[AWSResponse, object]:
    error = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return AWSResponse("", 400, HTTPHeaders(), None), error


# One row


def test_row_holds_plain_numbers_beside_its_key(cloud: Cloud, limiter: DynamoLimiter) -> None:
    fail(limiter, 2)

    assert stored(cloud) == {
        "pk": {"S": "LIMIT#203.0.113.7"},
        "sk": {"S": "LIMIT"},
        "n": {"N": "2"},
        "s0": {"N": str(NOW_MS)},
        "s1": {"N": str(NOW_MS)},
        "expires_at": {"N": str(NOW_MS // 1000 + 120)},
    }


@pytest.mark.parametrize(
    "window",
    [
        SlidingWindow(1, (NOW_MS,)),
        SlidingWindow(10, tuple(range(NOW_MS, NOW_MS + 10)), NOW_MS + 60_000),
        SlidingWindow(37, tuple(range(NOW_MS, NOW_MS + 10))),
    ],
)
def test_row_keeps_a_window_as_it_is(window: SlidingWindow) -> None:
    assert from_item(to_attributes(window)) == window


def test_row_keeps_within_one_write_unit_when_full() -> None:
    subject = "2001:db8:1111:2222::/64"
    row = {**key(subject), **to_attributes(SlidingWindow(10**9, (NOW_MS,) * 10, NOW_MS + 60_000))}

    assert len(str(row)) < 1024


# One caller


def test_limiter_blocks_when_ten_failed_and_lets_go_a_minute_after_the_first(
    limiter: DynamoLimiter, clock: FakeClock
) -> None:
    first = limiter.count_failure(SUBJECT)
    clock.advance(30)
    others = fail(limiter, 9)

    assert [first, *others] == [None] * 10
    assert fail(limiter, 2) == [30, 30]
    clock.advance(29.999)
    assert limiter.count_failure(SUBJECT) == 1
    clock.advance(0.001)
    assert fail(limiter, 2) == [None, 30]


def test_limiter_spends_one_write_on_a_failure_and_none_on_a_blocked_caller(
    cloud: Cloud, limiter: DynamoLimiter
) -> None:
    cloud.calls.clear()

    fail(limiter, 10)
    written = stored(cloud)
    fail(limiter, 90)
    recalled, read = limiter.recall(SUBJECT), limiter.read(SUBJECT)

    assert cloud.operations == ["PutItem"] * 10 + ["GetItem"]
    assert stored(cloud) == written
    assert (recalled, read) == (60, 60)


def test_limiter_learns_of_a_block_by_one_call_that_stores_nothing(
    cloud: Cloud, environment: Callable[..., DynamoLimiter]
) -> None:
    fail(environment(), 10)
    written, other = stored(cloud), environment()
    cloud.calls.clear()

    assert fail(other, 5) == [60] * 5
    assert cloud.operations == ["PutItem"]
    assert stored(cloud) == written


def test_limiter_blocks_a_valid_token_too_when_it_reads_the_row(
    cloud: Cloud, environment: Callable[..., DynamoLimiter]
) -> None:
    fail(environment(), 10)
    other = environment()
    cloud.calls.clear()

    assert (other.recall(SUBJECT), other.read(SUBJECT), other.read(SUBJECT)) == (None, 60, 60)
    assert cloud.operations == ["GetItem"]
    # moto is always consistent; DynamoDB would show the row as it was before the tenth failure.
    assert cloud.calls[0].arguments["ConsistentRead"] is True


def test_limiter_learns_from_a_row_that_was_read_together_with_others(
    cloud: Cloud, environment: Callable[..., DynamoLimiter]
) -> None:
    fail(environment(), 10)
    batch = cloud.dynamodb.batch_get_item(
        RequestItems={TABLE: {"Keys": [key(SUBJECT), key("198.51.100.1")], "ConsistentRead": True}}
    )
    rows = {row["pk"]["S"]: row for row in batch["Responses"][TABLE]}
    other = environment()

    assert other.learn(SUBJECT, rows.get("LIMIT#203.0.113.7")) == 60
    assert other.learn("198.51.100.1", rows.get("LIMIT#198.51.100.1")) is None
    assert other.recall(SUBJECT) == 60


@pytest.mark.parametrize("bystander", ["203.0.113.8", "2001:db8:1:3::9", "::ffff:203.0.113.9"])
def test_limiter_leaves_other_addresses_alone(limiter: DynamoLimiter, bystander: str) -> None:
    fail(limiter, 11)
    fail(limiter, 11, subject_of("2001:db8:1:2::9"))

    assert limiter.read(subject_of(bystander)) is None
    assert limiter.count_failure(subject_of(bystander)) is None


def test_limiter_blocks_the_whole_network_of_an_ipv6_address(limiter: DynamoLimiter) -> None:
    answers = [limiter.count_failure(subject_of(f"2001:db8:1:2::{host:x}")) for host in range(11)]

    assert answers == [None] * 10 + [60]


def test_limiter_forgets_whoever_was_seen_longest_ago_when_memory_is_full(
    environment: Callable[..., DynamoLimiter],
) -> None:
    limiter = environment(remembered_subject_count=2)
    for subject in ("a", "b", "c"):
        fail(limiter, 10, subject)

    assert [limiter.recall(subject) for subject in ("a", "b", "c")] == [None, 60, 60]
    assert limiter.read("a") == 60


def test_limiter_keeps_no_memory_of_those_who_never_fail(environment: Callable[..., DynamoLimiter]) -> None:
    limiter = environment(remembered_subject_count=1)
    fail(limiter, 10)

    assert [limiter.read(f"198.51.100.{host}") for host in range(5)] == [None] * 5
    assert limiter.recall(SUBJECT) == 60


# What each part of a condition keeps out


def test_limiter_counts_both_when_two_fail_in_the_same_millisecond(
    cloud: Cloud, environment: Callable[..., DynamoLimiter]
) -> None:
    """Needs `n = :n`: the newest instants are equal."""
    one, other = environment(), environment()
    fail(one, 3)
    other.read(SUBJECT)

    with Before(cloud.dynamodb, lambda count: count == 1 and fail(other, 1)):
        fail(one, 1)

    found = stored(cloud)
    assert found is not None
    assert from_item(found) == SlidingWindow(5, (NOW_MS,) * 5)


def test_limiter_counts_anew_when_an_operator_deleted_the_row(
    cloud: Cloud, environment: Callable[..., DynamoLimiter], clock: FakeClock
) -> None:
    """Needs the newest instant beside `n`: one remembers the deleted row, whose count is equal."""
    one, other = environment(), environment()
    fail(one, 3)
    cloud.dynamodb.delete_item(TableName=TABLE, Key=key(SUBJECT))
    clock.advance(1)
    fail(other, 3)

    fail(one, 1)

    found = stored(cloud)
    assert found is not None
    assert from_item(found) == SlidingWindow(4, (NOW_MS + 1000,) * 4)


def test_limiter_begins_again_when_the_remembered_row_is_gone(cloud: Cloud, limiter: DynamoLimiter) -> None:
    fail(limiter, 3)
    cloud.dynamodb.delete_item(TableName=TABLE, Key=key(SUBJECT))

    assert limiter.count_failure(SUBJECT) is None
    found = stored(cloud)
    assert found is not None
    assert from_item(found).count == 1


def test_limiter_does_not_overwrite_a_row_that_it_has_not_seen(
    cloud: Cloud, environment: Callable[..., DynamoLimiter]
) -> None:
    fail(environment(), 9)

    assert fail(environment(), 2) == [None, 60]


@pytest.mark.parametrize("remembers", [True, False])
def test_limiter_spends_one_write_when_the_row_outlived_its_window(
    cloud: Cloud, environment: Callable[..., DynamoLimiter], clock: FakeClock, *, remembers: bool
) -> None:
    """Needs `expires_at <= :now`: DynamoDB deletes expired rows days later."""
    limiter = environment()
    fail(limiter, 10)
    clock.advance(120)
    cloud.calls.clear()

    answer = (limiter if remembers else environment()).count_failure(SUBJECT)

    assert answer is None
    assert cloud.operations == ["PutItem"]
    found = stored(cloud)
    assert found is not None
    assert from_item(found) == SlidingWindow(1, (NOW_MS + 120_000,))


def test_limiter_spends_one_write_when_the_remembered_window_was_deleted_for_its_age(
    cloud: Cloud, limiter: DynamoLimiter, clock: FakeClock
) -> None:
    fail(limiter, 10)
    clock.advance(120)
    cloud.dynamodb.delete_item(TableName=TABLE, Key=key(SUBJECT))
    cloud.calls.clear()

    assert limiter.count_failure(SUBJECT) is None
    assert cloud.operations == ["PutItem"]


@pytest.mark.parametrize(
    ("failures", "later_seconds", "is_written"),
    [(0, 0, True), (9, 0, True), (10, 0, False), (10, 59.999, False), (10, 60, True)],
)
def test_transaction_is_written_only_when_the_subject_is_not_blocked(
    cloud: Cloud,
    limiter: DynamoLimiter,
    clock: FakeClock,
    failures: int,
    later_seconds: float,
    *,
    is_written: bool,
) -> None:
    fail(limiter, failures)
    clock.advance(later_seconds)
    job = {"pk": {"S": "JOB#1"}, "sk": {"S": "JOB"}}
    writes = [limiter.not_blocked(SUBJECT), {"Put": {"TableName": TABLE, "Item": job}}]

    try:
        cloud.dynamodb.transact_write_items(TransactItems=cast("Any", writes))
    except cloud.dynamodb.exceptions.TransactionCanceledException as refused:
        reasons = refused.response["CancellationReasons"]
        assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "None"]
        assert limiter.learn(SUBJECT, cast("Any", reasons[0]["Item"])) == (60 if later_seconds == 0 else 1)

    assert ("Item" in cloud.dynamodb.get_item(TableName=TABLE, Key=cast("Any", job))) is is_written


# Contention


def test_limiter_asks_again_until_it_has_judged_the_latest_row(
    cloud: Cloud, environment: Callable[..., DynamoLimiter]
) -> None:
    one, other = environment(), environment()
    cloud.calls.clear()

    with Before(cloud.dynamodb, lambda _: fail(other, 1)):
        answer = one.count_failure(SUBJECT)

    assert answer == 60
    # Ten tries were overtaken by ten failures; the tenth refusal showed the block.
    assert cloud.operations == ["PutItem"] * 20


def test_limiter_tries_again_when_a_transaction_holds_the_row(cloud: Cloud, limiter: DynamoLimiter) -> None:
    conflict = refusing("TransactionConflictException")

    with Before(cloud.dynamodb, lambda count: conflict if count < 3 else None):
        assert limiter.count_failure(SUBJECT) is None

    found = stored(cloud)
    assert found is not None
    assert from_item(found).count == 1


def test_limiter_counts_the_caller_as_blocked_when_it_never_gets_through(
    cloud: Cloud, limiter: DynamoLimiter
) -> None:
    cloud.calls.clear()

    with Before(cloud.dynamodb, lambda _: refusing("TransactionConflictException")):
        assert limiter.count_failure(SUBJECT) == 1

    assert cloud.operations == ["PutItem"] * 20
    assert stored(cloud) is None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from([0, 0, 0, 1, 800, 5_000, 30_000, 60_000, 119_000, 121_000])
        ),
        min_size=15,
        max_size=50,
    )
)
def test_limiter_is_exact_when_environments_take_turns_whatever_they_remember(
    cloud: Cloud, turns: list[tuple[int, int]]
) -> None:
    cloud.empty()
    clock, counted = FakeClock(), list[int]()
    limiters = [DynamoLimiter(cloud.dynamodb, TABLE, clock, remembered_subject_count=1) for _ in range(3)]
    for place, step_ms in turns:
        clock.advance(step_ms / 1000)
        now_ms = to_epoch_ms(clock.now())
        in_window = [instant for instant in counted if now_ms - instant < 60_000]
        expected = None if len(in_window) < 10 else -(-(in_window[-10] + 60_000 - now_ms) // 1000)

        assert limiters[place].count_failure(SUBJECT) == expected
        if expected is None:
            counted.append(now_ms)


# Clocks


def test_limiter_holds_its_limit_when_the_clocks_of_environments_differ(
    environment: Callable[..., DynamoLimiter], clock: FakeClock
) -> None:
    fast_clock = FakeClock()
    fast_clock.advance(20)
    fast, slow = environment(fast_clock), environment()

    answers = [limiter.count_failure(SUBJECT) for _ in range(6) for limiter in (fast, slow)]

    assert answers == [None] * 10 + [60, 60]
    clock.advance(79.999)
    assert slow.read(SUBJECT) == 1
    clock.advance(0.001)
    assert slow.read(SUBJECT) is None


# No table


def unreachable(_count: int) -> None:
    raise EndpointConnectionError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com")


def test_limiter_counts_by_itself_when_the_table_cannot_be_reached(
    cloud: Cloud, environment: Callable[..., DynamoLimiter], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = environment(), environment()

    with Before(cloud.dynamodb, unreachable):
        assert fail(one, 11) == [None] * 10 + [60]
        assert fail(other, 1) == [None]

    assert {record.getMessage() for record in caplog.records} == {"limiter.unreachable"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.__dict__["reason"] for record in caplog.records} == {"EndpointConnectionError"}


def test_limiter_names_a_refusal_when_the_table_refuses_its_call(
    cloud: Cloud, limiter: DynamoLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    with Before(cloud.dynamodb, lambda _: refusing("AccessDeniedException")):
        assert limiter.count_failure(SUBJECT) is None

    (record,) = caplog.records
    assert (record.levelno, record.__dict__["reason"]) == (logging.ERROR, "AccessDeniedException")
    assert record.__dict__["metric"] == "CallsRefused"


def test_limiter_returns_to_the_row_when_the_table_is_back(cloud: Cloud, limiter: DynamoLimiter) -> None:
    fail(limiter, 2)
    with Before(cloud.dynamodb, lambda _: refusing("ProvisionedThroughputExceededException")):
        fail(limiter, 3)

    assert limiter.count_failure(SUBJECT) is None
    found = stored(cloud)
    assert found is not None
    assert from_item(found).count == 3


def test_limiter_lets_a_caller_pass_when_the_table_cannot_be_read(
    cloud: Cloud, limiter: DynamoLimiter
) -> None:
    cloud.dynamodb.delete_table(TableName=TABLE)

    assert limiter.read(SUBJECT) is None


def test_limiter_knows_nothing_of_a_subject_without_row(limiter: DynamoLimiter) -> None:
    assert limiter.learn(SUBJECT, None) is None
    assert limiter.recall(SUBJECT) is None
