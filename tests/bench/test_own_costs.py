"""Our own cost on a receipt is what the calls of such a job are counted to cost, and within bounds."""

from __future__ import annotations

from decimal import Decimal

from local.simulators.ollama import SimulatedOllama, create_app
from local.simulators.serving import running_server
from rune.money.aws_prices import AwsUse, terms_of
from tests.bench.aws_calls import INSTANT
from tests.bench.cost_world import simulated_world
from tests.bench.own_costs import ALTERNATIVES, JOBS, OwnCost, count_job, show_own_costs

TURNS_OF_STEPS = 3
TURNS_OF_LOOKS = TURNS_OF_STEPS + 16
MOST_ENGINE_USD = Decimal("0.15")
MOST_USD = Decimal("0.20")


def test_own_cost_is_within_bounds_and_near_what_a_receipt_says() -> None:
    with (
        running_server(create_app(SimulatedOllama(INSTANT))) as model_server,
        simulated_world(model_server) as world,
    ):
        of_steps = world.run_job()
        of_looks, terms = count_job(world)

    usd = {cost.term: cost.usd for cost in terms}
    assert usd["engine"] <= MOST_ENGINE_USD
    assert sum(usd.values()) <= MOST_USD
    of_calls = (usd[term] for term in ("engine", "events", "receipts", "accounts"))
    assert sum(of_calls) == of_looks.usd * JOBS
    for turns, counted in ((TURNS_OF_STEPS, of_steps), (TURNS_OF_LOOKS, of_looks)):
        told = sum(amount for term, amount in terms_of(AwsUse(turns, 0)).items() if term != "functions")
        assert abs(told - counted.usd * 1_000_000) < counted.usd * 100_000, (turns, told, counted.usd)


def test_terms_are_shown_with_their_sum_beside_the_other_ways() -> None:
    rows = show_own_costs(
        [OwnCost("engine", "5 write units", Decimal("0.1")), OwnCost("logs", "", Decimal("0.05"))]
    )

    assert rows[1:4] == [
        ("engine", "0.1000", "5 write units"),
        ("logs", "0.0500", ""),
        ("in all", "0.1500", ""),
    ]
    assert len(rows) == 5 + len(ALTERNATIVES)
