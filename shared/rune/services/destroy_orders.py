"""Orders to destroy machines: collected, then sent at the pace that the provider allows."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from rune.clock import Clock
from rune.errors import RentalError
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.reconciliation import record_destroyed
from rune.rentals.record import Rental
from rune.rentals.store import RentalStore, update_rental

log = logging.getLogger(__name__)

MOST_AT_ONCE = 20
"""Machines in one order. The provider names no limit; a wrong number among few costs few single orders."""

LONGEST_PAUSE_SECONDS = 8
"""A call that must wait longer is left to the next tick."""


@dataclass(frozen=True, slots=True)
class PatientCalls:
    """Calls that wait for the provider's rate limit, which a tick may and a step may not.

    Attributes
    ----------
    pause
        Waits for seconds.
    may_go_on
        Whether there is time left to wait.
    """

    pause: Callable[[float], Awaitable[None]]
    may_go_on: Callable[[], bool]

    async def answer[T](self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the provider's answer; None where it fails, or gives none in the time that is left."""
        while True:
            try:
                return await call()
            except ThrottledError as early:
                if early.delay_seconds > LONGEST_PAUSE_SECONDS or not self.may_go_on():
                    return None
                await self.pause(early.delay_seconds)
            except RentalError as error:
                log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
                return None


@dataclass(frozen=True, slots=True)
class _Order:
    rental_id: str
    contract_id: int
    rental: Rental | None


@dataclass(slots=True)
class DestroyOrders:
    """The orders of one sweep; no machine is ordered to be destroyed twice in it.

    Single orders wait three seconds for each other. Many machines are named in one order
    (`DELETE /instances/`), whose answer does not tell what became of each. So it counts as asked and not as
    taken, and a machine that exists after it is ordered by itself the next time.

    Attributes
    ----------
    asked_at
        When the provider last answered an order; None before the first.
    """

    provider: PacedProvider
    rental_store: RentalStore
    clock: Clock
    calls: PatientCalls
    asked_at: datetime | None = None
    destroyed_count: int = 0
    _waiting: list[_Order] = field(default_factory=list)
    _named: set[int] = field(default_factory=set)

    def add(self, rental_id: str, contract_id: int, rental: Rental | None) -> None:
        """Note a machine that is to be destroyed.

        Parameters
        ----------
        rental
            The row in which the order is written down; None where the machine is not the row's own.
        """
        if contract_id not in self._named:
            self._named.add(contract_id)
            own = rental if rental is not None and rental.contract_id == contract_id else None
            self._waiting.append(_Order(rental_id, contract_id, own))

    async def send(self) -> None:
        """Send what is waiting, as far as the time allows."""
        waiting, self._waiting = self._waiting, []
        first = [each for each in waiting if each.rental is not None and each.rental.destroy_asked_at is None]
        if len(first) > 1:
            waiting = [each for each in waiting if each not in first]
            for start in range(0, len(first), MOST_AT_ONCE):
                waiting += await self._send_together(first[start : start + MOST_AT_ONCE])
        for order in waiting:
            contract_id = order.contract_id
            is_taken = await self.calls.answer(lambda: self.provider.destroy(contract_id))  # noqa: B023  # awaited here
            if is_taken is not None:
                self._write_down(order, is_taken=is_taken)

    async def _send_together(self, orders: list[_Order]) -> list[_Order]:
        """Name all in one order; return those that must be ordered one by one, since the order failed."""
        numbers = [order.contract_id for order in orders]
        if await self.calls.answer(lambda: self.provider.destroy_many(numbers)) is None:
            return orders
        for order in orders:
            self._write_down(order, is_taken=False)
        return []

    def _write_down(self, order: _Order, *, is_taken: bool) -> None:
        log.info("rental.destroyed", extra={"rental_id": order.rental_id})
        self.destroyed_count += 1
        self.asked_at = asked_at = self.clock.now()
        if order.rental is not None:
            update_rental(
                self.rental_store,
                order.rental,
                lambda found: record_destroyed(found, asked_at, is_taken=is_taken),
            )
