"""Giving back everything that is rented, before a deployment or its key is removed.

Afterwards nothing is left that could destroy a machine, so this ends only with the proof that none exists.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rune.clock import Clock
from rune.errors import RentalContendedError, UnreadableRowError
from rune.jobs import lifecycle
from rune.jobs.record import RENTING_CLOSED
from rune.jobs.store import JobStore, Refused, StepQueue
from rune.rentals.deployment import DeploymentStore
from rune.rentals.reconciliation import give_up
from rune.rentals.record import EndReason, Rental
from rune.rentals.store import RentalStore, update_rental
from rune.services.orphan_sweep import RENTALS_PER_SWEEP, OrphanSweep

log = logging.getLogger(__name__)

SETTLING = timedelta(minutes=2)
"""How long after the end of renting an order may still be under way: a step that had looked before lasts a minute,
and the index of rentals lags by seconds."""

OPERATOR = "operator"
"""Who has cancelled the jobs that held machines."""

_PAUSE_SECONDS = 5


@dataclass(slots=True)
class LeavingResult:
    """What giving everything back has come to so far.

    Attributes
    ----------
    is_done
        Whether it is proven that nothing is left. As long as it is not, machines may bill, and the key and the
        deployment must stay.
    left
        What is left of each rental that is not proven gone: its state, by its id.
    """

    is_done: bool = False
    destroyed_count: int = 0
    proven_count: int = 0
    left: dict[str, str] = field(default_factory=dict)


class Leaving:
    """Gives back all machines of the deployment, and rents no more until it is told to.

    Parameters
    ----------
    sweep
        None for a deployment without a key: then machines that are left can be neither destroyed nor proven gone.
    warning
        What the jobs that are cancelled tell of why.
    """

    def __init__(
        self,
        *,
        rental_store: RentalStore,
        deployments: DeploymentStore,
        jobs: JobStore,
        queue: StepQueue,
        clock: Clock,
        sweep: OrphanSweep | None,
        pause: Callable[[float], Awaitable[None]],
        warning: str = RENTING_CLOSED,
    ) -> None:
        self._rental_store = rental_store
        self._deployments = deployments
        self._jobs = jobs
        self._queue = queue
        self._clock = clock
        self._sweep = sweep
        self._pause = pause
        self._warning = warning

    async def give_back_all(self, may_go_on: Callable[[], bool]) -> LeavingResult:
        """End renting, cancel the jobs that hold machines, destroy all machines, and wait for the proof.

        It may be called again and again, until the result says that it is done. Between two calls the janitor's
        ticks go on with it.

        Parameters
        ----------
        may_go_on
            Whether there is time left to wait in this call.

        Raises
        ------
        StoreUnavailableError
            The store cannot be reached.
        """
        closed_at = self._deployments.close(self._clock.now()).closed_at
        return await self.give_back(closed_at, may_go_on)

    async def give_back(self, closed_at: datetime | None, may_go_on: Callable[[], bool]) -> LeavingResult:
        """Do the same once nothing new can be rented any more.

        Parameters
        ----------
        closed_at
            Since when that is so; None where it is not, and then this is never done.
        """
        result = LeavingResult()
        while True:
            self.end_all()
            is_quiet = self._sweep is None or await self._sweep_once(self._sweep, may_go_on, result)
            result.left = self.end_all()
            if is_quiet and not result.left:
                result.is_done = closed_at is not None and self._clock.now() - closed_at >= SETTLING
            if result.is_done or not may_go_on():
                return result
            await self._pause(_PAUSE_SECONDS)

    def rent_again(self) -> None:
        """Take back that renting has ended."""
        self._deployments.reopen()

    async def _sweep_once(
        self, sweep: OrphanSweep, may_go_on: Callable[[], bool], result: LeavingResult
    ) -> bool:
        """Return whether a complete listing showed no machine of ours that had to be destroyed."""
        swept = await sweep.sweep(may_go_on)
        result.destroyed_count += swept.destroyed_count
        result.proven_count += swept.proven_count
        return swept.is_complete and not swept.destroyed_count

    def end_all(self) -> dict[str, str]:
        """Ask for the release of everything that is alive; return its states."""
        left = {}
        for rental_id in self._rental_store.find_alive(RENTALS_PER_SWEEP):
            try:
                rental = self._rental_store.read(rental_id)
                if rental is not None and rental.is_alive:
                    left[rental_id] = self._end(rental).state.value
            except UnreadableRowError:
                left[rental_id] = "not understood"
            except RentalContendedError:
                left[rental_id] = "contended"
        return left

    def _end(self, rental: Rental) -> Rental:
        if rental.holder is not None:
            self._cancel(rental.holder)
        now = self._clock.now()
        return update_rental(
            self._rental_store, rental, lambda found: give_up(found, now, EndReason.DEPLOYMENT_CLOSED)
        )

    def _cancel(self, job_id: str) -> None:
        """Cancel the job that holds a machine, so that it does not rent another one."""
        job = self._jobs.read(job_id)
        if job is None or not job.is_active or job.cancel_requested_at is not None:
            return
        flagged = self._jobs.update(
            job_id, lifecycle.request_cancel(job, self._clock.now(), warning=self._warning, by=OPERATOR)
        )
        if not isinstance(flagged, Refused):
            self._queue.send(lifecycle.message_for(flagged))
