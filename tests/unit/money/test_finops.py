import pytest

from rune.money.catalog import SizedModel
from rune.money.finops import (
    GpuPrice,
    RunCost,
    RunTimes,
    Simulation,
    TokenCost,
    cost_by_table,
    price_range,
    simulate,
    spread,
)
from tests.builders import NOW

COST = RunCost(50_000, 100_000, 300_000, "rented_runs", 6)


def test_simulation_is_what_runs_cost_and_their_tokens() -> None:
    assert simulate(COST, TokenCost(10), run_count=30) == Simulation(
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
    simulation = simulate(None, TokenCost(10, 5), run_count=2)

    assert (simulation.gpu_micro_usd, simulation.run_micro_usd, simulation.total_micro_usd) == (0, 10, 20)
    assert (simulation.low_micro_usd, simulation.high_micro_usd) == (5, 20)
    assert simulation.confidence == "high"


@pytest.mark.parametrize(
    ("basis", "run_count", "confidence", "score"),
    [
        ("rented_runs", 1, "low", 0.4),
        ("rented_runs", 2, "low", 0.4),
        ("rented_runs", 3, "medium", 0.7),
        ("rented_runs", 5, "high", 0.9),
        ("market_forecast", 0, "low", 0.4),
        ("market_forecast", 3, "medium", 0.7),
        ("market_forecast", 500, "medium", 0.7),
        ("price_table", 500, "low", 0.4),
    ],
)
def test_confidence_is_high_only_of_what_rented_runs_have_cost(
    basis: str, run_count: int, confidence: str, score: float
) -> None:
    cost = RunCost(1, 1, 1, basis, run_count)  # type: ignore[arg-type]  # a word of the table

    found = simulate(cost, TokenCost(), run_count=1)

    assert (found.confidence, found.confidence_score) == (confidence, score)
    assert found.basis == ("from_history" if run_count else "scope_heuristic")


def test_range_of_a_single_number_is_wide() -> None:
    assert spread(100, 2) == RunTimes(50, 100, 200, 2)
    assert price_range(1_000, "vastai_baseline", NOW) == GpuPrice(750, 1_000, 2_000, "vastai_baseline", NOW)


PRICE = GpuPrice(3_600_000, 3_600_000, 3_600_000, "vastai_baseline", NOW)
MODEL = SizedModel("m", 8_000, weights_gb=5.0)


def test_cost_by_the_table_has_boot_download_work_and_traffic() -> None:
    # 5 GB at 0.0625 GB/s are 80 s, between 120 s of boot and 120 s of work, at 0.001 USD a second; 7 GB of traffic.
    cost, times = cost_by_table(MODEL, 2.0, PRICE, None)

    assert times == RunTimes(160, 320, 640)
    assert cost == RunCost(160_000, 320_000 + 70_000, 640_000 + 140_000, "price_table")


def test_cost_by_the_table_has_the_time_of_own_runs_beside_boot_and_download() -> None:
    cost, times = cost_by_table(MODEL, 2.0, PRICE, RunTimes(500, 1_000, 2_000, 4))

    assert times == RunTimes(600, 1_200, 2_400, 4)
    assert (cost.likely_micro_usd, cost.run_count) == (1_270_000, 4)
