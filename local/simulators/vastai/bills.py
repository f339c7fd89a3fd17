"""Bills: GPU time by state, disk time and traffic of a contract."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from local.simulators.vastai.boots import Moment
from local.simulators.vastai.machines import Traffic

SECONDS_PER_HOUR = 3_600
BYTES_PER_GB = 1_000_000_000
MICRO_USD = Decimal("0.000001")
"""The unit to which amounts are rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The cost of one contract until a moment, in US dollars to six places; times are epoch seconds.

    Attributes
    ----------
    running_at
        When its container first ran; None if it never ran.
    destroyed_at
        None while it exists.
    """

    contract_id: int
    gpu_usd: Decimal
    disk_usd: Decimal
    download_usd: Decimal
    upload_usd: Decimal
    total_usd: Decimal
    created_at: float
    running_at: float | None
    destroyed_at: float | None


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of the disk and the traffic of one contract.

    Attributes
    ----------
    disk_usd_per_hour
        Of the whole disk.
    stopped_disk_factor
        How many times dearer the disk is while the instance is stopped.
    """

    disk_usd_per_hour: float
    download_usd_per_gb: float
    upload_usd_per_gb: float
    image_gb: float
    stopped_disk_factor: float = 1.0


def compute_bill(
    contract_id: int, moments: Sequence[Moment], prices: Prices, traffic: Traffic, until: float
) -> Bill:
    """Return the bill of a contract; moments after `until` do not count."""
    gpu_usd = disk_seconds = Decimal(0)
    has_pulled = False
    running_at = destroyed_at = None
    for index, moment in enumerate(moments):
        if moment.at > until:
            break
        has_pulled = has_pulled or moment.has_pulled
        if moment.is_up and running_at is None:
            running_at = moment.at
        if not moment.exists:
            destroyed_at = moment.at
            break
        end = min(moments[index + 1].at, until) if index + 1 < len(moments) else until
        seconds = exact(end - moment.at)
        if moment.gpu_usd_per_hour:
            gpu_usd += seconds * exact(moment.gpu_usd_per_hour) / SECONDS_PER_HOUR
        if moment.is_disk_billed:
            is_stopped = moment.actual == "stopped"
            disk_seconds += seconds * (exact(prices.stopped_disk_factor) if is_stopped else 1)
    gpu_usd = gpu_usd.quantize(MICRO_USD)
    disk_usd = (disk_seconds * exact(prices.disk_usd_per_hour) / SECONDS_PER_HOUR).quantize(MICRO_USD)
    image_gb = exact(prices.image_gb) if has_pulled else Decimal(0)
    received_gb = image_gb + Decimal(traffic.received_bytes) / BYTES_PER_GB
    download_usd = (received_gb * exact(prices.download_usd_per_gb)).quantize(MICRO_USD)
    sent_gb = Decimal(traffic.sent_bytes) / BYTES_PER_GB
    upload_usd = (sent_gb * exact(prices.upload_usd_per_gb)).quantize(MICRO_USD)
    return Bill(
        contract_id=contract_id,
        gpu_usd=gpu_usd,
        disk_usd=disk_usd,
        download_usd=download_usd,
        upload_usd=upload_usd,
        total_usd=gpu_usd + disk_usd + download_usd + upload_usd,
        created_at=moments[0].at,
        running_at=running_at,
        destroyed_at=destroyed_at,
    )


def seconds_up(moments: Sequence[Moment], since: float, until: float) -> float:
    """Return for how long the container ran within a span."""
    seconds = 0.0
    for index, moment in enumerate(moments):
        end = min(moments[index + 1].at, until) if index + 1 < len(moments) else until
        if moment.is_up:
            seconds += max(0.0, end - max(moment.at, since))
    return seconds


def exact(value: float) -> Decimal:
    """Return a number as it is written, without binary rounding errors."""
    return Decimal(repr(round(value, 9)))
