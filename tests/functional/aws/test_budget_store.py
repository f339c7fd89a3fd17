"""Budgets in DynamoDB and in memory alike: what is reserved and settled with jobs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rune.aws.budget_store import DynamoBudgetStore, budget_key
from rune.aws.dynamodb_rows import to_row
from rune.aws.rental_store import DynamoRentalStore
from rune.jobs import closing
from rune.jobs.outcomes import Done
from rune.jobs.places import RowChange
from rune.jobs.store import CompanionsRefused, JobStore, Submission, Submitted
from rune.jobs.transitions import make_transition
from rune.money.budgets import Balance, Budgets, BudgetStore, Limits, Window, reserve, windows_of
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental
from rune.storage.change import Change
from tests.budget_builders import a_balance, adds_up
from tests.builders import JOB_ID, NOW, TENANT, a_claimed_job, a_job, after, an_event
from tests.cloud import TABLE
from tests.memory_job_store import MemoryJobStore
from tests.rental_builders import a_running_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

type Put = Callable[[Window, Balance], None]

LIMITS = Limits(100, 100, 100, 100)
WINDOWS = windows_of(TENANT, NOW)


@pytest.fixture(params=["dynamodb", "memory"])
def store(request: pytest.FixtureRequest) -> JobStore:
    if request.param == "memory":
        return MemoryJobStore()
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.store


@pytest.fixture
def budgets(store: JobStore, request: pytest.FixtureRequest) -> BudgetStore:
    if isinstance(store, MemoryJobStore):
        return store.budgets
    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoBudgetStore(cloud.dynamodb, TABLE)


@pytest.fixture
def put(store: JobStore, request: pytest.FixtureRequest) -> Put:
    """Write a budget's row down as it is."""

    def put_in_memory(window: Window, balance: Balance) -> None:
        assert isinstance(store, MemoryJobStore)
        store.budgets.balances[window] = balance

    def put_in_dynamodb(window: Window, balance: Balance) -> None:
        cloud: Cloud = request.getfixturevalue("cloud")
        cloud.dynamodb.put_item(TableName=TABLE, Item={**budget_key(window), **to_row(balance)})

    return put_in_memory if isinstance(store, MemoryJobStore) else put_in_dynamodb


def reserving(micro_usd: int, limits: Limits = LIMITS) -> tuple[RowChange, ...]:
    return tuple(RowChange(each.row, each.change) for each in reserve(TENANT, limits, micro_usd, NOW))


def submit(store: JobStore, job_id: str, companions: tuple[RowChange, ...]) -> Submitted | CompanionsRefused:
    job = a_job(job_id=job_id, reserved_micro_usd=60)
    return store.submit(Submission(job, "{}", an_event(), companions=companions))


def test_budgets_without_rows_are_empty(budgets: BudgetStore) -> None:
    found = budgets.read(TENANT, NOW)

    assert found == Budgets.from_balances(WINDOWS, [Balance()] * 4)


def test_four_budgets_are_rows_of_their_own(budgets: BudgetStore, put: Put) -> None:
    balances = [a_balance(spent=spent) for spent in (1, 2, 3, 4)]
    for window, balance in zip(WINDOWS, balances, strict=True):
        put(window, balance)

    assert budgets.read(TENANT, NOW) == Budgets.from_balances(WINDOWS, balances)
    others = [Balance(), Balance(), balances[2], balances[3]]
    assert [each.balance for each in budgets.read("acme", NOW).all] == others
    next_month = budgets.read(TENANT, after(30 * 86_400))
    assert [each.balance for each in next_month.all] == [Balance()] * 4


