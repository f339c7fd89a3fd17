"""What a rental costs, from the rental store alone.

Vast.ai charges disk from creation until destruction, the GPU while the machine runs, and all traffic
(https://docs.vast.ai/guides/instances/pricing). Every unknown is taken at its upper bound, so that the
recorded cost covers the charge: the GPU counts from the last moment at which the machine was seen not running, and
everything until the listing had come that proved the machine gone.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from rune.rentals.record import Rental, RentalState

_BYTES_PER_GB = 1_000_000_000
_HOUR = timedelta(hours=1)
_UNKNOWN_YET = (RentalState.CREATED, RentalState.RUNNING, RentalState.KEPT)
"""States in which something of the bill may still be learned; later its upper bound counts."""


def cost_micro_usd(rental: Rental, until: datetime) -> int:
    """Return what the rental has cost up to a moment, in millionths of a dollar, rounded up."""
    if rental.contract_id is None:
        return 0
    disk = _share(rental.prices.disk_micro_usd_per_hour, rental.intended_at, until)
    return disk + _gpu(rental, rental.intended_at, until) + _traffic(rental)


def cost_so_far_micro_usd(rental: Rental, until: datetime) -> int:
    """Return what is shown of a rental's cost before its end. It never falls, and never exceeds the final bill.

    What is not known yet is left out: the GPU's time before a booting machine was seen running, and a download that
    has not ended. Taken at their upper bound they would fall again with each look.
    """
    if rental.cost_micro_usd is not None:
        return rental.cost_micro_usd
    if rental.state not in _UNKNOWN_YET:
        return cost_micro_usd(rental, until)
    gone_by = replace(rental, pulling_bytes=0)
    if rental.state is RentalState.CREATED:
        gone_by = replace(gone_by, last_seen_stopped_at=rental.first_seen_running_at or until)
    return cost_micro_usd(gone_by, until)


def cost_of_holder_micro_usd(rental: Rental, until: datetime) -> int:
    """Return the present holder's share so far: all for the job that rented it, the time of use for a borrower."""
    if rental.holder == rental.job_id or rental.held_since is None:
        return cost_so_far_micro_usd(rental, until)
    disk = _share(rental.prices.disk_micro_usd_per_hour, rental.held_since, until)
    return disk + _gpu(rental, rental.held_since, until)


def _gpu(rental: Rental, since: datetime, until: datetime) -> int:
    billed_from = rental.last_seen_stopped_at or rental.intended_at
    return _share(rental.prices.gpu_micro_usd_per_hour, max(since, billed_from), until)


def _traffic(rental: Rental) -> int:
    received = rental.image_bytes + rental.downloaded_bytes + rental.pulling_bytes
    return -(-received * rental.prices.download_micro_usd_per_gb // _BYTES_PER_GB)


def _share(micro_usd_per_hour: int, since: datetime, until: datetime) -> int:
    milliseconds = max(timedelta(0), until - since) // timedelta(milliseconds=1)
    return -(-micro_usd_per_hour * milliseconds // (_HOUR // timedelta(milliseconds=1)))
