"""Publishing the events of one subject to several sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import override

import pytest

from rune.errors import StoreUnavailableError
from rune.events.outbox import OutboxState, advance, fall_due
from rune.events.record import JsonValue, PublicEvent, Subject, SubjectKind
from rune.events.sink import Sink
from rune.jobs.particulars import Particulars
from rune.jobs.record import Event, Job
from rune.jobs.store import Submission
from rune.services.publishing import EVENTS_AT_ONCE, TRIES, Publisher
from rune.storage.change import Change
from tests.builders import JOB_ID, NOW, TENANT, FakeClock, a_claimed_job, a_job, after, an_ended_job
from tests.memory_job_store import MemoryJobStore
from tests.memory_outbox import MemoryOutbox

JOB = Subject(SubjectKind.JOB, JOB_ID)
SCHEDULE = Subject(SubjectKind.SCHEDULE, "nightly")
EXPIRES_AT = after(30 * 86_400)


class RecordingSink(Sink):
    """Notes what it is given, and fails while `error` is set."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self._name = name
        self.error = error
        self.taken: list[PublicEvent] = []
        self.before: Callable[[], object] = lambda: None

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def publish(self, events: Sequence[PublicEvent]) -> None:
        self.before()
        if self.error is not None:
            raise self.error
        self.taken += events

    @property
    def sequences(self) -> list[int]:
        return [event.sequence for event in self.taken]


class World:
    """A job, a log, and two sinks."""

    def __init__(self, job: Job | None = None, outbox: MemoryOutbox | None = None) -> None:
        self.outbox, self.jobs, self.clock = outbox or MemoryOutbox(), MemoryJobStore(), FakeClock()
        self.sinks = [RecordingSink("bus"), RecordingSink("archive")]
        if job is not None:
            self.jobs.submit(Submission(job, "{}", Event(1, "job.accepted", "ok", NOW)))

    def add_events(self, *names: str) -> None:
        """Give the job more events."""
        events = self.jobs._events[JOB_ID]
        for name in names:
            number = len(events) + 1
            events[number] = Event(number, name, "ok", after(number))

    def publish(self, subject: Subject = JOB) -> None:
        Publisher(self.outbox, self.jobs, self.sinks, self.clock).publish(subject)

    def log(self, *sequences: int) -> None:
        """Write events of the schedule."""
        data: dict[str, JsonValue] = {"schedule_id": "nightly"}
        self.outbox.write_log(
            [PublicEvent("rune.schedule.fired", TENANT, SCHEDULE, n, NOW, data) for n in sequences],
            EXPIRES_AT,
        )

    @property
    def taken(self) -> list[list[int]]:
        return [sink.sequences for sink in self.sinks]


def test_each_sink_gets_the_jobs_public_events_once() -> None:
    world = World(a_job())
    world.publish()
    world.add_events("job.running", "worker.lost")
    world.publish()
    world.publish()

    assert world.taken == [[1, 2], [1, 2]]
    assert [event.event_type for event in world.sinks[0].taken] == ["rune.job.accepted", "rune.job.running"]
    # What is not published is not looked at again.
    assert world.outbox.read(JOB).pointers == {"bus": 3, "archive": 3}


def test_events_have_the_name_that_stands_in_the_tenants_list() -> None:
    world = World()
    accepted = Event(1, "job.accepted", "ok", NOW)
    world.jobs.submit(Submission(a_job(), "{}", accepted, particulars=Particulars("nightly", {"on": "main"})))

    world.publish()

    (event,) = world.sinks[0].taken
    assert (event.data["name"], event.data["metadata"]) == ("nightly", {"on": "main"})


def test_outbox_of_a_job_leaves_the_table_with_it() -> None:
    world = World(a_job())
    world.publish()

    assert world.outbox.read(JOB).expires_at == a_job().expires_at


def test_end_of_a_job_is_no_longer_due_when_every_sink_has_it() -> None:
    world = World(an_ended_job())
    world.add_events("job.succeeded")
    world.outbox.update(JOB, fall_due(after(60), EXPIRES_AT))

    world.publish()

    assert world.taken == [[1, 2], [1, 2]]
    assert world.outbox.read(JOB).due_at is None


@pytest.mark.parametrize("error", [StoreUnavailableError("Down."), ValueError("a bug")])
def test_sink_that_fails_keeps_no_other_from_its_events(error: Exception) -> None:
    world = World(a_job())
    world.sinks[0].error = error
    world.publish()
    due_at = world.outbox.read(JOB).due_at
    world.sinks[0].error = None
    world.publish()

    assert due_at == after(5)
    assert world.taken == [[1], [1]]
    assert world.outbox.read(JOB).due_at is None


def test_failing_sink_is_tried_later_each_time() -> None:
    world = World(a_job())
    world.sinks[1].error = StoreUnavailableError("Down.")
    for _ in range(3):
        world.publish()

    assert world.outbox.read(JOB).failures == 3
    assert world.outbox.read(JOB).due_at == after(20)
    assert world.taken == [[1], []]


def test_sink_that_failed_from_the_start_misses_nothing() -> None:
    world = World(a_job())
    world.sinks[1].error = StoreUnavailableError("Down.")
    world.publish()
    world.add_events("job.running")
    world.publish()
    world.sinks[1].error = None
    world.publish()

    assert world.taken == [[1, 2], [1, 2]]


def test_sink_that_is_new_begins_where_the_others_are() -> None:
    world = World(a_job())
    world.publish()
    world.sinks.append(RecordingSink("webhooks"))
    world.add_events("job.running")
    world.publish()

    assert world.taken == [[1, 2], [1, 2], [2]]


