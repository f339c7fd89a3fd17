from __future__ import annotations

import pytest

from rune.jobs.wants import FEWER_MACHINES, LOWER_PRICE, NEXT_PRICE, describe_want
from rune.money.limits import SpendingLimits
from rune.workflows.rental.fleet import find_want
from tests.rental_builders import a_rental

PRICE = a_rental().prices.micro_usd_per_hour


@pytest.mark.parametrize(
    ("count", "max_machines", "max_price", "want"),
    [
        (0, 1, PRICE, None),
        (1, 2, 2 * PRICE, None),
        (1, 1, 9 * PRICE, {FEWER_MACHINES: 1}),
        (2, 1, 9 * PRICE, {FEWER_MACHINES: 1}),
        (0, 0, 9 * PRICE, {FEWER_MACHINES: 0}),
        (1, 2, 2 * PRICE - 1, {LOWER_PRICE: 2 * PRICE - 1, NEXT_PRICE: PRICE}),
        (0, 1, PRICE - 1, {LOWER_PRICE: PRICE - 1, NEXT_PRICE: PRICE}),
    ],
)
def test_tenant_may_have_so_many_machines_at_such_a_price(
    count: int, max_machines: int, max_price: int, want: dict[str, int] | None
) -> None:
    limits = SpendingLimits(max_machines=max_machines, max_micro_usd_per_hour=max_price)

    assert find_want([a_rental()] * count, limits, PRICE) == want


def test_job_that_waits_for_a_machine_to_end_says_so() -> None:
    assert describe_want({FEWER_MACHINES: 5}) == (
        "Waiting until one of your machines ends: your tenant may have 5 at a time."
    )
    assert describe_want({LOWER_PRICE: 12_500_000, NEXT_PRICE: 400_000}) == (
        "Waiting until one of your machines ends: your tenant's may cost 12.5 USD an hour together."
    )
