"""Rentals and the shared provider limits in memory, for unit tests and the simulation.

They check and apply a `Change` with `rune.storage.change`; `tests/functional/aws` shows that DynamoDB does so too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import override

from rune.clock import to_epoch_ms
from rune.errors import CreditReservedError, LeaseLostError, RentalContendedError, StoppedError
from rune.events.record import PublicEvent
from rune.jobs.record import Job
from rune.rentals.credit import Credit, CreditStore
from rune.rentals.deployment import Deployment, DeploymentStore
from rune.rentals.instance import Listing
from rune.rentals.lifecycle import reservation_change_micro_usd
from rune.rentals.public_events import keep_events_until, rental_event
from rune.rentals.record import Rental
from rune.rentals.settlement import budget_changes
from rune.rentals.store import (
    MAX_CLOCK_ERROR,
    EndedPage,
    Endpoint,
    ProviderLimits,
    ReleaseQueue,
    RentalRefused,
    RentalStore,
    Turn,
)
from rune.storage.change import Change, allows, apply
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_outbox import MemoryOutbox
from tests.rental_builders import DEPLOYMENT_ID


class MemoryRentalStore(RentalStore):
    """The rental store.

    Attributes
    ----------
    rentals
        The rows by rental id, in the order in which they were opened.
    outbox
        The events that writes have left.
    keys
        Of guarded machines' servers, by rental id.
    opened_counts
        How many rentals each tenant has opened.
    credit
        What the living have reserved of the account's credit.
    budgets
        What is free, reserved and spent.
    turn_of
        Returns a job's present turn; None where no test looks at turns.
    is_stopped
        Returns whether a tenant is stopped, or all are; None where no test stops anything.
    """

    turn_of: Callable[[str], Turn | None] | None = None
    is_stopped: Callable[[str], bool] | None = None
    job_of: Callable[[str], Job | None] | None = None

    def __init__(
        self,
        *rentals: Rental,
        outbox: MemoryOutbox | None = None,
        budgets: MemoryBudgetStore | None = None,
    ) -> None:
        self.budgets = budgets or MemoryBudgetStore()
        self.rentals: dict[str, Rental] = {rental.rental_id: rental for rental in rentals}
        self.outbox = outbox or MemoryOutbox()
        self.keys: dict[str, str] = {}
        self.opened_counts = Counter[str]()
        living_micro_usd = sum(rental.reserved_micro_usd for rental in rentals if rental.is_alive)
        self.credit = Credit(living_micro_usd) if living_micro_usd else Credit()

    @property
    def reserved_micro_usd(self) -> int:
        """What the row says."""
        return self.credit.reserved_micro_usd or 0

    def _reserve(self, micro_usd: int) -> None:
        if micro_usd:
            reserved_micro_usd = self.reserved_micro_usd + micro_usd
            self.credit = replace(self.credit, reserved_micro_usd=reserved_micro_usd, doubted_at=None)

    @override
    def open(
        self,
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        if rental.rental_id in self.rentals:
            return False
        if turn is not None:
            self._check_turn(rental.job_id, turn)
        if self.is_stopped is not None and self.is_stopped(rental.tenant):
            raise StoppedError(of_tenant=False)
        if opened_count not in (None, self.opened_counts[rental.tenant]):
            raise RentalContendedError("The tenant rents another machine at the same moment.")
        reserved = self.reserved_micro_usd + rental.reserved_micro_usd
        if rental.reserved_micro_usd and credit_micro_usd is not None and reserved > credit_micro_usd:
            raise CreditReservedError("The account's credit is kept for machines that are rented now.")
        self.rentals[rental.rental_id] = rental
        if key is not None:
            self.keys[rental.rental_id] = key
        if opened_count is not None:
            self.opened_counts[rental.tenant] += 1
        self._reserve(rental.reserved_micro_usd)
        return True

    def _check_turn(self, job_id: str, turn: Turn) -> None:
        if self.turn_of is not None and turn != self.turn_of(job_id):
            raise LeaseLostError("The job is another worker's by now, or has ended.")

    @override
    def take(self, rental: Rental, change: Change, job_id: str, turn: Turn) -> Rental | RentalRefused:
        self._check_turn(job_id, turn)
        self._check_use(rental, job_id)
        return self.update(rental, change)

    def _check_use(self, rental: Rental, job_id: str) -> None:
        if rental.used_by in (None, job_id) or self.job_of is None:
            return
        job = self.job_of(rental.used_by or "")
        if job is not None and job.is_active and job.borrowed_micro_usd < rental.used_micro_usd:
            raise RentalContendedError("What its last use has cost is not written yet.")

    @override
    def read_opened_count(self, tenant: str) -> int:
        return self.opened_counts[tenant]

    @override
    def read_key(self, rental_id: str) -> str | None:
        return self.keys.get(rental_id)

    @override
    def read_reserved_micro_usd(self) -> int:
        return self.reserved_micro_usd

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        found = self.rentals.get(rental.rental_id)
        if found is None or not allows(change, found):
            return RentalRefused(found)
        self.rentals[rental.rental_id] = written = apply(change, found)
        self.budgets.write_all(budget_changes(found, change))
        self._reserve(reservation_change_micro_usd(found, change))
        event = rental_event(found, change)
        if event is not None:
            self.outbox.write_log([event], keep_events_until(found, event))
        return written

    @override
    def tell_once(self, event: PublicEvent, expires_at: datetime) -> bool:
        if self.outbox.log_of(event.subject):
            return False
        self.outbox.write_log([event], expires_at)
        return True

    @override
    def read(self, rental_id: str) -> Rental | None:
        return self.rentals.get(rental_id)

    @override
    def read_attempts(self, job_id: str) -> tuple[Rental, ...]:
        rented = (rental for rental in self.rentals.values() if rental.job_id == job_id)
        return tuple(sorted(rented, key=lambda rental: rental.attempt))

    @override
    def read_alive(self, tenant: str, *, needed_by: str | None = None) -> tuple[Rental, ...]:
        alive = (each for each in self.rentals.values() if each.is_alive and each.tenant == tenant)
        return tuple(sorted(alive, key=lambda rental: (rental.intended_at, rental.rental_id)))

    @override
    def read_ended(self, tenant: str, before: str | None, limit: int) -> EndedPage:
        ended = {
            f"{to_epoch_ms(each.released_at):013d}#{each.rental_id}": each
            for each in self.rentals.values()
            if each.tenant == tenant and each.released_at is not None and each.contract_id is not None
        }
        older = sorted((line for line in ended if before is None or line < before), reverse=True)
        position = older[limit - 1] if len(older) > limit else None
        return EndedPage(tuple(ended[line] for line in older[:limit]), position)

    @override
    def find_alive(self, limit: int) -> tuple[str, ...]:
        return self._find_due(datetime.max.replace(tzinfo=UTC), limit, is_alive=True)

    @override
    def find_uncharged(self, now: datetime, limit: int) -> tuple[str, ...]:
        return self._find_due(now, limit, is_alive=False)

    def _find_due(self, until: datetime, limit: int, *, is_alive: bool) -> tuple[str, ...]:
        due = [
            (rental.due_at, rental.rental_id)
            for rental in self.rentals.values()
            if rental.due_at and rental.due_at <= until and rental.is_alive is is_alive
        ]
        return tuple(rental_id for _, rental_id in sorted(due)[:limit])


class MemoryCreditStore(CreditStore):
    """The row of the account's credit, as the rental store has it."""

    def __init__(self, rental_store: MemoryRentalStore) -> None:
        self._rental_store = rental_store

    @override
    def read(self) -> Credit:
        return self._rental_store.credit

    @override
    def write(self, change: Change) -> bool:
        if not allows(change, self._rental_store.credit):
            return False
        self._rental_store.credit = apply(change, self._rental_store.credit)
        return True


