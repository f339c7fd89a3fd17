"""Our own cost on a receipt is what the calls of such a job are counted to cost."""

from __future__ import annotations

from rune.money.aws_prices import AwsUse, terms_of
from tests.bench.engine_costs import measure_job_costs

TURNS_OF_STEPS = 3
TURNS_OF_LOOKS = TURNS_OF_STEPS + 16


def test_own_cost_on_a_receipt_is_near_what_is_counted() -> None:
    counted = {cost.act: cost.usage.usd * 1_000_000 for cost in measure_job_costs()}

    for act, turns in (("job of three steps", TURNS_OF_STEPS), ("job of twenty turns", TURNS_OF_LOOKS)):
        terms = terms_of(AwsUse(turns, 0))
        told = sum(micro_usd for term, micro_usd in terms.items() if term != "functions")
        assert abs(told - counted[act]) < counted[act] / 10, (act, told, counted[act])
