import asyncio
from collections.abc import Callable

import pytest

from rune.errors import LeaseLostError, StreamTruncatedError
from rune.jobs import lease
from rune.jobs.lease import Lease, run_leased
from rune.jobs.lifecycle import claim, renew, request_cancel
from rune.jobs.outcomes import Cancelled, Done, Outcome
from rune.jobs.record import Job, Status, StepName
from rune.jobs.step import Step, StepContext
from rune.storage.change import apply
from tests.builders import (
    JOB_ID,
    NOW,
    FakeClock,
    a_claimed_job,
    a_step_context,
    a_waiting_job,
    after,
    an_ended_job,
)
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import DownStore, a_store, fill


def a_lease(store: MemoryJobStore, clock: FakeClock | None = None) -> Lease:
    return Lease(a_claimed_job(), store, clock or FakeClock())


def test_renew_keeps_the_turn_for_another_minute() -> None:
    store = a_store(a_claimed_job())

    asks_to_stop = a_lease(store, FakeClock(after(30))).renew({"chunks": 5})

    assert not asks_to_stop
    assert store.jobs[JOB_ID] == apply(renew(a_claimed_job(), {"chunks": 5}, after(30)), a_claimed_job())
    assert store.jobs[JOB_ID].lease_until == after(90)


def test_renew_tells_when_the_caller_asks_to_cancel() -> None:
    assert a_lease(a_store(a_claimed_job(cancel_requested_at=NOW))).renew({})


@pytest.mark.parametrize(
    "found",
    [(), (a_claimed_job(lease_owner="worker-2", epoch=2),), (a_waiting_job(),), (an_ended_job(),)],
    ids=["gone", "taken over", "committed", "ended"],
)
def test_renew_fails_when_the_turn_is_no_longer_ours(found: tuple[Job, ...]) -> None:
    store = a_store(*found)

    with pytest.raises(LeaseLostError, match="Another worker"):
        a_lease(store).renew({})

    assert tuple(store.jobs.values()) == found


@pytest.mark.parametrize("seconds", [0, 59.999])
def test_renew_goes_on_when_the_store_is_down_for_less_than_the_lease(seconds: float) -> None:
    store = fill(DownStore("renew"), a_claimed_job())

    assert a_lease(store, FakeClock(after(seconds))).renew({}) is False


def test_renew_fails_when_the_store_is_down_until_the_lease_ran_out() -> None:
    store = fill(DownStore("renew"), a_claimed_job())

    with pytest.raises(LeaseLostError, match="ran out"):
        a_lease(store, FakeClock(after(60))).renew({})


def test_renew_counts_from_the_last_success_when_the_store_goes_down_later() -> None:
    store = fill(DownStore(), a_claimed_job())
    clock = FakeClock(after(50))
    held = a_lease(store, clock)
    held.renew({})
    store.down = {"renew"}

    clock.advance(59)
    assert held.renew({}) is False
    clock.advance(1)
    with pytest.raises(LeaseLostError):
        held.renew({})


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; the store is written from another thread, which sets no event."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


class StuckStep:
    """A step that never ends by itself."""

    def __init__(self, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile
        self.was_broken_off = False
        self.has_cleaned_up = False

    async def __call__(self, context: StepContext) -> Outcome:
        self.meanwhile()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.was_broken_off = True
            raise
        finally:
            await asyncio.sleep(0)
            self.has_cleaned_up = True
        return Done("{}")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.002)


def run(
    step: Step,
    store: MemoryJobStore,
    *,
    time_limit_seconds: float = 5.0,
    clock: FakeClock | None = None,
    job: Job | None = None,
) -> Outcome:
    context = a_step_context(job or a_claimed_job())
    context.time_limit_seconds = time_limit_seconds
    return asyncio.run(run_leased(step, context, a_lease(store, clock)))


def test_run_leased_returns_the_outcome_without_a_renewal_when_the_step_is_quick() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        return Done("{}")

    assert run(step, store) == Done("{}")
    assert store.jobs[JOB_ID] == a_claimed_job()


def test_run_leased_carries_progress_out_while_the_step_runs() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        for count in (1, 2):
            context.progress["chunks"] = count
            await until(lambda: store.jobs[JOB_ID].progress == context.progress)
        return Done("{}")

    assert run(step, store) == Done("{}")


def test_run_leased_renews_again_and_again_while_the_step_runs() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        await until(lambda: store.jobs[JOB_ID].version >= 6)
        return Done("{}")

    assert run(step, store) == Done("{}")


def test_run_leased_breaks_the_step_off_when_the_caller_cancels() -> None:
    store = a_store(a_claimed_job())
    step = StuckStep(meanwhile=lambda: store.update(JOB_ID, request_cancel(NOW)))

    assert run(step, store) == Cancelled()
    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)


@pytest.mark.parametrize("name", [StepName.RENT, StepName.RELEASE])
def test_run_leased_lets_a_step_end_that_orders_or_destroys_machines_when_the_caller_cancels(
    name: StepName,
) -> None:
    job = a_claimed_job(step=name)
    store = a_store(job)

    async def step(context: StepContext) -> Outcome:
        store.update(JOB_ID, request_cancel(NOW))
        version = store.jobs[JOB_ID].version
        # Two renewals have seen the cancel request by then.
        await until(lambda: store.jobs[JOB_ID].version >= version + 2)
        return Done("{}")

    assert run(step, store, job=job) == Done("{}")


def test_run_leased_breaks_the_step_off_when_the_turn_was_taken_over() -> None:
    store = a_store(a_claimed_job())
    step = StuckStep(meanwhile=lambda: store.update(JOB_ID, claim(1, "worker-2", after(61))))

    with pytest.raises(LeaseLostError):
        run(step, store)

    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)
    assert store.jobs[JOB_ID].lease_owner == "worker-2"


def test_run_leased_breaks_the_step_off_when_the_lease_ran_out_unrenewed() -> None:
    clock = FakeClock()
    store = fill(DownStore("renew"), a_claimed_job())
    step = StuckStep(meanwhile=lambda: clock.advance(60))

    with pytest.raises(LeaseLostError):
        run(step, store, clock=clock)

    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)


def test_run_leased_goes_on_when_the_store_comes_back_in_time() -> None:
    store = fill(DownStore("renew"), a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        await asyncio.sleep(0.01)
        store.down = set()
        await until(lambda: store.jobs[JOB_ID].version > 2)
        return Done("{}")

    assert run(step, store) == Done("{}")


def test_run_leased_breaks_the_step_off_when_its_time_is_over() -> None:
    store = a_store(a_claimed_job())
    step = StuckStep()

    with pytest.raises(TimeoutError):
        run(step, store, time_limit_seconds=0.01)

    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)


def test_run_leased_raises_what_the_step_raises() -> None:
    async def step(context: StepContext) -> Outcome:
        raise StreamTruncatedError("Cut.")

    with pytest.raises(StreamTruncatedError, match="Cut"):
        run(step, a_store(a_claimed_job()))


def test_run_leased_leaves_the_job_to_the_commit() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        await asyncio.sleep(0.02)
        return Done("{}")

    run(step, store)

    assert store.jobs[JOB_ID].status is Status.RUNNING
    assert store.result_of(JOB_ID) is None
