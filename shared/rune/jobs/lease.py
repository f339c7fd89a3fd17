"""Keeping a turn while its step runs."""

import asyncio
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
"""Between renewals. A renewal also shows progress and brings news of a cancel; 900 s of them cost $0.0003."""


class Lease:
    """A worker's hold on one turn."""

    def __init__(self, job: Job, store: JobStore, clock: Clock) -> None:
        self._job = job
        self._store = store
        self._clock = clock
        self._held_until: datetime = job.lease_until or clock.now()

    def renew(self, progress: Progress) -> bool:
        """Keep the turn a while longer; return whether the caller asks to cancel.

        Raises
        ------
        LeaseLostError
            Somebody else has the turn, or may have it because the store could not be asked in time.
        """
        now = self._clock.now()
        try:
            renewed = self._store.update(self._job.job_id, lifecycle.renew(self._job, progress, now))
        except StoreUnavailableError:
            if now >= self._held_until:
                raise LeaseLostError("The lease ran out while the table could not be reached.") from None
            return False
        if isinstance(renewed, Refused):
            raise LeaseLostError("Another worker has taken the turn.")
        self._held_until = renewed.lease_until or now
        return renewed.cancel_requested_at is not None


class StepRunner(Protocol):
    """How a claimed turn's step is run. Raises LeaseLostError, TimeoutError, and what the step raises."""

    async def __call__(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Return the step's outcome, or Cancelled if the caller asked for that meanwhile."""
        ...


async def run_leased(step: Step, context: StepContext, lease: Lease) -> Outcome:
    """Run the step, renewing its lease beside it; a step that may not go on is broken off."""
    async with asyncio.timeout(context.time_limit_seconds):
        task = asyncio.create_task(step(context))
        try:
            while not (await asyncio.wait({task}, timeout=RENEWAL_SECONDS))[0]:
                # In a thread: the step's stamps are taken in this loop, and a table call takes milliseconds.
                is_unwanted = await asyncio.to_thread(lease.renew, dict(context.progress))
                if is_unwanted and plan.STEPS[context.job.step].breaks_off:
                    return Cancelled()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
