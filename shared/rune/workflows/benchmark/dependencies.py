"""What the measuring steps work with besides model servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rune.contracts.workloads import PROCESS_CONCURRENCY

if TYPE_CHECKING:
    from rune.bench.process_messages import ServerAccess
    from rune.bench.records import MeasuredPoint, Point
    from rune.bench.tasks import Task
    from rune.clock import Clock
    from rune.llm.protocol import ModelServer


class RecordFiles(Protocol):
    """Where files of JSON lines go. Raises StoreUnavailableError."""

    def put(self, key: str, text: str) -> None:
        """Store the text under the key; the same key again overwrites."""
        ...

    def get(self, key: str) -> str:
        """Return the text that was stored under the key."""
        ...


class MeasurePoint(Protocol):
    """Measures one point; see `rune.bench.driver.measure_point`."""

    async def __call__(
        self,
        server: ModelServer,
        task: Task,
        point: Point,
        *,
        time_limit_seconds: float,
        on_progress: Callable[[int, int], None],
    ) -> MeasuredPoint:
        """Return what was measured; failed requests are among it, and raise nothing."""
        ...


class MeasureSpread(Protocol):
    """Measures one point by several processes; see `rune.bench.processes.Processes`."""

    async def __call__(
        self,
        access: ServerAccess,
        server: ModelServer,
        task: Task,
        point: Point,
        *,
        time_limit_seconds: float,
        on_progress: Callable[[int, int], None],
    ) -> MeasuredPoint:
        """Return what was measured. Raises LoadProcessError."""
        ...


class Gather(Protocol):
    """Runs calls beside each other."""

    def __call__[T](self, calls: Sequence[Coroutine[object, object, T]]) -> Awaitable[Sequence[T]]:
        """Return their results in order."""
        ...


async def gather[T](calls: Sequence[Coroutine[object, object, T]]) -> Sequence[T]:
    """Run calls beside each other in the running event loop; return their results in order."""
    return await asyncio.gather(*calls)


class Within(Protocol):
    """Gives a call a time limit. Raises TimeoutError."""

    def __call__[T](self, seconds: float, call: Coroutine[object, object, T]) -> Awaitable[T]:
        """Return the call's result."""
        ...


async def within[T](seconds: float, call: Coroutine[object, object, T]) -> T:
    """Return the call's result, or break it off."""
    async with asyncio.timeout(seconds):
        return await call


async def measure_point(
    server: ModelServer,
    task: Task,
    point: Point,
    *,
    time_limit_seconds: float,
    on_progress: Callable[[int, int], None],
) -> MeasuredPoint:
    """Return what was measured, by `rune.bench.driver`; the step that measures has imported it before."""
    from rune.bench import driver  # noqa: PLC0415

    return await driver.measure_point(
        server, task, point, time_limit_seconds=time_limit_seconds, on_progress=on_progress
    )


def read_no_cases(_tenant: str, _name: str, _version: str) -> str | None:
    """Return None: tenants have no suites of their own here."""
    return None


@dataclass(frozen=True, slots=True)
class BenchmarkDependencies:
    """What the measuring steps work with.

    Attributes
    ----------
    records
        Takes the requests of each point, one JSON line each.
    measure, gather, within
        How a point is measured, how answers are judged beside each other, and how a call is broken off; a
        simulation has no event loop, and its own ways.
    most_concurrency
        Most requests that the deployment has under way.
    spread
        How a point is measured by several processes; None in lanes without.
    read_cases
        Returns the cases of a tenant's own suite, by its name and version, as JSON; None where they are gone.
    client_region, client_memory_mb
        Where RUNE itself runs, for the report.
    """

    records: RecordFiles
    clock: Clock
    measure: MeasurePoint = measure_point
    gather: Gather = gather
    within: Within = within
    most_concurrency: int = PROCESS_CONCURRENCY
    spread: MeasureSpread | None = None
    read_cases: Callable[[str, str, str], str | None] = read_no_cases
    client_region: str | None = None
    client_memory_mb: int | None = None
