"""Keeping a turn while its step runs."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from rune.clock import Clock
from rune.errors import LeaseLostError, StoreUnavailableError, UnreadableRowError
from rune.jobs import lifecycle, plan
from rune.jobs.outcomes import Cancelled, Outcome
from rune.jobs.record import Job
from rune.jobs.step import Progress, Step, StepContext
from rune.jobs.store import JobStore, Refused
from rune.jobs.tokens import TokenAccount

LOOK_SECONDS = 2.0
"""Between two looks at a lease. A look reads the row, which costs a twentieth of a write, or renews the lease."""


class Lease:
    """A worker's hold on one turn.

    Attributes
    ----------
    tokens
        What the turn buys.
    """

    def __init__(self, job: Job, store: JobStore, clock: Clock) -> None:
        self._job = job
        self._store = store
        self._clock = clock
        self._began_at = self._renewed_at = clock.now()
        self._held_until: datetime = job.lease_until or self._renewed_at
        self._progress: Progress = job.progress
        self.tokens = TokenAccount(job, self._announce)

    def must_stop(self, context: StepContext) -> bool:
        """Look after the lease of a running step; return whether the step is to be interrupted.

        A cancel request interrupts only a step that may be interrupted (`StepPlan.breaks_off`), and only where the
        step allows it now. A turn that began with the request ends what is to end.

        Raises
        ------
        LeaseLostError
            As `renew`.
        """
        is_cancelled = self.keep(dict(context.progress), context.cost_at)
        breaks_off = plan.STEPS[context.job.step].breaks_off and context.breaks_off
        return is_cancelled and breaks_off and context.job.cancel_requested_at is None

    def keep(self, progress: Progress, cost_at: Callable[[datetime], int] | None = None) -> bool:
        """Renew the lease if it is time to, and look for a cancel request if not; return whether there is one.

        Raises
        ------
        LeaseLostError
            As `renew`.
        """
        now = self._clock.now()
        pace = lifecycle.renewal_pace(now - self._began_at, has_progress=progress != self._progress)
        if now - self._renewed_at >= pace:
            return self.renew(progress, None if cost_at is None else cost_at(now))
        try:
            found = self._store.glance(self._job.job_id)
        except (StoreUnavailableError, UnreadableRowError):
            return False
        if found is None or found.epoch < self._job.epoch:
            # Older than the claim.
            return False
        if found.epoch > self._job.epoch:
            raise LeaseLostError("Another worker has taken the turn.")
        return found.cancel_requested_at is not None

    def renew(self, progress: Progress | None = None, cost_micro_usd: int | None = None) -> bool:
        """Extend the lease; return whether a cancel is requested. Without progress, show what was shown before.

        Raises
        ------
        LeaseLostError
            Another worker has the turn, or may have it because the store could not be reached in time.
        """
        self._progress = self._progress if progress is None else progress
        change = lifecycle.renew(
            self._job, self._progress, self._clock.now(), cost_micro_usd, self.tokens.spent_micro_usd
        )
        try:
            renewed = self._store.update(self._job.job_id, change)
        except StoreUnavailableError:
            # The call may have taken seconds.
            if self._clock.now() >= self._held_until:
                raise LeaseLostError("The lease ran out while the table could not be reached.") from None
            return False
        if isinstance(renewed, Refused):
            raise LeaseLostError("Another worker has taken the turn.")
        self._renewed_at = self._clock.now()
        self._job = replace(self._job, due_at=renewed.due_at)
        self._held_until = renewed.lease_until or self._renewed_at
        return renewed.cancel_requested_at is not None

    def _announce(self, bound_micro_usd: int) -> None:
        """Write what the tokens of the job may have cost by the end of the turn.

        Raises
        ------
        LeaseLostError
            Another worker has the turn.
        StoreUnavailableError
            It could not be written.
        """
        change = lifecycle.announce_tokens(self._job, bound_micro_usd, self._clock.now())
        if isinstance(self._store.update(self._job.job_id, change), Refused):
            raise LeaseLostError("Another worker has taken the turn.")


async def pause_with_jitter(longest_seconds: float) -> None:
    """Wait for between half of the time and all of it, so that workers which failed together try apart."""
    await asyncio.sleep(random.uniform(longest_seconds / 2, longest_seconds))  # noqa: S311 nothing secret


class StepRunner(Protocol):
    """Runs the step of a claimed turn. Raises LeaseLostError, TimeoutError, and what the step raises."""

    async def __call__(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Return the step's outcome, or Cancelled if a cancel was requested meanwhile."""
        ...


async def run_leased(step: Step, context: StepContext, lease: Lease) -> Outcome:
    """Run the step and keep its lease meanwhile; interrupt it when the lease is lost or the time is over."""
    async with asyncio.timeout(context.time_limit_seconds):
        task = asyncio.create_task(step(context))
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
                # In a thread: a table call takes milliseconds, and the step takes its time stamps in this loop.
                if await asyncio.to_thread(lease.must_stop, context):
                    return Cancelled()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
