"""Telling of machines with this deployment's label that are no rental's own."""

import logging
from dataclasses import dataclass

from rune.clock import Clock
from rune.errors import StoreRefusedError, UnreadableRowError
from rune.jobs.store import JobStore
from rune.rentals.instance import Instance
from rune.rentals.lifecycle import REMEMBERED
from rune.rentals.public_events import destroyed_machine
from rune.rentals.record import Rental, parse_rental_id
from rune.rentals.store import RentalStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StrayMachines:
    """Tells of each such machine once, however often it is found."""

    rental_store: RentalStore
    jobs: JobStore
    clock: Clock

    def tell_of(self, instance: Instance, rental_id: str, rental: Rental | None) -> None:
        """Write the event of a machine, before it is ordered to be destroyed.

        Afterwards no listing may show it any more, and a process that dies in between would have told nothing.

        Parameters
        ----------
        rental
            The rental that its label names, which has another machine; None where there is none.

        An event that the store refuses for good is left out: the machine must be destroyed all the same.

        Raises
        ------
        StoreUnavailableError
            It may not be written now. Then nothing else can be read or written either, and the next tick finds the
            machine.
        """
        now = self.clock.now()
        tenant = rental.tenant if rental is not None else self._tenant_of(rental_id)
        event = destroyed_machine(instance.contract_id, rental_id, tenant, now, has_rental=rental is not None)
        try:
            self.rental_store.tell_once(event, (now + REMEMBERED).replace(microsecond=0))
        except StoreRefusedError:
            log.exception("machine.untold", extra={"rental_id": rental_id})

    def _tenant_of(self, rental_id: str) -> str:
        """Return the tenant of the job that a label names; empty where that is not known any more."""
        parsed = parse_rental_id(rental_id)
        try:
            job = self.jobs.read(parsed[0]) if parsed else None
        except UnreadableRowError:
            return ""
        return job.tenant if job is not None else ""
