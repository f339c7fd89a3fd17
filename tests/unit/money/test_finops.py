import pytest

from rune.money.catalog import SizedModel
from rune.money.finops import (
    GpuPrice,
    RunTimes,
    Simulation,
    assume_times,
    price_range,
    simulate,
    spread,
)
from tests.builders import NOW

PRICE = GpuPrice(300_000, 400_000, 600_000, "market_last_seen", NOW)


def test_simulation_is_time_times_price() -> None:
    # 900 s at 0.4 USD; 600 s at 0.3 USD; 1,800 s at 0.6 USD.
    assert simulate(RunTimes(600, 900, 1_800, 6), PRICE, run_count=30) == Simulation(
        run_micro_usd=100_000,
        low_micro_usd=50_000,
        high_micro_usd=300_000,
        total_micro_usd=3_000_000,
        confidence="high",
        confidence_score=0.9,
        basis="from_history",
    )


def test_cost_is_rounded_up_to_whole_micro_dollars() -> None:
    price = GpuPrice(1, 1, 1, "market_last_seen", NOW)

    assert simulate(RunTimes(1, 1, 1, 1), price, run_count=1).run_micro_usd == 1


@pytest.mark.parametrize(
    ("run_count", "source", "confidence", "score", "basis"),
    [
        (0, "market_last_seen", "low", 0.4, "scope_heuristic"),
        (1, "market_last_seen", "medium", 0.7, "from_history"),
        (4, "market_last_seen", "medium", 0.7, "from_history"),
        (5, "market_last_seen", "high", 0.9, "from_history"),
        (5, "vastai_baseline", "medium", 0.7, "from_history"),
    ],
)
def test_confidence_rests_on_runs_and_price(
    run_count: int, source: str, confidence: str, score: float, basis: str
) -> None:
    price = GpuPrice(1, 1, 1, source, NOW)  # type: ignore[arg-type]  # a word of the table

    found = simulate(spread(60, run_count), price, run_count=1)

    assert (found.confidence, found.confidence_score, found.basis) == (confidence, score, basis)


def test_range_of_a_single_number_is_wide() -> None:
    assert spread(100, 2) == RunTimes(50, 100, 200, 2)
    assert price_range(1_000, "vastai_baseline", NOW) == GpuPrice(750, 1_000, 2_000, "vastai_baseline", NOW)


def test_times_of_an_unknown_run_are_boot_download_and_work() -> None:
    # 4.9 GB at 0.0625 GB/s are 78.4 s, between 120 s of boot and 120 s of work.
    times = assume_times(SizedModel("m", 8_000, weights_gb=4.9))

    assert times.run_count == 0
    assert (times.shortest_seconds, times.mean_seconds, times.longest_seconds) == pytest.approx(
        (159.2, 318.4, 636.8)
    )
