import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import override

import pytest

from rune.errors import LeaseLostError, StreamTruncatedError
from rune.jobs import lease, lifecycle
from rune.jobs.lease import Lease, run_leased
from rune.jobs.lifecycle import claim, is_late, renew, request_cancel
from rune.jobs.outcomes import Cancelled, Done, Outcome
from rune.jobs.record import DueClass, Job, Status, StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.store import Refused
from rune.storage.change import Change, apply
from tests.builders import (
    JOB_ID,
    NOW,
    FakeClock,
    a_claimed_job,
    a_job,
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


def test_renew_shows_what_the_job_has_cost_by_now_and_never_less_than_before() -> None:
    store = a_store(a_claimed_job(cost_micro_usd=5_000))
    held = Lease(a_claimed_job(cost_micro_usd=5_000), store, FakeClock(after(30)))

    held.renew({}, 4_000)
    assert store.jobs[JOB_ID].cost_micro_usd == 5_000

    held.renew({}, 6_000)
    assert store.jobs[JOB_ID].cost_micro_usd == 6_000


def test_must_stop_writes_what_a_running_step_costs() -> None:
    store, clock = a_store(a_claimed_job()), FakeClock()
    held = a_lease(store, clock)
    clock.advance(31)
    context = a_step_context(a_claimed_job())
    context.cost_at = lambda now: round((now - NOW).total_seconds())

    held.must_stop(context)

    assert store.jobs[JOB_ID].cost_micro_usd == 31


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


# Looks at the lease, and renewals.


class CountingStore(DownStore):
    """Counts the reads and the writes of a lease; it cannot be reached for what is named in `down`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        self.calls.append(change.name)
        return super().update(job_id, change)

    @override
    def glance(self, job_id: str) -> Job | None:
        self.calls.append("glance")
        self._fail("glance")
        return super().glance(job_id)


def kept_for(
    seconds: int, store: CountingStore, progress: Callable[[int], dict[str, int]] = lambda _: {}
) -> list[Job]:
    """Look after a lease every two seconds; return the job as each look left it."""
    clock = FakeClock()
    held = a_lease(store, clock)
    jobs = []
    for second in range(2, seconds + 1, 2):
        clock.advance(2)
        held.keep(progress(second))
        jobs.append(store.jobs[JOB_ID])
    return jobs


def test_keep_reads_the_row_and_renews_every_twenty_seconds() -> None:
    store = fill(CountingStore(), a_claimed_job())

    kept_for(60, store)

    assert store.calls == [*["glance"] * 9, "renew"] * 3


def test_keep_shows_new_progress_often_at_first_and_then_every_ten_seconds() -> None:
    store = fill(CountingStore(), a_claimed_job())

    jobs = kept_for(60, store, lambda second: {"chunks": second})

    renewed_at = [2 * number for number, call in enumerate(store.calls, 1) if call == "renew"]
    assert renewed_at == [2, 4, 6, 8, 12, 16, 22, 30, 40, 50, 60]
    assert dict(jobs[-1].progress) == {"chunks": 60}


def test_keep_renews_at_the_slower_pace_once_the_progress_is_shown() -> None:
    store = fill(CountingStore(), a_claimed_job())

    kept_for(50, store, lambda _: {"chunks": 7})

    assert [number for number, call in enumerate(store.calls, 1) if call == "renew"] == [1, 11, 21]


@pytest.mark.parametrize("shown_at", range(60))
def test_keep_never_lets_a_turn_be_late_while_its_worker_is_alive(shown_at: int) -> None:
    # New progress moves the renewals; a look comes every 2.2 s, because a call to the table takes some time.
    store, clock = fill(CountingStore(), a_claimed_job()), FakeClock()
    held = a_lease(store, clock)

    for number in range(80):
        clock.advance(2.2)
        assert not is_late(store.jobs[JOB_ID], clock.now()), f"late at look {number}"
        held.keep({"chunks": int(number >= shown_at)})


def test_keep_writes_the_due_time_only_before_it_comes() -> None:
    store = fill(CountingStore(), a_claimed_job())

    jobs = kept_for(120, store)

    assert sorted({job.due_at for job in jobs if job.due_at}) == [
        after(60),
        after(100),
        after(140),
        after(180),
    ]
    assert {job.due_class for job in jobs} == {DueClass.LEASE}


def test_keep_tells_when_the_caller_asks_to_cancel() -> None:
    store = fill(CountingStore(), a_claimed_job(cancel_requested_at=NOW))

    assert a_lease(store).keep({})
    assert store.calls == ["glance"]


@pytest.mark.parametrize("found", [(), (a_job(),)], ids=["gone", "as before the claim"])
def test_keep_goes_on_when_the_read_is_older_than_the_claim(found: tuple[Job, ...]) -> None:
    store = fill(CountingStore(), *found)

    assert a_lease(store).keep({}) is False


def test_keep_fails_when_another_worker_has_claimed_the_turn() -> None:
    store = fill(CountingStore(), a_claimed_job(epoch=2, lease_owner="worker-2"))

    with pytest.raises(LeaseLostError, match="Another worker"):
        a_lease(store).keep({})


def test_keep_goes_on_when_the_row_cannot_be_read_and_fails_once_the_lease_ran_out() -> None:
    store = fill(CountingStore(), a_claimed_job())
    store.down = {"glance", "renew"}

    with pytest.raises(LeaseLostError, match="ran out"):
        kept_for(120, store)

    assert len(store.calls) == 30


def test_keep_makes_a_turn_due_by_its_lease_again_after_a_cancel_request() -> None:
    store = fill(CountingStore(), a_claimed_job(step=StepName.RENT))
    clock = FakeClock()
    held = a_lease(store, clock)
    store.update(JOB_ID, request_cancel(store.jobs[JOB_ID], NOW))

    for _ in range(2):
        clock.advance(20)
        held.keep({})

    assert (store.jobs[JOB_ID].due_at, store.jobs[JOB_ID].due_class) == (after(100), DueClass.LEASE)


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


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.002)
    monkeypatch.setattr(lifecycle, "RENEWAL", timedelta(0))
    monkeypatch.setattr(lifecycle, "PROGRESS_RENEWAL", timedelta(0))


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


@pytest.mark.usefixtures("often")
def test_run_leased_returns_the_outcome_without_a_renewal_when_the_step_is_quick() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        return Done("{}")

    assert run(step, store) == Done("{}")
    assert store.jobs[JOB_ID] == a_claimed_job()


@pytest.mark.usefixtures("often")
def test_run_leased_carries_progress_out_while_the_step_runs() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        for count in (1, 2):
            context.progress["chunks"] = count
            await until(lambda: store.jobs[JOB_ID].progress == context.progress)
        return Done("{}")

    assert run(step, store) == Done("{}")


@pytest.mark.usefixtures("often")
def test_run_leased_renews_again_and_again_while_the_step_runs() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        await until(lambda: store.jobs[JOB_ID].version >= 6)
        return Done("{}")

    assert run(step, store) == Done("{}")


@pytest.mark.usefixtures("often")
def test_run_leased_breaks_the_step_off_when_the_caller_cancels() -> None:
    store = a_store(a_claimed_job())
    step = StuckStep(meanwhile=lambda: store.update(JOB_ID, request_cancel(a_claimed_job(), NOW)))

    assert run(step, store) == Cancelled()
    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("name", [StepName.RENT, StepName.GIVE_BACK, StepName.RELEASE])
def test_run_leased_lets_a_step_end_that_orders_or_destroys_machines_when_the_caller_cancels(
    name: StepName,
) -> None:
    job = a_claimed_job(step=name)
    store = a_store(job)

    async def step(context: StepContext) -> Outcome:
        store.update(JOB_ID, request_cancel(a_claimed_job(), NOW))
        version = store.jobs[JOB_ID].version
        # Two renewals have seen the cancel request by then.
        await until(lambda: store.jobs[JOB_ID].version >= version + 2)
        return Done("{}")

    assert run(step, store, job=job) == Done("{}")


@pytest.mark.usefixtures("often")
def test_run_leased_breaks_the_step_off_when_the_turn_was_taken_over() -> None:
    store = a_store(a_claimed_job())
    step = StuckStep(meanwhile=lambda: store.update(JOB_ID, claim(a_claimed_job(), 1, "worker-2", after(61))))

    with pytest.raises(LeaseLostError):
        run(step, store)

    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)
    assert store.jobs[JOB_ID].lease_owner == "worker-2"


@pytest.mark.usefixtures("often")
def test_run_leased_breaks_the_step_off_when_the_lease_ran_out_unrenewed() -> None:
    clock = FakeClock()
    store = fill(DownStore("renew"), a_claimed_job())
    step = StuckStep(meanwhile=lambda: clock.advance(60))

    with pytest.raises(LeaseLostError):
        run(step, store, clock=clock)

    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)


@pytest.mark.usefixtures("often")
def test_run_leased_goes_on_when_the_store_comes_back_in_time() -> None:
    store = fill(DownStore("renew"), a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        await asyncio.sleep(0.01)
        store.down = set()
        await until(lambda: store.jobs[JOB_ID].version > 2)
        return Done("{}")

    assert run(step, store) == Done("{}")


@pytest.mark.usefixtures("often")
def test_run_leased_breaks_the_step_off_when_its_time_is_over() -> None:
    store = a_store(a_claimed_job())
    step = StuckStep()

    with pytest.raises(TimeoutError):
        run(step, store, time_limit_seconds=0.01)

    assert (step.was_broken_off, step.has_cleaned_up) == (True, True)


@pytest.mark.usefixtures("often")
def test_run_leased_raises_what_the_step_raises() -> None:
    async def step(context: StepContext) -> Outcome:
        raise StreamTruncatedError("Cut.")

    with pytest.raises(StreamTruncatedError, match="Cut"):
        run(step, a_store(a_claimed_job()))


@pytest.mark.usefixtures("often")
def test_run_leased_leaves_the_job_to_the_commit() -> None:
    store = a_store(a_claimed_job())

    async def step(context: StepContext) -> Outcome:
        await asyncio.sleep(0.02)
        return Done("{}")

    run(step, store)

    assert store.jobs[JOB_ID].status is Status.RUNNING
    assert store.result_of(JOB_ID) is None
