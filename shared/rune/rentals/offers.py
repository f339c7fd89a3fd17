"""Which offer to take. Vast.ai's filters are not relied on: every number is checked again here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from rune.rentals.record import MICRO_USD_PER_USD, Prices

VRAM_MARGIN_PERCENT = 10
"""Memory beyond what the model needs: offers include memory that the driver reserves."""

LEAST_DOWNLOAD_MBIT_PER_SECOND = 100
LONGEST_DOWNLOAD = timedelta(minutes=20)
MAX_DOWNLOAD_USD_PER_GB = Decimal("0.02")
"""Traffic is billed in addition to the hour: a 40 GB model at this price costs 0.80 USD."""

_STORAGE_HOURS_PER_MONTH = 720


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine that can be rented now. Prices are in USD.

    Attributes
    ----------
    offer_id
        Names the offer in an order; valid for one order and a short time.
    machine_id
        Names the host machine, permanently.
    price_usd_per_hour
        As quoted, with the disk that the search asked for.
    gpu_usd_per_hour, storage_usd_per_gb_month
        Its parts.
    speed
        Vast.ai's DLPerf score.
    time_left
        Until the host takes the machine back.
    """

    offer_id: int
    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    price_usd_per_hour: Decimal
    gpu_usd_per_hour: Decimal
    storage_usd_per_gb_month: Decimal
    download_usd_per_gb: Decimal
    disk_gb: float
    reliability_ratio: float
    is_verified: bool
    port_count: int
    download_mbit_per_second: float
    time_left: timedelta
    speed: float
    place: str
    is_rentable: bool

    def disk_usd_per_hour(self, disk_gb: int) -> Decimal:
        """Return what a disk costs; storage is quoted per GB and month of 720 hours."""
        return self.storage_usd_per_gb_month * disk_gb / _STORAGE_HOURS_PER_MONTH

    def usd_per_hour(self, disk_gb: int) -> Decimal:
        """Return the price with a disk; the quote counts if it is higher than the sum of its parts."""
        return max(self.price_usd_per_hour, self.gpu_usd_per_hour + self.disk_usd_per_hour(disk_gb))

    def prices(self, disk_gb: int) -> Prices:
        """Return what is written into the rental store, each part rounded up."""
        disk_usd = self.disk_usd_per_hour(disk_gb)
        return Prices(
            gpu_micro_usd_per_hour=_micro(self.usd_per_hour(disk_gb) - disk_usd),
            disk_micro_usd_per_hour=_micro(disk_usd),
            download_micro_usd_per_gb=_micro(self.download_usd_per_gb),
        )


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the machine must have.

    Attributes
    ----------
    vram_mb
        What the model needs, without margin.
    download_gb
        The most that its weights take.
    time_needed
        How long the machine must be there.
    """

    vram_mb: int
    disk_gb: int
    download_gb: int
    min_usd_per_hour: Decimal
    max_usd_per_hour: Decimal
    reliability_ratio: float
    port_count: int
    time_needed: timedelta

    @property
    def offered_vram_mb(self) -> int:
        """Memory that an offer must state."""
        return -(-self.vram_mb * (100 + VRAM_MARGIN_PERCENT) // 100)

    @property
    def download_mbit_per_second(self) -> float:
        """Bandwidth with which the weights come in time."""
        return max(
            float(LEAST_DOWNLOAD_MBIT_PER_SECOND), self.download_gb * 8000 / LONGEST_DOWNLOAD.total_seconds()
        )


class RejectionReason(StrEnum):
    """Why an offer is not taken, as it stands in the job's events."""

    TAKEN = "taken"
    FAILED_BEFORE = "failed_before"
    VRAM = "vram"
    DISK = "disk"
    BELOW_MIN_PRICE = "below_min_dph"
    ABOVE_MAX_PRICE = "above_max_dph"
    UNRELIABLE = "reliability"
    UNVERIFIED = "unverified"
    PORTS = "ports"
    SLOW_NETWORK = "bandwidth"
    TRAFFIC_PRICE = "traffic_price"
    ENDS_SOON = "time_left"


@dataclass(frozen=True, slots=True)
class Selection:
    """Offers that fit, best value first, and why each other machine was rejected."""

    offers: tuple[Offer, ...]
    rejections: tuple[tuple[int, RejectionReason], ...]


def select_offers(
    offers: Sequence[Offer], requirements: Requirements, failed_machines: Collection[int]
) -> Selection:
    """Return what fits, ordered by speed per dollar."""
    judged = [(offer, find_rejection_reason(offer, requirements, failed_machines)) for offer in offers]
    fitting = [offer for offer, reason in judged if reason is None]
    return Selection(
        # Equal value: the more reliable host, then the lower id, so that the same market gives the same choice.
        tuple(sorted(fitting, key=lambda o: (-_value(o, requirements), -o.reliability_ratio, o.offer_id))),
        tuple((offer.machine_id, reason) for offer, reason in judged if reason is not None),
    )


def find_rejection_reason(
    offer: Offer, requirements: Requirements, failed_machines: Collection[int]
) -> RejectionReason | None:
    """Return the first reason against an offer, or None."""
    price = offer.usd_per_hour(requirements.disk_gb)
    rejections = (
        (RejectionReason.TAKEN, not offer.is_rentable),
        (RejectionReason.FAILED_BEFORE, offer.machine_id in failed_machines),
        (RejectionReason.VRAM, offer.vram_mb < requirements.offered_vram_mb),
        (RejectionReason.DISK, offer.disk_gb < requirements.disk_gb),
        (RejectionReason.BELOW_MIN_PRICE, price < requirements.min_usd_per_hour),
        (RejectionReason.ABOVE_MAX_PRICE, price > requirements.max_usd_per_hour),
        (RejectionReason.UNRELIABLE, offer.reliability_ratio < requirements.reliability_ratio),
        (RejectionReason.UNVERIFIED, not offer.is_verified),
        (RejectionReason.PORTS, offer.port_count < requirements.port_count),
        (
            RejectionReason.SLOW_NETWORK,
            offer.download_mbit_per_second < requirements.download_mbit_per_second,
        ),
        (RejectionReason.TRAFFIC_PRICE, offer.download_usd_per_gb > MAX_DOWNLOAD_USD_PER_GB),
        (RejectionReason.ENDS_SOON, offer.time_left < requirements.time_needed),
    )
    return next((reason for reason, applies in rejections if applies), None)


def _value(offer: Offer, requirements: Requirements) -> float:
    return offer.speed / float(max(offer.usd_per_hour(requirements.disk_gb), Decimal("0.001")))


def _micro(usd: Decimal) -> int:
    return int((usd * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))
