"""The check that the row of reserved credit is what living rentals have reserved, which the janitor makes."""

import logging
from collections.abc import Sequence

from rune.amounts import MICRO_USD_PER_USD
from rune.clock import Clock
from rune.errors import UnreadableRowError
from rune.rentals.credit import CreditStore, decide_correction
from rune.rentals.record import Rental
from rune.rentals.store import RentalStore

log = logging.getLogger(__name__)

MOST_RENTALS = 500
"""With so many alive, or more, nothing is corrected: not all of them may have been found."""


MACHINES_METRIC = "MachinesAlive"
MONEY_METRIC = "DollarsPerHour"
"""Rentals that may bill, and what they cost an hour together, at each tick; an alarm watches the second."""


class CreditCheck:
    """Compares the row with the living rentals."""

    def __init__(self, rental_store: RentalStore, credit_store: CreditStore, clock: Clock) -> None:
        self._rental_store = rental_store
        self._credit_store = credit_store
        self._clock = clock

    def check(self) -> None:
        """Doubt the row where it differs, and correct it where it has been doubted for long.

        A reservation that is made meanwhile is not lost: then the write is refused, and the next check is due.

        Raises
        ------
        StoreUnavailableError
            The next check does the work.
        """
        # The row first: what is opened after this is no part of it, and keeps the write from being made.
        credit = self._credit_store.read()
        living_micro_usd = self._sum_of_living()
        if living_micro_usd is None:
            return
        change = decide_correction(credit, living_micro_usd, self._clock.now())
        if change is not None and self._credit_store.write(change) and change.name == "correct":
            reason = f"{credit.reserved_micro_usd or 0} micro-USD became {living_micro_usd}"
            log.warning("credit.corrected", extra={"reason": reason})

    def _sum_of_living(self) -> int | None:
        """Return what living rentals have reserved; None where not all of them are known."""
        rental_ids = self._rental_store.find_alive(MOST_RENTALS)
        if len(rental_ids) == MOST_RENTALS:
            return None
        try:
            rentals = [self._rental_store.read(rental_id) for rental_id in rental_ids]
        except UnreadableRowError:
            return None
        alive = [rental for rental in rentals if rental is not None and rental.is_alive]
        _measure(alive)
        return sum(rental.reserved_micro_usd for rental in alive)


def _measure(alive: Sequence[Rental]) -> None:
    """Tell what is rented and what it costs an hour; nothing is told where not all of it is known."""
    per_hour = sum(rental.prices.micro_usd_per_hour for rental in alive)
    measured = {MACHINES_METRIC: len(alive), MONEY_METRIC: per_hour / MICRO_USD_PER_USD}
    log.info("rentals.measured", extra={"measured": measured})