class MemoryReleaseQueue(ReleaseQueue):
    """The queue for releases that tenants ask for.

    Attributes
    ----------
    rental_ids
        Of the messages, in their order.
    """

    def __init__(self) -> None:
        self.rental_ids: list[str] = []

    @override
    def send(self, rental_id: str) -> bool:
        self.rental_ids.append(rental_id)
        return True


class ContestedRentalStore(MemoryRentalStore):
    """A rental store in which others write first.

    Parameters
    ----------
    others
        What each of them makes of the rental, one before each write.
    """

    def __init__(self, rental: Rental, *others: Callable[[Rental], Change]) -> None:
        super().__init__(rental)
        self.update_count = 0
        self._others = list(others)

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        self.update_count += 1
        if self._others:
            found = self.rentals[rental.rental_id]
            super().update(found, self._others.pop(0)(found))
        return super().update(rental, change)


class MemoryProviderLimits(ProviderLimits):
    """The provider limits; a shared listing may be of any length.

    Attributes
    ----------
    next_at
        Earliest next call, by endpoint.
    listing
        The latest that was shared.
    """

    def __init__(self) -> None:
        self.next_at: dict[Endpoint, datetime] = {}
        self.listing: Listing | None = None

    @override
    def reserve(self, endpoint: Endpoint, now: datetime, interval: timedelta) -> timedelta:
        next_at = self.next_at.get(endpoint, now)
        if now < next_at <= now + MAX_CLOCK_ERROR:
            return next_at - now
        self.next_at[endpoint] = now + interval
        return timedelta(0)

    @override
    def back_off(self, endpoint: Endpoint, until: datetime) -> None:
        self.next_at[endpoint] = max(until, self.next_at.get(endpoint, until))

    @override
    def read_listing(self) -> Listing | None:
        return self.listing

    @override
    def share_listing(self, listing: Listing) -> None:
        known = self.listing.begun_at if self.listing else None
        if known is None or known < listing.begun_at or known > listing.begun_at + MAX_CLOCK_ERROR:
            self.listing = listing


class MemoryDeploymentStore(DeploymentStore):
    """The deployment of the builders, or another one."""

    def __init__(self, deployment_id: str = DEPLOYMENT_ID) -> None:
        self.deployment = Deployment(deployment_id)

    @override
    def read(self) -> Deployment:
        return self.deployment

    @override
    def close(self, now: datetime) -> Deployment:
        self.deployment = replace(self.deployment, closed_at=self.deployment.closed_at or now)
        return self.deployment

    @override
    def reopen(self) -> Deployment:
        self.deployment = replace(self.deployment, closed_at=None)
        return self.deployment
