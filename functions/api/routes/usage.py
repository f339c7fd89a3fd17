"""What a tenant has used, and what is left of its budgets."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.auth import admitted_caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.usage import BudgetLeft, UsageReport, UsedCounts, UsedOfDay, UsedOfKind, UsedOfModel
from rune.jobs.usage import Usage
from rune.money.budgets import Budget
from rune.services.usage import LONGEST_DAYS

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/usage", tags=["money"], responses=responses(401, 403, 422, 503)
)


@router.get("")
async def get_usage(
    request: Request,
    days: Annotated[
        int, Query(ge=1, le=LONGEST_DAYS, description="Today and the days before it, so many in all.")
    ] = 30,
) -> UsageReport:
    """Return what your tenant's ended jobs have used, by day, kind and model, and what is left of its budgets."""
    services, caller = services_of(request), admitted_caller_of(request)
    view = services.usage().read(caller.tenant, days)
    budgets = services.jobs.find_budgets(caller)
    return UsageReport(
        first_day=view.first,
        last_day=view.last,
        totals=UsedCounts(**_counts(view.totals)),
        by_day=[UsedOfDay(day=day, **_counts(used)) for day, used in view.by_day],
        by_kind=[UsedOfKind(kind=kind, **_counts(used)) for kind, used in view.by_kind],
        by_model=[UsedOfModel(model=model or None, **_counts(used)) for model, used in view.by_model],
        budgets=[_left(budget) for budget in (budgets.tenant_day, budgets.tenant_month)],
    )


def _left(budget: Budget) -> BudgetLeft:
    return BudgetLeft(
        window=budget.window.period.value,
        limit_usd=_usd(budget.limit_micro_usd),
        spent_usd=_usd(budget.spent_micro_usd),
        reserved_usd=_usd(budget.reserved_micro_usd),
        remaining_usd=_usd(max(0, budget.free_micro_usd)),
        renews_at=budget.renews_at,
    )


def _usd(micro_usd: int) -> float:
    return micro_usd / MICRO_USD_PER_USD


def _counts(used: Usage) -> dict[str, Any]:
    return {
        "job_count": used.job_count,
        "succeeded_count": used.succeeded_count,
        "run_seconds": used.run_seconds,
        "cost_usd": _usd(used.cost_micro_usd),
        "token_cost_usd": _usd(used.token_micro_usd),
    }
