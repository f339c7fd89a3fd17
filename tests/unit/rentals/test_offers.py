from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.rentals.images import GpuNeeds
from rune.rentals.offers import RejectionReason, find_rejection_reason
from rune.rentals.record import Prices
from tests.unit.rentals.scripted import a_wanted, an_offer

REQUIREMENTS = a_wanted()

REJECTED: list[tuple[RejectionReason, dict[str, object]]] = [
    (RejectionReason.TAKEN, {"is_rentable": False}),
    (RejectionReason.ARCHITECTURE, {"gpu_maker": "amd", "compute_capability": 942}),
    (RejectionReason.ARCHITECTURE, {"cpu_architecture": "arm64"}),
    (RejectionReason.COMPUTE_CAPABILITY, {"compute_capability": 370}),
    (RejectionReason.COMPUTE_CAPABILITY, {"compute_capability": 0}),
    (RejectionReason.CUDA, {"cuda_version": 12.3}),
    (RejectionReason.CUDA, {"cuda_version": 0.0}),
    (RejectionReason.CUDA, {"cuda_version": 12.7, "compute_capability": 1200}),
    (RejectionReason.CUDA, {"cuda_version": 12.7, "compute_capability": 610}),
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
    {"gpu_maker": "", "cpu_architecture": ""},
    {"compute_capability": 500},
    {"cuda_version": 12.4},
    {"cuda_version": 12.8, "compute_capability": 1200},
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


@pytest.mark.parametrize(("reason", "overrides"), REJECTED, ids=str)
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
    # The cap and the time are matters of what is expected of the job: tests of the ranking.
    others = {
        RejectionReason.FAILED_BEFORE,
        RejectionReason.FAILED_LATELY,
        RejectionReason.COST_CAP,
        RejectionReason.TOO_LATE,
    }
    assert {reason for reason, _ in REJECTED} | others == set(RejectionReason)


def test_find_rejection_reason_refuses_a_host_that_failed_other_jobs_lately() -> None:
    offer = an_offer()

    reason = find_rejection_reason(offer, REQUIREMENTS, (), {offer.machine_id})

    assert reason is RejectionReason.FAILED_LATELY


def test_find_rejection_reason_asks_for_what_the_image_needs() -> None:
    needs = replace(REQUIREMENTS, gpu=GpuNeeds(900, 13.0))

    assert find_rejection_reason(an_offer(cuda_version=13.0), needs) is RejectionReason.COMPUTE_CAPABILITY
    assert find_rejection_reason(an_offer(compute_capability=900), needs) is RejectionReason.CUDA
    assert find_rejection_reason(an_offer(compute_capability=900, cuda_version=13.0), needs) is None


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
