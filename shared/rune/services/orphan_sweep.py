"""The sweep of rented machines: those with our label that should not be alive are destroyed."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rune.clock import Clock
from rune.errors import RentalContendedError, RentalError, StoreUnavailableError, UnreadableRowError
from rune.jobs.record import Job
from rune.jobs.store import JobStore
from rune.rentals import lifecycle
from rune.rentals.cost_cap import JANITOR_DELAY, most_cost_micro_usd, stop_of_holder_at
from rune.rentals.deployment import DeploymentStore
from rune.rentals.instance import Instance, Listing
from rune.rentals.labels import parse_label
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.proof import is_of_other_account
from rune.rentals.reconciliation import (
    Action,
    decide_action,
    record_account,
    record_missed,
    record_price,
    split_machines,
    write_decision,
)
from rune.rentals.record import Rental, RentalState
from rune.rentals.store import RentalStore, update_rental
from rune.services.destroy_orders import LONGEST_PAUSE_SECONDS, DestroyOrders, PatientCalls
from rune.services.self_destruct_looks import SelfDestructLooks
from rune.services.stray_machines import StrayMachines
from rune.storage.change import Change, apply

log = logging.getLogger(__name__)

RENTALS_PER_SWEEP = 500
LISTING_TRIES = 5
"""Workers may take the provider's next call first."""


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
    """A sweep under way."""

    calls: PatientCalls
    orders: DestroyOrders
    result: SweepResult
    seen: list[Rental] = field(default_factory=list)

    def ring(self, event: str, rental_id: str, *, code: str | None = None, reason: str | None = None) -> None:
        """Tell the operator about a machine."""
        self.result.alarm_count += 1
        told = {"code": code, "reason": reason} if code or reason else {}
        log.error(event, extra={"rental_id": rental_id, **told, "metric": "RentalsOutOfHand"})


@dataclass(frozen=True, slots=True)
class Hold:
    """An active job's hold on a rental.

    Attributes
    ----------
    until
        When the job should have released it; None where no active job holds it.
    stopped_by
        When the job should have stopped because its money is over; None where that has no end.
    """

    until: datetime | None = None
    stopped_by: datetime | None = None


NO_HOLD = Hold()


