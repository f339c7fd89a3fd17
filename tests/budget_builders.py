"""Budgets for tests; a test names only the amounts that matter to it."""

from __future__ import annotations

from rune.money.budgets import Balance, Limits

LIMITS = Limits(
    tenant_day_micro_usd=50_000_000,
    tenant_month_micro_usd=500_000_000,
    deployment_day_micro_usd=200_000_000,
    deployment_month_micro_usd=2_000_000_000,
)
"""Those of a fresh deployment."""


def a_balance(limit: int = 100, reserved: int = 0, spent: int = 0, version: int = 3) -> Balance:
    """Return the row of a budget whose amounts add up."""
    return Balance(
        version=version,
        limit_micro_usd=limit,
        free_micro_usd=limit - reserved - spent,
        reserved_micro_usd=reserved,
        spent_micro_usd=spent,
    )


def adds_up(balance: Balance) -> bool:
    """Return whether what is free, reserved and spent is the limit."""
    parts = balance.free_micro_usd + balance.reserved_micro_usd + balance.spent_micro_usd
    return parts == balance.limit_micro_usd
