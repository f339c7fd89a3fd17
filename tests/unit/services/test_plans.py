from dataclasses import replace
from datetime import timedelta

import pytest

from rune.contracts import BenchmarkRequest
from rune.errors import BudgetExhaustedError, InvalidRequestError, TooManyWaitingJobsError
from rune.jobs.places import Share, Slot, Terms
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import admit
from rune.services.jobs import Caller
from rune.tenants.settings import TenantSettings
from tests.builders import NOW
from tests.unit.services.test_estimates import Desk

REQUEST = BenchmarkRequest.model_validate({"question": "Why?", "model": "llama3.1:8b", "vastai": True})
RENTED = admit(REQUEST, TenantSettings(keep_limit=timedelta(hours=1)), AddressPolicy(), has_provider=True)
CALLER = Caller("acme", terms=Terms(max_waiting=2))


def test_plan_tells_the_budgets_after_the_job_and_changes_nothing() -> None:
    desk = Desk()

    first, second = (desk.service.plan(CALLER, RENTED) for _ in range(2))

    assert first == second
    assert [each.reserved_usd for each in first.budgets_after] == [10.0, 10.0]
    assert first.budgets_after[0].remaining_usd == first.budgets_after[0].limit_usd - 10.0
    assert desk.jobs.jobs == {}


def test_plan_is_refused_when_a_budget_has_too_little_left() -> None:
    desk = Desk()
    for _ in range(100):
        try:
            desk.job_service.submit(CALLER, RENTED)
        except (BudgetExhaustedError, TooManyWaitingJobsError):
            break
        desk.jobs.shares.clear()

    with pytest.raises(BudgetExhaustedError):
        desk.service.plan(CALLER, RENTED)


def test_plan_tells_that_the_job_would_wait_or_refuses_as_the_job_would_be() -> None:
    desk = Desk()
    desk.jobs.slots |= {number: Slot(number, job_id="x", tenant="b") for number in range(5)}

    desk.jobs.shares["acme"] = Share("acme", waiting=1, mean_run_seconds=300, updated_at=NOW)
    plan = desk.service.plan(CALLER, RENTED)
    assert (plan.would_wait, plan.waits_for, plan.queue_position) == (True, "a GPU slot", 2)
    # Two jobs of five minutes, on the five slots that it shares with nobody.
    assert plan.queue_wait_seconds == 120
    desk.jobs.shares["acme"] = Share("acme", waiting=2, updated_at=NOW)
    with pytest.raises(TooManyWaitingJobsError):
        desk.service.plan(CALLER, RENTED)


@pytest.mark.parametrize(
    ("workload", "measuring"),
    [
        (None, (1, 600)),
        ({"concurrency": [1, 2], "point_seconds": 100}, (2, 200)),
        ({"search": {"limits": {"ttft_ms": 500}, "max_points": 9}, "point_seconds": 60}, (9, 540)),
    ],
)
def test_plan_tells_how_many_points_there_are_and_how_long_they_may_take(
    workload: dict[str, object] | None, measuring: tuple[int, int]
) -> None:
    request = BenchmarkRequest.model_validate(
        {"question": "Why?", "model": "llama3.1:8b", "vastai": True, "workload": workload}
    )
    admitted = admit(
        request, TenantSettings(keep_limit=timedelta(hours=1)), AddressPolicy(), has_provider=True
    )

    plan = Desk().service.plan(CALLER, admitted)

    assert (plan.point_count, plan.longest_measuring_seconds) == measuring


def test_ways_in_without_an_answer_refuse_a_dry_run() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admit(
            REQUEST.model_copy(update={"dry_run": True}),
            TenantSettings(),
            AddressPolicy(),
            has_provider=True,
        )

    assert caught.value.specific_code == "dry_run_not_here"


def test_plan_uses_the_request_as_the_job_would_keep_it() -> None:
    kept = REQUEST.model_copy(update={"vastai_stop_instance": False, "keep_seconds": 60})
    admitted = admit(kept, TenantSettings(keep_limit=timedelta(hours=1)), AddressPolicy(), has_provider=True)

    plan = Desk().service.plan(replace(CALLER, max_cost_micro_usd=1_000_000), admitted)

    assert (plan.max_cost_usd, plan.rents, plan.kind) == (1.0, True, "benchmark")
