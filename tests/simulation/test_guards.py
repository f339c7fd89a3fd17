"""No condition of the store is there for show: without any one of them the simulation sees a rule broken."""

from dataclasses import replace

import pytest

from tests.simulation.faults import Fault
from tests.simulation.test_random_days import STORMY, run_day

pytestmark = pytest.mark.slow

GUARDS = [
    ("claim", "seq"),
    ("claim", "status"),
    ("claim", "lease_until"),
    ("renew", "lease_owner"),
    ("commit", "cancel_requested_at"),
    ("cancel_queued", "status"),
    ("request_cancel", "status"),
    ("redispatch", "due_at"),
    ("advance", "version"),
]

SHOWN_ELSEWHERE = [
    # Without these a day is slower or a job waits longer, or a share counts wrong for a moment, and no rule breaks.
    # tests/unit/jobs and tests/functional/aws show that each matters.
    ("claim", "waiting_since"),
    ("claim", "started_at"),
    ("commit", "seq"),
    # Each of these two refuses what the other does in these days; without both a rule breaks (below).
    ("commit", "epoch"),
    # tests/simulation/test_stopping.py shows it.
    ("not_stopped", "stopped_at"),
    ("cancel_queued", "waiting_since"),
    ("cancel_queued", "seq"),
    ("request_cancel", "waiting_since"),
    ("take_slot", "job_id"),
    ("free_slot", "job_id"),
    ("count_begun", "running"),
    # Without it a notice is sent twice, which does no harm.
    ("send_again", "due_at"),
]

# Half of the processes are overtaken between reading and writing, and most callers cancel.
HESITANT = replace(STORMY, chances={**STORMY.chances, Fault.OVERTAKEN: 0.6})

SEEDS = range(200)


def test_list_of_guards_names_every_one_that_a_write_meets() -> None:
    met = [run_day(seed, odds=HESITANT, regret_ratio=0.9).guards for seed in range(5)]

    assert set.union(*met) == {*GUARDS, *SHOWN_ELSEWHERE}


@pytest.mark.parametrize("guard", GUARDS, ids=[f"{change}-without-{field}" for change, field in GUARDS])
def test_simulation_sees_a_broken_rule_when_a_guard_is_gone(guard: tuple[str, str]) -> None:
    days = (
        run_day(seed, odds=odds, regret_ratio=regret_ratio, unguarded=[guard])
        for seed in SEEDS
        for odds, regret_ratio in ((STORMY, 0.3), (HESITANT, 0.9))
    )

    assert any(world.violations for world in days)


def test_simulation_sees_a_broken_rule_when_a_commit_checks_neither_epoch_nor_seq() -> None:
    unguarded = [("commit", "epoch"), ("commit", "seq")]
    days = (run_day(seed, odds=STORMY, regret_ratio=0.3, unguarded=unguarded) for seed in SEEDS)

    assert any(world.violations for world in days)


def test_simulation_sees_no_broken_rule_when_all_guards_stand() -> None:
    days = (run_day(seed, odds=HESITANT, regret_ratio=0.9) for seed in range(30))

    assert [world.violations for world in days if world.violations] == []
