"""How many machines a tenant may have at the same time, and what they may cost an hour together."""

from collections.abc import Mapping, Sequence

from rune.jobs.wants import FEWER_MACHINES, LOWER_PRICE, NEXT_PRICE
from rune.money.limits import SpendingLimits
from rune.rentals.record import Rental


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
