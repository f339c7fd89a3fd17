"""What runs on simulated machines: a port, a disk with models on it, and how much it has downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from local.simulators.vastai import RentedMachine, SimulatedVastai, Traffic

_FIRST_PORT = 40_000
MODEL_BYTES = {"llama3.1:8b": 4_900_000_000, "qwen3:14b": 9_300_000_000}
"""As ollama.com/library has them."""


@dataclass(slots=True)
class Disk:
    """What a contract's machine holds, from its first start until it is destroyed.

    Attributes
    ----------
    come
        Bytes of each model that are there.
    """

    machine: RentedMachine
    port: int
    is_up: bool = True
    come: dict[str, int] = field(default_factory=dict)

    def has(self, model: str) -> bool:
        return model in MODEL_BYTES and self.come.get(model) == MODEL_BYTES[model]


class MachinePark:
    """Implements `local.simulators.vastai.MachineHost`."""

    def __init__(self) -> None:
        self._disks: dict[int, Disk] = {}
        self._traffic: dict[int, Traffic] = {}
        self._started_count = 0

    def start(self, machine: RentedMachine) -> int:
        self._started_count += 1
        port = _FIRST_PORT + self._started_count
        disk = self._disks.setdefault(machine.contract_id, Disk(machine, port))
        disk.port, disk.is_up = port, True
        return port

    def stop(self, contract_id: int) -> None:
        self._disks[contract_id].is_up = False

    def forget(self, contract_id: int) -> None:
        self._disks.pop(contract_id, None)

    def traffic(self, contract_id: int) -> Traffic:
        return self._traffic.get(contract_id, Traffic())

    def count(self, disk: Disk, traffic: Traffic) -> None:
        """Bill what a machine has received and sent."""
        contract_id = disk.machine.contract_id
        self._traffic[contract_id] = self.traffic(contract_id) + traffic

    def download(self, disk: Disk, model: str, size_bytes: int) -> None:
        """Bring some of a model, and bill it."""
        disk.come[model] = disk.come.get(model, 0) + size_bytes
        self.count(disk, Traffic(size_bytes))

    def finder(self, vastai: SimulatedVastai, url: str) -> Callable[[], Disk | None]:
        """Return what tells whose server answers at an address, each time anew."""
        port = urlsplit(url).port

        def find() -> Disk | None:
            vastai.advance()
            up = (disk for disk in self._disks.values() if disk.is_up and disk.port == port)
            disk = next(up, None)
            return disk if disk is not None and vastai.now() >= disk.machine.opens_at else None

        return find
