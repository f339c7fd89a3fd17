"""What the end of a job makes of the money that was reserved for it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rune.jobs.places import RowChange
from rune.jobs.record import Job
from rune.money.budgets import book
from rune.storage.change import apply

if TYPE_CHECKING:
    from rune.jobs.transitions import Transition


def settle(job: Job, transition: Transition) -> tuple[RowChange, ...]:
    """Return the writes of the budgets that belong to a job's end: what was reserved is free, and its cost spent.

    They are booked to the day and the month in which the job was accepted. A job for which nothing was reserved,
    such as one of an earlier version, is not in the budgets.

    Parameters
    ----------
    transition
        To the end; one after which the job goes on settles nothing.
    """
    finished_at = transition.change.sets.get("finished_at")
    if not job.reserved_micro_usd or not isinstance(finished_at, datetime):
        return ()
    ended = apply(transition.change, job)
    changes = book(
        job.tenant,
        job.created_at,
        finished_at,
        freed_micro_usd=job.reserved_micro_usd,
        spent_micro_usd=ended.cost_micro_usd - (ended.shared_micro_usd or 0),
    )
    return tuple(RowChange(each.row, each.change) for each in changes)