def test_submission_reserves_in_four_rows_and_its_end_settles_them(
    store: JobStore, budgets: BudgetStore
) -> None:
    assert submit(store, JOB_ID, reserving(60)) == Submitted(JOB_ID)
    held = budgets.read(TENANT, NOW)

    claimed = a_claimed_job(reserved_micro_usd=60, cost_micro_usd=25, epoch=0, seq=1)
    assert closing.commit(store, claimed, make_transition(claimed, Done("{}"), after(90), 5))
    settled = budgets.read(TENANT, NOW)

    expires_at = [datetime(2027, 12, 29, tzinfo=UTC), datetime(2028, 1, 5, tzinfo=UTC)] * 2
    assert [each.balance for each in held.all] == [Balance(1, NOW, 60, 60, 0, each) for each in expires_at]
    assert [each.balance for each in settled.all] == [
        Balance(2, after(90), 25, 0, 25, each) for each in expires_at
    ]


def test_first_submissions_at_once_share_what_the_budgets_hold(store: JobStore, budgets: BudgetStore) -> None:
    companions = reserving(40)

    assert submit(store, "first", companions) == Submitted("first")
    assert submit(store, "second", companions) == Submitted("second")
    assert submit(store, "third", companions) == CompanionsRefused((0, 1, 2, 3))
    assert store.read("third") is None
    assert {each.reserved_micro_usd for each in budgets.read(TENANT, NOW).all} == {80}


@pytest.mark.parametrize("short", [0, 1, 2, 3])
def test_submission_is_refused_when_one_budget_is_short(
    store: JobStore, budgets: BudgetStore, put: Put, short: int
) -> None:
    for position, window in enumerate(WINDOWS):
        put(window, a_balance(reserved=41 if position == short else 40))
    before = budgets.read(TENANT, NOW)

    assert submit(store, JOB_ID, reserving(60)) == CompanionsRefused((short,))

    assert store.read(JOB_ID) is None
    assert budgets.read(TENANT, NOW) == before


@pytest.mark.parametrize("limit", [60, 61, 130])
def test_limit_of_the_submission_is_the_one_that_holds(
    store: JobStore, budgets: BudgetStore, put: Put, limit: int
) -> None:
    for window in WINDOWS:
        put(window, a_balance(spent=30))
    limits = Limits(limit, limit, limit, limit)

    assert submit(store, "too much", reserving(limit - 29, limits)) == CompanionsRefused((0, 1, 2, 3))
    assert submit(store, JOB_ID, reserving(limit - 30, limits)) == Submitted(JOB_ID)

    found = budgets.read(TENANT, NOW).under(limits)
    assert {(each.limit_micro_usd, each.free_micro_usd) for each in found.all} == {(limit, 0)}
    assert all(adds_up(each.balance) for each in found.all)


def test_machine_that_is_kept_reserves_and_books_in_the_writes_that_keep_and_end_it(cloud: Cloud) -> None:
    rentals, budgets = DynamoRentalStore(cloud.dynamodb, TABLE), DynamoBudgetStore(cloud.dynamodb, TABLE)
    rental = a_running_rental(tenant=TENANT, budget_at=NOW)
    rentals.open(rental)

    def write(rental: Rental, change: Change) -> Rental:
        written = rentals.update(rental, change)
        assert isinstance(written, Rental)
        return written

    kept = write(rental, lifecycle.keep(rental, after(3600), after(300), None, 7_000))
    held = [each.balance for each in budgets.read(TENANT, NOW).all]
    ending = write(kept, lifecycle.ask_release(kept, EndReason.EXPIRED, after(3600)))
    gone = write(ending, lifecycle.prove_release(ending, after(3605), after(3606)))
    settled = [each.balance for each in budgets.read(TENANT, NOW).all]

    spent = (gone.cost_micro_usd or 0) - (kept.booked_micro_usd or 0)
    assert spent > 0
    assert {(each.reserved_micro_usd, each.spent_micro_usd) for each in held} == {(7_000, 0)}
    assert {(each.reserved_micro_usd, each.spent_micro_usd) for each in settled} == {(0, spent)}
    assert not isinstance(rentals.update(ending, lifecycle.prove_release(ending, after(1), after(2))), Rental)
    assert [each.balance for each in budgets.read(TENANT, NOW).all] == settled
