"""No job costs more than it may, whatever the provider does and wherever a process dies.

A sample; `tests.simulation.capped_faults` runs the whole table.
"""

from collections.abc import Callable

import pytest

from tests.simulation.capped_faults import deal, deal_others
from tests.simulation.mischief import MISCHIEFS

pytestmark = pytest.mark.slow

LONGEST_OVERRUN_SECONDS = 60.0


def test_no_job_overruns_its_cap_by_more_than_a_minute(
    record_property: Callable[[str, object], None],
) -> None:
    cells = [*deal(stride=50, mischiefs=MISCHIEFS[::8]), *deal_others(stride=60)]
    found = [overrun for cell in cells for overrun in cell.run()]

    worst = max(found, key=lambda each: each.seconds)
    told = {"runs": len(cells), "jobs": len(found), "worst_seconds": round(worst.seconds, 1)}
    record_property("figures", told)
    assert [(each.name, each.violations) for each in found if each.violations] == []
    assert len(found) > 0.9 * len(cells)
    assert worst.seconds <= LONGEST_OVERRUN_SECONDS, worst


def test_time_in_which_the_provider_refuses_to_destroy_is_told_apart() -> None:
    (ignored,) = (mischief for mischief in MISCHIEFS if mischief.name == "destroy_down_for_long")
    cell = next(deal(mischiefs=[ignored], stride=10**6, without_deaths=()))

    (overrun,) = cell.run()

    assert overrun.refused_seconds > 30
    assert overrun.seconds <= LONGEST_OVERRUN_SECONDS
