from collections.abc import Callable
from dataclasses import replace

import pytest

from rune.errors import RentalContendedError, RentalNotFoundError
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import WRITE_TRIES, RentalRefused, update_rental
from rune.storage.change import Change
from tests.builders import after
from tests.memory_rental_store import ContestedRentalStore, MemoryRentalStore
from tests.rental_builders import OTHER_JOB_ID, RENTAL_ID, a_kept_rental, a_releasing_rental


def extend(rental: Rental) -> Change | None:
    return lifecycle.extend(rental, after(7200), after(600)) if rental.state is RentalState.KEPT else None


def shorten(rental: Rental) -> Change:
    return lifecycle.extend(rental, after(900), after(500))


def take(rental: Rental) -> Change:
    return lifecycle.take_kept(rental, OTHER_JOB_ID, after(500))


def test_update_writes_what_is_decided() -> None:
    store = MemoryRentalStore(a_kept_rental())

    written = update_rental(store, a_kept_rental(), extend)

    assert (
        written
        == store.rentals[RENTAL_ID]
        == a_kept_rental(kept_until=after(7200), version=7, updated_at=after(600))
    )


def test_update_writes_nothing_when_nothing_is_decided() -> None:
    store = ContestedRentalStore(a_releasing_rental())

    assert update_rental(store, a_releasing_rental(), extend) == a_releasing_rental()
    assert store.update_count == 0


@pytest.mark.parametrize("others", range(WRITE_TRIES))
def test_update_decides_again_on_what_others_wrote(others: int) -> None:
    store = ContestedRentalStore(a_kept_rental(), *[shorten] * others)

    written = update_rental(store, a_kept_rental(), extend)

    assert (written.kept_until, written.version) == (after(7200), 7 + others)


def test_update_leaves_what_others_made_of_it_when_its_reason_is_gone() -> None:
    store = ContestedRentalStore(a_kept_rental(), take)

    left = update_rental(store, a_kept_rental(), extend)

    assert left == store.rentals[RENTAL_ID]
    assert (left.state, left.holder, store.update_count) == (RentalState.RUNNING, OTHER_JOB_ID, 1)


def test_update_gives_up_when_others_write_all_the_time() -> None:
    store = ContestedRentalStore(a_kept_rental(), *[shorten] * 50)

    with pytest.raises(RentalContendedError):
        update_rental(store, a_kept_rental(), extend)

    assert store.update_count == WRITE_TRIES
    assert store.rentals[RENTAL_ID].kept_until == after(900)


def test_update_of_a_rental_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RentalNotFoundError):
        update_rental(MemoryRentalStore(), a_kept_rental(), extend)


class RepeatingStore(MemoryRentalStore):
    """The answer to a write is lost, and the SDK sends it once more."""

    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        super().update(rental, change)
        return super().update(rental, change)


@pytest.mark.parametrize(
    ("rental", "decide"),
    [
        (a_kept_rental(), lambda found: lifecycle.take_kept(found, OTHER_JOB_ID, after(5))
         if found.state is RentalState.KEPT else None),
        (a_kept_rental(), lambda found: lifecycle.ask_release(found, EndReason.EXPIRED, after(5))
         if found.state is RentalState.KEPT else None),
    ],
)  # fmt: skip
def test_update_whose_answer_was_lost_counts_once(
    rental: Rental, decide: Callable[[Rental], Change | None]
) -> None:
    store = RepeatingStore(rental)

    written = update_rental(store, rental, decide)

    assert written == store.rentals[RENTAL_ID] == replace(written, version=rental.version + 1)
