from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.forecast import ExpectedUse, forecast, least_usd
from rune.rentals.hosts import HostRecord
from rune.rentals.offers import Offer
from tests.unit.rentals.scripted import an_offer

ONE_ANSWER = ExpectedUse(image_gb=2.0, weights_gb=4.9, token_count=500)
PLAIN = an_offer(
    price_usd_per_hour=Decimal("0.36"),
    gpu_usd_per_hour=Decimal("0.36"),
    storage_usd_per_gb_month=Decimal(0),
    download_usd_per_gb=Decimal("0.01"),
    download_mbit_per_second=800.0,
    reliability_ratio=1.0,
)


def usd(offer: Offer = PLAIN, use: ExpectedUse = ONE_ANSWER, host: HostRecord | None = None) -> float:
    return float(forecast(offer, use, 40, host or HostRecord()).expected_usd)


def test_forecast_adds_up_download_load_work_and_traffic() -> None:
    told = forecast(PLAIN, ONE_ANSWER, 40)

    # 30 s beside the work, 49 s of download, 2.45 s of loading, 500 tokens of 4.9 / 756 s and 2 ms each.
    seconds = 30 + 49 + 2.45 + 500 * (4.9 / 756 + 0.002)
    assert told.busy.total_seconds() == pytest.approx(seconds)
    assert told.traffic_usd == pytest.approx(Decimal("0.069"))
    assert float(told.expected_usd) == pytest.approx(0.069 + 0.36 * seconds / 3600)
    assert (told.usd_per_hour, told.odds_ratio) == (Decimal("0.36"), 1.0)


def test_forecast_bills_the_disk_alone_while_the_image_comes() -> None:
    with_disk = an_offer(**{**_fields(PLAIN), "storage_usd_per_gb_month": Decimal(18)})

    # A dollar an hour: 20 s of the image in addition to all that follows.
    more_usd = usd(with_disk) - usd()
    busy = forecast(PLAIN, ONE_ANSWER, 40).busy.total_seconds()
    assert more_usd == pytest.approx((busy + 20) / 3600)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"download_mbit_per_second": 2000.0}, {"download_mbit_per_second": 200.0}),
        ({"memory_gb_per_second": 3350.0}, {"memory_gb_per_second": 936.0}),
        ({"memory_gb_per_second": 320.0}, {"memory_gb_per_second": 0.0}),
        ({"download_usd_per_gb": Decimal(0)}, {"download_usd_per_gb": Decimal("0.02")}),
        ({"reliability_ratio": 0.999}, {"reliability_ratio": 0.9}),
        ({"disk_mb_per_second": 2900.0}, {"disk_mb_per_second": 100.0}),
    ],
    ids=str,
)
def test_forecast_is_lower_for_the_better_host(better: dict[str, object], worse: dict[str, object]) -> None:
    fields = _fields(PLAIN)

    assert usd(an_offer(**{**fields, **better})) < usd(an_offer(**{**fields, **worse}))


def test_forecast_counts_one_gpu_s_bandwidth_however_many_there_are() -> None:
    two = an_offer(**{**_fields(PLAIN), "gpu_count": 2, "vram_mb": 49_128})

    assert usd(two) == usd()


@pytest.mark.parametrize("stated", [1e12, 8000.0])
def test_forecast_believes_no_bandwidth_that_no_gpu_has(stated: float) -> None:
    fastest = an_offer(**{**_fields(PLAIN), "memory_gb_per_second": 8000.0})

    assert usd(an_offer(**{**_fields(PLAIN), "memory_gb_per_second": stated})) == usd(fastest)


def test_forecast_takes_time_for_what_the_machine_is_kept() -> None:
    kept = ExpectedUse(2.0, 4.9, 500, timedelta(hours=2))

    assert usd(use=kept) == pytest.approx(usd() + 0.72)


def test_forecast_reckons_with_what_earlier_jobs_saw_of_the_host() -> None:
    slow = HostRecord(mbit_per_second=8.0)

    # 4,900 s for 4.9 GB instead of 49 s, and disk without a price.
    assert usd(host=slow) == pytest.approx(usd() + 0.36 * 4851 / 3600)
    assert usd(host=HostRecord(failures_in_row=2)) == pytest.approx(2 * usd())


@given(
    memory=st.floats(-10, 1e6),
    disk=st.floats(-10, 1e6),
    mbit=st.floats(0, 1e6),
    odds=st.floats(0, 1),
    tokens=st.integers(0, 10**7),
)
def test_forecast_is_never_below_what_the_price_allows(
    memory: float, disk: float, mbit: float, odds: float, tokens: int
) -> None:
    offer = an_offer(
        memory_gb_per_second=memory,
        disk_mb_per_second=disk,
        download_mbit_per_second=mbit,
        reliability_ratio=odds,
    )
    use = ExpectedUse(2.0, 4.9, tokens)

    told = forecast(offer, use, 40)

    assert told.expected_usd >= least_usd(offer.usd_per_hour(40), use)
    assert told.busy > timedelta(0)


def _fields(offer: Offer) -> dict[str, object]:
    return {name: getattr(offer, name) for name in Offer.__dataclass_fields__}
