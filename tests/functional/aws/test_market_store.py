"""The market as last seen in DynamoDB, and in memory where both must do the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from rune.aws.market_store import DynamoMarketStore
from rune.errors import StoreUnavailableError
from rune.rentals.forecast import ExpectedUse
from rune.rentals.market import MARKET_KEPT, MarketRow, MarketStore, Scope, make_market_row
from rune.rentals.ranking import Market, select_offers
from tests.builders import NOW, after
from tests.unit.rentals.scripted import a_wanted, an_offer

if TYPE_CHECKING:
    from tests.cloud import Cloud

TABLE = "rune-test"
SCOPE = Scope(22_000, 55, Decimal("0.5"), 0.99, timedelta(hours=2))
ROW = MarketRow(SCOPE, NOW, (an_offer(disk_gb=812.0),), 64)


def test_market_is_unknown_until_a_search(market_store: MarketStore) -> None:
    assert market_store.read(NOW) == ()


def test_rows_are_read_as_written_smallest_memory_first(market_store: MarketStore) -> None:
    large = replace(ROW, scope=replace(SCOPE, vram_mb=700_000))
    for row in (large, ROW):
        market_store.note(row)

    assert market_store.read(NOW) == (ROW, large)


@pytest.mark.parametrize(
    ("scope", "seconds", "is_kept"),
    [
        (SCOPE, 0, True),
        (SCOPE, 1, False),
        (SCOPE, -1, True),
        (replace(SCOPE, max_usd_per_hour=Decimal("0.4")), 60, True),
        (replace(SCOPE, reliability_ratio=0.999), 60, True),
        (replace(SCOPE, time_needed=timedelta(hours=3)), 60, True),
        (replace(SCOPE, vram_mb=23_000), 60, True),
        (replace(SCOPE, disk_gb=900), 60, True),
        (replace(SCOPE, max_usd_per_hour=Decimal("0.4")), 21_600, True),
        (replace(SCOPE, max_usd_per_hour=Decimal("0.4")), 21_601, False),
    ],
    ids=[
        "same",
        "later",
        "earlier",
        "cheaper",
        "surer",
        "longer",
        "more memory",
        "more disk",
        "6 h",
        "after a while",
    ],
)
def test_row_is_kept_until_a_later_search_that_is_as_wide(
    market_store: MarketStore, scope: Scope, seconds: float, is_kept: bool
) -> None:
    market_store.note(ROW)
    later = MarketRow(scope, after(seconds), (), 0)

    market_store.note(later)

    assert market_store.read(NOW) == ((ROW if is_kept else later),)


@pytest.mark.parametrize(
    "scope",
    [replace(SCOPE, vram_mb=23_000), replace(SCOPE, disk_gb=900)],
    ids=["more memory", "more disk"],
)
def test_search_for_more_in_the_class_replaces_a_row_with_what_it_has_seen(
    market_store: MarketStore, scope: Scope
) -> None:
    market_store.note(ROW)
    later = replace(ROW, scope=scope, as_of=after(60))

    market_store.note(later)

    assert market_store.read(NOW) == (later,)


def test_row_expires(market_store: MarketStore) -> None:
    market_store.note(ROW)

    assert market_store.read(NOW + MARKET_KEPT - timedelta(seconds=1)) == (ROW,)
    assert market_store.read(NOW + MARKET_KEPT) == ()


def test_row_of_a_full_search_is_below_4_kb(cloud: Cloud) -> None:
    offers = tuple(an_offer(offer_id=n, place="x" * 64) for n in range(30_000_000, 30_000_192))
    selection = select_offers(offers, a_wanted(), ExpectedUse(2.0, 12.0, 5_000), Market())

    DynamoMarketStore(cloud.dynamodb, TABLE).note(make_market_row(a_wanted(), offers, selection, NOW))

    (item,) = cloud.dynamodb.scan(TableName=TABLE)["Items"]
    size = sum(len(name) + len(str(next(iter(value.values())))) for name, value in item.items())
    assert 3_500 < size < 4_000


def test_row_that_cannot_be_understood_is_left_out(cloud: Cloud) -> None:
    market_store = DynamoMarketStore(cloud.dynamodb, TABLE)
    market_store.note(ROW)
    market_store.note(replace(ROW, scope=replace(SCOPE, vram_mb=700_000)))
    (first, second) = cloud.dynamodb.scan(TableName=TABLE)["Items"]
    cloud.dynamodb.put_item(TableName=TABLE, Item={**first, "offers": {"S": "{}"}})
    cloud.dynamodb.put_item(TableName=TABLE, Item={**second, "format": {"N": "99"}})

    assert market_store.read(NOW) == ()


def test_store_that_cannot_be_reached_says_so(cloud: Cloud) -> None:
    market_store = DynamoMarketStore(cloud.dynamodb, "no-such-table")

    with pytest.raises(StoreUnavailableError):
        market_store.note(ROW)
    with pytest.raises(StoreUnavailableError):
        market_store.read(NOW)
