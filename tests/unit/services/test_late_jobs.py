import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import override

import pytest

from rune.errors import StoreUnavailableError
from rune.jobs.admission import Admission
from rune.jobs.lifecycle import Send, claim, overrun_at, put_off, redispatch, set_aside
from rune.jobs.metrics import Tally
from rune.jobs.places import Share, Slot
from rune.jobs.plan import Lane
from rune.jobs.record import DueClass, Job, Status, StepMessage, StepName
from rune.jobs.store import Refused, Submission
from rune.services import late_jobs as late_jobs_module
from rune.services.late_jobs import BACKLOG, LateJobs, LateJobSweep
from rune.storage.change import Change, allows, apply
from tests.builders import (
    JOB_ID,
    NOW,
    FakeClock,
    RecordingQueue,
    a_claimed_job,
    a_job,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
)
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import a_store, fill

LATE = a_waiting_job(due_at=after(-1))


def a_sweep(store: MemoryJobStore, queue: RecordingQueue | None = None) -> LateJobSweep:
    queue, clock = queue or RecordingQueue(), FakeClock()
    return LateJobSweep(store, queue, clock, Admission(store, queue, clock, slot_count=2))


def swept(store: MemoryJobStore, queue: RecordingQueue | None = None) -> int:
    """Sweep all classes; return how many messages were sent again."""
    return a_sweep(store, queue).sweep(DueClass, lambda: True).sent_count


@pytest.mark.parametrize(
    ("job", "lane", "seq"),
    [
        (a_job(due_at=NOW), Lane.INFERENCE, 1),
        (LATE, Lane.INFERENCE, 2),
        (a_claimed_job(due_at=after(-1), lease_until=after(-1)), Lane.INFERENCE, 1),
        (a_claimed_job(step=StepName.MEASURE, due_at=NOW, cancel_requested_at=NOW), Lane.MONEY, 1),
    ],
    ids=["never begun", "waiting", "worker lost", "to be cancelled"],
)
def test_sweep_sends_the_message_again_when_the_turn_is_late(job: Job, lane: Lane, seq: int) -> None:
    store, queue = a_store(job), RecordingQueue()

    assert swept(store, queue) == 1
    assert queue.sent == [Send(lane, StepMessage(JOB_ID, seq), 0)]
    assert store.jobs[JOB_ID] == apply(redispatch(job, NOW), job)


@pytest.mark.parametrize("job", [a_job(), a_claimed_job(), a_waiting_job(), an_ended_job()])
def test_sweep_leaves_the_job_alone_when_it_is_not_late(job: Job) -> None:
    store, queue = a_store(job), RecordingQueue()

    assert swept(store, queue) == 0
    assert (queue.sent, store.jobs[JOB_ID]) == ([], job)


def test_sweep_sends_once_when_two_janitors_come_one_after_the_other() -> None:
    store, queue = a_store(LATE), RecordingQueue()

    assert (swept(store, queue), swept(store, queue)) == (1, 0)
    assert len(queue.sent) == 1


class InterruptedBatchStore(MemoryJobStore):
    """Lets something else happen once, right after the first batch read."""

    def __init__(self, after_read: Callable[[MemoryJobStore], object]) -> None:
        super().__init__()
        self._interrupts = [after_read]

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        jobs = super().read_many(job_ids)
        if self._interrupts:
            self._interrupts.pop()(self)
        return jobs


def test_sweep_sends_once_when_another_janitor_comes_between_read_and_write() -> None:
    queue = RecordingQueue()
    store = fill(InterruptedBatchStore(lambda inner: swept(inner, queue)), LATE)

    assert swept(store, queue) == 0
    assert len(queue.sent) == 1


class LaggingStore(MemoryJobStore):
    """An index that still shows what the row no longer says."""

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        return (JOB_ID,)


@pytest.mark.parametrize("found", [(), (an_ended_job(),), (a_claimed_job(),)], ids=["gone", "ended", "begun"])
def test_sweep_trusts_the_row_when_the_index_lags(found: tuple[Job, ...]) -> None:
    store, queue = fill(LaggingStore(), *found), RecordingQueue()

    assert swept(store, queue) == 0
    assert (queue.sent, tuple(store.jobs.values())) == ([], found)


