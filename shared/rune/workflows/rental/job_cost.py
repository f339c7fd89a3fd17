"""What a job has cost up to a moment, by its row and its rentals. Plain functions over plain data.

The steps write it with each turn, and readers of a job that is at work show it as of now: both by this rule.
"""

from datetime import datetime

from rune.jobs.record import Job
from rune.rentals.bills import cost_of_holder_micro_usd, cost_to_job_micro_usd
from rune.rentals.record import Rental


def job_cost_micro_usd(
    job: Job, attempts: tuple[Rental, ...], used: Rental | None, now: datetime, *, held: Rental | None = None
) -> int:
    """Return what a job has cost up to a moment, in millionths of a dollar: machines and tokens.

    It never falls: what the job's row says was told already.

    Parameters
    ----------
    attempts
        All that the job has rented.
    used
        The rental that it uses, or used last by its row, its own or a borrowed one; None where it has used none.
    held
        What it has taken since its row was written; None for nothing.
    """
    own_micro_usd, tokens = sum_attempts(attempts, job.job_id, now), job.token_micro_usd or 0
    borrowed = borrowed_before_micro_usd(job, own_micro_usd, used)
    present = held or used
    if present is not None and present.holder == job.job_id != present.job_id:
        borrowed += cost_of_holder_micro_usd(present, now)
    # Two workers' clocks may be seconds apart.
    return max(own_micro_usd + borrowed + tokens, job.cost_micro_usd)


def borrowed_before_micro_usd(job: Job, own_micro_usd: int, used: Rental | None) -> int:
    """Return what kept machines have cost a job that it no longer uses; `used` as in `job_cost_micro_usd`."""
    has_it_still = used is not None and used.holder == job.job_id != used.job_id
    if has_it_still or not has_borrowed(job):
        return job.borrowed_micro_usd
    # The job's row knows what the kept machine cost, or the machine's own where the job has not been written since.
    by_row = job.cost_micro_usd - own_micro_usd - (job.token_micro_usd or 0)
    by_rental = used.used_micro_usd if used is not None and used.used_by == job.job_id else 0
    return max(job.borrowed_micro_usd, by_row, by_rental)


def sum_attempts(attempts: tuple[Rental, ...], job_id: str, now: datetime) -> int:
    """Return what a job's own rentals cost it, in millionths of a dollar."""
    return sum(cost_to_job_micro_usd(rental, now) for rental in attempts if rental.job_id == job_id)


def has_borrowed(job: Job) -> bool:
    """Return whether the job uses, or used last, a machine that another job had rented."""
    return job.rental_id is not None and not job.rental_id.startswith(job.job_id)
