"""The shared provider limits in DynamoDB, and in memory where both must do the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from rune.aws.provider_limits import MAX_SHARED_BYTES, DynamoProviderLimits
from rune.errors import StoreUnavailableError
from rune.rentals.store import Endpoint, ProviderLimits
from tests.builders import NOW, after
from tests.rental_builders import a_listing, an_instance

if TYPE_CHECKING:
    from tests.cloud import Cloud

TABLE = "rune-test"
THREADS = 20
INTERVAL = timedelta(seconds=6)
AT_ONCE = timedelta(0)


def at_once[T](call: Callable[[], T]) -> list[T]:
    """Return what `THREADS` calls that begin together came to."""
    start = Barrier(THREADS)

    def begin(_: int) -> T:
        start.wait(30)
        return call()

    from tests.cloud import one_at_a_time  # noqa: PLC0415  # loads moto

    with one_at_a_time("update_item"), ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


# ---------------------------------------------------------------- reserve


def test_call_is_taken_once_an_interval(provider_limits: ProviderLimits) -> None:
    asked = [after(seconds) for seconds in (0, 0, 2.5, 5.999, 6, 6.001, 12, 100)]

    assert [provider_limits.reserve(Endpoint.SEARCH, now, INTERVAL).total_seconds() for now in asked] == [
        0, 6, 3.5, 0.001, 0, 5.999, 0, 0,
    ]  # fmt: skip


def test_exactly_one_of_many_threads_wins_each_interval(cloud: Cloud) -> None:
    provider_limits = DynamoProviderLimits(cloud.dynamodb, TABLE)

    for round_number in range(5):
        now = NOW + round_number * INTERVAL
        waits = at_once(lambda now=now: provider_limits.reserve(Endpoint.SEARCH, now, INTERVAL))  # type: ignore[misc]  # bound
        assert sorted(waits) == [AT_ONCE] + [INTERVAL] * (THREADS - 1)


def test_endpoints_are_counted_apart(provider_limits: ProviderLimits) -> None:
    assert [provider_limits.reserve(endpoint, NOW, INTERVAL) for endpoint in Endpoint] == [AT_ONCE] * len(
        Endpoint
    )
    assert [provider_limits.reserve(endpoint, NOW, INTERVAL) for endpoint in Endpoint] == [INTERVAL] * len(
        Endpoint
    )


def test_who_is_refused_never_waits_zero(provider_limits: ProviderLimits) -> None:
    provider_limits.reserve(Endpoint.LIST, NOW, timedelta(milliseconds=1))

    assert provider_limits.reserve(Endpoint.LIST, NOW, INTERVAL) == timedelta(milliseconds=1)


def test_wrong_clock_keeps_nobody_from_calling(provider_limits: ProviderLimits) -> None:
    provider_limits.reserve(Endpoint.DESTROY, after(3600), INTERVAL)

    assert provider_limits.reserve(Endpoint.DESTROY, NOW, INTERVAL) == AT_ONCE
    assert provider_limits.reserve(Endpoint.DESTROY, NOW, INTERVAL) == INTERVAL


# ---------------------------------------------------------------- back_off


@pytest.mark.parametrize("seconds", [(30,), (30, 10), (10, 30), (30, 30)])
def test_nobody_calls_before_the_latest_moment_of_all(
    seconds: tuple[int, ...], provider_limits: ProviderLimits
) -> None:
    for each in seconds:
        provider_limits.back_off(Endpoint.CREATE, after(each))

    assert provider_limits.reserve(Endpoint.CREATE, NOW, INTERVAL) == timedelta(seconds=30)
    assert provider_limits.reserve(Endpoint.CREATE, after(30), INTERVAL) == AT_ONCE
    assert provider_limits.reserve(Endpoint.SEARCH, NOW, INTERVAL) == AT_ONCE


def test_earlier_moment_does_not_shorten_an_interval_that_runs(provider_limits: ProviderLimits) -> None:
    provider_limits.reserve(Endpoint.CREATE, NOW, INTERVAL)

    provider_limits.back_off(Endpoint.CREATE, after(1))

    assert provider_limits.reserve(Endpoint.CREATE, after(1), INTERVAL) == timedelta(seconds=5)


# ---------------------------------------------------------------- listings


def test_no_listing_is_there_before_one_is_shared(provider_limits: ProviderLimits) -> None:
    assert provider_limits.read_listing() is None


LISTINGS = {
    "of nothing": a_listing(),
    "of an unknown account": a_listing(account_id=None),
    "of one machine": a_listing(an_instance()),
    "of machines that say little": a_listing(
        an_instance(
            contract_id=7,
            label=None,
            machine_id=None,
            actual_status=None,
            intended_status=None,
            cur_state=None,
            next_state=None,
            status_text="",
            address=None,
            host_ports={},
        ),
        an_instance(contract_id=8, status_text='an "odd" text, ⚠', host_ports={"22/tcp": 1, "80/tcp": 2}),
    ),
}


@pytest.mark.parametrize("listing", LISTINGS)
def test_listing_comes_back_as_it_was_shared(listing: str, provider_limits: ProviderLimits) -> None:
    provider_limits.share_listing(LISTINGS[listing])

    assert provider_limits.read_listing() == LISTINGS[listing]


@pytest.mark.parametrize(
    ("seconds", "is_replaced"),
    [(-1200.001, True), (-1200, False), (-1, False), (0, False), (0.001, True), (5, True)],
)
def test_listing_is_replaced_only_by_a_later_one(
    seconds: float, is_replaced: bool, provider_limits: ProviderLimits
) -> None:
    first, second = a_listing(an_instance()), a_listing(begun_at=after(seconds))
    provider_limits.share_listing(first)

    provider_limits.share_listing(second)

    assert provider_limits.read_listing() == (second if is_replaced else first)


def test_listing_of_a_newer_version_is_read_as_far_as_it_is_understood(cloud: Cloud) -> None:
    provider_limits = DynamoProviderLimits(cloud.dynamodb, TABLE)
    provider_limits.share_listing(a_listing(an_instance()))
    key = {"pk": {"S": "PROVIDER"}, "sk": {"S": "LISTING"}}
    row = cloud.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
    newer = [{**each, "colour": "green"} for each in json.loads(row["instances"]["S"])]
    cloud.dynamodb.put_item(TableName=TABLE, Item={**row, "instances": {"S": json.dumps(newer)}})

    assert provider_limits.read_listing() == a_listing(an_instance())


def test_latest_of_many_listings_shared_at_once_is_there(cloud: Cloud) -> None:
    provider_limits = DynamoProviderLimits(cloud.dynamodb, TABLE)
    listings = iter([a_listing(begun_at=after(second)) for second in range(THREADS)])

    at_once(lambda: provider_limits.share_listing(next(listings)))

    assert provider_limits.read_listing() == a_listing(begun_at=after(THREADS - 1))


def test_listing_that_no_row_holds_is_not_shared(cloud: Cloud) -> None:
    provider_limits = DynamoProviderLimits(cloud.dynamodb, TABLE)
    provider_limits.share_listing(a_listing(an_instance()))
    wide = an_instance(status_text="x" * (MAX_SHARED_BYTES // 2))

    provider_limits.share_listing(a_listing(wide, begun_at=after(1)))
    assert provider_limits.read_listing() == a_listing(wide, begun_at=after(1))

    provider_limits.share_listing(a_listing(wide, wide, begun_at=after(2)))
    assert provider_limits.read_listing() == a_listing(wide, begun_at=after(1))


# ---------------------------------------------------------------- no table, and what moto takes


def test_every_call_says_when_the_table_cannot_be_reached(cloud: Cloud) -> None:
    provider_limits = DynamoProviderLimits(cloud.dynamodb, "no-such-table")
    calls: list[Callable[[], object]] = [
        lambda: provider_limits.reserve(Endpoint.LIST, NOW, INTERVAL),
        lambda: provider_limits.back_off(Endpoint.LIST, NOW),
        provider_limits.read_listing,
        lambda: provider_limits.share_listing(a_listing()),
    ]

    for call in calls:
        with pytest.raises(StoreUnavailableError):
            call()


def test_no_write_has_an_empty_map_of_names(cloud: Cloud) -> None:
    """DynamoDB: "ExpressionAttributeNames must not be empty"; moto takes it."""
    provider_limits = DynamoProviderLimits(cloud.dynamodb, TABLE)
    provider_limits.reserve(Endpoint.LIST, NOW, INTERVAL)
    provider_limits.back_off(Endpoint.LIST, after(60))
    provider_limits.share_listing(a_listing())

    writes = [call.arguments for call in cloud.calls if call.operation == "UpdateItem"]
    assert [write.get("ExpressionAttributeNames") == {} for write in writes] == [False] * 3
