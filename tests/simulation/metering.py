"""What AWS bills: how long a function was at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rune.jobs.plan import Lane
from rune.jobs.record import StepMessage

if TYPE_CHECKING:
    from tests.simulation.world import World

INVOCATION_SECONDS = 0.02
"""Of a warm function besides what the turn does."""

TABLE_CALL_SECONDS = 0.005


class Meter:
    """One worker's clock card. Calls of the table take no simulated time; here they count all the same."""

    def __init__(self, world: World, lane: Lane) -> None:
        self._world = world
        self._lane = lane
        self._table_calls = 0

    def count_table_call(self) -> None:
        self._table_calls += 1

    @contextmanager
    def invocation(self, message: StepMessage) -> Generator[None]:
        """Bill the function for what happens inside; the table has the job's kind of step by then."""
        began_at = self._world.now
        try:
            yield
        finally:
            seconds = (self._world.now - began_at).total_seconds()
            seconds += INVOCATION_SECONDS + TABLE_CALL_SECONDS * self._table_calls
            self._world.billed.turns[message.job_id, self._lane] += 1
            self._world.billed.seconds[message.job_id, self._lane] += seconds


class Billed:
    """What all workers were billed for, by job and lane.

    Attributes
    ----------
    server_seconds
        What calls of model servers took of it, by the method called.
    """

    def __init__(self) -> None:
        self.turns: Counter[tuple[str, Lane]] = Counter()
        self.seconds: dict[tuple[str, Lane], float] = _Zeros()
        self.server_seconds: dict[str, float] = _Zeros()


class _Zeros[K](dict[K, float]):
    def __missing__(self, key: K) -> float:
        return 0.0
