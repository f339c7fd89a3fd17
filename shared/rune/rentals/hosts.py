"""What all jobs know of a host from those that rented it, and the port to where that is stored."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from rune.rentals.blame import Blame, find_boot_blame, has_failed_so, may_be_the_image, quotes_server
from rune.rentals.pull_pace import read_speed
from rune.rentals.record import EndReason, Rental

EXCLUDED = timedelta(hours=1)
"""How long a host is left alone after a failure; twice as long after each further one in a row."""

LEAST_EXCLUDED = timedelta(minutes=10)
"""How long it is left alone at least: after that it is taken where no other host fits."""

LONGEST_EXCLUDED = timedelta(hours=24)

REMEMBERED = timedelta(days=7)
"""How long a report counts. Hosts change owners, disks and networks."""

USUAL_BOOT = timedelta(minutes=5)
"""A host that had less than this to boot is not blamed: the caller was in a hurry."""

SUSPECT_SHARE = 0.5
"""Of the bandwidth that a host states. What is measured of a short download is less, for its beginning and end;
below this share the host itself is slow."""

_MOST_DOUBLINGS = 5
_SLOWEST_MBIT_PER_SECOND = 0.1


@dataclass(frozen=True, slots=True)
class HostRecord:
    """What is known of a host; every field may be unknown.

    Attributes
    ----------
    failures_in_row
        How often it failed jobs since it last served one.
    failed_at
        When it failed last.
    mbit_per_second
        How fast it downloaded a model last.
    """

    failures_in_row: int = 0
    failed_at: datetime | None = None
    mbit_per_second: float | None = None

    @property
    def odds_ratio(self) -> float:
        """The odds that it does not fail again, as a share of those that the provider states.

        Laplace's rule of succession after failures alone, with one success assumed before them.
        """
        return 2 / (2 + self.failures_in_row)

    def excluded_until(self) -> datetime | None:
        """Return until when it is left alone; None where it has not failed."""
        if self.failed_at is None or not self.failures_in_row:
            return None
        doublings = min(self.failures_in_row - 1, _MOST_DOUBLINGS)
        return self.failed_at + min(EXCLUDED * (1 << doublings), LONGEST_EXCLUDED)

    def believable_mbit_per_second(self, stated: float) -> float:
        """Return with which bandwidth to reckon: what it states, or what it had where that is far less."""
        measured = self.mbit_per_second
        is_suspect = measured is not None and measured < stated * SUSPECT_SHARE
        return max(measured if is_suspect and measured is not None else stated, _SLOWEST_MBIT_PER_SECOND)


UNKNOWN_HOST = HostRecord()


@dataclass(frozen=True, slots=True)
class HostReport:
    """What one rental has shown of its host.

    Attributes
    ----------
    rental_id
        A rental reports once.
    failure
        Why it failed, in a few words; None where it served the job.
    """

    machine_id: int
    rental_id: str
    reported_at: datetime
    failure: str | None = None
    mbit_per_second: float | None = None


class HostStore(Protocol):
    """Where reports about hosts are kept. Every method raises StoreUnavailableError when it cannot be reached."""

    def read(self, machine_ids: Collection[int], now: datetime) -> Mapping[int, HostRecord]:
        """Return what is known of these hosts, without what has expired."""
        ...

    def note(self, report: HostReport) -> None:
        """Add a report, unless the same rental's is the latest."""
        ...


def make_report(
    rental: Rental, pull_ms: int | None, now: datetime, earlier: Collection[Rental] = ()
) -> HostReport | None:
    """Return what an ended or kept rental shows of its host; None where it shows nothing.

    Parameters
    ----------
    pull_ms
        How long the download of the model took, where it was completed.
    earlier
        The job's machines before this one.
    """
    machine_id = rental.machine.machine_id
    if rental.contract_id is None:
        return None
    if rental.end_reason in (None, EndReason.JOB_ENDED):
        if not rental.downloaded_bytes or rental.pulling_bytes:
            return None
        mbit = None if not pull_ms else rental.downloaded_bytes * 8 / 1000 / pull_ms
        return HostReport(machine_id, rental.rental_id, now, mbit_per_second=mbit)
    failure = _find_fault(rental)
    if failure is None or _is_images(rental, earlier):
        return None
    return HostReport(machine_id, rental.rental_id, now, failure, read_speed(rental.end_detail))


def _is_images(rental: Rental, earlier: Collection[Rental]) -> bool:
    """Return whether another host said the same of the image."""
    detail = rental.end_detail or ""
    return (
        rental.end_reason is EndReason.BOOT_FAILED
        and may_be_the_image(detail)
        and has_failed_so(EndReason.BOOT_FAILED, detail, earlier)
    )


def _find_fault(rental: Rental) -> str | None:
    """Return why a rental failed if its host is to blame, and would be for other tenants' images and models."""
    detail = rental.end_detail or ""
    match rental.end_reason:
        case EndReason.PULL_TOO_SLOW:
            is_hosts = True
        case _ if rental.has_foreign_image:
            is_hosts = False
        case EndReason.BOOT_FAILED:
            is_hosts = find_boot_blame(detail) is Blame.MACHINE
        case EndReason.BOOT_TIMEOUT:
            is_hosts = (rental.release_asked_at or rental.updated_at) - rental.intended_at >= USUAL_BOOT
        case EndReason.MODEL_FAILED:
            # What a server says in words may be due to the model.
            is_hosts = not quotes_server(detail)
        case EndReason.MACHINE_LOST:
            # Not those that the provider stopped: outbid, or an account without credit.
            is_hosts = detail.startswith(("offline", "unknown"))
        case _:
            is_hosts = False
    return f"{rental.end_reason}: {detail}" if is_hosts else None
