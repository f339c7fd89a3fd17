"""Two deployments of one stage with one account of the provider, and a day of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from tests.simulation.faults import Fault, Odds
from tests.simulation.mischief import QUICK_BOOT
from tests.simulation.rented_days import SETTINGS
from tests.simulation.requests import OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.timing import START
from tests.simulation.world import World

DAY = timedelta(hours=24)

RAINY = Odds(
    chances={
        Fault.CRASH: 0.005,
        Fault.OUTAGE: 0.005,
        Fault.LOST_ANSWER: 0.005,
        Fault.DUPLICATE: 0.1,
        Fault.DELAY: 0.03,
        Fault.LOSE_MESSAGE: 0.03,
    },
    answer_seconds=(1.0, 60.0),
)
"""No process stands still: while one does, the other deployment would stand still with it."""


def run_neighbours(seed: int, *, have_one_id: bool = False) -> tuple[World, World]:
    """Return both deployments after a day on which each had jobs of every kind.

    Parameters
    ----------
    have_one_id
        Whether the two have the same id, as if labels named the stage alone.
    """
    settings = replace(SETTINGS, boot=QUICK_BOOT)
    one = World(seed, RAINY, vastai=settings)
    other = World(seed + 1_000_000, RAINY, vastai=settings, neighbour=one)
    assert one.account is not None
    assert other.account is not None
    if have_one_id:
        other.account.deployments = one.account.deployments
    one.account.vastai.now = lambda: max(one.now, other.now).timestamp()
    for world in (one, other):
        _fill(world)
    _live(one, other)
    return one.check(), other.check()


def _fill(world: World) -> None:
    requests = (
        rented_benchmark(backend_warmup=False),
        rented_benchmark(OTHER_MODEL, vastai_stop_instance=False, keep_seconds=1800),
        rented_instance(keep_seconds=7200),
    )

    def post(number: int) -> None:
        job_id = world.submit(requests[number % len(requests)])
        if job_id and world.random.random() < 0.2:
            world.plan(world.random.uniform(0.0, 120.0), lambda: world.cancel(job_id))

    for number in range(12):
        world.plan(world.random.uniform(0.0, 10 * 3600.0), partial(post, number))


def _live(*worlds: World) -> None:
    """Let the day pass for all, each event in its turn."""
    end: datetime = START + DAY
    while any(world.next_at <= end for world in worlds):
        first = min(worlds, key=lambda world: world.next_at)
        first.let_pass((first.next_at - first.now).total_seconds())
