"""What a tenant's callers do with rentals: list, find, end and extend them."""

from collections.abc import Callable
from datetime import datetime, timedelta

from rune.clock import Clock
from rune.errors import (
    InvalidRequestError,
    RentalEndingError,
    RentalInUseError,
    RentalNotFoundError,
)
from rune.rentals import lifecycle
from rune.rentals.bills import cost_so_far_micro_usd
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import RentalStore, update_rental
from rune.storage.change import Change

_LONGEST_RENTAL_ID = 64


class RentalService:
    """Rentals as one tenant's callers see them: other tenants' rentals and released ones do not exist for them.

    Every method raises StoreUnavailableError when the rental store cannot be reached.
    """

    def __init__(self, rental_store: RentalStore, clock: Clock) -> None:
        self._rental_store = rental_store
        self._clock = clock

    def list_rentals(self, tenant: str) -> tuple[Rental, ...]:
        """Return the tenant's rentals that may bill, oldest first."""
        return self._rental_store.read_alive(tenant)

    def find(self, tenant: str, rental_id: str) -> Rental:
        """Return the rental; raises RentalNotFoundError."""
        return _visible(self._rental_store.read(rental_id), tenant, rental_id)

    def end(self, tenant: str, rental_id: str) -> Rental:
        """Return the rental with its release asked for; the janitor destroys the machine until it is proven gone.

        Raises
        ------
        RentalNotFoundError
            The tenant has no such rental.
        RentalInUseError
            A job uses it.
        """

        def decide(rental: Rental, now: datetime) -> Change | None:
            if rental.state is RentalState.RELEASING:
                return None
            _require_kept(rental)
            return lifecycle.ask_release(rental, EndReason.CALLER_ENDED, now)

        return self._update(tenant, rental_id, decide)

    def extend(self, tenant: str, rental_id: str, keep: timedelta) -> Rental:
        """Return the rental with its end moved to `keep` from now, which may be earlier than before.

        Raises
        ------
        RentalNotFoundError
            The tenant has no such rental.
        RentalInUseError, RentalEndingError
            It is not, or no longer, kept.
        InvalidRequestError
            `keep_seconds_too_long`: the end would be after the rental's ceiling.
        """

        def decide(rental: Rental, now: datetime) -> Change:
            if rental.state is RentalState.RELEASING:
                raise RentalEndingError(rental.rental_id)
            _require_kept(rental)
            _require_below_ceiling(rental, now + keep)
            return lifecycle.extend(rental, now + keep, now)

        return self._update(tenant, rental_id, decide)

    def cost_micro_usd(self, rental: Rental) -> int:
        """Return what the rental has cost, or costs so far, in millionths of a dollar; it never falls."""
        return cost_so_far_micro_usd(rental, self._clock.now())

    def _update(
        self, tenant: str, rental_id: str, decide: Callable[[Rental, datetime], Change | None]
    ) -> Rental:
        now = self._clock.now()

        def decide_visible(found: Rental) -> Change | None:
            return decide(_visible(found, tenant, rental_id), now)

        return update_rental(self._rental_store, self.find(tenant, rental_id), decide_visible)


def _visible(found: Rental | None, tenant: str, rental_id: str) -> Rental:
    # The rental store reads an attempt `01` as 1, but a rental has one name.
    if found is None or not found.is_alive or (found.tenant, found.rental_id) != (tenant, rental_id):
        raise RentalNotFoundError(rental_id[:_LONGEST_RENTAL_ID])
    return found


def _require_kept(rental: Rental) -> None:
    if rental.state is not RentalState.KEPT:
        raise RentalInUseError(rental.rental_id, rental.holder or rental.job_id)


def _require_below_ceiling(rental: Rental, until: datetime) -> None:
    if until > rental.ceiling_at:
        raise InvalidRequestError(
            f"This machine can be kept until {rental.ceiling_at:%Y-%m-%dT%H:%M:%SZ} at the latest.",
            pointer="/keep_seconds",
            code="keep_seconds_too_long",
        )
