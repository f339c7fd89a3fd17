"""What a rental costs, from the rental store alone.

Vast.ai charges disk from creation until destruction, the GPU while the machine runs, and all traffic
(https://docs.vast.ai/guides/instances/pricing). Every unknown is taken at its upper bound, so that the
recorded cost covers the charge: the GPU counts from the last moment at which the machine was seen not running, and
everything until the listing had come that proved the machine gone. A download that has not ended counts with what
was seen of it, and what the machine may have received since.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rune.rentals.record import Rental, RentalState

FASTEST_FACTOR = 2
"""So many times as fast as it states, or was seen, may a machine download: what hosts state is a test
of their own."""

_BYTES_PER_GB = 1_000_000_000
_BYTES_PER_MBIT_AND_MS = 125
_HOUR = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)
_UNKNOWN_YET = (RentalState.CREATED, RentalState.RUNNING, RentalState.KEPT)
"""States in which something of the bill may still be learned; later its upper bound counts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cost consists of, in millionths of a dollar.

    Attributes
    ----------
    until
        Up to which moment it is reckoned.
    """

    until: datetime
    gpu_micro_usd: int = 0
    disk_micro_usd: int = 0
    traffic_micro_usd: int = 0

    @property
    def micro_usd(self) -> int:
        """Their sum."""
        return self.gpu_micro_usd + self.disk_micro_usd + self.traffic_micro_usd


def cost_micro_usd(rental: Rental, until: datetime) -> int:
    """Return what the rental has cost up to a moment, in millionths of a dollar, rounded up."""
    return cost_parts(rental, until).micro_usd


def cost_parts(rental: Rental, until: datetime) -> Parts:
    """Return what the rental's cost up to a moment consists of; each part is rounded up."""
    if rental.contract_id is None:
        return Parts(until)
    received_bytes = rental.image_bytes + rental.downloaded_bytes + come_bytes(rental, until)
    return Parts(
        until,
        _gpu(rental, rental.intended_at, until),
        _share(rental.prices.disk_micro_usd_per_hour, rental.intended_at, until),
        traffic_micro_usd(rental, received_bytes),
    )


def cost_so_far_micro_usd(rental: Rental, until: datetime) -> int:
    """Return what is shown of a rental's cost before its end. It never falls, and never exceeds the final bill.

    What is not known yet is left out: the GPU's time before a booting machine was seen running, and what was not
    yet seen of a download. Taken at their upper bound they would fall again with each look.
    """
    if rental.cost_micro_usd is not None:
        return rental.cost_micro_usd
    return parts_so_far(rental, until).micro_usd


def parts_so_far(rental: Rental, until: datetime) -> Parts:
    """Return what is shown of a rental's cost, of which the machine is not proven gone, in its parts."""
    if rental.state not in _UNKNOWN_YET:
        return cost_parts(rental, min(until, rental.absent_at or until))
    gone_by = replace(rental, pulling_bytes=rental.pulled_bytes)
    if rental.state is RentalState.CREATED:
        gone_by = replace(gone_by, last_seen_stopped_at=rental.first_seen_running_at or until)
    return cost_parts(gone_by, until)


def cost_to_job_micro_usd(rental: Rental, until: datetime) -> int:
    """Return what a rental costs the job that rented it, up to a moment.

    Of a machine that is kept, or was, it is what it had cost when it was kept: all later cost is the rental's own.
    """
    if rental.kept_until is not None and rental.of_job_micro_usd is not None:
        return rental.of_job_micro_usd
    return cost_so_far_micro_usd(rental, until)


def cost_of_holder_micro_usd(rental: Rental, until: datetime) -> int:
    """Return the present holder's share so far: all for the job that rented it.

    A borrower pays for its time of use and for what it has downloaded.
    """
    if rental.holder == rental.job_id or rental.held_since is None:
        return cost_so_far_micro_usd(rental, until)
    return parts_of_borrower(rental, rental.held_since, until).micro_usd


def parts_of_borrower(rental: Rental, since: datetime, until: datetime) -> Parts:
    """Return a borrower's share of the cost, of a machine that it uses since a moment, in its parts."""
    until = min(until, rental.absent_at or until)
    return Parts(
        until,
        _gpu(rental, since, until),
        _share(rental.prices.disk_micro_usd_per_hour, since, until),
        traffic_micro_usd(rental, borrowers_bytes(rental)),
    )


def borrowers_bytes(rental: Rental) -> int:
    """Return how many bytes of models the machine is known to have received for the job that borrowed it last."""
    if rental.borrowed_from_bytes is None:
        return 0
    return max(0, rental.downloaded_bytes + rental.pulled_bytes - rental.borrowed_from_bytes)


def come_bytes(rental: Rental, until: datetime) -> int:
    """Return the most that can have come by a moment of a download that has not ended."""
    if rental.pulled_at is None or rental.mbit_per_second is None:
        return rental.pulling_bytes
    milliseconds = max(timedelta(0), until - rental.pulled_at) // _MILLISECOND
    unseen_bytes = fastest_bytes(rental.mbit_per_second, milliseconds)
    return min(rental.pulling_bytes, rental.pulled_bytes + unseen_bytes)


def fastest_bytes(mbit_per_second: int, milliseconds: int) -> int:
    """Return the most that a machine downloads in a time."""
    return FASTEST_FACTOR * mbit_per_second * _BYTES_PER_MBIT_AND_MS * milliseconds


def traffic_micro_usd(rental: Rental, received_bytes: int) -> int:
    """Return what it costs that the machine has received some bytes, rounded up."""
    return -(-received_bytes * rental.prices.download_micro_usd_per_gb // _BYTES_PER_GB)


def _gpu(rental: Rental, since: datetime, until: datetime) -> int:
    billed_from = rental.last_seen_stopped_at or rental.intended_at
    return _share(rental.prices.gpu_micro_usd_per_hour, max(since, billed_from), until)


def _share(micro_usd_per_hour: int, since: datetime, until: datetime) -> int:
    milliseconds = max(timedelta(0), until - since) // _MILLISECOND
    return -(-micro_usd_per_hour * milliseconds // (_HOUR // _MILLISECOND))
