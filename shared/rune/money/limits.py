"""The operator's limits of what may be spent: of the deployment, and of one tenant instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Protocol, Self

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import SettingsError
from rune.money.budgets import Limits
from rune.settings import read_text

VARIABLE = "RUNE_SPENDING_LIMITS"

_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)


class TenantLimits(Protocol):
    """What a tenant's settings say; None leaves a limit at the deployment's."""

    @property
    def daily_budget_micro_usd(self) -> int | None: ...  # noqa: D102

    @property
    def monthly_budget_micro_usd(self) -> int | None: ...  # noqa: D102

    @property
    def max_machines(self) -> int | None: ...  # noqa: D102

    @property
    def max_micro_usd_per_hour(self) -> int | None: ...  # noqa: D102

    @property
    def max_dph_micro_usd(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class TenantSpending:
    """The limits of one tenant, in millionths of a dollar; None leaves one at the deployment's."""

    daily_budget_micro_usd: int | None = None
    monthly_budget_micro_usd: int | None = None
    max_machines: int | None = None
    max_micro_usd_per_hour: int | None = None
    max_dph_micro_usd: int | None = None

    @classmethod
    def of(cls, limits: TenantLimits) -> Self:
        """Return what a tenant's settings say."""
        return cls(**{each.name: getattr(limits, each.name) for each in fields(cls)})


NO_LIMITS_OF_ITS_OWN = TenantSpending()


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """What may be spent, in millionths of a dollar. The defaults are those of a fresh deployment; 0 is nothing.

    Attributes
    ----------
    daily_budget_micro_usd, monthly_budget_micro_usd
        Of each tenant.
    deployment_daily_micro_usd, deployment_monthly_micro_usd
        Of all tenants together.
    max_machines
        Most machines that a tenant has at the same time.
    max_micro_usd_per_hour
        Most that all of a tenant's machines together cost an hour.
    max_dph_micro_usd
        Most that one machine costs an hour.
    """

    daily_budget_micro_usd: int = 50_000_000
    monthly_budget_micro_usd: int = 500_000_000
    deployment_daily_micro_usd: int = 200_000_000
    deployment_monthly_micro_usd: int = 2_000_000_000
    max_machines: int = 5
    max_micro_usd_per_hour: int = 20_000_000
    max_dph_micro_usd: int = 10_000_000

    @property
    def budgets(self) -> Limits:
        """The limits of the four budgets to which a job is booked."""
        return Limits(
            self.daily_budget_micro_usd,
            self.monthly_budget_micro_usd,
            self.deployment_daily_micro_usd,
            self.deployment_monthly_micro_usd,
        )

    @property
    def most_dph_micro_usd(self) -> int:
        """Most that one machine may cost an hour: a dearer one would never be rented."""
        return min(self.max_dph_micro_usd, self.max_micro_usd_per_hour)

    def for_tenant(self, tenant: TenantSpending) -> SpendingLimits:
        """Return the limits with a tenant's own in place of the deployment's."""
        named = {each.name: getattr(tenant, each.name) for each in fields(tenant)}
        return replace(self, **{name: value for name, value in named.items() if value is not None})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the deployment's limits, from one variable of the form `name=number,…` in dollars.

        Raises
        ------
        SettingsError
            A limit is missing, unknown, or no number.
        """
        pairs = [part.partition("=") for part in read_text(environment, VARIABLE).split(",")]
        given = {name.strip(): value.strip() for name, _, value in pairs}
        if given.keys() != _NAMES.keys() or len(pairs) != len(_NAMES):
            raise SettingsError(f"{VARIABLE} must name each of {', '.join(_NAMES)} once.")
        if not all(_AMOUNT.fullmatch(value) for value in given.values()):
            raise SettingsError(f"{VARIABLE} must hold numbers of dollars.")
        return cls(**{_NAMES[name]: _read(name, value) for name, value in given.items()})


_NAMES = {
    "tenant_daily_budget_usd": "daily_budget_micro_usd",
    "tenant_monthly_budget_usd": "monthly_budget_micro_usd",
    "daily_budget_usd": "deployment_daily_micro_usd",
    "monthly_budget_usd": "deployment_monthly_micro_usd",
    "max_machines": "max_machines",
    "max_usd_per_hour": "max_micro_usd_per_hour",
    "max_dph": "max_dph_micro_usd",
}
"""Of each limit in the variable: its field."""


def _read(name: str, value: str) -> int:
    if name == "max_machines":
        return int(Decimal(value))
    return int(Decimal(value) * MICRO_USD_PER_USD)
