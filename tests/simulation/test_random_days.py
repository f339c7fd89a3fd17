"""Many jobs, many faults, every run from a seed."""

import pytest

from rune.jobs.record import Status
from tests.simulation.world import Fault, Odds, World

STORMY = Odds(
    chances={
        Fault.CRASH: 0.02,
        Fault.OUTAGE: 0.02,
        Fault.LOST_ANSWER: 0.02,
        Fault.PAUSE: 0.03,
        Fault.OVERTAKEN: 0.05,
        Fault.DUPLICATE: 0.1,
        Fault.DELAY: 0.05,
        Fault.LOSE_MESSAGE: 0.05,
    },
    overload=0.1,
    truncation=0.05,
    skew_seconds=5.0,
    answer_seconds=(1.0, 400.0),
)


def run_day(
    seed: int, *, odds: Odds = STORMY, regret_ratio: float = 0.3, unguarded: tuple[str, str] | None = None
) -> World:
    """Return a world in which 12 jobs were posted over an hour, and some of them taken back."""
    world = World(seed, odds, unguarded=unguarded)

    def post() -> None:
        job_id = world.submit()
        if job_id and world.random.random() < regret_ratio:
            patience_seconds = world.random.choice((0.3, 300.0))
            world.plan(world.random.uniform(0.0, patience_seconds), lambda: world.cancel(job_id))

    for _ in range(12):
        world.plan(world.random.uniform(0.0, 3600.0), post)
    for _ in range(6):
        world.plan(world.random.uniform(0.0, 4000.0), world.resend_by_hand)
    return world.run(hours=24.0)


@pytest.mark.parametrize("first_seed", range(0, 300, 50))
def test_rules_hold_at_rest_when_days_are_stormy(first_seed: int) -> None:
    worlds = {seed: run_day(seed) for seed in range(first_seed, first_seed + 50)}

    assert {seed: world.violations for seed, world in worlds.items() if world.violations} == {}


def test_same_seed_gives_the_same_day() -> None:
    once, again = run_day(7), run_day(7)

    assert once.cut_points == again.cut_points


def test_stormy_days_reach_every_end() -> None:
    ends = {job.status for seed in range(20) for job in run_day(seed).table.jobs.values()}

    assert ends == {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}
