"""The janitor's look at rented machines: what carries our label and should not be alive is destroyed."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from rune.clock import Clock
from rune.errors import RentalError, StoreUnavailableError
from rune.jobs.store import JobStore
from rune.rentals import lifecycle
from rune.rentals.instance import Instance, Listing
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.reconciliation import Act, Verdict, judge
from rune.rentals.record import Rental, RentalState, parse_label
from rune.rentals.store import RentalRefused, RentalStore
from rune.storage.change import Change

log = logging.getLogger(__name__)

RENTALS_PER_SWEEP = 500
_LONGEST_PAUSE_SECONDS = 8
"""A call that may only be made later than this is left to the next tick."""


@dataclass(slots=True)
class SweepResult:
    """What one sweep came to.

    Attributes
    ----------
    is_complete
        Whether the provider's listing was seen; without it nothing is known of any machine.
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
        Only machines labelled for it are touched; a stranger's never.
    pause
        Lets seconds pass: unlike a step, a tick may wait until the provider takes its next call.
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
        reaped = SweepResult()
        # Rows first: a machine that is ordered after this is missing from them, and not from what is looked up.
        rental_ids = list(self._rental_store.find_alive(RENTALS_PER_SWEEP))
        listing = await self._list(may_go_on)
        if listing is None:
            log.error("rentals.unknown", extra={"metric": "RentalListingsFailed"})
            return reaped
        reaped.is_complete = True
        ours = {
            parts.rental_id: instance
            for instance in listing.instances
            if (parts := parse_label(instance.label)) and parts.stage == self._stage
        }
        for rental_id in dict.fromkeys([*ours, *rental_ids]):
            if not may_go_on():
                log.warning("sweep.out_of_time")
                break
            await self._see_to_apart(rental_id, ours.get(rental_id), listing, reaped, may_go_on)
        return reaped

    async def _see_to_apart(
        self,
        rental_id: str,
        instance: Instance | None,
        listing: Listing,
        reaped: SweepResult,
        may_go_on: Callable[[], bool],
    ) -> None:
        """See to one machine, so that whatever is wrong with its row is not every other machine's misfortune."""
        try:
            await self._see_to(rental_id, instance, listing, reaped, may_go_on)
        except StoreUnavailableError:
            raise
        except Exception:
            reaped.alarm_count += 1
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

    async def _see_to(
        self,
        rental_id: str,
        instance: Instance | None,
        listing: Listing,
        reaped: SweepResult,
        may_go_on: Callable[[], bool],
    ) -> None:
        rental = self._rental_store.read(rental_id)
        if rental is not None and instance is None:
            instance = listing.find(rental)
        if rental is None and instance is None:
            return
        held_until = None if rental is None else self._held_until(rental)
        verdict = judge(rental, listing, instance, held_until=held_until, now=self._clock.now())
        if verdict.act is Act.LEAVE:
            return
        if rental is not None:
            noted = self._note(rental, instance, verdict, listing)
            if noted is None:
                return
            reaped.proven_count += noted.state is RentalState.RELEASED
        if verdict.is_alarming:
            reaped.alarm_count += 1
            extra = {"rental_id": rental_id, "code": verdict.reason, "reason": verdict.detail}
            log.error("rental.out_of_hand", extra={**extra, "metric": "RentalsOutOfHand"})
        if verdict.act is Act.DESTROY and instance is not None:
            if rental is not None:
                self._note_price(rental_id, instance)
            reaped.destroyed_count += await self._destroy(rental_id, instance, may_go_on)

    def _held_until(self, rental: Rental) -> datetime | None:
        """Return when the job that works with the machine should have given it back; None if none does."""
        if rental.holder is None:
            return None
        job = self._jobs.read(rental.holder)
        if job is None or not job.is_active:
            return None
        # Not the ceiling: that holds all the time for which the machine may be kept afterwards.
        return min(job.deadline_at + lifecycle.RELEASE_MARGIN, rental.ceiling_at)

    def _note(
        self, rental: Rental, instance: Instance | None, verdict: Verdict, listing: Listing
    ) -> Rental | None:
        """Write the verdict down before anything is done; None if somebody else has written meanwhile."""
        now = self._clock.now()
        if verdict.act is Act.PROVE_GONE:
            return self._update(
                rental,
                lifecycle.prove_release(rental, listing.begun_at, now, verdict.reason, verdict.detail),
            )
        if verdict.act is Act.GIVE_BACK:
            return self._update(rental, lifecycle.give_back(rental, now))
        noted: Rental | None = rental
        if rental.state is RentalState.RELEASED:
            return self._update(
                rental, lifecycle.reopen(rental, instance.contract_id if instance else 0, now)
            )
        if rental.contract_id is None and instance is not None:
            noted = self._update(rental, lifecycle.note_contract(rental, instance.contract_id, now))
        if noted is None or noted.state is RentalState.RELEASING or verdict.reason is None:
            return noted
        return self._update(noted, lifecycle.ask_release(noted, verdict.reason, now, verdict.detail))

    def _note_price(self, rental_id: str, instance: Instance) -> None:
        """Write down what a machine costs that nobody may have looked at yet; the bill is made from that."""
        rental = self._rental_store.read(rental_id)
        risen = None if rental is None else lifecycle.find_risen_price(rental, instance)
        if rental is not None and risen is not None:
            self._update(rental, lifecycle.note_price(rental, risen, self._clock.now()))

    def _update(self, rental: Rental, change: Change) -> Rental | None:
        written = self._rental_store.update(rental, change)
        return None if isinstance(written, RentalRefused) else written

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
