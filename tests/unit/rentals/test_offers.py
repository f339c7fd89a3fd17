from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.offers import Offer, RejectionReason, Selection, find_rejection_reason, select_offers
from rune.rentals.record import Prices
from tests.unit.rentals.scripted import a_wanted, an_offer

REQUIREMENTS = a_wanted()

REJECTED: list[tuple[RejectionReason, dict[str, object]]] = [
    (RejectionReason.TAKEN, {"is_rentable": False}),
    (RejectionReason.VRAM, {"vram_mb": 21_999}),
    (RejectionReason.DISK, {"disk_gb": 54.99}),
    (
        RejectionReason.BELOW_MIN_PRICE,
        {"price_usd_per_hour": Decimal("0.0999"), "gpu_usd_per_hour": Decimal(0)},
    ),
    (RejectionReason.ABOVE_MAX_PRICE, {"price_usd_per_hour": Decimal("0.5001")}),
    (RejectionReason.UNRELIABLE, {"reliability_ratio": 0.9899}),
    (RejectionReason.UNVERIFIED, {"is_verified": False}),
    (RejectionReason.PORTS, {"port_count": 0}),
    (RejectionReason.SLOW_NETWORK, {"download_mbit_per_second": 153.3}),
    (RejectionReason.TRAFFIC_PRICE, {"download_usd_per_gb": Decimal("0.0201")}),
    (RejectionReason.ENDS_SOON, {"time_left": timedelta(hours=2, seconds=-1)}),
]

AT_THE_LIMIT: list[dict[str, object]] = [
    {"vram_mb": 22_000},
    {"disk_gb": 55.0},
    {"price_usd_per_hour": Decimal("0.1"), "gpu_usd_per_hour": Decimal(0)},
    {"price_usd_per_hour": Decimal("0.5")},
    {"reliability_ratio": 0.99},
    {"port_count": 1},
    {"download_mbit_per_second": 153.34},
    {"download_usd_per_gb": Decimal("0.02")},
    {"time_left": timedelta(hours=2)},
]


@pytest.mark.parametrize(("reason", "overrides"), REJECTED, ids=[reason for reason, _ in REJECTED])
def test_find_rejection_reason_names_the_one_term_that_an_offer_violates(
    reason: RejectionReason, overrides: dict[str, object]
) -> None:
    assert find_rejection_reason(an_offer(**overrides), REQUIREMENTS, ()) is reason


@pytest.mark.parametrize("overrides", AT_THE_LIMIT, ids=[next(iter(each)) for each in AT_THE_LIMIT])
def test_find_rejection_reason_finds_none_when_an_offer_is_just_at_the_limit(
    overrides: dict[str, object],
) -> None:
    assert find_rejection_reason(an_offer(**overrides), REQUIREMENTS, ()) is None


def test_find_rejection_reason_refuses_a_machine_that_failed_before_under_whatever_offer() -> None:
    rotated = an_offer(offer_id=7)

    assert find_rejection_reason(rotated, REQUIREMENTS, {rotated.machine_id}) is RejectionReason.FAILED_BEFORE
    assert find_rejection_reason(rotated, REQUIREMENTS, {rotated.offer_id}) is None


def test_find_rejection_reason_covers_every_reason() -> None:
    assert {reason for reason, _ in REJECTED} | {RejectionReason.FAILED_BEFORE} == set(RejectionReason)


@pytest.mark.parametrize(("vram_mb", "offered_mb"), [(20_000, 22_000), (8_001, 8_802), (1, 2)])
def test_wanted_asks_for_a_tenth_more_memory_rounded_up(vram_mb: int, offered_mb: int) -> None:
    assert a_wanted(vram_mb=vram_mb).offered_vram_mb == offered_mb


@pytest.mark.parametrize(("download_gb", "mbit_per_second"), [(1, 100.0), (15, 100.0), (30, 200.0)])
def test_wanted_asks_for_the_bandwidth_that_takes_twenty_minutes(
    download_gb: int, mbit_per_second: float
) -> None:
    assert a_wanted(download_gb=download_gb).download_mbit_per_second == mbit_per_second


@pytest.mark.parametrize(
    ("quoted", "disk_gb", "price"),
    [
        ("0.3578", 36, "0.3578"),  # 0.3467 + 36 GB * 0.2 / 720 = 0.3567: the quote is higher
        ("0.3481", 360, "0.4467"),  # quoted with the server's own small disk
        ("0.3467", 0, "0.3467"),
    ],
)
def test_offer_costs_the_quote_or_its_parts_whichever_is_more(quoted: str, disk_gb: int, price: str) -> None:
    assert an_offer(price_usd_per_hour=Decimal(quoted)).usd_per_hour(disk_gb) == Decimal(price)


