"""Both queues: messages come late, twice, out of order, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rune.jobs.lifecycle import Send
from rune.jobs.plan import Lane
from rune.jobs.record import StepMessage
from tests.simulation.faults import Crash, Fault
from tests.simulation.timing import Ending, resume
from tests.simulation.workers import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

VISIBILITY_SECONDS = {Lane.CONTROL: 360, Lane.INFERENCE: 5400}
MAX_RECEIVES = 5


class SimulatedQueue:
    """Both lanes, with the event source mappings behind them.

    Attributes
    ----------
    waiting, in_flight
        Messages that nobody has yet, and those that somebody has had and that may come again.
    at_work
        Workers that run.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting = 0
        self.in_flight = 0
        self.at_work = 0
        self.dead_letters: list[StepMessage] = []

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
        self._put(send, send.delay_seconds + transit + late)
        if fault is Fault.DUPLICATE:
            self._put(send, send.delay_seconds + self._world.random.choice((transit, 1.0, 40.0, 300.0)))
        if fault is Fault.CRASH:
            raise Crash
        return True

    def deliver(self, message: StepMessage, lane: Lane, receives: int = 1, deaths: int = 0) -> None:
        """Hand a message to a fresh worker, as the event source mapping does."""
        if receives > MAX_RECEIVES:
            # One that has killed every worker belongs there; any other has been failed, which nobody may do.
            self.dead_letters += [message] if deaths < MAX_RECEIVES else []
            return
        delivery = Delivery(self._world, message, lane, receives, deaths)
        self.in_flight += 1
        self._world.at(VISIBILITY_SECONDS[lane], delivery.come_again)
        self.at_work += 1
        worker = Worker(self._world, lane)
        resume(self._world, worker.take_turn(message), delivery.end)

    def _put(self, send: Send, seconds: float) -> None:
        self.waiting += 1
        self._world.at(seconds, lambda: self._arrive(send))

    def _arrive(self, send: Send) -> None:
        self.waiting -= 1
        self.deliver(send.message, send.lane)


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
        self._world.queue.at_work -= 1
        # The handler returns success either way. It may still die before the message is deleted.
        if isinstance(ending, Crash) or self._world.fault_at("before delete", Fault.CRASH):
            self._deaths += 1
        else:
            self._delete()

    def come_again(self) -> None:
        """Be visible again."""
        if not self._is_deleted:
            self._delete()
            self._world.queue.deliver(self._message, self._lane, self._receives + 1, self._deaths)

    def _delete(self) -> None:
        if not self._is_deleted:
            self._is_deleted = True
            self._world.queue.in_flight -= 1
