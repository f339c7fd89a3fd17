import logging
from datetime import datetime
from typing import override

import pytest
from rune.services.redispatch import redispatch_late_turns

from rune.errors import StoreUnavailableError
from rune.jobs.lifecycle import Send, redispatch, set_aside
from rune.jobs.plan import Lane
from rune.jobs.record import Job, StepMessage, StepName
from rune.jobs.store import Refused
from rune.services import redispatch as sweep
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
)
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import InterruptedStore, a_store, fill

LATE = a_waiting_job(due_at=after(-1))


def swept(store: MemoryJobStore, queue: RecordingQueue | None = None) -> int:
    return redispatch_late_turns(store, queue or RecordingQueue(), FakeClock(), lambda: True)


@pytest.mark.parametrize(
    ("job", "lane", "seq"),
    [
        (a_job(due_at=NOW), Lane.MONEY, 1),
        (LATE, Lane.INFERENCE, 2),
        (a_claimed_job(due_at=after(-1), lease_until=after(-1)), Lane.MONEY, 1),
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


def test_sweep_sends_once_when_another_janitor_comes_between_read_and_write() -> None:
    queue = RecordingQueue()
    store = fill(InterruptedStore(after_read=lambda inner: swept(inner, queue)), LATE)

    assert swept(store, queue) == 0
    assert len(queue.sent) == 1


class LaggingStore(MemoryJobStore):
    """An index that still shows what the row no longer says."""

    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
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
    monkeypatch.setattr(sweep, "LATE_JOBS_PER_SWEEP", 2)

    assert swept(many(3)) == 2


def test_sweep_leaves_the_rest_to_the_next_tick_when_time_is_short(caplog: pytest.LogCaptureFixture) -> None:
    queue, answers = RecordingQueue(), iter([True, True, False])

    assert redispatch_late_turns(many(4), queue, FakeClock(), lambda: next(answers)) == 2
    assert [send.message.job_id for send in queue.sent] == ["job-3", "job-2"]
    assert caplog.records[-1].msg == "sweep.out_of_time"


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
    assert not allows(set_aside(NOW), a_claimed_job())
    assert not allows(set_aside(NOW), an_ended_job())
