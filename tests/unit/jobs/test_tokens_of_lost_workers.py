"""Wherever a worker is lost, the job is charged what was bought, or more, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rune.jobs.outcomes import Again, Done, Outcome
from rune.jobs.record import Job, Status
from rune.jobs.step import StepContext
from rune.jobs.store import Refused
from rune.jobs.transitions import Transition
from rune.storage.change import Change
from tests.builders import JOB_ID, a_job
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import fill
from tests.unit.jobs.test_engine import Rig

CAP = 10_000
MOST = 300
"""Of one call; each costs 100."""


class LostError(BaseException):
    """The process dies here."""


class MortalStore(MemoryJobStore):
    """Dies before or after its write of this number."""

    def __init__(self, dies_at: int, *, before: bool) -> None:
        super().__init__()
        self.left = dies_at
        self.before = before

    def _pass(self, *, before: bool) -> None:
        if before != self.before:
            return
        self.left -= 1
        if self.left == 0:
            raise LostError

    def update(self, job_id: str, change: Change) -> Job | Refused:
        self._pass(before=True)
        found = super().update(job_id, change)
        self._pass(before=False)
        return found

    def commit(self, job: Job, transition: Transition, tallies: object = None) -> bool:
        self._pass(before=True)
        done = super().commit(job, transition, tallies)  # type: ignore[arg-type]  # passed on
        self._pass(before=False)
        return done


class Seller:
    """Stands for Bedrock: knows what was bought; its caller dies in the middle of a call of this number."""

    def __init__(self, dies_in_call: int | None = None) -> None:
        self.billed = 0
        self.calls = 0
        self.dies_in_call = dies_in_call

    def step(self, turns: int) -> Callable[[StepContext], Outcome]:
        def act(context: StepContext) -> Outcome:
            assert context.tokens is not None
            for _ in range(3):
                context.tokens.begin(MOST)
                self.calls += 1
                self.billed += 100
                if self.calls == self.dies_in_call:
                    raise LostError
                context.tokens.end(MOST, 100)
            return Done("{}") if context.job.seq >= turns else Again(0, state_json="{}")

        return act


def run_to_the_end(store: MemoryJobStore, seller: Seller) -> Rig:
    """Take turns, each again by another worker once the lost one's lease has run out."""
    rig = Rig(store, seller.step(turns=3))
    for _ in range(20):
        if rig.job.status is Status.SUCCEEDED:
            break
        try:
            rig.take_turn(rig.job.seq)
        except LostError:
            rig.clock.advance(61)
    return rig


def assert_accounted(rig: Rig, seller: Seller, lost: int) -> None:
    job = rig.job
    assert job.status is Status.SUCCEEDED
    assert (job.cost_micro_usd, job.token_bound_micro_usd) == (job.token_micro_usd, None)
    assert seller.billed <= job.cost_micro_usd <= CAP
    # Of a lost worker at most one turn's bound is counted beside what it bought.
    assert job.cost_micro_usd - seller.billed <= lost * 3 * MOST


def a_token_job(store: MemoryJobStore) -> MemoryJobStore:
    return fill(store, a_job(cap_micro_usd=CAP))


def test_job_without_losses_costs_exactly_what_it_bought() -> None:
    seller = Seller()

    rig = run_to_the_end(a_token_job(MemoryJobStore()), seller)

    assert_accounted(rig, seller, lost=0)
    assert rig.job.cost_micro_usd == seller.billed == 900


@pytest.mark.parametrize("call", range(1, 10))
def test_worker_that_is_lost_in_a_call_leaves_no_unknown_cost(call: int) -> None:
    seller = Seller(dies_in_call=call)

    assert_accounted(run_to_the_end(a_token_job(MemoryJobStore()), seller), seller, lost=1)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 16))
def test_worker_that_is_lost_at_a_write_leaves_no_unknown_cost(write: int, *, before: bool) -> None:
    seller, store = Seller(), MortalStore(write, before=before)

    rig = run_to_the_end(a_token_job(store), seller)

    assert store.left <= 0, "The job has fewer writes."
    assert_accounted(rig, seller, lost=1)
    assert store.jobs[JOB_ID] == rig.job