def many(count: int) -> MemoryJobStore:
    """Return a store with late jobs, the longest overdue last."""
    return a_store(*(a_job(job_id=f"job-{n}", due_at=after(-n)) for n in range(count)))


def test_sweep_begins_with_the_longest_overdue() -> None:
    queue = RecordingQueue()

    assert swept(many(3), queue) == 3
    assert [send.message.job_id for send in queue.sent] == ["job-2", "job-1", "job-0"]


def test_sweep_takes_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_jobs_module, "JOBS_PER_CLASS", 2)

    assert swept(many(3)) == 2


def test_sweep_leaves_the_rest_to_the_next_tick_when_time_is_short(caplog: pytest.LogCaptureFixture) -> None:
    queue, answers = RecordingQueue(), iter([True, True, True, False])

    found = a_sweep(many(4), queue).sweep((DueClass.MESSAGE,), lambda: next(answers))

    assert found == LateJobs(sent_count=2, left_count=2)
    assert [send.message.job_id for send in queue.sent] == ["job-3", "job-2"]
    assert (caplog.records[-1].msg, caplog.records[-1].__dict__["left"]) == ("sweep.left", 2)


def test_sweep_counts_only_what_the_queue_took() -> None:
    store = a_store(LATE)

    assert swept(store, RecordingQueue(is_down=True)) == 0
    assert store.jobs[JOB_ID] == apply(redispatch(LATE, NOW), LATE)


