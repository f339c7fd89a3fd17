"""Stop everything, of one tenant or of all: no new jobs, all jobs cancelled, every machine given back.

The stop is written first, and each submit and each intent of an order requires that it is not there: from then on
nothing new begins. All that follows may be done again and again, by the caller, by the operator's call, and by each
tick of the janitor, until nothing is left.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rune.clock import Clock
from rune.errors import (
    JobFinishedError,
    JobNotFoundError,
    RentalContendedError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.jobs import stops
from rune.jobs.admission import Admission
from rune.jobs.cancelling import Cancelling
from rune.jobs.places import Places, RowChange
from rune.jobs.record import STOPPED, Job
from rune.jobs.stops import Stop
from rune.jobs.store import JobStore, StepQueue
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import ReleaseQueue, RentalStore, update_rental
from rune.storage.change import Change

log = logging.getLogger(__name__)

READ_AT_ONCE = 100

OUTAGE_JOBS = 3
"""Jobs in a row at which the store fails, that count as an outage."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a stop has not ended yet.

    Attributes
    ----------
    stop
        None where none holds: then it is what is at work.
    running_count
        Jobs with a slot. One that gives a machine back has its slot until that is proven gone.
    waiting_count
        Jobs that wait for a slot.
    machines
        Rentals that are not proven gone, and so may bill.
    """

    stop: Stop | None
    running_count: int
    waiting_count: int
    machines: tuple[Rental, ...]

    @property
    def is_done(self) -> bool:
        """Whether a stop holds and nothing is left."""
        return self.stop is not None and not (self.running_count or self.waiting_count or self.machines)

    @property
    def micro_usd_per_hour(self) -> int:
        """What the machines cost an hour, in millionths of a dollar."""
        return sum(rental.prices.micro_usd_per_hour for rental in self.machines)


class Stopping:
    """Stops one tenant, or all.

    Parameters
    ----------
    releases
        Destroys kept machines at once; None leaves them to the janitor's sweep.
    """

    def __init__(
        self,
        *,
        jobs: JobStore,
        queue: StepQueue,
        clock: Clock,
        admission: Admission,
        rental_store: RentalStore,
        releases: ReleaseQueue | None = None,
    ) -> None:
        self._jobs = jobs
        self._clock = clock
        self._rental_store = rental_store
        self._releases = releases
        self._cancelling = Cancelling(jobs, queue, clock, admission, STOPPED)

    def begin(self, tenant: str | None, by: str) -> bool:
        """Let nothing of the tenant begin any more, or nothing at all; return whether that is new.

        One that holds already stays as it is.
        """
        is_new = not self._holds(tenant)
        self._write(tenant, stops.begin(by, self._clock.now()))
        if is_new:
            log.warning("stop.begun", extra={"tenant": tenant or ""})
        return is_new

    def end(self, tenant: str | None) -> bool:
        """Take a stop back, and return whether there was one. What was cancelled stays so."""
        held = self._holds(tenant)
        self._write(tenant, stops.end(self._clock.now()))
        if held:
            log.warning("stop.ended", extra={"tenant": tenant or ""})
        return held

    def _holds(self, tenant: str | None) -> bool:
        stops_now = self._jobs.read_places().stops
        return any(stop.tenant == tenant and stop.stopped_at is not None for stop in stops_now)

    def _write(self, tenant: str | None, change: Change) -> None:
        refused = self._jobs.write_rows([RowChange(row, change) for row in stops.rows_of(tenant)])
        if refused:
            raise StoreUnavailableError("The stop could not be written.")

    def go_on(self, may_go_on: Callable[[], bool]) -> bool:
        """End what the stops that hold have not ended yet; return whether there is nothing left to ask for.

        What was asked to end may still be on its way to it.

        Parameters
        ----------
        may_go_on
            Called before each job; once it returns False, the rest is left to the next call.

        Raises
        ------
        StoreUnavailableError
            The store cannot be reached.
        """
        places = self._jobs.read_places()
        if not places.stops:
            return True
        is_all = places.find_stop(None) is not None
        is_complete = True
        for tenant in _stopped(places, is_all=is_all):
            is_complete &= self._go_on(places, tenant, may_go_on)
        return is_complete

    def go_on_with(self, tenant: str, may_go_on: Callable[[], bool]) -> bool:
        """Do the same for one tenant, if a stop holds it."""
        places = self._jobs.read_places()
        return places.find_stop(tenant) is None or self._go_on(places, tenant, may_go_on)

    def find_left(self, tenant: str) -> Left:
        """Return what is left of a tenant; its jobs are counted as all earlier writes left them."""
        places = self._jobs.read_places()
        running_count = sum(slot.tenant == tenant for slot in places.slots)
        machines = self._rental_store.read_alive(tenant)
        return Left(places.find_stop(tenant), running_count, places.share_of(tenant).waiting, machines)

    def _go_on(self, places: Places, tenant: str, may_go_on: Callable[[], bool]) -> bool:
        held = [slot.job_id for slot in places.slots if slot.tenant == tenant and slot.job_id is not None]
        stop = places.find_stop(tenant)
        by = None if stop is None else stop.stopped_by
        is_complete = True
        for start in range(0, len(held), READ_AT_ONCE):
            found = self._jobs.read_many(held[start : start + READ_AT_ONCE])
            is_complete &= self._cancel(found, by, may_go_on)
        self._end_kept(tenant)
        if places.share_of(tenant).waiting:
            is_complete &= self._cancel_waiting(tenant, by, may_go_on)
        return is_complete

    def _cancel_waiting(self, tenant: str, by: str | None, may_go_on: Callable[[], bool]) -> bool:
        """Cancel the tenant's waiting jobs, those that wait the longest first; return whether all were met."""
        while may_go_on():
            # The index may lag; the next call looks again, as the tenant's count says that jobs wait.
            found = self._jobs.read_many(self._jobs.find_waiting(tenant, READ_AT_ONCE))
            waiting = [job for job in found if job.is_waiting]
            if not waiting:
                return True
            if not self._cancel(waiting, by, may_go_on):
                return False
        return False

    def _cancel(self, jobs: Iterable[Job], by: str | None, may_go_on: Callable[[], bool]) -> bool:
        """Cancel jobs; return whether there was time for all, and the store failed at none."""
        is_complete, failures_in_a_row = True, 0
        for job in jobs:
            if not job.is_active or job.cancel_requested_at is not None:
                continue
            if not may_go_on():
                return False
            try:
                self._cancelling.cancel(job, by)
                failures_in_a_row = 0
            except (JobFinishedError, JobNotFoundError):
                continue
            except (StoreUnavailableError, UnreadableRowError):
                # One row must not keep the others from ending; the next call tries it again.
                log.warning("stop.job_failed", exc_info=True, extra={"job_id": job.job_id})
                is_complete, failures_in_a_row = False, failures_in_a_row + 1
                if failures_in_a_row == OUTAGE_JOBS:
                    raise
        return is_complete

    def _end_kept(self, tenant: str) -> None:
        """Ask for the release of the machines that the tenant keeps; one that a job has, the job gives back."""
        for kept in self._rental_store.read_alive(tenant):
            if kept.state is not RentalState.KEPT:
                continue
            try:
                ended = update_rental(self._rental_store, kept, self._decide)
            except (RentalContendedError, UnreadableRowError):
                log.warning("rental.contended", extra={"rental_id": kept.rental_id})
                continue
            if self._releases is not None and ended.state is RentalState.RELEASING:
                self._releases.send(ended.rental_id)

    def _decide(self, rental: Rental) -> Change | None:
        if rental.state is not RentalState.KEPT:
            return None
        return lifecycle.ask_release(rental, EndReason.CALLER_ENDED, self._clock.now())


def _stopped(places: Places, *, is_all: bool) -> list[str]:
    """Return the tenants whose jobs are to end."""
    if not is_all:
        return sorted(places.stopped_tenants)
    held = {slot.tenant for slot in places.slots if slot.tenant is not None}
    return sorted(held | {share.tenant for share in places.shares} | places.stopped_tenants)
