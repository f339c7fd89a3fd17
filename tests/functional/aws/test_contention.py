from __future__ import annotations

from typing import TYPE_CHECKING

from rune.aws.budget_store import DynamoBudgetStore
from tests.builders import NOW, TENANT
from tests.cloud import TABLE

if TYPE_CHECKING:
    from tests.cloud import Cloud


def test_submits_of_the_same_instant_are_accepted_as_far_as_the_budget_goes(cloud: Cloud) -> None:
    from tests.functional.aws.contention import API_SECONDS, JOB_MICRO_USD, rush  # noqa: PLC0415  # loads moto

    came = rush(cloud, post_count=16, fitting=4)

    assert came.answers == {"accepted": 4, "budget_exhausted": 12}
    assert came.conflict_count > 16
    assert came.longest_seconds < API_SECONDS / 3
    budgets = DynamoBudgetStore(cloud.dynamodb, TABLE).read(TENANT, NOW)
    assert {each.reserved_micro_usd for each in budgets.all} == {4 * JOB_MICRO_USD}
