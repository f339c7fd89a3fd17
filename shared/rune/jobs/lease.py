"""Keeping a turn while its step runs."""

import asyncio
import random
from datetime import datetime
from typing import Protocol

from rune.clock import Clock
from rune.errors import LeaseLostError, StoreUnavailableError
from rune.jobs import lifecycle, plan
from rune.jobs.outcomes import Cancelled, Outcome
from rune.jobs.record import Job
from rune.jobs.step import Progress, Step, StepContext
from rune.jobs.store import JobStore, Refused

RENEWAL_SECONDS = float(lifecycle.PROGRESS_SECONDS)
"""Between renewals. A renewal also writes progress and reads cancel requests; 900 s of renewals cost $0.0003."""


class Lease:
    """A worker's hold on one turn."""

    def __init__(self, job: Job, store: JobStore, clock: Clock) -> None:
        self._job = job
        self._store = store
        self._clock = clock
        self._held_until: datetime = job.lease_until or clock.now()
        self._progress: Progress = job.progress

    def renew(self, progress: Progress | None = None) -> bool:
        """Extend the lease; return whether a cancel is requested. Without progress, show what was shown before.

        Raises
        ------
        LeaseLostError
            Another worker has the turn, or may have it because the store could not be reached in time.
        """
        self._progress = self._progress if progress is None else progress
        now = self._clock.now()
        try:
            change = lifecycle.renew(self._job, self._progress, now)
            renewed = self._store.update(self._job.job_id, change)
        except StoreUnavailableError:
            if now >= self._held_until:
                raise LeaseLostError("The lease ran out while the table could not be reached.") from None
            return False
        if isinstance(renewed, Refused):
            raise LeaseLostError("Another worker has taken the turn.")
        self._held_until = renewed.lease_until or now
        return renewed.cancel_requested_at is not None


async def pause_with_jitter(longest_seconds: float) -> None:
    """Wait for between half of the time and all of it, so that workers which failed together try apart."""
    await asyncio.sleep(random.uniform(longest_seconds / 2, longest_seconds))  # noqa: S311 nothing secret


class StepRunner(Protocol):
    """Runs the step of a claimed turn. Raises LeaseLostError, TimeoutError, and what the step raises."""

    async def __call__(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Return the step's outcome, or Cancelled if a cancel was requested meanwhile."""
        ...


async def run_leased(step: Step, context: StepContext, lease: Lease) -> Outcome:
    """Run the step and renew its lease meanwhile; interrupt it when the lease is lost or the time is over.

    A cancel request interrupts only a step that may be interrupted (`StepPlan.breaks_off`).
    """
    async with asyncio.timeout(context.time_limit_seconds):
        task = asyncio.create_task(step(context))
        try:
            while not (await asyncio.wait({task}, timeout=RENEWAL_SECONDS))[0]:
                # In a thread: a table call takes milliseconds, and the step takes its time stamps in this loop.
                is_cancelled = await asyncio.to_thread(lease.renew, dict(context.progress))
                if is_cancelled and plan.STEPS[context.job.step].breaks_off:
                    return Cancelled()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
