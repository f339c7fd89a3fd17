"""One minute tick: its order, and what goes on when a part fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import override

import pytest

from rune.errors import RuneError, StoreUnavailableError, UnreadableRowError
from rune.events.notices import SubjectNotice
from rune.events.outbox import fall_due
from rune.events.record import Subject, SubjectKind
from rune.jobs.admission import Admission
from rune.jobs.places import Places, Share, Slot
from rune.jobs.record import DueClass, Job, Status, StepName
from rune.services.late_jobs import LateJobSweep
from rune.services.notices import NoticeSweep
from rune.services.tick import JobTick, TickResult
from tests.builders import TENANT, FakeClock, RecordingQueue, a_job, a_waiting_job, after, an_ended_job
from tests.memory_job_store import MemoryJobStore
from tests.memory_outbox import MemoryOutbox, RecordingNotices
from tests.unit.jobs.stores import fill

RELEASING = a_waiting_job(
    job_id="release", step=StepName.RELEASE, due_at=after(-1), due_class=DueClass.RELEASE
)
LATE = a_job(job_id="late", due_at=after(-2))
OVERDUE = a_job(
    job_id="overdue",
    waiting_since=after(-60),
    deadline_at=after(-1),
    due_at=after(-1),
    due_class=DueClass.WAIT,
)
WAITING = a_job(job_id="waiting", waiting_since=after(-9), due_at=after(3600), due_class=DueClass.WAIT)
ENDED = an_ended_job(job_id="ended", slot=0)


class FailingStore(MemoryJobStore):
    """Fails at one class of what is due, or at reading the places."""

    def __init__(
        self, failing: DueClass | str | None = None, error: type[RuneError] = StoreUnavailableError
    ) -> None:
        super().__init__()
        self._failing = failing
        self._error = error
        self.found: list[DueClass] = []

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        self.found.append(due_class)
        self._fail(due_class)
        return super().find_late(due_class, now, limit)

    @override
    def read_places(self) -> Places:
        self._fail("places")
        return super().read_places()

    def _fail(self, name: DueClass | str) -> None:
        if name == self._failing:
            raise self._error("Down.")


class Minute:
    """A tick over a store with one job for each of its parts."""

    def __init__(self, store: FailingStore, *jobs: Job) -> None:
        self.store = fill(store, *(jobs or (RELEASING, LATE, OVERDUE, WAITING, ENDED)))
        self.store.slots = {0: Slot(0, job_id="ended", tenant=TENANT)}
        self.store.shares = {TENANT: Share(TENANT, running=1, waiting=2)}
        self.queue, clock = RecordingQueue(), FakeClock()
        admission = Admission(self.store, self.queue, clock, slot_count=1)
        self.notices = RecordingNotices()
        sweep = NoticeSweep(self.store.outbox, self.notices, clock)
        self.tick = JobTick(LateJobSweep(self.store, self.queue, clock, admission), admission, sweep)

    def run(self, answers: Sequence[bool] = ()) -> TickResult:
        given = iter(answers)
        self.tick.send_releases(lambda: next(given, True))
        self.tick.send_late_and_admit(lambda: next(given, True))
        self.tick.send_notices(lambda: next(given, True))
        return self.tick.result

    @property
    def sent(self) -> list[str]:
        return [send.message.job_id for send in self.queue.sent]


def test_tick_does_what_bills_first_then_what_is_late_then_admits() -> None:
    minute = Minute(FailingStore())

    assert minute.run() == TickResult(sent_count=2, ended_count=1, freed_count=1, admitted_count=1)
    assert minute.sent == ["release", "late", "waiting"]
    # The last look is for releases that take too long.
    assert minute.store.found == [*DueClass, DueClass.RELEASE]


def test_tick_tells_how_many_jobs_run_and_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="rune")

    Minute(FailingStore()).run()

    (record,) = [record for record in caplog.records if record.msg == "jobs.measured"]
    assert record.__dict__["measured"] == {"JobsRunning": 1, "JobsWaiting": 1}


@pytest.mark.parametrize(
    ("status", "metric"),
    [
        (Status.SUCCEEDED, "JobsSucceeded"),
        (Status.FAILED, "JobsFailed"),
        (Status.CANCELLED, "JobsCancelled"),
    ],
)
def test_end_of_a_job_is_counted_by_its_status(
    status: Status, metric: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="rune")

    Admission(FailingStore(), RecordingQueue(), FakeClock(), slot_count=1).leave(a_job(status=status))

    (record,) = [record for record in caplog.records if record.msg == "job.ended"]
    assert (record.__dict__["metric"], record.__dict__["status"]) == (metric, status)


def test_tick_sends_only_releases_before_machines_are_looked_after() -> None:
    minute = Minute(FailingStore())

    minute.tick.send_releases(lambda: True)

    assert minute.sent == ["release"]
    assert minute.store.found == [DueClass.RELEASE]


FAILING: list[tuple[DueClass | str, list[str], TickResult]] = [
    (
        DueClass.RELEASE,
        ["late", "waiting"],
        TickResult(
            sent_count=1, ended_count=1, freed_count=1, admitted_count=1, failed=["release", "long_releases"]
        ),
    ),
    (
        DueClass.MESSAGE,
        ["release", "waiting"],
        TickResult(sent_count=1, ended_count=1, freed_count=1, admitted_count=1, failed=["message"]),
    ),
    (
        DueClass.WAIT,
        ["release", "late", "waiting"],
        TickResult(sent_count=2, freed_count=1, admitted_count=1, failed=["wait"]),
    ),
]


@pytest.mark.parametrize(("failing", "sent", "result"), FAILING, ids=[str(row[0]) for row in FAILING])
@pytest.mark.parametrize("error", [StoreUnavailableError, UnreadableRowError])
def test_tick_goes_on_with_its_other_parts_when_one_fails(
    failing: DueClass | str, sent: list[str], result: TickResult, error: type[RuneError]
) -> None:
    minute = Minute(FailingStore(failing, error))

    assert (minute.run(), minute.sent) == (result, sent)


def test_tick_names_the_parts_about_slots_when_they_fail() -> None:
    minute = Minute(FailingStore("places"), RELEASING, LATE)

    assert minute.run() == TickResult(sent_count=2, failed=["slots", "admission"])


def test_tick_counts_for_the_alarm_what_it_does_not_understand(caplog: pytest.LogCaptureFixture) -> None:
    Minute(FailingStore("places", UnreadableRowError), RELEASING).run()

    told = [
        (line.msg, line.__dict__["part"], line.__dict__["metric"]) for line in caplog.records if line.exc_info
    ]
    assert told == [
        ("tick.part_failed", "slots", "RowsNotUnderstood"),
        ("tick.part_failed", "admission", "RowsNotUnderstood"),
    ]


def test_tick_tells_what_it_left_to_the_next_when_time_is_short() -> None:
    minute = Minute(FailingStore())

    result = minute.run([False] * 99)

    assert result == TickResult(left_count=3, freed_count=1)
    assert minute.sent == []


ENDED_SUBJECT = Subject(SubjectKind.JOB, "ended")


def test_tick_sends_notices_again_for_what_must_still_be_published() -> None:
    minute = Minute(FailingStore())
    minute.store.outbox.update(ENDED_SUBJECT, fall_due(after(-61), after(86_400)))

    assert minute.run().notice_count == 1
    assert minute.notices.sent == [SubjectNotice(ENDED_SUBJECT)]


@pytest.mark.parametrize("error", [StoreUnavailableError, UnreadableRowError])
def test_tick_names_the_notices_when_they_fail(error: type[RuneError]) -> None:
    class Down(MemoryOutbox):
        @override
        def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
            raise error("Down.")

    store = FailingStore()
    store.outbox = Down()
    minute = Minute(store)

    assert minute.run().failed == ["notices"]
    assert minute.sent == ["release", "late", "waiting"]
