"""What a tenant, and the whole deployment, may spend in a day and in a month.

A budget is a row of amounts: `used == reserved + spent`. What is free is the limit of now less what is used. What a
job may cost at most is reserved in the transaction that accepts it, and becomes what it has cost in the one that
ends it. Both are booked to the day and the month (UTC) in which the job was accepted, so that a reservation ends in
the window in which it began.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from rune.storage.change import Change, IsBelow, make_change

KEPT = timedelta(days=400)
"""How long a budget's row stays after its window; usage is read from it."""

_MONTHS_A_YEAR = 12


class Period(StrEnum):
    """For how long a budget is."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Window:
    """A day or a month (UTC) of one tenant, or of the whole deployment.

    Attributes
    ----------
    tenant
        None for the whole deployment.
    begins_on
        The day, or the first of the month.
    """

    tenant: str | None
    period: Period
    begins_on: date

    @property
    def renews_at(self) -> datetime:
        """When the next window begins."""
        begins_on = self.begins_on
        if self.period is Period.DAY:
            begins_on += timedelta(days=1)
        elif begins_on.month == _MONTHS_A_YEAR:
            begins_on = date(begins_on.year + 1, 1, 1)
        else:
            begins_on = date(begins_on.year, begins_on.month + 1, 1)
        return datetime(begins_on.year, begins_on.month, begins_on.day, tzinfo=UTC)

    @property
    def name(self) -> str:
        """Its name among the windows of its tenant, such as `DAY#2026-11-30` or `MONTH#2026-11`."""
        if self.period is Period.DAY:
            return f"DAY#{self.begins_on.isoformat()}"
        return f"MONTH#{self.begins_on:%Y-%m}"


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """The row of a window's budget."""

    window: Window


@dataclass(frozen=True, slots=True)
class Balance:
    """The row of a budget, in millionths of a dollar.

    It holds no limit: that is the operator's setting of now.

    Attributes
    ----------
    used_micro_usd
        What is reserved and what is spent. It follows from the others, and is stored because a condition of
        DynamoDB cannot add.
    """

    version: int = 0
    updated_at: datetime | None = None
    used_micro_usd: int = 0
    reserved_micro_usd: int = 0
    spent_micro_usd: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent, in millionths of a dollar; 0 is nothing."""

    tenant_day_micro_usd: int
    tenant_month_micro_usd: int
    deployment_day_micro_usd: int
    deployment_month_micro_usd: int

    def of(self, window: Window) -> int:
        """Return the limit of a window."""
        is_day = window.period is Period.DAY
        if window.tenant is None:
            return self.deployment_day_micro_usd if is_day else self.deployment_month_micro_usd
        return self.tenant_day_micro_usd if is_day else self.tenant_month_micro_usd


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a window, in millionths of a dollar: `free + reserved + spent == limit`.

    Attributes
    ----------
    limit_micro_usd
        What may be spent; 0 until `under` has named it.
    """

    window: Window
    balance: Balance = field(default_factory=Balance)
    limit_micro_usd: int = 0

    @property
    def free_micro_usd(self) -> int:
        """What may still be reserved. Negative after a cost beyond its reservation, or under a lowered limit."""
        return self.limit_micro_usd - self.balance.used_micro_usd

    @property
    def reserved_micro_usd(self) -> int:
        """What jobs, and kept machines, may still cost at most."""
        return self.balance.reserved_micro_usd

    @property
    def spent_micro_usd(self) -> int:
        """What ended jobs, and ended machines, have cost."""
        return self.balance.spent_micro_usd

    @property
    def renews_at(self) -> datetime:
        """When the next window begins."""
        return self.window.renews_at

    def after(self, micro_usd: int) -> "Budget":
        """Return the budget as it is once so much more is reserved."""
        balance = replace(
            self.balance,
            used_micro_usd=self.balance.used_micro_usd + micro_usd,
            reserved_micro_usd=self.reserved_micro_usd + micro_usd,
        )
        return replace(self, balance=balance)

    def under(self, limit_micro_usd: int) -> "Budget":
        """Return the budget as it is with this limit."""
        return replace(self, limit_micro_usd=limit_micro_usd)