def test_find_rejection_reason_judges_the_price_with_the_disk_that_will_be_rented() -> None:
    underquoted = an_offer(price_usd_per_hour=Decimal("0.36"), storage_usd_per_gb_month=Decimal(3))

    assert find_rejection_reason(underquoted, replace(REQUIREMENTS, disk_gb=30), ()) is None
    assert find_rejection_reason(underquoted, REQUIREMENTS, ()) is RejectionReason.ABOVE_MAX_PRICE


def test_offer_is_written_down_with_each_part_rounded_up() -> None:
    offer = an_offer(
        price_usd_per_hour=Decimal("0.5000001"),
        storage_usd_per_gb_month=Decimal("0.1"),
        download_usd_per_gb=Decimal("0.0020001"),
    )

    # 55 GB * 0.1 / 720 = 0.00763888...; the quote less that is 0.49236121...
    assert offer.prices(55) == Prices(492_362, 7_639, 2_001)


def test_select_offers_orders_by_speed_per_dollar() -> None:
    slow = an_offer(offer_id=1, machine_id=1, speed=50.0, price_usd_per_hour=Decimal("0.37"))
    dear = an_offer(offer_id=2, machine_id=2, speed=100.0, price_usd_per_hour=Decimal("0.49"))
    best = an_offer(offer_id=3, machine_id=3, speed=100.0, price_usd_per_hour=Decimal("0.40"))

    assert select_offers([slow, dear, best], REQUIREMENTS, ()).offers == (best, dear, slow)


def test_select_offers_prefers_the_surer_host_then_the_lower_id_when_the_value_is_equal() -> None:
    sure = an_offer(offer_id=9, reliability_ratio=0.999)
    low, high = an_offer(offer_id=1), an_offer(offer_id=2)

    assert select_offers([high, low, sure], REQUIREMENTS, ()).offers == (sure, low, high)


def test_select_offers_tells_the_reason_of_every_machine_that_it_leaves() -> None:
    small, far = an_offer(machine_id=1, vram_mb=8000), an_offer(machine_id=2, port_count=0)
    failed = an_offer(machine_id=3)

    selection = select_offers([small, far, failed], REQUIREMENTS, {3})

    assert selection == Selection(
        (), ((1, RejectionReason.VRAM), (2, RejectionReason.PORTS), (3, RejectionReason.FAILED_BEFORE))
    )


offers = st.builds(
    an_offer,
    offer_id=st.integers(1, 50),
    machine_id=st.integers(1, 9),
    vram_mb=st.integers(20_000, 24_000),
    price_usd_per_hour=st.decimals(0, 1, places=4),
    gpu_usd_per_hour=st.decimals(0, 1, places=4),
    storage_usd_per_gb_month=st.decimals(0, 2, places=3),
    download_usd_per_gb=st.decimals(0, Decimal("0.03"), places=3),
    disk_gb=st.floats(40, 70),
    reliability_ratio=st.floats(0.98, 1),
    is_verified=st.booleans(),
    port_count=st.integers(-1, 3),
    download_mbit_per_second=st.floats(0, 400),
    time_left=st.timedeltas(timedelta(0), timedelta(hours=4)),
    speed=st.floats(0, 200),
    is_rentable=st.booleans(),
)


@given(st.lists(offers, max_size=12), st.sets(st.integers(1, 9)))
def test_select_offers_never_takes_an_offer_that_violates_a_term(
    found: list[Offer], failed: set[int]
) -> None:
    selection = select_offers(found, REQUIREMENTS, failed)

    assert len(selection.offers) + len(selection.rejections) == len(found)
    for offer in selection.offers:
        price = offer.gpu_usd_per_hour + offer.storage_usd_per_gb_month * 55 / 720
        assert max(price, offer.price_usd_per_hour) <= Decimal("0.5")
        assert max(price, offer.price_usd_per_hour) >= Decimal("0.1")
        assert offer.is_rentable
        assert offer.is_verified
        assert offer.machine_id not in failed
        assert offer.vram_mb >= 22_000
        assert offer.disk_gb >= 55
        assert offer.reliability_ratio >= 0.99
        assert offer.port_count >= 1
        assert offer.download_mbit_per_second * 1200 >= 23 * 8000 - 0.001
        assert offer.download_usd_per_gb <= Decimal("0.02")
        assert offer.time_left >= timedelta(hours=2)


@given(st.lists(offers, max_size=12))
def test_select_offers_takes_the_same_offer_however_the_market_is_listed(found: list[Offer]) -> None:
    by_id = list({offer.offer_id: offer for offer in found}.values())

    assert (
        select_offers(by_id, REQUIREMENTS, ()).offers == select_offers(by_id[::-1], REQUIREMENTS, ()).offers
    )
