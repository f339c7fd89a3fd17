"""How many turns of each lane, and how many jobs, run at the same time, as the template decides by default."""

from functools import cache

from rune.jobs.plan import Lane
from tests.template import load_template


@cache
def slots_of(lane: Lane) -> int:
    """Return how many turns of a lane run at the same time."""
    parameter = f"{lane.value.capitalize()}Concurrency"
    return int(load_template()["Parameters"][parameter]["Default"])


def job_slots() -> int:
    """Return how many jobs run at the same time."""
    return slots_of(Lane.INFERENCE)
