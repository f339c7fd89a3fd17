"""Notices and the notifier: messages that come late, twice or not at all, and ways out that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, override

from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.notices import Notice, NoticeQueue, SubjectNotice
from rune.events.outbox import Outbox, OutboxState
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.events.sink import Sink
from rune.jobs.public_events import public_event
from rune.jobs.store import JobHistory
from rune.services.publishing import Publisher
from rune.storage.change import Change
from tests.memory_outbox import MemoryOutbox
from tests.simulation.faults import Crash, Fault
from tests.simulation.table import FaultyCalls, FaultyStore, drop_guards
from tests.simulation.timing import Ending, SkewedClock, resume

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.simulation.table import Guard
    from tests.simulation.world import World

VISIBILITY_SECONDS = 360
MAX_RECEIVES = 5

SINKS = ("bus", "archive")

DEEPEST_OVERTAKING = 3
"""How many notifiers may be overtaken at once, one inside the other's standstill."""


class WatchedOutbox(MemoryOutbox):
    """The outboxes, which leave out the requirements that the table is to leave out."""

    def __init__(self, world: World, unguarded: Collection[Guard]) -> None:
        super().__init__()
        self._world = world
        self._unguarded = unguarded

    @override
    def update(self, subject: Subject, change: Change) -> bool:
        self._world.guards |= {(change.name, requirement.field) for requirement in change.requires}
        return super().update(subject, drop_guards(change, self._unguarded))


class FaultyOutbox(Outbox):
    """One process's access to the outboxes. Others may run between its reads and its writes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls = FaultyCalls(world)

    @override
    def read(self, subject: Subject) -> OutboxState:
        state = self._calls.read("outbox read", lambda: self._world.table.outbox.read(subject))
        self._world.notices.be_overtaken()
        return state

    @override
    def update(self, subject: Subject, change: Change) -> bool:
        return self._calls.update(change.name, lambda: self._world.table.outbox.update(subject, change))

    @override
    def read_log(self, subject: Subject, after: int, limit: int) -> tuple[PublicEvent, ...]:
        return self._calls.read("read_log", lambda: self._world.table.outbox.read_log(subject, after, limit))

    @override
    def find_due(self, now: datetime, limit: int) -> tuple[Subject, ...]:
        return self._calls.read("find_due", lambda: self._world.table.outbox.find_due(now, limit))


class NotifiersStore(FaultyStore):
    """A notifier's access to the table of jobs. Others may run between its reads and its writes."""

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        history = super().read_events(job_id, after)
        self._world.notices.be_overtaken()
        return history


class SimulatedSink(Sink):
    """A way out, as one process reaches it. It may take events and fail all the same, or take only the first."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def publish(self, events: Sequence[PublicEvent]) -> None:
        world, taken = self._world, self._world.notices.taken[self._name]
        world.notices.be_overtaken()
        fault = world.fault_at(f"before {self._name}", Fault.CRASH, Fault.OUTAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.OUTAGE:
            taken += events[:1]
            raise StoreUnavailableError("Simulated: only the first was taken.")
        taken += events
        fault = world.fault_at(f"after {self._name}", Fault.CRASH, Fault.LOST_ANSWER)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOST_ANSWER:
            raise StoreUnavailableError("Simulated: taken, but the answer was lost.")


class SimulatedNotices(NoticeQueue):
    """The queue of notices with the notifier behind it.

    Attributes
    ----------
    taken
        What each sink was ever given, in that order.
    waiting
        Notices that may still be received.
    sent_count
        Notices that were ever sent.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.taken: dict[str, list[PublicEvent]] = {name: [] for name in SINKS}
        self.waiting = 0
        self.sent_count = 0
        self._overtaken = 0

    @override
    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        world = self._world
        fault = world.fault_at("before notice", Fault.CRASH, Fault.LOSE_MESSAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOSE_MESSAGE:
            return False
        fault = world.fault_at("after notice", Fault.CRASH, Fault.DUPLICATE, Fault.DELAY)
        transit = delay_seconds + world.random.uniform(0.01, 0.5)
        late = world.random.uniform(0, 900) if fault is Fault.DELAY else 0.0
        self._put(notice, transit + late)
        if fault is Fault.DUPLICATE:
            self._put(notice, transit + world.random.choice((0.0, 1.0, 40.0, 300.0)))
        if fault is Fault.CRASH:
            raise Crash
        return True

    def be_overtaken(self) -> None:
        """Let others run, perhaps, while a notifier stands still between two calls."""
        if self._overtaken == DEEPEST_OVERTAKING:
            return
        if self._world.fault_at("notifier", Fault.OVERTAKEN):
            self._overtaken += 1
            self._world.let_pass(self._world.random.uniform(0.0, 90.0))
            self._overtaken -= 1

    def _put(self, notice: Notice, seconds: float, receives: int = 1) -> None:
        self.waiting += 1
        self.sent_count += 1
        self._world.at(seconds, lambda: self._deliver(notice, receives))

    def _deliver(self, notice: Notice, receives: int) -> None:
        def end(ending: Ending) -> None:
            self.waiting -= 1
            if isinstance(ending, Crash) and receives < MAX_RECEIVES:
                self._put(notice, VISIBILITY_SECONDS, receives + 1)

        resume(self._world, self._follow(notice), end)

    async def _follow(self, notice: Notice) -> None:
        """Do what the handler does with a notice."""
        world = self._world
        sinks = [SimulatedSink(world, name) for name in SINKS]
        publisher = Publisher(FaultyOutbox(world), NotifiersStore(world), sinks, SkewedClock(world))
        if isinstance(notice, SubjectNotice):
            try:
                publisher.publish(notice.subject)
            except (StoreUnavailableError, UnreadableRowError):
                return


def check_published(world: World) -> None:
    """Look at what each sink was given: all events of each subject, in order, each under an id of its own."""
    for name, taken in world.notices.taken.items():
        told: dict[str, PublicEvent] = {}
        first: dict[Subject, list[PublicEvent]] = {}
        for event in taken:
            if told.setdefault(event.event_id, event) != event:
                world.violate(f"I10: {name} was told {event.event_id} in two ways")
            so_far = first.setdefault(event.subject, [])
            if event not in so_far:
                so_far.append(event)
        for subject, due in _written_events(world).items():
            found = first.get(subject, [])
            if found != due:
                numbers = [event.sequence for event in found]
                world.violate(f"I10: {name} was told {numbers} of {subject}, not {len(due)} events")
    for subject, state in world.table.outbox.states.items():
        if state.due_at is not None:
            world.violate(f"I10: {subject} must still be published")


def _written_events(world: World) -> dict[Subject, list[PublicEvent]]:
    """Return all public events that were written, by subject."""
    written = {}
    for job in world.table.jobs.values():
        particulars = world.table.read_particulars(job)
        events = (public_event(job, each, particulars) for each in world.table.events_of(job.job_id))
        subject = Subject(SubjectKind.JOB, job.job_id)
        written[subject] = [event for event in events if event is not None]
    for subject in world.table.outbox.states:
        if subject.kind is not SubjectKind.JOB:
            written[subject] = [*world.table.outbox.log_of(subject)]
    return written


def count_by_id(taken: Sequence[PublicEvent]) -> Counter[str]:
    """Return how often each event was taken."""
    return Counter(event.event_id for event in taken)
