"""The row of reserved credit becomes what living rentals have reserved, after five minutes without a change."""

from __future__ import annotations

from dataclasses import replace
from typing import override

import pytest

from rune.errors import UnreadableRowError
from rune.rentals.credit import Credit
from rune.rentals.record import Rental
from rune.services import credit_check
from rune.services.credit_check import CreditCheck
from tests.builders import NOW, FakeClock
from tests.memory_rental_store import MemoryCreditStore, MemoryRentalStore
from tests.rental_builders import OTHER_JOB_ID, RENTAL_ID, a_released_rental, a_rental, a_rental_of

ALIVE = a_rental(reserved_micro_usd=400)
GONE = replace(a_released_rental(), rental_id=f"{OTHER_JOB_ID}-2", reserved_micro_usd=300)


class LaggingRentalStore(MemoryRentalStore):
    """A rental store whose index shows less than there is.

    Attributes
    ----------
    hides, breaks
        Whether the index shows no rental, and whether rows cannot be read.
    """

    hides = False
    breaks = False

    @override
    def find_alive(self, limit: int) -> tuple[str, ...]:
        return () if self.hides else super().find_alive(limit)

    @override
    def read(self, rental_id: str) -> Rental | None:
        if self.breaks:
            raise UnreadableRowError("Of a later version.")
        return super().read(rental_id)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rentals() -> LaggingRentalStore:
    """Return rentals of which an earlier version has ended one, and left the row as it was."""
    store = LaggingRentalStore(ALIVE, GONE)
    store.credit = Credit(700)
    return store


@pytest.fixture
def check(rentals: LaggingRentalStore, clock: FakeClock) -> CreditCheck:
    return CreditCheck(rentals, MemoryCreditStore(rentals), clock)


def test_row_is_corrected_five_minutes_after_it_was_doubted(
    check: CreditCheck, rentals: LaggingRentalStore, clock: FakeClock
) -> None:
    check.check()
    clock.advance(299)
    check.check()
    assert (rentals.reserved_micro_usd, rentals.credit.doubted_at) == (700, NOW)

    clock.advance(1)
    check.check()
    assert (rentals.reserved_micro_usd, rentals.credit.doubted_at) == (400, None)


def test_row_without_living_rentals_is_corrected_to_nothing(clock: FakeClock) -> None:
    rentals = MemoryRentalStore(GONE)
    rentals.credit = Credit(300)
    check = CreditCheck(rentals, MemoryCreditStore(rentals), clock)

    check.check()
    clock.advance(300)
    check.check()

    assert rentals.reserved_micro_usd == 0


def test_row_that_was_deleted_is_made_again(
    check: CreditCheck, rentals: LaggingRentalStore, clock: FakeClock
) -> None:
    rentals.credit = Credit()

    check.check()
    clock.advance(300)
    check.check()

    assert rentals.reserved_micro_usd == 400


def test_row_that_is_right_is_not_written(rentals: LaggingRentalStore, clock: FakeClock) -> None:
    rentals.credit = Credit(400, version=3)
    CreditCheck(rentals, MemoryCreditStore(rentals), clock).check()

    assert rentals.credit == Credit(400, version=3)


def test_reservation_begins_the_five_minutes_anew(
    check: CreditCheck, rentals: LaggingRentalStore, clock: FakeClock
) -> None:
    check.check()
    clock.advance(300)
    rentals.open(replace(a_rental_of(OTHER_JOB_ID), reserved_micro_usd=50))
    check.check()
    assert rentals.credit.doubted_at == clock.now()

    clock.advance(300)
    check.check()
    assert rentals.reserved_micro_usd == 450


def test_rental_of_an_earlier_version_begins_the_five_minutes_anew(
    check: CreditCheck, rentals: LaggingRentalStore, clock: FakeClock
) -> None:
    check.check()
    clock.advance(300)
    # That version leaves the doubt where it is.
    rentals.credit = replace(rentals.credit, reserved_micro_usd=750)

    check.check()

    assert (rentals.credit.doubted_micro_usd, rentals.credit.doubted_at) == (750, clock.now())


def test_doubt_ends_when_the_index_shows_the_rental(
    check: CreditCheck, rentals: LaggingRentalStore, clock: FakeClock
) -> None:
    rentals.credit = Credit(400)
    rentals.hides = True
    check.check()
    assert is_doubted(rentals)

    rentals.hides = False
    check.check()
    assert not is_doubted(rentals)

    # Days later, a lag of seconds is no reason to correct.
    clock.advance(86_400)
    rentals.hides = True
    check.check()
    assert rentals.reserved_micro_usd == 400


@pytest.mark.parametrize("cause", ["unreadable", "too many"])
def test_nothing_is_written_where_not_all_of_the_living_are_known(
    cause: str, check: CreditCheck, rentals: LaggingRentalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rentals.breaks = cause == "unreadable"
    if cause == "too many":
        monkeypatch.setattr(credit_check, "MOST_RENTALS", 1)

    check.check()

    assert rentals.credit == Credit(700)
    assert RENTAL_ID in rentals.rentals


def is_doubted(rentals: LaggingRentalStore) -> bool:
    return rentals.credit.doubted_at is not None


def test_check_tells_how_many_machines_live_and_what_they_cost_an_hour(
    check: CreditCheck, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="rune")

    check.check()

    (record,) = [record for record in caplog.records if record.msg == "rentals.measured"]
    per_hour = a_rental().prices.micro_usd_per_hour / 1_000_000
    assert record.__dict__["measured"] == {"MachinesAlive": 1, "DollarsPerHour": per_hour}
