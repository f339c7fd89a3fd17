"""Budgets in memory, for unit tests and the simulation.

That the store in DynamoDB does the same is tested in `tests/functional/aws/test_budget_store.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import override

from rune.money.budgets import Balance, BudgetChange, Budgets, BudgetStore, Window, windows_of
from rune.storage.change import Change, apply


class MemoryBudgetStore(BudgetStore):
    """Budgets in memory.

    Attributes
    ----------
    balances
        The rows by window.
    """

    def __init__(self) -> None:
        self.balances: dict[Window, Balance] = {}

    @override
    def read(self, tenant: str, now: datetime) -> Budgets:
        windows = windows_of(tenant, now)
        return Budgets.from_balances(windows, [self.balance_of(window) for window in windows])

    def balance_of(self, window: Window) -> Balance:
        """Return a window's row; a missing one is as new."""
        return self.balances.get(window, Balance())

    def write(self, window: Window, change: Change) -> None:
        """Apply a change, whether or not its requirements hold."""
        self.balances[window] = apply(change, self.balance_of(window))

    def write_all(self, changes: Iterable[BudgetChange]) -> None:
        """Apply the changes of a transaction of another store; they have no requirements."""
        for each in changes:
            if each.change.requires:
                raise AssertionError("A budget's requirement would not be looked at.")
            self.write(each.row.window, each.change)
