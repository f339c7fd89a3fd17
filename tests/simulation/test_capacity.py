"""A machine is rented only when its job has a slot and the account has the credit for it.

`tests.simulation.capacity` also prints what became of the same jobs without these rules.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.capacity import FORTY_JOBS, Rush, run_forty_jobs, run_twelve_jobs
from tests.simulation.slots import job_slots

pytestmark = pytest.mark.slow

type RecordProperty = Callable[[str, object], None]


def test_no_machine_waits_for_a_slot_when_forty_jobs_are_posted_at_once(
    record_property: RecordProperty,
) -> None:
    rush = run_forty_jobs()

    record_property("figures", figures_of(rush))
    assert rush.world.violations == []
    assert (rush.succeeded_count, rush.most_machines) == (FORTY_JOBS, job_slots())
    # Ten minutes of work, and its share of boot, download and release.
    assert rush.billed_hours <= FORTY_JOBS * 0.2
    assert rush.told[0] == "Waiting for a GPU slot, none of your jobs before it."
    assert rush.told[3] == "Waiting for a GPU slot, 3 of your jobs before it."


def test_credit_pays_for_jobs_that_succeed_when_twelve_are_posted_on_one_dollar(
    record_property: RecordProperty,
) -> None:
    rush = run_twelve_jobs()

    record_property("figures", figures_of(rush))
    assert rush.world.violations == []
    assert rush.succeeded_count >= 4
    assert rush.lost_usd < rush.billed_usd / 2
    # The others learn of it as soon as the credit is used up.
    assert rush.endings["no_credit"] >= 3
    assert any("of the provider's credit" in sentence for sentence in rush.told)


def figures_of(rush: Rush) -> dict[str, float]:
    return {
        "rented": rush.rented_count,
        "succeeded": rush.succeeded_count,
        "most_machines": rush.most_machines,
        "gpu_hours": round(rush.billed_hours, 1),
        "usd": round(rush.billed_usd, 2),
        "lost_usd": round(rush.lost_usd, 2),
    }