def test_event_that_comes_between_reading_and_writing_is_not_taken_for_published() -> None:
    world = World(an_ended_job())

    def end() -> None:
        if not world.outbox.read(JOB).version:
            world.add_events("job.succeeded")
            world.outbox.update(JOB, fall_due(NOW, EXPIRES_AT))

    world.sinks[0].before = end
    world.publish()

    # The first two are repeats, with the same ids.
    assert world.taken == [[1, 1, 2], [1, 1, 2]]
    assert world.outbox.read(JOB).due_at is None


def test_event_that_comes_between_the_two_reads_is_not_taken_for_published() -> None:
    """The row is read before the events: what is written after the row was read refuses the publisher's write."""
    world = World(an_ended_job())

    class Overtaken(MemoryOutbox):
        @override
        def read(self, subject: Subject) -> OutboxState:
            state = super().read(subject)
            if not self.states:
                self.states[subject] = state
                world.add_events("job.succeeded")
                world.outbox.update(JOB, fall_due(NOW, EXPIRES_AT))
            return state

    world.outbox = Overtaken()
    world.publish()

    assert world.taken == [[1, 2, 1, 2], [1, 2, 1, 2]]
    assert world.outbox.read(JOB).due_at is None


def test_two_publishers_at_once_tell_everything_in_order() -> None:
    world = World(a_job())
    world.add_events("job.running")
    others = [RecordingSink("bus"), RecordingSink("archive")]
    second = Publisher(world.outbox, world.jobs, others, world.clock)
    world.sinks[1].before = lambda: second.publish(JOB)

    world.publish()

    assert world.taken == [[1, 2], [1, 2]]
    assert [sink.sequences for sink in others] == [[1, 2], [1, 2]]
    assert world.outbox.read(JOB).pointers == {"bus": 2, "archive": 2}


def test_publisher_gives_up_when_others_write_all_the_time() -> None:
    class Contended(MemoryOutbox):
        @override
        def update(self, subject: Subject, change: Change) -> bool:
            return False

    world = World(a_job(), Contended())
    world.publish()

    assert world.taken == [[1] * TRIES] * 2


def test_job_that_has_left_the_table_is_no_longer_due() -> None:
    world = World()
    world.outbox.update(JOB, fall_due(NOW, EXPIRES_AT))

    world.publish()

    assert world.taken == [[], []]
    assert world.outbox.read(JOB).due_at is None


def test_subject_without_events_costs_no_write() -> None:
    world = World(a_job())
    world.publish()
    version = world.outbox.read(JOB).version
    world.publish()
    world.publish(SCHEDULE)

    assert world.outbox.read(JOB).version == version
    assert SCHEDULE not in world.outbox.states


def test_log_is_published_and_then_no_longer_due() -> None:
    world = World()
    world.log(2, 5)
    world.publish(SCHEDULE)
    world.log(6)
    world.publish(SCHEDULE)

    assert world.taken == [[2, 5, 6], [2, 5, 6]]
    assert world.outbox.read(SCHEDULE).due_at is None
    assert world.outbox.read(SCHEDULE).expires_at == EXPIRES_AT


def test_long_log_is_published_part_by_part() -> None:
    world = World()
    sequences = list(range(1, 2 * EVENTS_AT_ONCE + 6))
    world.log(*sequences)
    world.publish(SCHEDULE)

    assert world.taken == [sequences, sequences]
    assert world.outbox.read(SCHEDULE).due_at is None


def test_sink_that_fails_in_a_long_log_goes_on_where_it_was() -> None:
    world = World()
    sequences = list(range(1, EVENTS_AT_ONCE + 6))
    world.log(*sequences)
    world.sinks[1].error = StoreUnavailableError("Down.")
    world.publish(SCHEDULE)
    world.sinks[1].error = None
    world.publish(SCHEDULE)

    assert world.taken == [sequences, sequences]


def test_nothing_is_published_without_sinks() -> None:
    world = World(an_ended_job())
    world.sinks = []
    world.outbox.update(JOB, fall_due(NOW, EXPIRES_AT))

    world.publish()

    assert world.outbox.read(JOB).due_at is None


def test_store_that_is_away_leaves_what_is_due() -> None:
    class Down(MemoryOutbox):
        @override
        def read(self, subject: Subject) -> OutboxState:
            raise StoreUnavailableError("Down.")

    world = World(an_ended_job(), Down())

    with pytest.raises(StoreUnavailableError):
        world.publish()

    assert world.taken == [[], []]


def test_pointer_never_falls() -> None:
    world = World(a_job())
    world.outbox.update(
        JOB, advance(OutboxState(), {"bus": 7, "archive": 0}, NOW, has_failed=False, expires_at=EXPIRES_AT)
    )
    world.publish()

    assert world.outbox.read(JOB).pointers == {"bus": 7, "archive": 1}


def test_job_of_an_earlier_version_is_told_what_it_has() -> None:
    """It has no outbox and no event of its beginning; and a later version may write events with unknown names."""
    world = World(a_claimed_job())
    world.add_events("an.event.of.a.later.version", "backend.list_models")
    world.publish()
    world.add_events("job.succeeded")
    world.publish()

    types = [event.event_type for event in world.sinks[0].taken]
    assert types == ["rune.job.accepted", "rune.job.succeeded"]
    assert world.outbox.read(JOB).pointers == {"bus": 4, "archive": 4}
