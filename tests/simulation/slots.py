"""How many turns of each lane, and how many jobs, run at the same time."""

from functools import cache

from rune.jobs.plan import Lane
from tests.template import load_template

JOB_SLOTS = 5
"""As in the local stack; the template's default leaves executions to the notifier in a young account."""


@cache
def slots_of(lane: Lane) -> int:
    """Return how many turns of a lane run at the same time."""
    if lane is not Lane.MONEY:
        return JOB_SLOTS
    return int(load_template()["Parameters"]["MoneyConcurrency"]["Default"])


def job_slots() -> int:
    """Return how many jobs run at the same time."""
    return slots_of(Lane.INFERENCE)
