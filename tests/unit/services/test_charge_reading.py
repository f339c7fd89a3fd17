"""The provider's charges beside ours: written once each, whatever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import override

import pytest

from rune.errors import ProviderFailedError, ProviderKeyError, StoreUnavailableError
from rune.jobs import closing
from rune.jobs.outcomes import Released, Spending
from rune.jobs.places import RowChange
from rune.jobs.receipts import charged_micro_usd, read_receipt
from rune.jobs.record import Job, Status, StepName
from rune.jobs.transitions import make_transition
from rune.money.budgets import windows_of
from rune.money.receipts import Charge, Line, LineKind, MachineUse
from rune.rentals.charges import MOST_READINGS, Charges
from rune.rentals.lifecycle import CHARGES_READ_EVERY
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.record import Rental
from rune.rentals.store import RentalRefused
from rune.services.charge_reading import ChargeReading, ChargesRead
from rune.storage.change import Change
from tests.builders import JOB_ID, NOW, TENANT, FakeClock, a_claimed_job, after
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_job_store import MemoryJobStore
from tests.memory_rental_store import MemoryProviderLimits, MemoryRentalStore
from tests.rental_builders import CONTRACT_ID, RENTAL_ID, a_released_rental
from tests.unit.jobs.stores import a_store
from tests.unit.rentals.scripted import ScriptedMarket

COST = 51_400


def a_charge(micro_usd: int) -> Charges:
    """Return what one reading says of the builders' contract."""
    on = datetime(2100, 1, 1, tzinfo=UTC).date()
    return Charges({CONTRACT_ID: Charge(micro_usd)}, {CONTRACT_ID: on})


class DyingRentalStore(MemoryRentalStore):
    """A rental store whose process dies before, or after, its next write."""

    dies: str = ""

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        dies, self.dies = self.dies, ""
        if dies == "before":
            raise StoreUnavailableError("dies")
        written = super().update(rental, change)
        if dies == "after":
            raise StoreUnavailableError("dies")
        return written


class DyingJobStore(MemoryJobStore):
    """A job store whose process dies after its next write of rows."""

    dies = False

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        refused = super().write_rows(changes)
        if self.dies:
            self.dies = False
            raise StoreUnavailableError("dies")
        return refused


@dataclass
class Books:
    """A job that has ended a day ago, its rental, its receipt, and the budgets."""

    rentals: DyingRentalStore
    jobs: MemoryJobStore
    market: ScriptedMarket = field(default_factory=ScriptedMarket)
    clock: FakeClock = field(default_factory=FakeClock)

    def read(self, charges: Charges | None = None) -> ChargesRead:
        """Run one reading, a day after the one before."""
        if charges is not None:
            self.market.charges = charges
        provider = PacedProvider(self.market, MemoryProviderLimits(), self.clock)
        reading = ChargeReading(provider, self.rentals, self.jobs, self.clock)
        return asyncio.run(reading.read(lambda: True))

    def read_next_day(self, charges: Charges | None = None) -> ChargesRead:
        self.clock.advance(CHARGES_READ_EVERY.total_seconds())
        return self.read(charges)

    @property
    def rental(self) -> Rental:
        return self.rentals.rentals[RENTAL_ID]

    @property
    def charged(self) -> int | None:
        """What the receipt says was charged."""
        return charged_micro_usd(read_receipt(self.jobs.receipts[JOB_ID]))

    @property
    def spent(self) -> set[int]:
        """What the four budgets call spent beyond what was booked before."""
        return {self.rentals.budgets.balance_of(window).spent_micro_usd for window in windows_of(TENANT, NOW)}


def a_job_that_releases(**overrides: object) -> Job:
    return a_claimed_job(rents=True, step=StepName.RELEASE, ends_as=Status.SUCCEEDED, **overrides)


def books(**overrides: object) -> Books:
    """Return books in which charges are due."""
    job = a_job_that_releases()
    store = a_store(job)
    jobs = DyingJobStore()
    jobs.__dict__.update(store.__dict__)
    use = MachineUse(
        RENTAL_ID, 1, "RTX 4090", 1, 372_000, "job_ended", (Line(1, "work", LineKind.GPU, COST),)
    )
    released = Released(None, {}, Spending(RENTAL_ID, COST), uses=(use,))
    assert closing.commit(jobs, job, make_transition(job, released, after(360), 5))
    due = {"due_at": after(360), "budget_at": NOW, "cost_micro_usd": COST}
    rentals = DyingRentalStore(a_released_rental(**{**due, **overrides}), budgets=MemoryBudgetStore())
    made = Books(rentals, jobs)
    made.clock.advance(360)
    return made