@pytest.mark.parametrize(
    ("job", "lost"),
    [(LATE, "message"), (a_claimed_job(due_at=after(-1)), "worker")],
    ids=["message", "worker"],
)
def test_sweep_says_what_was_lost(job: Job, lost: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rune")

    swept(a_store(job))

    assert [(record.msg, record.__dict__["lost"]) for record in caplog.records] == [("turn.late", lost)]


class ContendedStore(MemoryJobStore):
    """Fails at the redispatch of some jobs, as when other writes of their rows go on."""

    def __init__(self, *contended: str) -> None:
        super().__init__()
        self._contended = contended

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        if job_id in self._contended:
            raise StoreUnavailableError("Other writes of the same row went on for too long.")
        return super().update(job_id, change)


def late_jobs(store: MemoryJobStore, count: int) -> MemoryJobStore:
    """Return the store with late jobs, the first of them the longest overdue."""
    return fill(store, *(a_job(job_id=f"job-{n}", due_at=after(n - count)) for n in range(count)))


def test_sweep_goes_on_when_one_row_is_contended(caplog: pytest.LogCaptureFixture) -> None:
    queue = RecordingQueue()

    with pytest.raises(StoreUnavailableError):
        swept(late_jobs(ContendedStore("job-0", "job-1", "job-3"), 5), queue)

    assert [send.message.job_id for send in queue.sent] == ["job-2", "job-4"]
    named = [line.__dict__["job_id"] for line in caplog.records if line.msg == "turn.store_unavailable"]
    assert named == ["job-0", "job-1", "job-3"]


def test_sweep_stops_when_the_store_fails_at_every_row() -> None:
    queue = RecordingQueue()

    with pytest.raises(StoreUnavailableError):
        swept(late_jobs(ContendedStore("job-0", "job-1", "job-2"), 4), queue)

    assert queue.sent == []


class BrokenStore(MemoryJobStore):
    """Meets something unforeseen in one job's row."""

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        return super().read_many([job_id for job_id in job_ids if job_id != "job-0"])

    @override
    def read(self, job_id: str) -> Job | None:
        if job_id == "job-0":
            raise ZeroDivisionError
        return super().read(job_id)


def test_sweep_sets_one_job_aside_when_it_meets_something_unforeseen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = late_jobs(BrokenStore(), 2)

    assert swept(store) == 1
    assert store.jobs["job-0"].due_at == after(300)
    (line,) = [record for record in caplog.records if record.msg == "row.unreadable"]
    assert (line.__dict__["job_id"], line.__dict__["metric"]) == ("job-0", "RowsNotUnderstood")


def test_set_aside_is_refused_when_another_worker_has_claimed_the_turn() -> None:
    assert not allows(set_aside(DueClass.LEASE, NOW), a_claimed_job())
    assert not allows(set_aside(DueClass.LEASE, NOW), an_ended_job())


@pytest.mark.parametrize("due_class", [DueClass.RELEASE, DueClass.LEASE, DueClass.MESSAGE])
def test_sweep_leaves_a_job_that_it_sets_aside_in_its_class(due_class: DueClass) -> None:
    store = fill(BrokenStore(), a_claimed_job(job_id="job-0", due_at=after(-1), due_class=due_class))

    swept(store)

    assert (store.jobs["job-0"].due_at, store.jobs["job-0"].due_class) == (after(300), due_class)


# ---------------------------------------------------------------- classes and batches


def test_sweep_takes_the_classes_in_the_order_in_which_they_are_named() -> None:
    jobs = [
        a_job(job_id="message", due_at=after(-9), due_class=DueClass.MESSAGE),
        a_claimed_job(job_id="lease", due_at=after(-5), lease_until=after(-5)),
        a_waiting_job(job_id="release", step=StepName.RELEASE, due_at=after(-1), due_class=DueClass.RELEASE),
    ]
    queue = RecordingQueue()

    swept(a_store(*jobs), queue)

    assert [send.message.job_id for send in queue.sent] == ["release", "lease", "message"]


def test_sweep_leaves_classes_alone_that_are_not_named() -> None:
    queue = RecordingQueue()

    found = a_sweep(a_store(LATE), queue).sweep((DueClass.RELEASE, DueClass.LEASE), lambda: True)

    assert (found, queue.sent) == (LateJobs(), [])


class BatchStore(MemoryJobStore):
    """Counts what is read, and how many rows at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        self.batches.append(len(job_ids))
        return super().read_many(job_ids)

    @override
    def read(self, job_id: str) -> Job | None:
        raise AssertionError(job_id)


def test_sweep_reads_a_hundred_rows_at_once() -> None:
    store = BatchStore()
    late_jobs(store, 250)

    assert swept(store) == 250
    assert store.batches == [100, 100, 50]


def test_sweep_leaves_whole_batches_when_time_is_short() -> None:
    answers = iter([True] * 101)

    found = a_sweep(late_jobs(MemoryJobStore(), 250)).sweep((DueClass.MESSAGE,), lambda: next(answers, False))

    assert found == LateJobs(sent_count=100, left_count=150)


# ---------------------------------------------------------------- a lane with a backlog


def test_sweep_adds_no_copies_to_a_lane_with_a_backlog() -> None:
    store, queue = a_store(LATE), RecordingQueue(backlog_count=BACKLOG)

    assert swept(store, queue) == 0
    assert (queue.sent, store.jobs[JOB_ID]) == ([], apply(put_off(LATE, NOW), LATE))
    assert (store.jobs[JOB_ID].due_at, store.jobs[JOB_ID].dispatches) == (after(60), 0)


@pytest.mark.parametrize(
    "job",
    [
        a_claimed_job(due_at=after(-1), lease_until=after(-1)),
        a_waiting_job(step=StepName.RELEASE, due_at=after(-1), due_class=DueClass.RELEASE),
    ],
    ids=["its worker was lost", "its machine bills"],
)
def test_sweep_sends_all_the_same_what_no_backlog_holds_or_what_bills(job: Job) -> None:
    assert swept(a_store(job), RecordingQueue(backlog_count=BACKLOG)) == 1


def test_sweep_sends_when_few_messages_wait() -> None:
    assert swept(a_store(LATE), RecordingQueue(backlog_count=BACKLOG - 1)) == 1


def test_sweep_asks_for_the_backlog_of_a_lane_once() -> None:
    class CountingQueue(RecordingQueue):
        counted: list[Lane]

        def __init__(self) -> None:
            super().__init__()
            self.counted = []

        @override
        def count_backlog(self, lane: Lane) -> int:
            self.counted.append(lane)
            return 0

    queue = CountingQueue()
    jobs = [a_waiting_job(job_id=f"job-{n}", due_at=after(-1)) for n in range(5)]

    swept(a_store(*jobs, a_waiting_job(job_id="boot", step=StepName.BOOT, due_at=NOW)), queue)

    assert sorted(queue.counted) == [Lane.INFERENCE, Lane.MONEY]


# ---------------------------------------------------------------- jobs whose time is over


def ended_by_sweep(
    job: Job, *, running: int = 0, waiting: int = 0
) -> tuple[LateJobs, MemoryJobStore, RecordingQueue]:
    """Sweep all classes of a store with one job, whose tenant has so many jobs by its share."""
    store, queue = a_store(job), RecordingQueue()
    if job.slot is not None:
        store.slots = {job.slot: Slot(job.slot, job_id=job.job_id, tenant=job.tenant)}
    store.shares = {job.tenant: Share(job.tenant, running=running, waiting=waiting)}
    return a_sweep(store, queue).sweep(DueClass, lambda: True), store, queue


def test_sweep_ends_a_job_that_waited_for_too_long() -> None:
    job = a_job(waiting_since=after(-60), deadline_at=NOW, due_at=NOW, due_class=DueClass.WAIT)

    found, store, queue = ended_by_sweep(job, waiting=1)

    ended = store.jobs[JOB_ID]
    assert found == LateJobs(ended_count=1)
    assert (ended.status, ended.is_waiting, ended.due_at, ended.due_class) == (
        Status.FAILED,
        False,
        None,
        None,
    )
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.retryable) == ("queue_timeout", True)
    assert (store.shares[job.tenant].waiting, queue.sent) == (0, [])
    assert store.read_tallies(job.tenant, NOW) == {"job.failed": Tally(0, 1, 0, 0, 0)}


def test_sweep_ends_a_queued_job_that_no_worker_took_and_frees_its_slot() -> None:
    job = a_job(slot=1, deadline_at=NOW, due_at=NOW)

    found, store, _ = ended_by_sweep(job, running=1)

    failure = store.jobs[JOB_ID].failure
    assert (found.ended_count, failure.code if failure else None) == (1, "queue_timeout")
    assert (store.slots[1].job_id, store.shares[job.tenant].running) == (None, 0)


def test_sweep_ends_a_running_job_and_frees_its_slot() -> None:
    job = a_waiting_job(slot=0, deadline_at=after(-120), due_at=NOW)

    found, store, queue = ended_by_sweep(job, running=1)

    ended = store.jobs[JOB_ID]
    assert found == LateJobs(ended_count=1)
    assert ended.failure is not None
    assert (ended.status, ended.failure.code, ended.epoch) == (
        Status.FAILED,
        "deadline_exceeded",
        job.epoch + 1,
    )
    assert (store.slots[0].job_id, store.shares[job.tenant].running, queue.sent) == (None, 0, [])


def test_sweep_gives_a_machine_back_before_its_job_ends() -> None:
    job = a_waiting_job(rents=True, step=StepName.PULL, slot=0, deadline_at=after(-120), due_at=NOW)

    found, store, queue = ended_by_sweep(job, running=1)

    releasing = store.jobs[JOB_ID]
    assert (found.ended_count, releasing.status, releasing.step) == (1, Status.RUNNING, StepName.RELEASE)
    assert (releasing.ends_as, releasing.due_class) == (Status.FAILED, DueClass.RELEASE)
    assert queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, job.seq + 1), 0)]
    assert (store.slots[0].job_id, store.shares[job.tenant].running) == (JOB_ID, 1)


def test_sweep_never_ends_a_job_that_gives_its_machine_back() -> None:
    job = a_waiting_job(
        rents=True,
        step=StepName.RELEASE,
        deadline_at=after(-86400),
        due_at=NOW,
        due_class=DueClass.RELEASE,
        ends_as=Status.SUCCEEDED,
    )

    found, store, queue = ended_by_sweep(job)

    assert found == LateJobs(sent_count=1)
    assert (store.jobs[JOB_ID].step, store.jobs[JOB_ID].ends_as) == (StepName.RELEASE, Status.SUCCEEDED)
    assert queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, job.seq), 0)]


def test_sweep_tells_of_a_release_that_takes_too_long_and_is_not_late(
    caplog: pytest.LogCaptureFixture,
) -> None:
    began_at = after(-4_000)
    job = a_waiting_job(
        rents=True,
        step=StepName.RELEASE,
        created_at=began_at,
        started_at=began_at,
        due_at=after(50),
        due_class=DueClass.RELEASE,
        ends_as=Status.FAILED,
    )
    store = a_store(replace(job, job_id="b" * 32, started_at=after(-60)))
    failed = replace(an_event(), labels={"step": "release"}, error_type="provider_failed")
    store.submit(Submission(job, "{}", failed))

    assert a_sweep(store).tell_long_releases(lambda: True) == 1
    (line,) = [record for record in caplog.records if record.message == "release.long"]
    assert {"job_id": JOB_ID, "code": "provider_failed", "metric": "LongReleases"}.items() <= vars(
        line
    ).items()
    assert a_sweep(store).tell_long_releases(lambda: False) == 0


def test_sweep_leaves_a_job_to_the_worker_whose_lease_is_alive() -> None:
    job = a_claimed_job(deadline_at=after(-900), due_at=NOW, lease_until=after(1))

    found, store, queue = ended_by_sweep(job)

    assert (found, store.jobs[JOB_ID], queue.sent) == (LateJobs(), job, [])


@pytest.mark.parametrize(
    ("step", "seconds", "is_ended"),
    [
        (StepName.WARM_UP, 119.9, False),
        (StepName.WARM_UP, 120, True),
        (StepName.MEASURE, 299.9, False),
        (StepName.MEASURE, 300, True),
    ],
)
def test_sweep_lets_the_jobs_own_lane_end_it_first(step: StepName, seconds: float, *, is_ended: bool) -> None:
    job = a_waiting_job(step=step, deadline_at=after(-seconds), due_at=NOW)

    found, _, queue = ended_by_sweep(job)

    assert (found.ended_count, len(queue.sent)) == (int(is_ended), int(not is_ended))
    assert (overrun_at(job) <= NOW) is is_ended


def test_sweep_ends_a_job_as_cancelled_that_was_asked_to_stop() -> None:
    job = a_waiting_job(deadline_at=after(-120), due_at=NOW, cancel_requested_at=after(-130))

    _, store, _ = ended_by_sweep(job)

    assert store.jobs[JOB_ID].status is Status.CANCELLED


def test_sweep_ends_no_job_that_was_admitted_or_begun_since_it_was_read() -> None:
    waiting = a_job(waiting_since=after(-60), deadline_at=NOW, due_at=NOW, due_class=DueClass.WAIT)

    def begin(store: MemoryJobStore) -> None:
        store.jobs[JOB_ID] = admitted = replace(waiting, waiting_since=None, slot=0)
        store.update(JOB_ID, claim(admitted, 1, "worker-1", NOW))

    store = fill(InterruptedBatchStore(begin), waiting)

    found = a_sweep(store).sweep(DueClass, lambda: True)

    assert (found, store.jobs[JOB_ID].status) == (LateJobs(), Status.RUNNING)


def test_sweep_admits_the_next_job_in_place_of_the_one_that_it_ended() -> None:
    over = a_waiting_job(slot=0, deadline_at=after(-120), due_at=NOW)
    next_job = a_job(job_id="next", waiting_since=NOW, due_at=after(3600), due_class=DueClass.WAIT)
    store, queue = a_store(over, next_job), RecordingQueue()
    store.slots = {n: Slot(n, job_id=JOB_ID if n == 0 else "other", tenant=over.tenant) for n in range(2)}
    store.shares = {over.tenant: Share(over.tenant, running=2, waiting=1)}

    a_sweep(store, queue).sweep((DueClass.MESSAGE,), lambda: True)

    assert (store.slots[0].job_id, [send.message.job_id for send in queue.sent]) == ("next", ["next"])
