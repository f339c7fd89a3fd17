"""What must hold of receipts once the provider's charges are read: they are the same to the cent.

It is looked at with copies of the books and a clock of its own, so that the simulated world is left as it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, override

from local.simulators.vastai import Traffic, VastRequest
from local.simulators.vastai.endpoints import Endpoint
from local.simulators.vastai.rate_limits import Identity
from local.simulators.vastai.routes.charges import charges
from local.simulators.vastai.world import VastaiCall
from rune.amounts import MICRO_USD_PER_USD
from rune.clock import Clock
from rune.jobs.receipts import charged_micro_usd, read_receipt
from rune.money.receipts import OF_MACHINES
from rune.rentals.charges import MOST_READINGS
from rune.rentals.lifecycle import CHARGES_READ_EVERY
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.record import Rental
from rune.rentals.vastai import Method, VastAi, VastaiTransport
from rune.rentals.vastai_responses import VastaiResponse
from rune.services.charge_reading import ChargeReading
from rune.services.receipts import to_document
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_job_store import MemoryJobStore
from tests.memory_rental_store import MemoryProviderLimits, MemoryRentalStore

if TYPE_CHECKING:
    from tests.simulation.provider import Account
    from tests.simulation.world import World

HALF_A_CENT_MICRO_USD = 5_000
STRANGERS = Traffic(3_000_000_000, sent_bytes=7_000_000_000)
"""What strangers move to and from each open machine, beside what the run itself has."""


def check_charges(world: World, account: Account) -> None:
    """Look at every receipt as the next days leave it: it says what the provider charged, to the cent."""
    rented = [rental for rental in account.rental_store.rentals.values() if rental.contract_id is not None]
    if not rented:
        return
    with_strangers = [
        (contract, contract.foreign_traffic)
        for contract in account.vastai.instances.values()
        if account.is_ours(contract)
    ]
    for contract, _ in with_strangers:
        contract.foreign_traffic += STRANGERS
    books = _Books(world, account)
    try:
        books.read_for_days()
        for job_id in sorted(books.jobs.receipts):
            books.check(job_id)
        books.check_budgets()
    finally:
        for contract, traffic in with_strangers:
            contract.foreign_traffic = traffic


@dataclass(slots=True)
class _LaterClock(Clock):
    """A clock of the days after."""

    instant: datetime

    @override
    def now(self) -> datetime:
        return self.instant

    @override
    def monotonic_seconds(self) -> float:
        return 0.0


class _Books:
    """Copies of the rentals, receipts and budgets of a world."""

    def __init__(self, world: World, account: Account) -> None:
        self._world = world
        self._account = account
        self._clock = _LaterClock(world.now)
        self.jobs = MemoryJobStore()
        self.jobs.jobs = {**world.table.jobs}
        self.jobs.receipts = {**world.table.receipts}
        budgets = MemoryBudgetStore()
        budgets.balances = {**world.table.budgets.balances}
        self._before = {**budgets.balances}
        self.rentals = MemoryRentalStore(*account.rental_store.rentals.values(), budgets=budgets)

    def read_for_days(self) -> None:
        """Read charges on each of the next days, as the janitor does."""
        provider = PacedProvider(
            VastAi(_Charged(self._account, self._clock), _no_pause), MemoryProviderLimits(), self._clock
        )
        reading = ChargeReading(provider, self.rentals, self.jobs, self._clock)
        for _ in range(MOST_READINGS + 2):
            self._clock.instant += CHARGES_READ_EVERY
            asyncio.run(reading.read(lambda: True))

    def check(self, job_id: str) -> None:
        """Look at the receipt of one job."""
        receipt = read_receipt(self.jobs.receipts[job_id])
        if not receipt.uses or any(use.is_shared for use in receipt.uses):
            return
        rented = [rental for rental in self.rentals.read_attempts(job_id) if rental.contract_id is not None]
        if any(rental.is_alive for rental in rented):
            return
        told = charged_micro_usd(receipt)
        if told is None:
            self._world.violate(f"the receipt of {job_id} lacks what was charged: {receipt.charge_problem}")
            return
        exact = sum((self._charge_of(rental) for rental in rented), Decimal(0)) * MICRO_USD_PER_USD
        if abs(told - exact) >= HALF_A_CENT_MICRO_USD:
            self._world.violate(f"the receipt of {job_id} says {told} micro USD and {exact:.0f} were charged")
        document = to_document(self.jobs.jobs[job_id], receipt)
        lines = sum(line.micro_usd for line in document.lines if line.kind in OF_MACHINES)
        if lines != told:
            self._world.violate(f"the lines of {job_id} add up to {lines}, and {told} were charged")

    def check_budgets(self) -> None:
        """Look at the budgets: what was charged beyond the record is spent, and each still adds up."""
        for window, balance in self.rentals.budgets.balances.items():
            amounts = balance.reserved_micro_usd, balance.spent_micro_usd
            if sum(amounts) != balance.used_micro_usd:
                self._world.violate(f"{window.tenant} {window.name}: {amounts} are not what is used")
            before = self._before.get(window)
            if before is not None and balance.spent_micro_usd < before.spent_micro_usd:
                self._world.violate(f"{window.tenant} {window.name}: less is spent once charges are read")

    def _charge_of(self, rental: Rental) -> Decimal:
        until = self._clock.instant.timestamp()
        contracts = [
            each for each in self._account.vastai.instances.values() if each.order.label == rental.label
        ]
        return sum((each.bill(until).total_usd for each in contracts), Decimal(0))


class _Charged(VastaiTransport):
    """Asks the simulator for charges at a later moment, at which nothing else happens."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self._world = copy(account.vastai.world)
        self._world.settings = replace(self._world.settings, charges_are_messy=True)
        self._clock = clock

    @override
    async def __call__(
        self,
        method: Method,
        path: str,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> VastaiResponse:
        request = VastRequest(method=method, path=path, query=dict(query or {}), body=None)
        identity, now = Identity("account"), self._clock.now().timestamp()
        answer = charges(self._world, VastaiCall(request, Endpoint.CHARGES, identity, now, None, {}))
        return VastaiResponse(answer.status, json.dumps(answer.body))


async def _no_pause(_seconds: float) -> None:
    return