def test_charge_is_written_on_receipt_rental_and_budgets_and_read_until_it_stays() -> None:
    made = books()

    assert made.read(a_charge(60_000)) == ChargesRead(noted_count=1)
    assert (made.charged, made.spent) == (60_000, {8_600})
    assert (made.rental.billed, made.rental.due_at) == (
        Charge(60_000, attempt=1),
        made.clock.now() + CHARGES_READ_EVERY,
    )

    assert made.read_next_day().noted_count == 1
    assert (made.rental.due_at, made.charged, made.spent) == (None, 60_000, {8_600})
    assert made.read_next_day().noted_count == 0
    assert len(made.market.called("read_charges")) == 2


def test_charge_that_rises_is_booked_by_what_it_has_risen() -> None:
    made = books()
    for micro_usd, spent in ((40_000, 0), (53_000, 1_600), (59_000, 7_600), (58_000, 7_600)):
        made.read_next_day(a_charge(micro_usd))

        assert made.spent == {spent}
    assert made.charged == 59_000


def test_charge_below_what_was_written_frees_no_budget() -> None:
    made = books()

    made.read(a_charge(20_000))

    assert (made.charged, made.spent) == (20_000, {0})


@pytest.mark.parametrize("dies", ["receipt", "before", "after"])
def test_process_that_dies_between_two_writes_counts_nothing_twice(dies: str) -> None:
    made = books()
    assert isinstance(made.jobs, DyingJobStore)
    made.jobs.dies = dies == "receipt"
    made.rentals.dies = "" if dies == "receipt" else dies
    with pytest.raises(StoreUnavailableError):
        made.read(a_charge(60_000))

    made.read()
    made.read_next_day()

    assert (made.charged, made.spent, made.rental.due_at) == (60_000, {8_600}, None)


def test_operator_is_told_once_of_a_charge_above_the_tolerance(caplog: pytest.LogCaptureFixture) -> None:
    made = books()

    assert made.read(a_charge(COST + 10_001)).over_count == 1
    assert made.read_next_day().over_count == 0

    (record,) = [each for each in caplog.records if each.msg == "rental.overcharged"]
    assert (record.__dict__["metric"], record.__dict__["rental_id"]) == ("RentalsOvercharged", RENTAL_ID)


def test_key_without_the_right_is_told_on_the_receipt_and_tried_daily_for_a_week() -> None:
    made = books()
    made.market.errors["read_charges"] = [ProviderKeyError("No.")] * 20

    made.read()
    stored = made.jobs.receipts[JOB_ID]
    assert (stored.charge_problem, made.charged) == ("charges_not_allowed", None)
    for _ in range(20):
        made.read_next_day()

    assert len(made.market.called("read_charges")) == MOST_READINGS
    assert (made.rental.due_at, made.rental.charge_problem) == (None, "charges_not_allowed")


def test_right_that_is_given_within_the_week_is_used() -> None:
    made = books()
    made.market.errors["read_charges"] = [ProviderKeyError("No.")]
    made.read(a_charge(60_000))

    made.read_next_day()

    assert made.charged == 60_000


def test_provider_that_fails_costs_no_try() -> None:
    made = books()
    made.market.errors["read_charges"] = [ProviderFailedError("Down.")]

    assert made.read(a_charge(60_000)) == ChargesRead()
    assert made.rental.charge_reading_count == 0
    assert made.read().noted_count == 1


def test_machine_that_was_kept_is_charged_on_its_rental_alone() -> None:
    made = books(kept_until=after(300))

    made.read(a_charge(60_000))

    assert (made.rental.billed, made.charged) == (Charge(60_000, attempt=1), None)
    assert made.jobs.receipts[JOB_ID].charges == ()


def test_attempt_of_a_job_that_still_runs_waits_for_its_receipt() -> None:
    made = books()
    made.jobs.receipts.clear()
    made.jobs.jobs[JOB_ID] = a_job_that_releases()

    assert made.read(a_charge(60_000)) == ChargesRead()
    assert (made.rental.charge_reading_count, made.rental.due_at) == (
        0,
        made.clock.now() + CHARGES_READ_EVERY,
    )


def test_rental_of_a_job_that_has_left_the_table_is_written_all_the_same() -> None:
    made = books()
    made.jobs.receipts.clear()
    made.jobs.jobs.clear()

    made.read(a_charge(60_000))

    assert made.rental.billed == Charge(60_000, attempt=1)
    assert made.jobs.receipts == {}


def test_nothing_is_asked_before_charges_are_due() -> None:
    made = books(due_at=after(361))

    assert made.read(a_charge(60_000)) == ChargesRead()
    assert made.market.called("read_charges") == []


def test_span_holds_the_day_before_the_oldest_order() -> None:
    made = books()

    made.read(a_charge(60_000))

    assert made.market.called("read_charges") == [(NOW - timedelta(days=1), made.clock.now())]
