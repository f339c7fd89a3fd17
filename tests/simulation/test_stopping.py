"""Everything is stopped at some cut point of a stormy day on which jobs rent, work, wait and keep machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from rune.errors import StoppedError
from rune.jobs import stops
from rune.jobs.places import RowChange
from rune.rentals.record import RentalState
from tests.simulation.faults import CALM
from tests.simulation.mischief import QUICK_BOOT
from tests.simulation.neighbours import RAINY
from tests.simulation.rented_days import SETTINGS
from tests.simulation.requests import BENCHMARK, CALLER, OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.timing import START
from tests.simulation.world import World

BUSY_SECONDS = 1800.0
LAST_SECONDS = 3 * 3600.0

LONGEST_END = timedelta(minutes=15)
"""From a stop until the last machine is asked to end: workers are lost, and the table is away."""

REQUESTS = (
    rented_benchmark(backend_warmup=False),
    rented_benchmark(OTHER_MODEL, vastai_stop_instance=False, keep_seconds=7200),
    rented_instance(keep_seconds=7200),
    BENCHMARK,
)


class Stop:
    """Writes the stop at one cut point, and nothing more: all that follows is the janitor's."""

    def __init__(self, at_cut_point: int, tenant: str | None) -> None:
        self._at_cut_point = at_cut_point
        self._tenant = tenant
        self.stored_count: int | None = None
        self.begun_at = START

    def watch(self, world: World) -> None:
        if self.stored_count is None and len(world.cut_points) >= self._at_cut_point:
            change = stops.begin("operator", world.now)
            world.table.write_rows([RowChange(row, change) for row in stops.rows_of(self._tenant)])
            self.stored_count = len(world.table.jobs)
            self.begun_at = world.now


def submit_unless_stopped(world: World, number: int, refused: list[float]) -> None:
    try:
        world.submit(REQUESTS[number % len(REQUESTS)])
    except StoppedError:
        refused.append(world.seconds_since_start(world.now))


def run_stopped_day(seed: int, at_cut_point: int, tenant: str | None) -> tuple[World, Stop, list[float]]:
    world = World(seed, RAINY, vastai=replace(SETTINGS, boot=QUICK_BOOT))
    stop = Stop(at_cut_point, tenant)
    refused: list[float] = []
    world.watch_cut_point = stop.watch
    for number in range(10):
        at_seconds = world.random.uniform(0.0, BUSY_SECONDS)
        world.plan(at_seconds, partial(submit_unless_stopped, world, number, refused))
    # In calm weather: the stop alone refuses it.
    world.plan(LAST_SECONDS - 60, lambda: setattr(world, "odds", CALM))
    world.plan(LAST_SECONDS, partial(submit_unless_stopped, world, 0, refused))
    return world.run(hours=6.0), stop, refused


@pytest.mark.slow
@pytest.mark.parametrize("tenant", [None, CALLER.tenant], ids=["all", "a tenant"])
@pytest.mark.parametrize("at_cut_point", [40, 140, 260, 420, 700])
def test_nothing_is_left_when_everything_was_stopped(at_cut_point: int, tenant: str | None) -> None:
    world, stop, refused = run_stopped_day(at_cut_point, at_cut_point, tenant)

    assert world.account is not None
    assert world.account.our_contracts() == []
    rentals = world.account.rental_store.rentals.values()
    assert {each.state for each in rentals} <= {RentalState.RELEASED}
    assert [each.rental_id for each in rentals if each.intended_at > stop.begun_at + world.skew] == []
    ends_at = [each.release_asked_at or each.released_at for each in rentals]
    assert all(each is not None and each <= stop.begun_at + LONGEST_END for each in ends_at)
    assert not any(job.is_active for job in world.table.jobs.values())
    assert len(world.table.jobs) == stop.stored_count
    assert LAST_SECONDS in [round(each) for each in refused]
    assert [each for each in world.violations if "was promised until" not in each] == []
