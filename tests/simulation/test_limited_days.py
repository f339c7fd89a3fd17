"""Jobs that may not rent yet hold no slot: another tenant's plain job is begun at once beside them.

`tests.simulation.limited_days` also prints what became of the same jobs while they kept their slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from rune.jobs.record import Status
from rune.money.limits import SpendingLimits
from tests.simulation.faults import Fault
from tests.simulation.limited_days import CREDIT, DOLLARS, LARGE_CREDIT, MACHINES, run_limited_day
from tests.simulation.rented_days import STORMY
from tests.spending import LARGE_LIMITS

pytestmark = pytest.mark.slow

LIMITS = [
    pytest.param(MACHINES, LARGE_CREDIT, id="machines"),
    pytest.param(DOLLARS, LARGE_CREDIT, id="dollars an hour"),
    pytest.param(LARGE_LIMITS, CREDIT, id="credit"),
]
STORM = replace(
    STORMY,
    chances={**STORMY.chances, Fault.CRASH: 0.02, Fault.LOST_ANSWER: 0.02},
    answer_seconds=(100.0, 300.0),
    index_lag_seconds=2.0,
)


@pytest.mark.parametrize(("limits", "credit"), LIMITS)
def test_plain_job_of_another_is_begun_at_once_while_a_tenant_waits_for_its_limits(
    limits: SpendingLimits, credit: Decimal, record_property: Callable[[str, object], None]
) -> None:
    day = run_limited_day(limits, credit, job_count=8)

    record_property("figures", {"waited_seconds": day.waited_seconds, "succeeded": day.endings["succeeded"]})
    assert day.world.violations == []
    assert day.waited_seconds is not None
    assert day.waited_seconds <= 5
    # None uses up its running time by waiting.
    assert not {"deadline_exceeded", "max_runtime_too_short"} & day.endings.keys()
    if credit is LARGE_CREDIT:
        assert day.endings == {Status.SUCCEEDED: 8}


def test_slots_were_held_while_their_jobs_might_not_rent() -> None:
    day = run_limited_day(MACHINES, job_count=6, keeps_slots=True)

    assert day.world.violations == []
    assert day.waited_seconds is not None
    assert day.waited_seconds > 300


@pytest.mark.parametrize(("limits", "credit"), LIMITS)
def test_every_rule_holds_when_a_limited_day_is_stormy(limits: SpendingLimits, credit: Decimal) -> None:
    assert run_limited_day(limits, credit, odds=STORM, job_count=7).world.violations == []
