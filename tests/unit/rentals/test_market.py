from dataclasses import fields
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.rentals.forecast import ExpectedUse
from rune.rentals.market import (
    CLASSES_GB,
    LARGEST_OFFERS_BYTES,
    MarketRow,
    Scope,
    decode_offers,
    encode_offers,
    make_market_row,
    replaces,
)
from rune.rentals.offers import Offer
from rune.rentals.ranking import Market, select_offers
from tests.builders import NOW, after
from tests.unit.rentals.scripted import a_wanted, an_offer

SCOPE = Scope(22_000, 55, Decimal("0.5"), 0.99, timedelta(hours=2))
USE = ExpectedUse(2.0, 12.0, 5_000)


def a_row(seconds: float, scope: Scope = SCOPE) -> MarketRow:
    return MarketRow(scope, after(seconds), (), 0)


def seen(*offers: Offer) -> MarketRow:
    wanted = a_wanted()
    return make_market_row(wanted, offers, select_offers(offers, wanted, USE, Market()), NOW)


def test_offer_is_read_as_it_was_written() -> None:
    offer = an_offer(disk_gb=812.0, is_verified=False, place="São Paulo, BR")

    assert decode_offers(encode_offers((offer, an_offer(offer_id=2)))) == (
        offer,
        an_offer(offer_id=2, disk_gb=812.0),
    )


def test_every_field_of_an_offer_is_written() -> None:
    names = encode_offers(()).partition("[")[2].partition("]")[0]

    assert [name.strip('"') for name in names.split(",")] == [each.name for each in fields(Offer)]


def test_fields_of_a_later_version_are_ignored() -> None:
    text = encode_offers((an_offer(disk_gb=812.0),))
    later = text.replace('"is_rentable"]', '"is_rentable","colour"]').replace(",1]]", ',1,"red"]]')

    assert decode_offers(later) == (an_offer(disk_gb=812.0),)


def test_offers_that_lack_a_field_are_left_out() -> None:
    assert decode_offers('{"fields":["offer_id"],"offers":[[1]]}') == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fields":[],"offers":7}'])
def test_text_without_offers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offers|char 0"):
        decode_offers(text)


def test_row_holds_the_best_offers_and_then_the_cheapest() -> None:
    dear = [an_offer(offer_id=n, machine_id=n, price_usd_per_hour=Decimal("0.49")) for n in range(1, 21)]
    cheap = an_offer(offer_id=99, machine_id=99, price_usd_per_hour=Decimal("0.2"), is_verified=False)

    row = seen(*dear, cheap)

    assert [offer.offer_id for offer in row.offers][:17] == [*range(1, 17), 99]
    assert row.offer_count == 21


def test_row_stays_small_when_a_search_has_seen_much() -> None:
    offers = [an_offer(offer_id=n, machine_id=n, place="x" * 64) for n in range(30_000_000, 30_000_192)]

    row = seen(*offers)

    text = encode_offers(row.offers)
    assert LARGEST_OFFERS_BYTES - 250 < len(text) <= LARGEST_OFFERS_BYTES
    assert len(row.offers) >= 16
    assert row.offer_count == 192


@pytest.mark.parametrize(
    ("vram_mb", "class_gb"), [(0, 0), (8_191, 0), (8_192, 8), (22_000, 16), (10**7, 1024)]
)
def test_class_of_a_search_is_the_largest_that_it_does_not_exclude(vram_mb: int, class_gb: int) -> None:
    scope = Scope(vram_mb, 55, Decimal(1), 0.99, timedelta(hours=1))

    assert scope.class_gb == class_gb
    assert class_gb in CLASSES_GB


@pytest.mark.parametrize(
    ("later", "is_replaced"),
    [
        (a_row(0), False),
        (a_row(-1), False),
        (a_row(1), True),
        (a_row(60, Scope(9_000, 55, Decimal("0.6"), 0.98, timedelta(hours=1))), True),
        # It saw nothing, and asked for more disk: that says nothing of others.
        (a_row(60, Scope(9_000, 90, Decimal("0.6"), 0.98, timedelta(hours=1))), False),
        (a_row(60, Scope(22_000, 55, Decimal("0.4"), 0.99, timedelta(hours=2))), False),
        (a_row(60, Scope(22_000, 55, Decimal("0.5"), 0.999, timedelta(hours=2))), False),
        (a_row(60, Scope(22_000, 55, Decimal("0.5"), 0.99, timedelta(hours=3))), False),
        (a_row(21_600, Scope(22_000, 55, Decimal("0.4"), 0.99, timedelta(hours=2))), False),
        (a_row(21_601, Scope(22_000, 55, Decimal("0.4"), 0.999, timedelta(hours=3))), True),
    ],
    ids=["same", "earlier", "later", "wider", "larger", "cheaper", "surer", "longer", "at 6 h", "after 6 h"],
)
def test_row_is_replaced_by_a_later_search_that_is_as_wide(later: MarketRow, is_replaced: bool) -> None:
    assert replaces(later, a_row(0)) is is_replaced


def test_scope_holds_one_that_asks_for_more() -> None:
    more = Scope(30_000, 80, Decimal("0.4"), 0.995, timedelta(hours=3))

    assert SCOPE.holds(more)
    assert not more.holds(SCOPE)
    assert not SCOPE.holds(Scope(8_000, 80, Decimal("0.4"), 0.995, timedelta(hours=3)))
    assert not SCOPE.holds(Scope(30_000, 40, Decimal("0.4"), 0.995, timedelta(hours=3)))
