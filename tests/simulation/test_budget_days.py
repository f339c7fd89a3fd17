"""Budgets add up at every moment, and nothing stays reserved, wherever a process dies or an answer is lost.

A sample; `tests.simulation.budget_days` runs every cut point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.budget_days import deal_faults, run_budget_day
from tests.simulation.faults import CALM, Fault
from tests.simulation.rented_days import STORMY
from tests.simulation.sampling import stride

pytestmark = pytest.mark.slow


def test_budgets_let_as_many_jobs_in_as_they_pay_for() -> None:
    day = run_budget_day()

    # Five of eight cost something at once: three of one tenant's fit, and one that costs nothing always does.
    assert day.world.violations == []
    assert day.answers["refused"] >= 1
    assert day.answers["accepted"] == len(day.world.table.jobs)


def test_budgets_add_up_when_one_thing_goes_wrong(record_property: Callable[[str, object], None]) -> None:
    answers: Counter[str] = Counter()
    broken: list[str] = []
    for number, place, fault in deal_faults(stride(293)):
        day = run_budget_day(planned={number: fault})
        answers += Counter(days=1) + day.answers
        broken += [f"{fault} {place} (#{number}): {violation}" for violation in day.world.violations]

    record_property("figures", dict(answers))
    assert broken == []


@pytest.mark.parametrize("seed", range(2))
def test_budgets_add_up_when_a_day_is_stormy(seed: int) -> None:
    day = run_budget_day(seed, replace(STORMY, answer_seconds=(10.0, 60.0)), post_count=16)

    assert day.world.violations == []
    assert day.answers["refused"] >= 1


def test_simulation_sees_a_broken_budget_when_a_guard_is_gone() -> None:
    hesitant = replace(CALM, chances={Fault.OVERTAKEN: 0.6})
    days = (
        run_budget_day(seed, hesitant, post_count=16, unguarded=[("reserve", "used_micro_usd")])
        for seed in range(20)
    )

    assert any(day.world.violations for day in days)


def test_simulation_sees_no_broken_budget_when_all_guards_stand() -> None:
    hesitant = replace(CALM, chances={Fault.OVERTAKEN: 0.6})
    days = [run_budget_day(seed, hesitant, post_count=16) for seed in range(5)]

    assert [day.world.violations for day in days if day.world.violations] == []
