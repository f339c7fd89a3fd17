"""How many machines a tenant may have at the same time, what they may cost an hour together, and who must wait."""

from collections.abc import Mapping, Sequence

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import CreditReservedError
from rune.jobs.outcomes import Again, Note, Requeue
from rune.jobs.record import Job
from rune.jobs.wants import (
    CREDIT_NEEDED,
    FEWER_MACHINES,
    KEPT_UNUSED,
    LOWER_PRICE,
    NEXT_PRICE,
    describe_want,
)
from rune.money.limits import SpendingLimits
from rune.rentals.record import Rental, RentalState

LOOK_DELAY_SECONDS = 50
"""Before another look at the account, or at the tenant's machines, where others keep what the job needs. It is
shorter than the janitor's minute, so that each of its ticks can begin the job again."""

LOOK_DELAY_WITH_SLOT_SECONDS = 20
"""The same of a job that keeps its slot."""


def find_want(
    alive: Sequence[Rental], limits: SpendingLimits, micro_usd_per_hour: int
) -> Mapping[str, int] | None:
    """Return what must come true before a tenant may have one more machine; None where it may.

    Parameters
    ----------
    alive
        The tenant's rentals that are not proven gone: each of them may bill.
    micro_usd_per_hour
        Of the further machine; what is not known yet counts as the least.

    Returns
    -------
    Mapping or None
        For the progress of a job that waits; see `rune.jobs.wants`.
    """
    if len(alive) >= limits.max_machines:
        return {FEWER_MACHINES: limits.max_machines}
    together = sum(rental.prices.micro_usd_per_hour for rental in alive)
    if together + micro_usd_per_hour > limits.max_micro_usd_per_hour:
        return {LOWER_PRICE: limits.max_micro_usd_per_hour, NEXT_PRICE: micro_usd_per_hour}
    return None


def wait_for_machines(
    job: Job, want: Mapping[str, int], alive: Sequence[Rental], attempts: Sequence[Rental]
) -> Again | Requeue:
    """Return a later look at the tenant's machines, of which the first is told.

    Parameters
    ----------
    want
        As `find_want` returns it.
    alive
        The tenant's living rentals.
    attempts
        All that the job has rented.
    """
    notes: tuple[Note, ...] = ()
    if describe_want(job.progress) is None:
        notes = (Note("vastai.tenant_limit", {"detail": describe_want(want) or ""}, "tenant_limit"),)
    return look_later(job, want, alive, attempts, notes)


def wait_for_credit(
    job: Job, micro_usd: int, alive: Sequence[Rental], attempts: Sequence[Rental]
) -> Again | Requeue:
    """Return a later look at the account, of which the first is told; the parameters are as above."""
    usd = f"{micro_usd / MICRO_USD_PER_USD:.4f}"
    labels = {"detail": f"{usd} USD of credit are needed, and kept for machines that are rented now."}
    is_told = CREDIT_NEEDED in job.progress
    notes = () if is_told else (Note("vastai.credit_reserved", labels, CreditReservedError.code),)
    return look_later(job, {CREDIT_NEEDED: micro_usd}, alive, attempts, notes)


def look_later(
    job: Job,
    want: Mapping[str, int],
    alive: Sequence[Rental],
    attempts: Sequence[Rental],
    notes: tuple[Note, ...] = (),
) -> Again | Requeue:
    """Return the end of a turn in which a job may not rent, or cannot know it."""
    if not may_requeue(job, attempts):
        return Again(LOOK_DELAY_WITH_SLOT_SECONDS, want, notes=notes)
    unused_count = sum(rental.state is RentalState.KEPT for rental in alive)
    if unused_count:
        want = {**want, KEPT_UNUSED: unused_count}
    return Requeue(LOOK_DELAY_SECONDS, want, notes=notes)


def may_requeue(job: Job, attempts: Sequence[Rental]) -> bool:
    """Return whether a job may give its slot back: it never had a machine, and has ordered none.

    One that has ordered a machine may have cost something, so it ends only by way of `release`.
    """
    return not attempts and job.rental_id is None
