"""Both queues: messages come late, twice, out of order, or not at all."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, override

from rune.jobs.lifecycle import Send
from rune.jobs.plan import Lane
from rune.jobs.record import StepMessage
from rune.jobs.store import StepQueue
from tests.simulation.faults import Crash, Fault
from tests.simulation.slots import slots_of
from tests.simulation.timing import Ending, resume
from tests.simulation.workers import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

VISIBILITY_SECONDS = {Lane.MONEY: 360, Lane.INFERENCE: 5400, Lane.LOAD: 5400}
MAX_RECEIVES = 5

HAND_OVER_SECONDS = 0.05
"""From the end of an invocation to the next one in the same execution environment."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that can be received, and how often it was before."""

    message: StepMessage
    receives: int
    deaths: int


class SimulatedQueue(StepQueue):
    """Both lanes, with the event source mappings behind them.

    A lane runs as many turns at a time as the template gives it. What arrives meanwhile waits in the order in which
    it arrived, as nearly as a queue of SQS keeps it.

    Attributes
    ----------
    waiting, in_flight
        Messages that no worker has received, and those that a worker has received and that may come again.
    at_work
        Workers that run.
    longest_backlog
        Most messages that ever waited for a slot, by lane.
    sent_count
        Messages that were ever sent.
    dead_lanes
        Lanes whose function cannot start: every invocation fails.
    live
        Messages of each job that some worker may still receive.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting = 0
        self.in_flight = 0
        self.at_work = 0
        self.sent_count = 0
        self.dead_letters: list[StepMessage] = []
        self.longest_backlog: Counter[Lane] = Counter()
        self.dead_lanes: set[Lane] = set()
        self.live: Counter[str] = Counter()
        self._allowed: Counter[str] = Counter()
        self._allowed_of_any = 0
        self._busy: Counter[Lane] = Counter()
        self._backlog: dict[Lane, deque[Arrived]] = {lane: deque() for lane in Lane}

    @override
    def send(self, send: Send) -> bool:
        fault = self._world.fault_at("before send", Fault.CRASH, Fault.LOSE_MESSAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOSE_MESSAGE:
            return False
        fault = self._world.fault_at("after send", Fault.CRASH, Fault.DUPLICATE, Fault.DELAY)
        # A message takes its own time, so two of them arrive in any order.
        transit = self._world.random.uniform(0.01, 0.5)
        late = self._world.random.uniform(0, 900) if fault is Fault.DELAY else 0.0
        if fault in (Fault.DUPLICATE, Fault.DELAY):
            # One that is late counts as lost, and the janitor sends another.
            self.allow_one_more(send.message)
        self._put(send, send.delay_seconds + transit + late)
        if fault is Fault.DUPLICATE:
            self._put(send, send.delay_seconds + self._world.random.choice((transit, 1.0, 40.0, 300.0)))
        if fault is Fault.CRASH:
            raise Crash
        return True

    @override
    def count_backlog(self, lane: Lane) -> int:
        return len(self._backlog[lane])

    def deliver(self, message: StepMessage, lane: Lane, receives: int = 1, deaths: int = 0) -> None:
        """Hand a message to a worker as soon as its lane has a slot, as the event source mapping does."""
        self._count_live(message)
        self._enqueue(message, lane, receives, deaths)

    def has_arrived(self, job_id: str) -> bool:
        """Return whether a message of the job waits for a slot of its lane."""
        return any(
            arrived.message.job_id == job_id for backlog in self._backlog.values() for arrived in backlog
        )

    def allow_one_more(self, message: StepMessage) -> None:
        """Let the job have one more live message, because of something that the world did to it."""
        self._allowed[message.job_id] += 1

    def allow_more_of_any(self, count: int) -> None:
        """Let every job have so many more live messages, because a process of an unknown job stood still."""
        self._allowed_of_any += count

    def _count_live(self, message: StepMessage) -> None:
        self.live[message.job_id] += 1
        if self.live[message.job_id] > 1 + self._allowed[message.job_id] + self._allowed_of_any:
            self._world.violate(f"I5: {message.job_id} has {self.live[message.job_id]} live messages")

    def _enqueue(self, message: StepMessage, lane: Lane, receives: int, deaths: int) -> None:
        if receives > MAX_RECEIVES:
            self.live[message.job_id] -= 1
            # A message that killed each of its workers belongs there. A worker must not fail any other message.
            self.dead_letters += [message] if deaths < MAX_RECEIVES else []
            return
        backlog = self._backlog[lane]
        backlog.append(Arrived(message, receives, deaths))
        self.waiting += 1
        self._begin_turns(lane)
        self.longest_backlog[lane] = max(self.longest_backlog[lane], len(backlog))

    def free_slot(self, lane: Lane) -> None:
        """Take the next message of a lane in which an invocation has ended."""
        self.at_work -= 1

        def hand_over() -> None:
            self._busy[lane] -= 1
            self._begin_turns(lane)

        self._world.at(HAND_OVER_SECONDS, hand_over)

    def _begin_turns(self, lane: Lane) -> None:
        while self._backlog[lane] and self._busy[lane] < slots_of(lane):
            self._busy[lane] += 1
            self._begin_turn(self._backlog[lane].popleft(), lane)

    def _begin_turn(self, arrived: Arrived, lane: Lane) -> None:
        delivery = Delivery(self._world, arrived.message, lane, arrived.receives, arrived.deaths)
        self.waiting -= 1
        self.live[arrived.message.job_id] -= 1
        self.in_flight += 1
        self._world.at(VISIBILITY_SECONDS[lane], delivery.come_again)
        self.at_work += 1
        if lane in self.dead_lanes:
            self._world.at(1.0, lambda: delivery.end(Crash()))
            return
        worker = Worker(self._world, lane)
        resume(self._world, worker.take_turn(arrived.message), delivery.end)

    def _put(self, send: Send, seconds: float) -> None:
        self.waiting += 1
        self.sent_count += 1
        self._count_live(send.message)
        self._world.at(seconds, lambda: self._arrive(send))

    def _arrive(self, send: Send) -> None:
        self.waiting -= 1
        self._enqueue(send.message, send.lane, 1, 0)


class Delivery:
    """A message in a worker's hands; unless it is deleted, it comes again when its visibility ends."""

    def __init__(self, world: World, message: StepMessage, lane: Lane, receives: int, deaths: int) -> None:
        self._world = world
        self._message = message
        self._lane = lane
        self._receives = receives
        self._deaths = deaths
        self._is_deleted = False

    def end(self, ending: Ending) -> None:
        """Delete the message of a turn that was taken, for better or worse, unless the worker died."""
        self._world.queue.free_slot(self._lane)
        # The handler returns success either way. It may still die before the message is deleted.
        if isinstance(ending, Crash) or self._world.fault_at("before delete", Fault.CRASH):
            self._deaths += 1
        else:
            self._delete()

    def come_again(self) -> None:
        """Be visible again."""
        if not self._is_deleted:
            self._delete()
            self._world.queue.allow_one_more(self._message)
            self._world.queue.deliver(self._message, self._lane, self._receives + 1, self._deaths)

    def _delete(self) -> None:
        if not self._is_deleted:
            self._is_deleted = True
            self._world.queue.in_flight -= 1


class CancellingQueue(StepQueue):
    """The queue for messages of cancelled jobs, which come beside the one that a job has."""

    def __init__(self, world: World) -> None:
        self._queue = world.queue

    @override
    def send(self, send: Send) -> bool:
        self._queue.allow_one_more(send.message)
        return self._queue.send(send)

    @override
    def count_backlog(self, lane: Lane) -> int:
        return self._queue.count_backlog(lane)
