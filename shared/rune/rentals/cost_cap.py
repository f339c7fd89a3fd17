"""When a job must stop so that its machine does not cost more than the job may.

A cap is a moment: the machine's price is known, so the time that the money buys is too. Nothing has to be watched
between two looks.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from rune.rentals.bills import cost_micro_usd, cost_of_holder_micro_usd, traffic_micro_usd
from rune.rentals.record import Prices, Rental

STOP_MARGIN = timedelta(minutes=2)
"""Of a job's money, kept for its end: the step in hand ends and its result is written (15 s), and the machine is
destroyed and proven gone (10 to 30 s). If that worker is lost, the janitor does it instead: `JANITOR_DELAY` and a
minute's tick later."""

JANITOR_DELAY = timedelta(seconds=50)
"""How long after the moment at which the job must stop the janitor leaves the machine to the job's own worker."""


def most_cost_micro_usd(rental: Rental, until: datetime) -> int:
    """Return the most that a rental can have cost up to a moment, with the download that is still to come.

    An order without an answer counts as a machine that has been there since the order.
    """
    if not rental.is_alive:
        return rental.cost_micro_usd or 0
    machine = _with_whole_download(rental)
    machine = machine if machine.contract_id is not None else replace(machine, contract_id=0)
    return cost_micro_usd(machine, until) + _download_to_come_micro_usd(rental)


def most_cost_of_borrower_micro_usd(rental: Rental, until: datetime) -> int:
    """Return the most that a job's use of a kept machine can have cost it up to a moment, with its download."""
    return cost_of_holder_micro_usd(_with_whole_download(rental), until) + _download_to_come_micro_usd(rental)


def stop_at(prices: Prices, left_micro_usd: int, now: datetime) -> datetime:
    """Return when a job must stop whose machine bills from now on.

    Parameters
    ----------
    left_micro_usd
        What is left of the job's money, in millionths of a dollar; it may be negative.
    """
    hours = left_micro_usd / prices.micro_usd_per_hour if prices.micro_usd_per_hour else _FOREVER_HOURS
    return now + timedelta(hours=min(hours, _FOREVER_HOURS)) - STOP_MARGIN


def stop_of_holder_at(rental: Rental, left_micro_usd: int, now: datetime) -> datetime:
    """Return when the job must stop that rented the machine and holds it, by what is known of the machine now.

    Parameters
    ----------
    left_micro_usd
        What the job may cost without this machine.
    """
    most = most_cost_micro_usd(rental, now)
    left = left_micro_usd - most
    if rental.is_credit_short:
        left = min(left, rental.reserved_micro_usd - most)
    return stop_at(rental.prices, left, now)


_FOREVER_HOURS = 24 * 365
"""Of a machine that costs nothing by the hour."""


def _with_whole_download(rental: Rental) -> Rental:
    """Return the rental as if all of the download under way had come: it may come by the end."""
    return replace(rental, pulled_bytes=rental.pulling_bytes)


def _download_to_come_micro_usd(rental: Rental) -> int:
    has_come = rental.downloaded_bytes > (rental.borrowed_from_bytes or 0)
    if has_come and not rental.pulling_bytes:
        # It is in the bill.
        return 0
    # One that was broken off may be tried again.
    return traffic_micro_usd(rental, max(0, rental.model_bytes - rental.pulling_bytes))
