"""Looks into the logs of machines for the start of the script that destroys them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from rune.clock import Clock
from rune.errors import RentalContendedError
from rune.rentals import lifecycle
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.record import Rental, RentalState
from rune.rentals.self_destruct import STARTED
from rune.rentals.store import RentalStore, update_rental
from rune.services.destroy_orders import PatientCalls
from rune.storage.change import Change

MOST_AT_ONCE = 2
"""Logs in one tick: each takes some seconds to appear."""

LOG_LINES = 1000
"""The script writes its line before the server starts."""

LOOKED_FOR = timedelta(minutes=15)
"""How long after a machine runs its log is asked for; later the line has left the log's end."""


@dataclass(frozen=True, slots=True)
class SelfDestructLooks:
    """Writes down where the script was seen to have started; where it was not, that stays unknown."""

    provider: PacedProvider
    rental_store: RentalStore
    clock: Clock
    calls: PatientCalls

    async def look(self, rentals: Sequence[Rental]) -> None:
        """Look at some of those whose script has not been seen yet."""
        now = self.clock.now()
        open_looks = [rental for rental in rentals if _is_to_be_looked_at(rental)]
        recent = [each for each in open_looks if each.running_at and now - each.running_at <= LOOKED_FOR]
        for rental in recent[:MOST_AT_ONCE]:
            if not self.calls.may_go_on():
                return
            await self._look_at(rental)

    async def _look_at(self, rental: Rental) -> None:
        contract_id = rental.contract_id
        if contract_id is None:
            return
        text = await self.calls.answer(lambda: self.provider.read_log(contract_id, LOG_LINES))
        if text is None or STARTED not in text:
            return
        seen_at = self.clock.now()

        def decide(found: Rental) -> Change | None:
            is_open = _is_to_be_looked_at(found) and found.contract_id == contract_id
            return lifecycle.note_self_destruct(found, seen_at) if is_open else None

        with suppress(RentalContendedError):
            update_rental(self.rental_store, rental, decide)


def _is_to_be_looked_at(rental: Rental) -> bool:
    is_running = rental.state in (RentalState.RUNNING, RentalState.KEPT)
    return is_running and rental.has_self_destruct and rental.self_destruct_seen_at is None
