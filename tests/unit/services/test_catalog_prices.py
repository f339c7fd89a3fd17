from datetime import timedelta
from decimal import Decimal

import pytest

from rune.money.catalog import SizedModel
from rune.rentals.market import MarketRow, Scope
from rune.rentals.offers import Offer
from rune.services.catalog_prices import find_cheapest, find_fitting
from tests.builders import NOW
from tests.unit.rentals.scripted import a_wanted, an_offer

MODEL = SizedModel("m:8b", 8_000)


def a_row(*offers: Offer, minutes_ago: int = 0) -> MarketRow:
    return MarketRow(Scope.of(a_wanted()), NOW - timedelta(minutes=minutes_ago), offers, len(offers))


def a_priced(offer_id: int, usd: str, **overrides: object) -> Offer:
    return an_offer(
        **{
            "offer_id": offer_id,
            "machine_id": offer_id,
            "price_usd_per_hour": Decimal(usd),
            "gpu_usd_per_hour": Decimal(usd),
            **overrides,
        }
    )


def test_cheapest_is_the_lowest_price_of_all_rows_with_the_models_disk() -> None:
    dear, cheap = a_priced(1, "0.5"), a_priced(2, "0.3")

    found = find_cheapest([a_row(dear), a_row(cheap, minutes_ago=60)], MODEL)

    assert found is not None
    assert (found.offer, found.as_of) == (cheap, NOW - timedelta(minutes=60))
    assert found.usd_per_hour == cheap.usd_per_hour(41)


def test_cheapest_has_the_price_of_the_latest_search_that_saw_it() -> None:
    found = find_cheapest(
        [a_row(a_priced(1, "0.9")), a_row(a_priced(1, "0.2"), minutes_ago=5), a_row(a_priced(2, "0.4"))],
        MODEL,
    )

    assert found is not None
    assert found.offer.offer_id == 2


@pytest.mark.parametrize(
    "unfit",
    [
        {"vram_mb": 8_799},
        {"disk_gb": 40.0},
        {"is_verified": False},
        {"reliability_ratio": 0.98},
        {"gpu_maker": "amd"},
        {"time_left": timedelta(minutes=59)},
    ],
)
def test_cheapest_leaves_out_what_a_job_would_not_take(unfit: dict[str, object]) -> None:
    assert find_cheapest([a_row(a_priced(1, "0.1", **unfit))], MODEL) is None


def test_fitting_offers_come_cheapest_first() -> None:
    found = find_fitting(
        [a_row(a_priced(1, "0.5"), a_priced(2, "0.3"), a_priced(3, "0.1", disk_gb=1.0))], MODEL
    )

    assert [each.offer.offer_id for each in found] == [2, 1]


def test_cheapest_is_none_where_nothing_was_seen() -> None:
    assert find_cheapest([], MODEL) is None
