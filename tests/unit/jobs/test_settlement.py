from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from rune.jobs import closing
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Outcome, Released, Spending
from rune.jobs.record import Job, Status, StepName
from rune.jobs.settlement import settle
from rune.jobs.transitions import Transition, cancel_queued, expire_queued, make_transition
from rune.money.budgets import Balance, BudgetRow, windows_of
from tests.budget_builders import a_balance
from tests.builders import JOB_ID, NOW, TENANT, a_claimed_job, a_job, after
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import a_store

RELEASING = a_claimed_job(rents=True, step=StepName.RELEASE, reserved_micro_usd=60, ends_as=Status.SUCCEEDED)
REFUSED = Failed("model_not_found", "None.", retryable=False)


def a_store_with_budgets(job: Job) -> MemoryJobStore:
    store = a_store(job)
    for budget in store.budgets.read(TENANT, NOW).all:
        store.budgets.balances[budget.window] = a_balance(reserved=60)
    return store


def balances_of(store: MemoryJobStore) -> set[Balance]:
    return {replace(each, updated_at=None, version=0) for each in store.budgets.balances.values()}


def spent(amount: int) -> set[Balance]:
    return {a_balance(spent=amount, version=0)}


ENDS: list[tuple[Job, Outcome, int]] = [
    (RELEASING, Released(None, {}, Spending("r", 25)), 25),
    (RELEASING, Released(None, {}, Spending("r", 125)), 125),
    (RELEASING, Released(None), 0),
    (replace(RELEASING, cost_micro_usd=7), Released(None), 7),
    (replace(RELEASING, cost_micro_usd=7, shared_micro_usd=5), Released(None), 2),
    (a_claimed_job(reserved_micro_usd=60, cost_micro_usd=9), Done("{}"), 9),
    (a_claimed_job(reserved_micro_usd=60, cost_micro_usd=9), REFUSED, 9),
    (a_claimed_job(reserved_micro_usd=60, cost_micro_usd=9), Cancelled(), 9),
]


@pytest.mark.parametrize(("job", "outcome", "cost"), ENDS)
def test_end_of_a_job_frees_what_was_reserved_and_books_its_cost(
    job: Job, outcome: Outcome, cost: int
) -> None:
    store = a_store_with_budgets(job)

    assert closing.commit(store, job, make_transition(job, outcome, after(90), 5))

    assert not store.jobs[JOB_ID].is_active
    assert balances_of(store) == spent(cost)


@pytest.mark.parametrize("end", [cancel_queued, expire_queued])
@pytest.mark.parametrize(
    "job", [a_job(reserved_micro_usd=60), a_job(reserved_micro_usd=60, waiting_since=NOW)]
)
def test_job_that_was_never_begun_costs_nothing(job: Job, end: Callable[[Job, datetime], Transition]) -> None:
    store = a_store_with_budgets(job)

    assert closing.commit(store, job, end(job, job.created_at))

    assert balances_of(store) == spent(0)


def test_settlement_is_booked_to_the_day_on_which_the_job_was_accepted() -> None:
    job = a_claimed_job(reserved_micro_usd=60)
    next_month = after(10 * 86_400)

    changes = settle(job, make_transition(job, Done("{}"), next_month, 5))

    assert [each.row for each in changes] == [BudgetRow(window) for window in windows_of(TENANT, NOW)]


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        (a_claimed_job(reserved_micro_usd=60), Again(30)),
        (a_claimed_job(reserved_micro_usd=60, rents=True), Done("{}")),
        (a_claimed_job(cost_micro_usd=9), Done("{}")),
    ],
)
def test_nothing_is_settled_while_a_job_goes_on_and_where_nothing_was_reserved(
    job: Job, outcome: Outcome
) -> None:
    assert settle(job, make_transition(job, outcome, NOW, 5)) == ()


def test_refused_end_settles_nothing() -> None:
    store = a_store_with_budgets(a_claimed_job(epoch=2, reserved_micro_usd=60))
    before = balances_of(store)

    job = a_claimed_job(reserved_micro_usd=60)
    assert not closing.commit(store, job, make_transition(job, Done("{}"), NOW, 5))

    assert balances_of(store) == before
