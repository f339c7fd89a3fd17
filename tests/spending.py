"""Spending limits, and the variable of them in the environments of functions."""

from rune.money.limits import VARIABLE, SpendingLimits

FRESH = (
    "tenant_daily_budget_usd=50,tenant_monthly_budget_usd=500,daily_budget_usd=200,monthly_budget_usd=2000,"
    "max_machines=5,max_usd_per_hour=20,max_dph=10"
)
"""Of a fresh deployment."""

LARGE = (
    "tenant_daily_budget_usd=100000,tenant_monthly_budget_usd=100000,daily_budget_usd=100000,"
    "monthly_budget_usd=100000,max_machines=100,max_usd_per_hour=1000,max_dph=100"
)
"""Of tests that are not about them."""

LARGE_LIMITS = SpendingLimits.from_environment({VARIABLE: LARGE})
