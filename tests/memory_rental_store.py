"""Rentals and the shared provider limits in memory, for unit tests and the simulation.

They judge and apply a `Change` by `rune.storage.change` itself. That DynamoDB does the same is what
`tests/functional/rentals` shows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rune.rentals.instance import Listing
from rune.rentals.record import Rental
from rune.rentals.store import MAX_CLOCK_ERROR, Endpoint, RentalRefused
from rune.storage.change import Change, allows, apply


class MemoryRentalStore:
    """Implements `rune.rentals.store.RentalStore`.

    Attributes
    ----------
    rentals
        The rows by rental id, in the order in which they were opened.
    """

    def __init__(self, *rentals: Rental) -> None:
        self.rentals: dict[str, Rental] = {rental.rental_id: rental for rental in rentals}

    def open(self, rental: Rental) -> bool:
        """Keep a new rental; return False if this attempt of the job is there already."""
        return self.rentals.setdefault(rental.rental_id, rental) is rental

    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        """Apply the change if its requirements hold."""
        found = self.rentals.get(rental.rental_id)
        if found is None or not allows(change, found):
            return RentalRefused(found)
        self.rentals[rental.rental_id] = written = apply(change, found)
        return written

    def read(self, rental_id: str) -> Rental | None:
        """Return the rental."""
        return self.rentals.get(rental_id)

    def read_attempts(self, job_id: str) -> tuple[Rental, ...]:
        """Return all that a job rented, in order."""
        rented = (rental for rental in self.rentals.values() if rental.job_id == job_id)
        return tuple(sorted(rented, key=lambda rental: rental.attempt))

    def read_alive(self, tenant: str) -> tuple[Rental, ...]:
        """Return a tenant's rentals that are not proven gone, oldest first."""
        alive = (each for each in self.rentals.values() if each.is_alive and each.tenant == tenant)
        return tuple(sorted(alive, key=lambda rental: (rental.intended_at, rental.rental_id)))

    def find_alive(self, limit: int) -> tuple[str, ...]:
        """Return ids of rentals that are not proven gone, oldest first."""
        due = [(rental.due_at, rental.rental_id) for rental in self.rentals.values() if rental.due_at]
        return tuple(rental_id for _, rental_id in sorted(due)[:limit])


class MemoryProviderLimits:
    """Implements `rune.rentals.store.ProviderLimits`; a listing may be of any length.

    Attributes
    ----------
    next_at
        Before when nobody calls, by endpoint.
    listing
        The latest that was shared.
    """

    def __init__(self) -> None:
        self.next_at: dict[Endpoint, datetime] = {}
        self.listing: Listing | None = None

    def reserve(self, endpoint: Endpoint, now: datetime, interval: timedelta) -> timedelta:
        """Take the next call of an endpoint; return zero, or how long to wait before asking again."""
        next_at = self.next_at.get(endpoint, now)
        if now < next_at <= now + MAX_CLOCK_ERROR:
            return next_at - now
        self.next_at[endpoint] = now + interval
        return timedelta(0)

    def back_off(self, endpoint: Endpoint, until: datetime) -> None:
        """Let nobody call the endpoint before a moment; an earlier moment changes nothing."""
        self.next_at[endpoint] = max(until, self.next_at.get(endpoint, until))

    def read_listing(self) -> Listing | None:
        """Return the latest listing."""
        return self.listing

    def share_listing(self, listing: Listing) -> None:
        """Keep a listing, unless a later one is there."""
        known = self.listing.begun_at if self.listing else None
        if known is None or known < listing.begun_at or known > listing.begun_at + MAX_CLOCK_ERROR:
            self.listing = listing
