from dataclasses import replace

import pytest

from rune.money.budgets import Balance, book, windows_of
from rune.rentals import lifecycle
from rune.rentals.bills import cost_so_far_micro_usd
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.settlement import booked_by_job_micro_usd, budget_changes
from rune.storage.change import Change, apply
from tests.budget_builders import a_balance, adds_up
from tests.builders import NOW, TENANT, after
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import CONTRACT_ID, a_running_rental

RUNNING = a_running_rental(tenant=TENANT, budget_at=NOW)
LIMIT = 100_000_000


def a_store(rental: Rental) -> MemoryRentalStore:
    budgets = MemoryBudgetStore()
    for window in windows_of(TENANT, NOW):
        budgets.balances[window] = a_balance()
    return MemoryRentalStore(rental, budgets=budgets)


def write(store: MemoryRentalStore, rental: Rental, change: Change) -> Rental:
    written = store.update(rental, change)
    assert isinstance(written, Rental)
    return written


def the_balance(store: MemoryRentalStore) -> Balance:
    (balance,) = set(store.budgets.balances.values())
    assert adds_up(balance)
    return balance


def keep(rental: Rental, left_micro_usd: int | None) -> Change:
    return lifecycle.keep(rental, after(3600), after(300), None, left_micro_usd)


def released(rental: Rental, seconds: float) -> Rental:
    asked = apply(lifecycle.ask_release(rental, EndReason.EXPIRED, after(seconds)), rental)
    return apply(lifecycle.note_destroyed(asked, after(seconds + 1), is_taken=True), asked)


def test_machine_that_is_kept_has_a_reservation_of_its_own() -> None:
    store = a_store(RUNNING)

    kept = write(store, RUNNING, keep(RUNNING, 7_000))

    assert (kept.state, kept.budget_micro_usd) == (RentalState.KEPT, 7_000)
    assert kept.booked_micro_usd is not None
    assert kept.booked_micro_usd > 0
    balance = the_balance(store)
    assert (balance.reserved_micro_usd, balance.spent_micro_usd) == (7_000, 0)


@pytest.mark.parametrize("left_micro_usd", [-1, 0, None])
def test_machine_for_which_no_money_is_left_reserves_nothing(left_micro_usd: int | None) -> None:
    assert apply(keep(RUNNING, left_micro_usd), RUNNING).budget_micro_usd == 0


def test_machine_reserves_no_more_than_it_may_cost_until_its_ceiling() -> None:
    kept = apply(keep(RUNNING, LIMIT), RUNNING)

    hours = (kept.ceiling_at + lifecycle.RELEASE_MARGIN - after(300)).total_seconds() / 3600
    least = hours * kept.prices.micro_usd_per_hour
    assert least <= kept.budget_micro_usd < least + 2_000_000


def test_end_of_a_kept_machine_books_what_its_job_has_not() -> None:
    store = a_store(RUNNING)
    kept = write(store, RUNNING, keep(RUNNING, 700_000))
    ending = released(kept, 3600)
    store.rentals[kept.rental_id] = ending

    gone = write(store, ending, lifecycle.prove_release(ending, after(3605), after(3606)))

    assert gone.cost_micro_usd is not None
    assert kept.booked_micro_usd is not None
    balance = the_balance(store)
    assert (gone.budget_micro_usd, balance.reserved_micro_usd) == (0, 0)
    assert balance.spent_micro_usd == gone.cost_micro_usd - kept.booked_micro_usd > 0


def test_machine_that_comes_back_books_only_what_it_costs_more() -> None:
    store = a_store(RUNNING)
    ending = released(RUNNING, 400)
    store.rentals[ending.rental_id] = ending
    gone = write(store, ending, lifecycle.prove_release(ending, after(405), after(406)))
    assert the_balance(store).spent_micro_usd == 0

    again = write(store, gone, lifecycle.reopen(gone, CONTRACT_ID, after(500)))
    last = write(store, again, lifecycle.prove_release(again, after(600), after(601)))

    assert gone.cost_micro_usd is not None
    assert last.cost_micro_usd is not None
    assert the_balance(store).spent_micro_usd == last.cost_micro_usd - gone.cost_micro_usd > 0
    # Its job books the rest, also where it ends only now.
    assert last.of_job_micro_usd == gone.cost_micro_usd
    assert booked_by_job_micro_usd(last, after(700)) == gone.cost_micro_usd


def test_machine_that_its_job_pays_and_one_without_budget_change_nothing() -> None:
    of_job, without = released(RUNNING, 400), replace(RUNNING, budget_at=None)

    assert budget_changes(of_job, lifecycle.prove_release(of_job, after(405), after(406))) == ()
    assert budget_changes(without, keep(without, 7_000)) == ()
    assert apply(keep(without, 7_000), without).booked_micro_usd is None


def test_booking_is_of_the_day_on_which_the_job_was_accepted() -> None:
    kept = apply(keep(RUNNING, 7_000), RUNNING)
    ending = released(kept, 90_000)
    change = lifecycle.prove_release(ending, after(90_005), after(90_006))

    changes = budget_changes(ending, change)

    gone = apply(change, ending)
    spent = (gone.booked_micro_usd or 0) - (kept.booked_micro_usd or 0)
    assert changes == book(TENANT, NOW, after(90_006), freed_micro_usd=7_000, spent_micro_usd=spent)


def test_end_of_a_job_books_what_its_kept_machine_had_cost_and_all_of_another() -> None:
    kept = replace(RUNNING, of_job_micro_usd=100, booked_micro_usd=120)

    assert booked_by_job_micro_usd(kept, after(900)) == 100
    assert booked_by_job_micro_usd(RUNNING, after(900)) == cost_so_far_micro_usd(RUNNING, after(900))
