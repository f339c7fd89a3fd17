"""The sweep of rented machines: those with our label that should not be alive are destroyed."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rune.clock import Clock
from rune.errors import RentalContendedError, RentalError, StoreUnavailableError
from rune.jobs.store import JobStore
from rune.rentals import lifecycle
from rune.rentals.instance import Instance, Listing
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.proof import is_of_other_account
from rune.rentals.reconciliation import (
    Action,
    decide_action,
    record_account,
    record_destroyed,
    record_price,
    write_decision,
)
from rune.rentals.record import Rental, RentalState, parse_label
from rune.rentals.store import RentalStore, update_rental
from rune.storage.change import Change

log = logging.getLogger(__name__)

RENTALS_PER_SWEEP = 500
LISTING_TRIES = 5
"""Workers may take the provider's next call first."""

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


@dataclass(slots=True)
class _Sweep:
    """A sweep under way.

    Attributes
    ----------
    asked_at
        When the provider last answered an order to destroy a machine; None before the first.
    """

    may_go_on: Callable[[], bool]
    result: SweepResult
    asked_at: datetime | None = None


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
        """Destroy every machine that should not be alive, and end every rental whose machine is proven gone.

        What a row alone decides does not wait for a listing, which may fail. Only a machine that no listing has
        shown waits until one was asked for: it may show that the machine costs more than its offer said.
        """
        sweep = _Sweep(may_go_on, SweepResult())
        # Rows first: a machine that is ordered after this is missing from them, but is read by its label below.
        rental_ids = self._rental_store.find_alive(RENTALS_PER_SWEEP)
        await self._reconcile_all(sweep, dict.fromkeys(rental_ids), None, is_listing_ahead=True)
        listing = await self._list(sweep)
        if listing is None:
            log.error("rentals.unknown", extra={"metric": "RentalListingsFailed"})
            await self._reconcile_all(sweep, dict.fromkeys(rental_ids), None)
            return sweep.result
        sweep.result.is_complete = True
        ours = {
            parts.rental_id: instance
            for instance in listing.instances
            if (parts := parse_label(instance.label)) and parts.stage == self._stage
        }
        await self._reconcile_all(sweep, {**ours, **{each: ours.get(each) for each in rental_ids}}, listing)
        return sweep.result

    async def _reconcile_all(
        self,
        sweep: _Sweep,
        instances: Mapping[str, Instance | None],
        listing: Listing | None,
        *,
        is_listing_ahead: bool = False,
    ) -> None:
        """Reconcile rentals by id; the failure of one does not keep the others from being reconciled."""
        for rental_id, instance in instances.items():
            if not sweep.may_go_on():
                log.warning("sweep.out_of_time")
                return
            try:
                await self._reconcile(sweep, rental_id, instance, listing, is_listing_ahead=is_listing_ahead)
            except RentalContendedError:
                # Others are at work on it; the next tick looks again.
                log.warning("rental.contended", extra={"rental_id": rental_id})
            except StoreUnavailableError:
                raise
            except Exception:
                sweep.result.alarm_count += 1
                extra = {"rental_id": rental_id, "metric": "RentalsOutOfHand"}
                log.exception("rental.not_understood", extra=extra)

    async def _list(self, sweep: _Sweep) -> Listing | None:
        """Return a listing, begun after the sweep's last order to destroy; None where none can be read now."""
        for _ in range(LISTING_TRIES):
            try:
                return await self._provider.list_instances(begun_after=sweep.asked_at)
            except ThrottledError as early:
                if early.delay_seconds > _LONGEST_PAUSE_SECONDS or not sweep.may_go_on():
                    return None
                await self._pause(early.delay_seconds)
            except RentalError as error:
                log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
                return None
        return None

    async def _reconcile(
        self,
        sweep: _Sweep,
        rental_id: str,
        instance: Instance | None,
        listing: Listing | None,
        *,
        is_listing_ahead: bool,
    ) -> None:
        rental = self._rental_store.read(rental_id)
        if rental is None and instance is None:
            return
        if is_listing_ahead and rental is not None and not rental.was_seen:
            return
        held_until = None if rental is None else self._held_until(rental)
        if rental is not None and listing is not None:
            rental, listing = await self._look_closer(sweep, rental, listing, held_until)
            instance = instance or listing.find(rental)
        decision = decide_action(rental, listing, instance, held_until=held_until, now=self._clock.now())
        if decision.action is Action.LEAVE:
            return
        if rental is not None:
            written = self._write(rental, listing, instance, held_until)
            if written.is_alive and written.state is not RentalState.RELEASING:
                # Returned to its tenant, or others have changed what should become of it.
                return
            sweep.result.proven_count += not written.is_alive
            rental = written
        if decision.is_alarming:
            sweep.result.alarm_count += 1
            extra = {"rental_id": rental_id, "code": decision.reason, "reason": decision.detail}
            log.error("rental.out_of_hand", extra={**extra, "metric": "RentalsOutOfHand"})
        if decision.action is Action.DESTROY:
            await self._destroy(sweep, rental_id, rental, instance)

    async def _look_closer(
        self, sweep: _Sweep, rental: Rental, listing: Listing, held_until: datetime | None
    ) -> tuple[Rental, Listing]:
        """Return the rental with its account, and the listing with what the machine itself shows if it lacks it."""
        now = self._clock.now()
        rental = update_rental(self._rental_store, rental, lambda found: record_account(found, listing, now))
        if rental.is_alive and is_of_other_account(rental, listing):
            # This key cannot show whether the machine exists, and cannot destroy it.
            sweep.result.alarm_count += 1
            extra = {"rental_id": rental.rental_id, "metric": "RentalsOutOfHand"}
            log.error("rental.of_other_account", extra=extra)
        if held_until is not None and now <= held_until:
            # Its job looks for it.
            return rental, listing
        confirmed = await self._when_allowed(sweep, lambda: self._provider.confirm_absence(rental, listing))
        return rental, confirmed or listing

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
        self,
        rental: Rental,
        listing: Listing | None,
        instance: Instance | None,
        held_until: datetime | None,
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

    async def _destroy(
        self, sweep: _Sweep, rental_id: str, rental: Rental | None, instance: Instance | None
    ) -> None:
        """Ask the provider to destroy the listed machine, or else the row's."""
        written_id = rental.contract_id if rental is not None else None
        contract_id = instance.contract_id if instance is not None else written_id
        if contract_id is None:
            return
        is_taken = await self._when_allowed(sweep, lambda: self._provider.destroy(contract_id))
        if is_taken is None:
            return
        log.info("rental.destroyed", extra={"rental_id": rental_id})
        sweep.result.destroyed_count += 1
        sweep.asked_at = asked_at = self._clock.now()
        if rental is not None and rental.contract_id == contract_id:
            update_rental(
                self._rental_store,
                rental,
                lambda found: record_destroyed(found, asked_at, is_taken=is_taken),
            )

    async def _when_allowed[T](self, sweep: _Sweep, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the provider's answer; None where there is none in the time that is left."""
        while True:
            try:
                return await call()
            except ThrottledError as early:
                if early.delay_seconds > _LONGEST_PAUSE_SECONDS or not sweep.may_go_on():
                    return None
                await self._pause(early.delay_seconds)
            except RentalError as error:
                log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
                return None
