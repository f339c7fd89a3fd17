"""Workers: the engine itself, run by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rune.errors import RuneError
from rune.jobs.admission import Admission
from rune.jobs.engine import Engine
from rune.jobs.lease import LOOK_SECONDS, Lease
from rune.jobs.outcomes import Cancelled, Outcome
from rune.jobs.plan import Lane
from rune.jobs.record import Job, StepMessage
from rune.jobs.step import Step, StepContext
from rune.jobs.telling import TellingStore
from rune.net.addresses import AddressPolicy
from rune.workflows.registry import make_steps
from tests.simulation.faults import Crash, Fault
from tests.simulation.measuring import measuring_tools
from tests.simulation.metering import Meter
from tests.simulation.requests import TENANTS
from tests.simulation.servers import open_server
from tests.simulation.table import FaultyStore
from tests.simulation.timing import SkewedClock, Sleep, pause

if TYPE_CHECKING:
    from tests.simulation.world import World

LONGEST_SLICE_SECONDS = 20.0
"""Between looks at the lease in a long call: ten of the engine's own, so that hours stay cheap."""


FROZEN_TICKS = 4
"""Of the janitor while a worker is frozen."""


class Worker:
    """One execution environment of a worker function."""

    def __init__(self, world: World, lane: Lane) -> None:
        self._world = world
        self._meter = Meter(world, lane)
        skew_seconds = world.random.uniform(-1, 1) * world.odds.skew_seconds
        clock = SkewedClock(world, skew_seconds)
        rental = world.account.dependencies(clock, self._meter) if world.account else None
        store = TellingStore(FaultyStore(world, meter=self._meter), world.notices)
        self.engine = Engine(
            lane=lane,
            store=store,
            queue=world.queue,
            clock=clock,
            steps=make_steps(
                open_server(world),
                TENANTS,
                AddressPolicy(),
                rental,
                measuring=measuring_tools(world, clock),
            ),
            run_step=self.run_step,
            pause=pause,
            admission=Admission(store, world.queue, clock, world.job_slots),
        )

    async def take_turn(self, message: StepMessage) -> None:
        """Take the turn, and bill the function for it."""
        with self._meter.invocation(message):
            await self.engine.take_turn(message)

    async def run_step(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Run a step, and let others be faster between its end, good or bad, and what is written of it."""
        try:
            outcome = await self._run_beside_lease(step, context, lease)
        except (RuneError, TimeoutError):
            await self._linger()
            raise
        await self._linger()
        return outcome

    async def _linger(self) -> None:
        if self._world.fault_at("after last renewal", Fault.OVERTAKEN):
            await Sleep(self._world.random.uniform(0.0, 30.0))

    async def _run_beside_lease(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Run a step, look at its lease between slices of its sleep, and die or stall where the world says so."""
        job = context.job
        holders = self._world.at_work[(job.job_id, job.seq)]
        if holders:
            self._world.violate(f"two workers ran turn {job.seq} of {job.job_id} at the same time")
        holders.add(job.lease_owner)
        running = step(context)
        beside = _Beside(self._world, context, lease, lambda: holders.discard(job.lease_owner))
        try:
            await beside.pass_cut_point("before step")
            while True:
                try:
                    left_seconds = running.send(None).seconds
                except StopIteration as end:
                    await beside.pass_cut_point("after step")
                    outcome: Outcome = end.value
                    return outcome
                if await beside.sleep(left_seconds):
                    _cancel(running)
                    return Cancelled()
        except (RuneError, TimeoutError):
            _cancel(running)
            raise
        finally:
            # Of a process that has died, nothing runs any more.
            running.close()
            holders.discard(job.lease_owner)


def _cancel(running: Coroutine[Any, Any, Outcome]) -> None:
    """Break a step off as the engine does: it learns of it, and may write what it knows."""
    if inspect.getcoroutinestate(running) == inspect.CORO_CLOSED:
        # It has ended by itself.
        return
    with suppress(StopIteration, asyncio.CancelledError):
        running.throw(asyncio.CancelledError())
        raise AssertionError("A step that is broken off waits for something.")


class _Beside:
    """What goes on beside a step: looks at its lease, the time limit, and bad luck."""

    def __init__(self, world: World, context: StepContext, lease: Lease, let_go: Callable[[], None]) -> None:
        self._world = world
        self._context = context
        self._lease = lease
        self._let_go = let_go
        self._left_seconds = context.time_limit_seconds
        self._unseen_seconds = 0.0

    async def pass_cut_point(self, place: str) -> None:
        fault = self._world.fault_at(place, Fault.CRASH, Fault.PAUSE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.PAUSE:
            # From now on it is a zombie. Others may be sent for it, one at each tick.
            self._let_go()
            for _ in range(FROZEN_TICKS):
                self._world.queue.allow_one_more(StepMessage(self._context.job.job_id, 0))
            await Sleep(self._world.pause_seconds())

    async def sleep(self, seconds: float) -> bool:
        """Let a step's sleep pass; return whether the step is to be broken off.

        Time in which the process is frozen does not count against its limit: nothing may rest on that.
        """
        while seconds > 0:
            await self.pass_cut_point("in step")
            slice_seconds = min(seconds, LONGEST_SLICE_SECONDS, self._left_seconds)
            await Sleep(slice_seconds)
            seconds -= slice_seconds
            self._left_seconds -= slice_seconds
            self._unseen_seconds += slice_seconds
            if self._unseen_seconds >= LOOK_SECONDS and self._look():
                return True
            if self._left_seconds <= 0:
                raise TimeoutError
        return False

    def _look(self) -> bool:
        self._unseen_seconds = 0.0
        must_stop = self._lease.must_stop(self._context)
        self._check_owner(self._context.job)
        return must_stop

    def _check_owner(self, job: Job) -> None:
        if self._world.table.jobs[job.job_id].lease_owner != job.lease_owner:
            self._world.violate(f"a worker went on with turn {job.seq} of {job.job_id} after it had lost it")
