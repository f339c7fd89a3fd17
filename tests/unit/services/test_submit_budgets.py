"""What a submit reserves, and when it is refused for money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import override

import pytest

from rune.errors import (
    BudgetExhaustedError,
    IdempotencyKeyReusedError,
    StoreContendedError,
    TooManyWaitingJobsError,
)
from rune.jobs.places import Terms
from rune.jobs.record import Kind, StepName
from rune.jobs.store import CompanionsRefused, Submission, Submitted
from rune.money.budgets import Limits, windows_of
from rune.money.limits import SpendingLimits, TenantSpending
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller, JobLimits, JobService
from tests.budget_builders import a_balance, adds_up
from tests.builders import NOW, TENANT, FakeClock, RecordingQueue
from tests.memory_job_store import MemoryJobStore

RENTS = Admitted(Kind.BENCHMARK, StepName.RENT, "{}", rents=True, max_cost_micro_usd=10)
FREE = Admitted(Kind.BENCHMARK, StepName.CHECK, "{}")
SPENDING = SpendingLimits(
    daily_budget_micro_usd=100,
    monthly_budget_micro_usd=200,
    deployment_daily_micro_usd=300,
    deployment_monthly_micro_usd=400,
)
CALLER = Caller(TENANT)
WINDOWS = windows_of(TENANT, NOW)


@dataclass
class Office:
    """A service with everything around it in memory."""

    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    spending: SpendingLimits = SPENDING
    slot_count: int = 100

    @property
    def service(self) -> JobService:
        limits = JobLimits(
            timedelta(days=1), timedelta(hours=1), timedelta(days=30), 50, spending=self.spending
        )
        store = self.store
        return JobService(
            store, RecordingQueue(), FakeClock(), limits, self.slot_count, budgets=store.budgets
        )

    @property
    def reserved(self) -> list[int]:
        return [each.reserved_micro_usd for each in self.store.budgets.read(TENANT, NOW).all]


def test_submit_reserves_the_cap_in_four_budgets() -> None:
    office = Office()

    submitted = office.service.submit(CALLER, RENTS)
    office.service.submit(CALLER, replace(RENTS, max_cost_micro_usd=None))

    assert office.store.jobs[submitted.job_id].reserved_micro_usd == 10
    assert office.reserved == [60] * 4
    assert [b.limit_micro_usd for b in office.service.find_budgets(CALLER).all] == [100, 200, 300, 400]


def test_submit_of_what_can_cost_nothing_reads_and_reserves_nothing() -> None:
    office = Office(spending=SpendingLimits(0, 0, 0, 0))

    submitted = office.service.submit(CALLER, FREE)

    assert office.store.jobs[submitted.job_id].reserved_micro_usd is None
    assert office.store.budgets.balances == {}


@pytest.mark.parametrize("short", [0, 1, 2, 3])
def test_submit_is_refused_when_one_budget_has_too_little_left(short: int) -> None:
    office = Office(spending=SpendingLimits(100, 100, 100, 100))
    for position, window in enumerate(WINDOWS):
        spent = 91 if position == short else 90
        office.store.budgets.balances[window] = a_balance(spent=spent)

    with pytest.raises(BudgetExhaustedError) as refused:
        office.service.submit(CALLER, RENTS)

    error = refused.value
    assert (error.of_tenant, error.period) == (short < 2, ("day", "month")[short % 2])
    assert (error.limit_micro_usd, error.left_micro_usd, error.needed_micro_usd) == (100, 9, 10)
    assert error.renews_at == ("2026-11-24T00:00:00Z", "2026-12-01T00:00:00Z")[short % 2]
    assert error.sentence == (
        f"{'Your tenant' if short < 2 else 'The whole deployment'}'s budget for this {error.period} has 0.000009 "
        "of 0.0001 USD left, and the job may cost 0.00001. A job with a lower max_cost_usd may be accepted. "
        f"The budget renews at {error.renews_at}."
    )
    assert office.store.jobs == {}
    assert office.reserved == [0] * 4
    assert not office.service.submit(CALLER, replace(RENTS, max_cost_micro_usd=9)).is_replay


def test_refusal_tells_what_comes_back_and_advises_nothing_that_cannot_work() -> None:
    office = Office(spending=SpendingLimits(100, 100, 100, 100))
    office.store.budgets.balances[WINDOWS[0]] = a_balance(spent=60, reserved=40)

    with pytest.raises(BudgetExhaustedError) as refused:
        office.service.submit(CALLER, RENTS)

    assert refused.value.reserved_micro_usd == 40
    assert refused.value.sentence == (
        "Your tenant's budget for this day has 0 of 0.0001 USD left, and the job may cost 0.00001. 0.00004 "
        "USD are reserved for jobs and kept machines; what they do not cost comes back. "
        "The budget renews at 2026-11-24T00:00:00Z."
    )


def test_budget_of_0_is_no_spending() -> None:
    caller = replace(CALLER, spending=TenantSpending(daily_budget_micro_usd=0))

    with pytest.raises(BudgetExhaustedError):
        Office().service.submit(caller, RENTS)


def test_tenant_without_money_leaves_others_theirs() -> None:
    office = Office()
    for _ in range(10):
        office.service.submit(CALLER, RENTS)

    with pytest.raises(BudgetExhaustedError):
        office.service.submit(CALLER, RENTS)

    assert not office.service.submit(Caller("acme"), RENTS).is_replay


def test_same_key_is_a_replay_when_the_budget_is_exhausted() -> None:
    office = Office()
    first = office.service.submit(CALLER, RENTS, "once")
    for _ in range(9):
        office.service.submit(CALLER, RENTS)

    again = office.service.submit(CALLER, RENTS, "once")

    assert again == Submitted(first.job_id, is_replay=True)
    with pytest.raises(IdempotencyKeyReusedError):
        office.service.submit(CALLER, replace(RENTS, request_json='{"a": 1}'), "once")
    with pytest.raises(BudgetExhaustedError):
        office.service.submit(CALLER, RENTS, "twice")
    assert office.reserved == [100] * 4


def test_limit_that_was_changed_holds_from_the_next_job_on() -> None:
    office = Office()
    office.service.submit(CALLER, RENTS)
    lowered = replace(CALLER, spending=TenantSpending(daily_budget_micro_usd=20))

    office.service.submit(lowered, RENTS)
    with pytest.raises(BudgetExhaustedError):
        office.service.submit(lowered, RENTS)

    day = office.store.budgets.balances[WINDOWS[0]]
    assert (day.used_micro_usd, day.reserved_micro_usd) == (20, 20)
    assert all(adds_up(each) for each in office.store.budgets.balances.values())


class Crowded(MemoryJobStore):
    """Lets others write between the look at the budgets and each submission."""

    def __init__(self, *rivals: Callable[[MemoryJobStore], object]) -> None:
        super().__init__()
        self._rivals = [*rivals]

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        if self._rivals:
            self._rivals.pop(0)(self)
        return super().submit(submission)


def taking_all_but(left: int) -> Callable[[MemoryJobStore], object]:
    def take(store: MemoryJobStore) -> None:
        for window in WINDOWS:
            limit = Limits(100, 200, 300, 400).of(window)
            store.budgets.balances[window] = a_balance(spent=limit - left)

    return take


@pytest.mark.parametrize("slot_count", [100, 0])
def test_submit_tries_again_when_others_were_first_and_enough_is_left(slot_count: int) -> None:
    office = Office(Crowded(taking_all_but(10)), slot_count=slot_count)

    assert not office.service.submit(CALLER, RENTS).is_replay
    assert office.reserved == [10] * 4


@pytest.mark.parametrize("slot_count", [100, 0])
def test_submit_is_refused_when_others_took_the_rest_meanwhile(slot_count: int) -> None:
    office = Office(Crowded(taking_all_but(9)), slot_count=slot_count)

    with pytest.raises(BudgetExhaustedError):
        office.service.submit(CALLER, RENTS)
    assert office.store.jobs == {}


def test_submit_looks_again_after_a_conflict() -> None:
    rounds: list[int] = []

    class Contended(MemoryJobStore):
        @override
        def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
            rounds.append(submission.round)
            taking_all_but(50 - 20 * len(rounds))(self)
            raise StoreContendedError("Others wrote.")

    office = Office(Contended())

    with pytest.raises(BudgetExhaustedError):
        office.service.submit(CALLER, RENTS)
    assert rounds == [0, 1, 2]


def test_submit_ends_in_time_when_budgets_change_all_the_time() -> None:
    class Moving(MemoryJobStore):
        @override
        def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
            return CompanionsRefused((0,))

    office = Office(Moving())

    with pytest.raises(StoreContendedError):
        office.service.submit(CALLER, RENTS)


def test_full_queue_is_told_as_such_and_reserves_nothing() -> None:
    office = Office(slot_count=0)
    caller = replace(CALLER, terms=Terms(max_waiting=0))

    with pytest.raises(TooManyWaitingJobsError):
        office.service.submit(caller, RENTS)
    assert office.reserved == [0] * 4


def test_cancelled_job_gives_its_reservation_back() -> None:
    office = Office(slot_count=0)
    submitted = office.service.submit(CALLER, RENTS)

    office.service.cancel(TENANT, submitted.job_id)

    assert office.reserved == [0] * 4
    assert office.store.budgets.balances[WINDOWS[0]].used_micro_usd == 0


def test_budgets_are_told_under_the_limits_of_now() -> None:
    office = Office()
    office.service.submit(CALLER, RENTS)
    caller = replace(CALLER, spending=TenantSpending(monthly_budget_micro_usd=70))

    found = office.service.find_budgets(caller)

    assert [(each.limit_micro_usd, each.free_micro_usd) for each in found.all] == [
        (100, 90),
        (70, 60),
        (300, 290),
        (400, 390),
    ]
