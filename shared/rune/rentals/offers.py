"""Which offer fits. Vast.ai's filters are not relied on: every number is checked again here."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from rune.amounts import MICRO_USD_PER_USD
from rune.rentals.images import OLLAMA, GpuNeeds, least_cuda_version
from rune.rentals.record import Prices

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
    memory_gb_per_second
        Of each GPU; 0 where the host states none.
    disk_mb_per_second
        0 where the host states none.
    compute_capability
        In hundredths: 890 is 8.9. 0 where the host states none.
    cuda_version
        The newest that its driver serves; 0 where the host states none.
    gpu_maker, cpu_architecture
        In Vast.ai's words, such as `nvidia` and `amd64`; empty where the host states none.
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
    memory_gb_per_second: float
    disk_mb_per_second: float
    compute_capability: int
    cuda_version: float
    gpu_maker: str
    cpu_architecture: str
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
    gpu
        What the image needs.
    """

    vram_mb: int
    disk_gb: int
    download_gb: int
    min_usd_per_hour: Decimal
    max_usd_per_hour: Decimal
    reliability_ratio: float
    port_count: int
    time_needed: timedelta
    gpu: GpuNeeds = OLLAMA

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
    FAILED_LATELY = "failed_lately"
    """It failed another job."""
    ARCHITECTURE = "architecture"
    COMPUTE_CAPABILITY = "compute_capability"
    CUDA = "cuda"
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
    TOO_LATE = "too_late"
    """The job's time would be over before the model is loaded on it."""
    COST_CAP = "cost_cap"
    """The job is expected to cost more on it than it may."""


def find_rejection_reason(
    offer: Offer,
    requirements: Requirements,
    failed_machines: Collection[int] = (),
    hosts_to_avoid: Collection[int] = (),
) -> RejectionReason | None:
    """Return the first reason against an offer, or None.

    Parameters
    ----------
    failed_machines
        Those that failed this job.
    hosts_to_avoid
        Those that failed other jobs lately.
    """
    price = offer.usd_per_hour(requirements.disk_gb)
    rejections = (
        (RejectionReason.TAKEN, not offer.is_rentable),
        (RejectionReason.FAILED_BEFORE, offer.machine_id in failed_machines),
        (RejectionReason.FAILED_LATELY, offer.machine_id in hosts_to_avoid),
        (RejectionReason.ARCHITECTURE, not _has_known_architecture(offer)),
        (
            RejectionReason.COMPUTE_CAPABILITY,
            offer.compute_capability < requirements.gpu.compute_capability,
        ),
        (
            RejectionReason.CUDA,
            offer.cuda_version < least_cuda_version(requirements.gpu, offer.compute_capability),
        ),
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


def _has_known_architecture(offer: Offer) -> bool:
    """Return whether the images run there: they are built for NVIDIA's GPUs, and tested on amd64 alone."""
    return offer.gpu_maker in ("nvidia", "") and offer.cpu_architecture in ("amd64", "x86_64", "")


def _micro(usd: Decimal) -> int:
    return int((usd * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))
