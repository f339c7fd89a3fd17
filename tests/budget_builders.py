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


def a_balance(reserved: int = 0, spent: int = 0, version: int = 3) -> Balance:
    """Return the row of a budget whose amounts add up."""
    return Balance(
        version=version,
        used_micro_usd=reserved + spent,
        reserved_micro_usd=reserved,
        spent_micro_usd=spent,
    )


def adds_up(balance: Balance) -> bool:
    """Return whether what is reserved and spent is what is used."""
    return balance.reserved_micro_usd + balance.spent_micro_usd == balance.used_micro_usd
