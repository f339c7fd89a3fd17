"""An operator has everything given back on a day on which jobs rent, work and keep machines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from rune.errors import StoreUnavailableError
from rune.rentals.record import RentalState
from rune.services.leaving import Leaving, LeavingResult
from rune.services.orphan_sweep import OrphanSweep
from tests.simulation.faults import CALM, Crash, Fault
from tests.simulation.lanes import CancellingQueue
from tests.simulation.mischief import QUICK_BOOT
from tests.simulation.neighbours import RAINY
from tests.simulation.provider import STAGE
from tests.simulation.rental_store import FaultyRentalStore
from tests.simulation.rented_days import SETTINGS
from tests.simulation.requests import OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.table import FaultyStore
from tests.simulation.timing import Ending, SkewedClock, pause, resume
from tests.simulation.world import World

LEAVES_AT_SECONDS = 1800.0
CALL_SECONDS = 35.0
CLEARING_SECONDS = 60.0
"""From the end of the bad weather until the last job is posted."""


class Operator:
    """Calls the janitor's function again and again until everything is given back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.results: list[LeavingResult] = []

    def call(self) -> None:
        resume(self._world, self._call(), self._go_on)

    def _go_on(self, _ending: Ending) -> None:
        if not self.results or not self.results[-1].is_done:
            self._world.plan(20.0, self.call)

    async def _call(self) -> None:
        world, account = self._world, self._world.account
        assert account is not None
        began_at, clock = world.now, SkewedClock(world)
        rental_store = FaultyRentalStore(world, account.rental_store, stall=Fault.OVERTAKEN)
        store = FaultyStore(world, overlap=True)
        sweep = OrphanSweep(
            provider=account.provider(clock),
            rental_store=rental_store,
            jobs=store,
            clock=clock,
            stage=STAGE,
            deployments=account.deployments,
            pause=pause,
        )
        leaving = Leaving(
            rental_store=rental_store,
            deployments=account.deployments,
            jobs=store,
            queue=CancellingQueue(world),
            clock=clock,
            sweep=sweep,
            pause=pause,
        )
        try:
            self.results.append(
                await leaving.give_back_all(lambda: (world.now - began_at).total_seconds() < CALL_SECONDS)
            )
        except (Crash, StoreUnavailableError):
            return


def clear_up(world: World) -> None:
    """Let no further call fail by bad luck."""
    world.odds = CALM


def run_departure(seed: int) -> tuple[World, Operator]:
    """Return a deployment that was left in the middle of its work, at rest."""
    world = World(seed, RAINY, vastai=replace(SETTINGS, boot=QUICK_BOOT))
    requests = (
        rented_benchmark(backend_warmup=False),
        rented_benchmark(OTHER_MODEL, vastai_stop_instance=False, keep_seconds=7200),
        rented_instance(keep_seconds=7200),
    )
    for number in range(9):
        at_seconds = world.random.uniform(0.0, 1.2 * LEAVES_AT_SECONDS)
        world.plan(at_seconds, partial(world.submit, requests[number % 3]))
    # Long after all is given back, and in calm weather: the closed door alone refuses it.
    world.plan(2 * LEAVES_AT_SECONDS - CLEARING_SECONDS, partial(clear_up, world))
    world.plan(2 * LEAVES_AT_SECONDS, partial(world.submit, requests[0]))
    operator = Operator(world)
    world.plan(LEAVES_AT_SECONDS, operator.call)
    return world.run(hours=6.0, until_kept_are_gone=True), operator


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_left_when_leaving_is_done_in_the_middle_of_the_work(seed: int) -> None:
    world, operator = run_departure(seed)

    assert world.account is not None
    assert operator.results[-1].is_done
    assert world.account.our_contracts() == []
    states = {rental.state for rental in world.account.rental_store.rentals.values()}
    assert states == {RentalState.RELEASED}
    last = max(world.table.jobs.values(), key=lambda job: job.created_at)
    assert last.failure is not None
    assert last.failure.code == "renting_closed"
    assert last.cost_micro_usd == 0
    assert [each for each in world.violations if "was promised until" not in each] == []
