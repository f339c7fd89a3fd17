"""What the provider charged for machines that are gone, written beside what RUNE has recorded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rune.clock import Clock
from rune.errors import ProviderKeyError, RentalError, StoreUnavailableError, UnreadableRowError
from rune.jobs.places import RowChange
from rune.jobs.receipts import ReceiptRow, note_charge
from rune.jobs.store import JobStore
from rune.rentals import lifecycle
from rune.rentals.charges import Charges, Reading, is_overcharged, read_for, span_of
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.record import Rental
from rune.rentals.store import RentalRefused, RentalStore

log = logging.getLogger(__name__)

RENTALS_PER_READING = 200
"""Each takes four calls of the table. Charges are read every quarter of an hour: 19,200 rentals a day."""


@dataclass(slots=True)
class ChargesRead:
    """The result of one reading.

    Attributes
    ----------
    noted_count
        Rentals of which something was written.
    over_count
        Of these, those for which the provider charged more than was written.
    """

    noted_count: int = 0
    over_count: int = 0


class ChargeReading:
    """Reads charges for all rentals that wait for them, with one call of the provider.

    Reading has no effect, so a process that dies while it reads has lost nothing. Each rental is then written by
    itself, its job's receipt first: one that dies between the two writes both again, and neither counts twice.
    """

    def __init__(
        self, provider: PacedProvider, rental_store: RentalStore, jobs: JobStore, clock: Clock
    ) -> None:
        self._provider = provider
        self._rental_store = rental_store
        self._jobs = jobs
        self._clock = clock

    async def read(self, may_go_on: Callable[[], bool]) -> ChargesRead:
        """Write what was charged for rentals that have ended a day ago, as far as the time allows.

        Raises
        ------
        StoreUnavailableError
            The store cannot be reached. What is not written is due again.
        """
        result = ChargesRead()
        rentals = self._find_due()
        if not rentals:
            return result
        try:
            charges = await self._provider.read_charges(span_of(rentals), self._clock.now())
        except ThrottledError:
            return result
        except ProviderKeyError:
            log.warning("charges.not_allowed")
            charges = None
        except RentalError as error:
            log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
            return result
        for rental in rentals:
            if not may_go_on():
                break
            try:
                self._note(rental, charges, result)
            except StoreUnavailableError as error:
                if error.retryable:
                    raise
                log.exception("charge.refused", extra={"rental_id": rental.rental_id})
            except UnreadableRowError:
                log.exception("row.unreadable", extra={"rental_id": rental.rental_id})
        return result

    def _find_due(self) -> Sequence[Rental]:
        now = self._clock.now()
        due: list[Rental] = []
        for rental_id in self._rental_store.find_uncharged(now, RENTALS_PER_READING):
            try:
                rental = self._rental_store.read(rental_id)
            except UnreadableRowError:
                log.exception("row.unreadable", extra={"rental_id": rental_id})
                continue
            # The index may lag behind.
            if (
                rental is not None
                and not rental.is_alive
                and rental.due_at is not None
                and rental.due_at <= now
            ):
                due.append(rental)
        return due

    def _note(self, rental: Rental, charges: Charges | None, result: ChargesRead) -> None:
        reading, now = read_for(rental, charges), self._clock.now()
        stored = self._jobs.read_receipt(rental.job_id)
        if stored is None:
            job = self._jobs.read(rental.job_id)
            if job is not None and job.is_active:
                # Its receipt is written when it ends.
                self._rental_store.update(rental, lifecycle.put_off_charge(rental, now))
                return
        elif rental.kept_until is None:
            # A machine that was kept has served others, and its charges name none of them.
            change = note_charge(stored, rental.attempt, reading.charge, reading.problem, now)
            if change is not None and self._jobs.write_rows([RowChange(ReceiptRow(rental.job_id), change)]):
                return  # another process writes the same receipt; the rental stays due
        is_over = reading.charge is not None and is_overcharged(rental, reading.charge)
        if is_over:
            self._ring(rental, reading)
        written = self._rental_store.update(
            rental,
            lifecycle.note_charge(
                rental,
                reading.charge,
                reading.problem or rental.charge_problem,
                now,
                is_final=reading.is_final,
            ),
        )
        if not isinstance(written, RentalRefused):
            result.noted_count += 1
            result.over_count += is_over

    def _ring(self, rental: Rental, reading: Reading) -> None:
        charge = reading.charge
        told = (
            "" if charge is None else f"{charge.micro_usd} micro-USD, {charge.traffic_micro_usd} for traffic"
        )
        log.error(
            "rental.overcharged",
            extra={
                "rental_id": rental.rental_id,
                "reason": f"the provider charged {told}; {rental.cost_micro_usd} were written",
                "metric": "RentalsOvercharged",
            },
        )
