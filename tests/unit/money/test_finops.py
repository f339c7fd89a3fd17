import pytest

from rune.money.catalog import SizedModel
from rune.money.finops import (
    GpuPrice,
    RunTimes,
    Simulation,
    TokenCost,
    assume_times,
    price_range,
    simulate,
    spread,
)
from tests.builders import NOW

PRICE = GpuPrice(300_000, 400_000, 600_000, "market_last_seen", NOW)


def test_simulation_is_time_times_price() -> None:
    # 900 s at 0.4 USD; 600 s at 0.3 USD; 1,800 s at 0.6 USD.
    simulation = simulate(RunTimes(600, 900, 1_800, 6), PRICE, TokenCost(10), run_count=30)

    assert simulation == Simulation(
        gpu_micro_usd=100_000,
        token_micro_usd=10,
        low_micro_usd=50_005,
        high_micro_usd=300_020,
        total_micro_usd=3_000_300,
        confidence="high",
        confidence_score=0.9,
        basis="from_history",
    )


def test_simulation_without_a_machine_costs_its_tokens() -> None:
    simulation = simulate(RunTimes(1, 2, 3, 5), None, TokenCost(10), run_count=2)

    assert (simulation.gpu_micro_usd, simulation.run_micro_usd, simulation.total_micro_usd) == (0, 10, 20)
    assert (simulation.low_micro_usd, simulation.high_micro_usd) == (5, 20)
    assert simulation.confidence == "high"


def test_cost_is_rounded_up_to_whole_micro_dollars() -> None:
    price = GpuPrice(1, 1, 1, "market_last_seen", NOW)

    assert simulate(RunTimes(1, 1, 1, 1), price, TokenCost(), run_count=1).run_micro_usd == 1


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

    found = simulate(spread(60, run_count), price, TokenCost(), run_count=1)

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
