"""Volumes: disks that outlive instances, on one machine, and bill until they are deleted."""

from dataclasses import dataclass
from decimal import Decimal

from local.simulators.vastai.bills import MICRO_USD, exact
from local.simulators.vastai.offers import SimulatedOffer
from local.simulators.vastai.wire import Json

FREEING_SECONDS = 30.0
"""From an instance's end until its volume is free."""

_FIRST_VOLUME_ID = 20_118_481
_SECONDS_PER_HOUR = 3_600


@dataclass(slots=True, kw_only=True)
class Volume:
    """One volume.

    Attributes
    ----------
    contract_id
        The instance that mounts it, or last did.
    """

    volume_id: int
    name: str
    offer: SimulatedOffer
    size_gb: float
    created_at: float
    contract_id: int | None = None

    def describe(self, *, is_in_use: bool) -> Json:
        """Return the row of a list."""
        return {
            "id": self.volume_id,
            "label": self.name,
            "status": "in-use" if is_in_use else "created",
            "machine_id": self.offer.machine_id,
            "host_id": self.offer.host_id,
            "disk_space": self.size_gb,
            "start_date": self.created_at,
            "storage_total_cost": self.offer.disk_usd_per_hour(self.size_gb),
            "instances": [self.contract_id] if is_in_use and self.contract_id is not None else [],
            "type": "machine",
        }

    def cost_usd(self, until: float) -> Decimal:
        """Return what it has cost so far."""
        seconds = exact(max(until - self.created_at, 0.0))
        usd_per_hour = exact(self.offer.disk_usd_per_hour(self.size_gb))
        return (seconds * usd_per_hour / _SECONDS_PER_HOUR).quantize(MICRO_USD)


class VolumeStore:
    """The account's volumes."""

    def __init__(self) -> None:
        self.volumes: dict[int, Volume] = {}
        self._next_id = _FIRST_VOLUME_ID
        self._closed_usd = Decimal(0)

    def cost_usd(self, now: float) -> Decimal:
        """Return what all volumes have cost so far, deleted ones too."""
        return sum((volume.cost_usd(now) for volume in self.volumes.values()), self._closed_usd)

    def usd_per_second(self) -> float:
        """Return what the volumes cost now."""
        per_hour = sum(volume.offer.disk_usd_per_hour(volume.size_gb) for volume in self.volumes.values())
        return per_hour / _SECONDS_PER_HOUR

    def remove(self, volume: Volume, now: float) -> None:
        """Delete a volume; its bill ends."""
        del self.volumes[volume.volume_id]
        self._closed_usd += volume.cost_usd(now)

    def add(self, offer: SimulatedOffer, size_gb: float, name: str | None, now: float) -> Volume:
        """Make a volume on the machine of an offer; without a name it gets one."""
        volume = Volume(
            volume_id=self._next_id,
            name=name or f"V.{self._next_id}",
            offer=offer,
            size_gb=size_gb,
            created_at=now,
        )
        self.volumes[volume.volume_id] = volume
        self._next_id += 1
        return volume
