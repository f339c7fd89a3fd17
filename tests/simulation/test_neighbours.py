"""Two deployments of one stage on one account leave each other's machines alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.neighbours import run_neighbours
from tests.simulation.world import World

type RecordProperty = Callable[[str, object], None]


def violations(*worlds: World) -> list[str]:
    return [each for world in worlds for each in world.violations]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_two_deployments_on_one_account_leave_each_other_alone_for_a_day(
    seed: int, record_property: RecordProperty
) -> None:
    one, other = run_neighbours(seed)

    assert one.account is not None
    assert other.account is not None
    orders = [len(world.account.orders) for world in (one, other) if world.account]
    record_property("figures", {"machines": len(one.account.vastai.instances), "orders": sum(orders)})
    assert violations(one, other) == []
    assert min(orders) >= 5


def test_two_deployments_with_one_id_would_destroy_each_others_machines() -> None:
    one, other = run_neighbours(0, have_one_id=True)

    assert any("not ours" in each for each in violations(one, other))
