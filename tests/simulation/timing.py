"""Simulated time, and how a process lets it pass."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, override

from rune.clock import Clock
from rune.errors import StoreUnavailableError
from tests.simulation.faults import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World

START = datetime(2026, 11, 23, tzinfo=UTC)

type Process = Coroutine[Sleep, None, object]
type Ending = Crash | StoreUnavailableError | None


@dataclass(frozen=True, slots=True)
class Sleep:
    """What a coroutine yields to let simulated time pass."""

    seconds: float

    def __await__(self) -> Generator[Sleep]:
        yield self


async def pause(seconds: float) -> None:
    """Let time pass, for code that is handed a function for that."""
    await Sleep(seconds)


@dataclass(slots=True)
class SkewedClock(Clock):
    """A process's clock, which may be seconds off the world's."""

    world: World
    skew_seconds: float = 0.0

    @override
    def now(self) -> datetime:
        return self.world.now + timedelta(seconds=self.skew_seconds)

    @override
    def monotonic_seconds(self) -> float:
        return (self.world.now - START).total_seconds()


def resume(world: World, process: Process, at_end: Callable[[Ending], None]) -> None:
    """Let a process go on until it sleeps, ends or dies."""
    try:
        sleep = process.send(None)
    except StopIteration:
        at_end(None)
    except (Crash, StoreUnavailableError) as ending:
        at_end(ending)
    else:
        world.at(sleep.seconds, lambda: resume(world, process, at_end))
