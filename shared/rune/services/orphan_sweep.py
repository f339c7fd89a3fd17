"""The sweep of rented machines: those with our label that should not be alive are destroyed."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from rune.clock import Clock
from rune.errors import RentalContendedError, RentalError, StoreUnavailableError
from rune.jobs.store import JobStore
from rune.rentals import lifecycle
from rune.rentals.instance import Instance, Listing
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.reconciliation import Action, decide_action, record_price, write_decision
from rune.rentals.record import Rental, RentalState, parse_label
from rune.rentals.store import RentalStore, update_rental
from rune.storage.change import Change

log = logging.getLogger(__name__)

RENTALS_PER_SWEEP = 500
_LONGEST_PAUSE_SECONDS = 8
"""A call that must wait longer is left to the next tick."""


@dataclass(slots=True)
class SweepResult:
    """The result of one sweep.

    Attributes
    ----------
    is_complete
        Whether the provider's listing was read; without it no machine can be proven gone.
    """

    is_complete: bool = False
    destroyed_count: int = 0
    proven_count: int = 0
    alarm_count: int = 0


class OrphanSweep:
    """Compares the rental store with what exists.

    Parameters
    ----------
    stage
        Only machines with a label of this stage are touched.
    pause
        Waits for seconds: unlike a step, a sweep may wait for the provider's rate limit.
    """

    def __init__(
        self,
        *,
        provider: PacedProvider,
        rental_store: RentalStore,
        jobs: JobStore,
        clock: Clock,
        stage: str,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._provider = provider
        self._rental_store = rental_store
        self._jobs = jobs
        self._clock = clock
        self._stage = stage
        self._pause = pause

    async def sweep(self, may_go_on: Callable[[], bool]) -> SweepResult:
        """Look at every machine and every row once."""
        result = SweepResult()
        # Rows first: a machine that is ordered after this is missing from them, but is read by its label below.
        rental_ids = list(self._rental_store.find_alive(RENTALS_PER_SWEEP))
        listing = await self._list(may_go_on)
        if listing is None:
            log.error("rentals.unknown", extra={"metric": "RentalListingsFailed"})
            return result
        result.is_complete = True
        ours = {
            parts.rental_id: instance
            for instance in listing.instances
            if (parts := parse_label(instance.label)) and parts.stage == self._stage
        }
        for rental_id in dict.fromkeys([*ours, *rental_ids]):
            if not may_go_on():
                log.warning("sweep.out_of_time")
                break
            await self._isolate(rental_id, ours.get(rental_id), listing, result, may_go_on)
        return result

    async def _isolate(
        self,
        rental_id: str,
        instance: Instance | None,
        listing: Listing,
        result: SweepResult,
        may_go_on: Callable[[], bool],
    ) -> None:
        """Reconcile one rental; its failure does not keep the others from being reconciled."""
        try:
            await self._reconcile(rental_id, instance, listing, result, may_go_on)
        except RentalContendedError:
            # Others are at work on it; the next tick looks again.
            log.warning("rental.contended", extra={"rental_id": rental_id})
        except StoreUnavailableError:
            raise
        except Exception:
            result.alarm_count += 1
            extra = {"rental_id": rental_id, "metric": "RentalsOutOfHand"}
            log.exception("rental.not_understood", extra=extra)

    async def _list(self, may_go_on: Callable[[], bool]) -> Listing | None:
        while True:
            try:
                return await self._provider.list_instances()
            except ThrottledError as early:
                if early.delay_seconds > _LONGEST_PAUSE_SECONDS or not may_go_on():
                    return None
                await self._pause(early.delay_seconds)
            except RentalError as error:
                log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
                return None

    async def _reconcile(
        self,
        rental_id: str,
        instance: Instance | None,
        listing: Listing,
        result: SweepResult,
        may_go_on: Callable[[], bool],
    ) -> None:
        rental = self._rental_store.read(rental_id)
        if rental is not None and instance is None:
            instance = listing.find(rental)
        if rental is None and instance is None:
            return
        now = self._clock.now()
        held_until = None if rental is None else self._held_until(rental)
        decision = decide_action(rental, listing, instance, held_until=held_until, now=now)
        if decision.action is Action.LEAVE:
            return
        if rental is not None:
            written = self._write(rental, listing, instance, held_until)
            if written.is_alive and written.state is not RentalState.RELEASING:
                # Returned to its tenant, or others have changed what should become of it.
                return
            result.proven_count += not written.is_alive
        if decision.is_alarming:
            result.alarm_count += 1
            extra = {"rental_id": rental_id, "code": decision.reason, "reason": decision.detail}
            log.error("rental.out_of_hand", extra={**extra, "metric": "RentalsOutOfHand"})
        if decision.action is Action.DESTROY and instance is not None:
            result.destroyed_count += await self._destroy(rental_id, instance, may_go_on)

    def _held_until(self, rental: Rental) -> datetime | None:
        """Return when the job that holds the rental should have released it; None where no active job holds it."""
        if rental.holder is None:
            return None
        job = self._jobs.read(rental.holder)
        if job is None or not job.is_active:
            return None
        # Not the ceiling alone: that includes the time for which the machine may be kept afterwards.
        return min(job.deadline_at + lifecycle.RELEASE_MARGIN, rental.ceiling_at)

    def _write(
        self, rental: Rental, listing: Listing, instance: Instance | None, held_until: datetime | None
    ) -> Rental:
        """Write what is decided before anything is done, and a risen price; return the rental as it then is."""
        now = self._clock.now()

        def decide(found: Rental) -> Change | None:
            if found.holder not in (rental.holder, None):
                # Another job has it by now: whether that job is active is for the next tick to look up.
                return None
            until = held_until if found.holder is not None else None
            decision = decide_action(found, listing, instance, held_until=until, now=now)
            return write_decision(found, decision, listing, instance, now)

        written = update_rental(self._rental_store, rental, decide)
        if instance is None or written.state is not RentalState.RELEASING:
            return written
        return update_rental(self._rental_store, written, lambda found: record_price(found, instance, now))

    async def _destroy(self, rental_id: str, instance: Instance, may_go_on: Callable[[], bool]) -> bool:
        while True:
            try:
                await self._provider.destroy(instance.contract_id)
            except ThrottledError as early:
                if early.delay_seconds > _LONGEST_PAUSE_SECONDS or not may_go_on():
                    return False
                await self._pause(early.delay_seconds)
            except RentalError as error:
                log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
                return False
            else:
                log.info("rental.destroyed", extra={"rental_id": rental_id})
                return True