class OrphanSweep:
    """Compares the rental store with what exists.

    Parameters
    ----------
    stage, deployments
        Only machines with this deployment's label are touched, and those with a label of an earlier version, which
        names the stage alone, if their row is here.
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
        deployments: DeploymentStore,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._provider = provider
        self._rental_store = rental_store
        self._jobs = jobs
        self._clock = clock
        self._stage = stage
        self._deployments = deployments
        self._pause = pause
        self._strays = StrayMachines(rental_store, jobs, clock)

    async def sweep(self, may_go_on: Callable[[], bool]) -> SweepResult:
        """Destroy every machine that should not be alive, and end every rental whose machine is proven gone.

        What a row alone decides does not wait for a listing, which may fail. Only a machine that no listing has
        shown waits until one was asked for: it may show that the machine costs more than its offer said.
        """
        calls = PatientCalls(self._pause, may_go_on)
        orders = DestroyOrders(self._provider, self._rental_store, self._clock, calls)
        sweep = _Sweep(calls, orders, SweepResult())
        try:
            await self._sweep(sweep)
            looks = SelfDestructLooks(self._provider, self._rental_store, self._clock, calls)
            await looks.look(sweep.seen)
        finally:
            sweep.result.destroyed_count = orders.destroyed_count
        return sweep.result

    async def destroy(self, rental_id: str, may_go_on: Callable[[], bool]) -> SweepResult:
        """Destroy the machine of one rental if its row says that it should not be alive; the sweep proves it."""
        calls = PatientCalls(self._pause, may_go_on)
        orders = DestroyOrders(self._provider, self._rental_store, self._clock, calls)
        sweep = _Sweep(calls, orders, SweepResult())
        await self._reconcile_all(sweep, {rental_id: ()}, None)
        sweep.result.destroyed_count = orders.destroyed_count
        return sweep.result

    async def _sweep(self, sweep: _Sweep) -> None:
        # Rows first: a machine that is ordered after this is missing from them, but is read by its label below.
        rental_ids = self._rental_store.find_alive(RENTALS_PER_SWEEP)
        rows_alone: dict[str, Sequence[Instance]] = dict.fromkeys(rental_ids, ())
        await self._reconcile_all(sweep, rows_alone, None, is_listing_ahead=True)
        listing = await self._list(sweep)
        if listing is None:
            log.error("rentals.unknown", extra={"metric": "RentalListingsFailed"})
            await self._reconcile_all(sweep, rows_alone, None)
            return
        sweep.result.is_complete = True
        ours = self._find_ours(listing)
        await self._reconcile_all(
            sweep, {**ours, **{each: ours.get(each, ()) for each in rental_ids}}, listing
        )

    def _find_ours(self, listing: Listing) -> Mapping[str, Sequence[Instance]]:
        """Return the listed machines with a label of this deployment, by the rental that they name."""
        deployment_id = self._deployments.read().deployment_id
        ours: dict[str, list[Instance]] = {}
        for instance in listing.instances:
            parts = parse_label(instance.label)
            if parts is None:
                continue
            is_old = parts.deployment_id is None and parts.stage == self._stage
            if parts.deployment_id == deployment_id or (is_old and self._has_row(parts.rental_id, instance)):
                ours.setdefault(parts.rental_id, []).append(instance)
        return ours

    def _has_row(self, rental_id: str, instance: Instance) -> bool:
        """Return whether a machine with a label of an earlier version is ours: only ours have a row here."""
        try:
            rental = self._rental_store.read(rental_id)
        except UnreadableRowError:
            return True
        if rental is not None and rental.label == instance.label:
            return True
        log.warning("rental.not_ours", extra={"rental_id": rental_id})
        return False

    async def _reconcile_all(
        self,
        sweep: _Sweep,
        machines: Mapping[str, Sequence[Instance]],
        listing: Listing | None,
        *,
        is_listing_ahead: bool = False,
    ) -> None:
        """Reconcile rentals by id; the failure of one does not keep the others from being reconciled."""
        try:
            for rental_id, labelled in machines.items():
                if not sweep.calls.may_go_on():
                    log.warning("sweep.out_of_time")
                    return
                try:
                    await self._reconcile(
                        sweep, rental_id, labelled, listing, is_listing_ahead=is_listing_ahead
                    )
                except RentalContendedError:
                    # Others are at work on it; the next tick looks again.
                    log.warning("rental.contended", extra={"rental_id": rental_id})
                except StoreUnavailableError as error:
                    if error.retryable:
                        raise
                    # A write that the store refuses for good costs this rental alone, at each tick.
                    sweep.result.alarm_count += 1
                    extra = {"rental_id": rental_id, "metric": "RentalsOutOfHand"}
                    log.exception("rental.refused", extra=extra)
                except Exception:
                    sweep.result.alarm_count += 1
                    extra = {"rental_id": rental_id, "metric": "RentalsOutOfHand"}
                    log.exception("rental.not_understood", extra=extra)
        finally:
            await sweep.orders.send()

    async def _list(self, sweep: _Sweep) -> Listing | None:
        """Return a listing, begun after the sweep's last order to destroy; None where none can be read now."""
        for _ in range(LISTING_TRIES):
            try:
                return await self._provider.list_instances(begun_after=sweep.orders.asked_at)
            except ThrottledError as early:
                if early.delay_seconds > LONGEST_PAUSE_SECONDS or not sweep.calls.may_go_on():
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
        labelled: Sequence[Instance],
        listing: Listing | None,
        *,
        is_listing_ahead: bool,
    ) -> None:
        rental = self._rental_store.read(rental_id)
        instance = self._find_own(sweep, rental_id, rental, labelled)
        if rental is None and instance is None:
            return
        if is_listing_ahead and rental is not None and not rental.was_seen:
            return
        hold = NO_HOLD if rental is None else self._find_hold(rental, listing, instance)
        if rental is not None and listing is not None:
            rental, listing = await self._look_closer(sweep, rental, listing, hold)
            instance = instance or listing.find(rental)
        decision = decide_action(
            rental,
            listing,
            instance,
            held_until=hold.until,
            stopped_by=hold.stopped_by,
            now=self._clock.now(),
        )
        if decision.action is Action.LEAVE:
            return
        if rental is not None:
            written = self._write(rental, listing, instance, hold)
            if written.is_alive and written.state is not RentalState.RELEASING:
                # Returned to its tenant, or others have changed what should become of it.
                return
            sweep.result.proven_count += not written.is_alive
            rental = written
        if decision.is_alarming:
            sweep.ring("rental.out_of_hand", rental_id, code=decision.reason, reason=decision.detail)
        if decision.action is Action.DESTROY:
            written_id = rental.contract_id if rental is not None else None
            contract_id = instance.contract_id if instance is not None else written_id
            if contract_id is not None:
                sweep.orders.add(rental_id, contract_id, rental)

    def _find_own(
        self, sweep: _Sweep, rental_id: str, rental: Rental | None, labelled: Sequence[Instance]
    ) -> Instance | None:
        """Return the rental's own machine of those with its label, and have the others destroyed."""
        own, others = split_machines(rental, labelled)
        for stray in labelled if rental is None else others:
            self._strays.tell_of(stray, rental_id, rental)
        for other in others:
            sweep.ring("rental.out_of_hand", rental_id, reason="a second machine has its label")
            sweep.orders.add(rental_id, other.contract_id, None)
        return own

    async def _look_closer(
        self, sweep: _Sweep, rental: Rental, listing: Listing, hold: Hold
    ) -> tuple[Rental, Listing]:
        """Return the rental with its account, and the listing with what the machine itself shows if it lacks it."""
        now = self._clock.now()
        rental = update_rental(self._rental_store, rental, lambda found: record_account(found, listing, now))
        instance = listing.find(rental)
        if instance is not None:
            sweep.seen.append(rental)
            if rental.state is RentalState.KEPT:
                rental = update_rental(
                    self._rental_store, rental, lambda found: record_price(found, instance, now)
                )
        if rental.is_alive and is_of_other_account(rental, listing):
            # This key cannot show whether the machine exists, and cannot destroy it.
            sweep.ring("rental.of_other_account", rental.rental_id)
        if hold.until is not None and now <= hold.until:
            # Its job looks for it.
            return rental, listing
        rental = update_rental(self._rental_store, rental, lambda found: record_missed(found, listing, now))
        confirmed = await sweep.calls.answer(lambda: self._provider.confirm_absence(rental, listing))
        return rental, confirmed or listing

    def _find_hold(self, rental: Rental, listing: Listing | None, instance: Instance | None) -> Hold:
        """Return until when an active job may hold the rental."""
        if rental.holder is None:
            return NO_HOLD
        job = self._jobs.read(rental.holder)
        if job is None or not job.is_active:
            return NO_HOLD
        if instance is None and listing is not None:
            instance = listing.find(rental)
        stop_at = self._find_stop(job, rental, instance)
        stopped_by = None if stop_at is None else stop_at + JANITOR_DELAY
        # Not the ceiling alone: that includes the time for which the machine may be kept afterwards.
        return Hold(min(job.deadline_at + lifecycle.RELEASE_MARGIN, rental.ceiling_at), stopped_by)

    def _find_stop(self, job: Job, rental: Rental, instance: Instance | None) -> datetime | None:
        """Return when the job's money is over; None where it has no end.

        The job's row has that moment as its last turn knew it. The machine may cost more since, and the worker that
        would have found out may be lost.
        """
        if job.cap_micro_usd is None or rental.holder != rental.job_id:
            return job.cost_cap_at
        now = self._clock.now()
        risen = None if instance is None else record_price(rental, instance, now)
        rental = rental if risen is None else apply(risen, rental)
        left = job.cap_micro_usd - job.borrowed_micro_usd
        if rental.attempt > 1:
            attempts = self._rental_store.read_attempts(job.job_id)
            left -= sum(most_cost_micro_usd(each, now) for each in attempts if each.attempt != rental.attempt)
        stop_at = stop_of_holder_at(rental, left, now)
        return stop_at if job.cost_cap_at is None else min(stop_at, job.cost_cap_at)

    def _write(
        self,
        rental: Rental,
        listing: Listing | None,
        instance: Instance | None,
        hold: Hold,
    ) -> Rental:
        """Write what is decided before anything is done, and a risen price; return the rental as it then is."""
        now = self._clock.now()

        def decide(found: Rental) -> Change | None:
            if found.holder not in (rental.holder, None):
                # Another job has it by now: whether that job is active is for the next tick to look up.
                return None
            held = hold if found.holder is not None else NO_HOLD
            decision = decide_action(
                found, listing, instance, held_until=held.until, stopped_by=held.stopped_by, now=now
            )
            return write_decision(found, decision, listing, instance, now)

        written = update_rental(self._rental_store, rental, decide)
        if instance is None or written.state is not RentalState.RELEASING:
            return written
        return update_rental(self._rental_store, written, lambda found: record_price(found, instance, now))
