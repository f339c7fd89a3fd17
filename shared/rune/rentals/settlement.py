"""What the budgets have to do with a rental: of a machine that outlives its job, or comes back after it.

A job's end books what its machines have cost. A machine that is kept costs more after that. So the write that keeps
it reserves what it may still cost, and notes how much of its cost the job's end books; the write that proves its
end books the rest. Where a process dies between the two writes, too much is reserved, and never too little.
"""

from datetime import datetime

from rune.money.budgets import BudgetChange, book
from rune.rentals.bills import cost_to_job_micro_usd
from rune.rentals.record import Rental
from rune.storage.change import Change, apply


def budget_changes(rental: Rental, change: Change) -> tuple[BudgetChange, ...]:
    """Return the writes of the budgets that belong to a write of a rental; they have no requirements.

    Parameters
    ----------
    rental
        The row that the change was decided on. The changes that matter here require its version.
    """
    if rental.budget_at is None:
        return ()
    after = apply(change, rental)
    # What the provider charged beyond the recorded cost, which is known the day after.
    spent_micro_usd = after.over_micro_usd - rental.over_micro_usd
    if rental.is_alive and not after.is_alive and rental.booked_micro_usd is not None:
        spent_micro_usd += (after.booked_micro_usd or 0) - rental.booked_micro_usd
    return book(
        rental.tenant,
        rental.budget_at,
        after.updated_at,
        freed_micro_usd=rental.budget_micro_usd - after.budget_micro_usd,
        spent_micro_usd=spent_micro_usd,
    )


def booked_by_job_micro_usd(rental: Rental, now: datetime) -> int:
    """Return what of a rental's cost is booked by the end of the job that rented it, not by the rental's own."""
    return cost_to_job_micro_usd(rental, now) if rental.of_job_micro_usd is None else rental.of_job_micro_usd