@dataclass(frozen=True, slots=True)
class Budgets:
    """The four budgets to which a job of a tenant is booked."""

    tenant_day: Budget
    tenant_month: Budget
    deployment_day: Budget
    deployment_month: Budget

    @property
    def all(self) -> tuple[Budget, ...]:
        """All four, the tenant's first."""
        return (self.tenant_day, self.tenant_month, self.deployment_day, self.deployment_month)

    @classmethod
    def from_balances(cls, windows: Iterable[Window], balances: Iterable[Balance]) -> "Budgets":
        """Return the budgets of the windows of `windows_of`, in their order, without limits."""
        return cls(*(Budget(window, balance) for window, balance in zip(windows, balances, strict=True)))

    def under(self, limits: Limits) -> "Budgets":
        """Return the budgets as they are with these limits."""
        return Budgets(*(budget.under(limits.of(budget.window)) for budget in self.all))

    def after(self, micro_usd: int) -> "Budgets":
        """Return the budgets as they are once so much more is reserved."""
        return Budgets(*(budget.after(micro_usd) for budget in self.all))

    def find_exhausted(self, micro_usd: int) -> Budget | None:
        """Return the first budget that does not have so much free; None where all have."""
        return next((budget for budget in self.all if budget.free_micro_usd < micro_usd), None)


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """A change of a window's row, which is written together with others; a missing row is as new."""

    row: BudgetRow
    change: Change


class BudgetStore(Protocol):
    """Reads budgets. Raises StoreUnavailableError where the store cannot be reached."""

    def read(self, tenant: str, now: datetime) -> Budgets:
        """Return a tenant's budgets and the deployment's of this moment, as all earlier writes left them.

        They have no limits; `Budgets.under` gives them those of now.
        """
        ...


def windows_of(tenant: str, moment: datetime) -> tuple[Window, Window, Window, Window]:
    """Return the windows to which a job is booked that was accepted at a moment: see `Budgets`."""
    day = moment.astimezone(UTC).date()
    month = day.replace(day=1)
    return (
        Window(tenant, Period.DAY, day),
        Window(tenant, Period.MONTH, month),
        Window(None, Period.DAY, day),
        Window(None, Period.MONTH, month),
    )


def reserve(tenant: str, limits: Limits, micro_usd: int, now: datetime) -> tuple[BudgetChange, ...]:
    """Return the writes that reserve an amount in the windows of now, each on the condition that it is free.

    The condition says all: it need not be known what a row holds, whether there is one, or who else reserves.

    Raises
    ------
    ValueError
        It is more than a whole budget. A condition cannot refuse that where there is no row.
    """
    return tuple(
        BudgetChange(BudgetRow(window), _reserve_in(window, limits.of(window), micro_usd, now))
        for window in windows_of(tenant, now)
    )


def book(
    tenant: str, moment: datetime, now: datetime, *, freed_micro_usd: int = 0, spent_micro_usd: int = 0
) -> tuple[BudgetChange, ...]:
    """Return the writes by which a reserved amount becomes a spent one, in the windows of a moment.

    They have no requirements: what was spent is written down in any case, and may be more than the limit.

    Parameters
    ----------
    moment
        When the job was accepted.
    freed_micro_usd
        What is no longer reserved; negative for what is reserved from now on.
    spent_micro_usd
        What has been spent.
    """
    if not freed_micro_usd and not spent_micro_usd:
        return ()
    adds = {
        name: amount
        for name, amount in (
            ("reserved_micro_usd", -freed_micro_usd),
            ("spent_micro_usd", spent_micro_usd),
            ("used_micro_usd", spent_micro_usd - freed_micro_usd),
        )
        if amount
    }
    change = make_change("book", now, requires=(), sets={}, adds=adds)
    return tuple(BudgetChange(BudgetRow(window), change) for window in windows_of(tenant, moment))


def _reserve_in(window: Window, limit_micro_usd: int, micro_usd: int, now: datetime) -> Change:
    if micro_usd > limit_micro_usd:
        raise ValueError("More than the whole budget was to be reserved.")
    return make_change(
        "reserve",
        now,
        requires=(IsBelow("used_micro_usd", limit_micro_usd - micro_usd + 1),),
        # The TTL is stored in whole seconds, and the windows begin at them.
        sets={"expires_at": window.renews_at + KEPT},
        adds={"used_micro_usd": micro_usd, "reserved_micro_usd": micro_usd},
    )
