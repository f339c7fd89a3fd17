"""What runs on simulated machines: a port, a disk with models on it, and how much it has downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from local.simulators.vastai import RentedMachine, SimulatedVastai, Traffic

_FIRST_PORT = 40_000
MODEL_BYTES = {"llama3.1:8b": 4_900_000_000, "qwen3:14b": 9_300_000_000}
"""As ollama.com/library has them."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A piece of a model that comes with the machine's bandwidth.

    Attributes
    ----------
    since
        Epoch seconds.
    """

    model: str
    since: float
    most_bytes: int


@dataclass(slots=True)
class Disk:
    """What a contract's machine holds, from its first start until it is destroyed.

    Attributes
    ----------
    come
        Bytes of each model that are there.
    flow
        What comes now.
    """

    machine: RentedMachine
    port: int
    is_up: bool = True
    come: dict[str, int] = field(default_factory=dict)
    flow: Flow | None = None

    def has(self, model: str) -> bool:
        return model in MODEL_BYTES and self.come.get(model) == MODEL_BYTES[model]


class MachinePark:
    """Implements `local.simulators.vastai.MachineHost`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
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
        counted = self._traffic.get(contract_id, Traffic())
        disk = self._disks.get(contract_id)
        return counted if disk is None else counted + Traffic(self._flown_bytes(disk, self._now()))

    def count(self, disk: Disk, traffic: Traffic) -> None:
        """Bill what a machine has received and sent."""
        contract_id = disk.machine.contract_id
        self._traffic[contract_id] = self._traffic.get(contract_id, Traffic()) + traffic

    def begin_flow(self, disk: Disk, model: str, most_bytes: int) -> None:
        """Let a piece of a model begin to come; it counts as it comes, until it is all there or is cut off."""
        disk.flow = Flow(model, self._now(), most_bytes)

    def cut_flow(self, disk: Disk, *, after_seconds: float = 0.0) -> None:
        """Let no more come than has come by now, or somewhat later; what has come stays."""
        if disk.flow is not None:
            flown_bytes = self._flown_bytes(disk, self._now() + after_seconds)
            flow, disk.flow = disk.flow, None
            disk.come[flow.model] = disk.come.get(flow.model, 0) + flown_bytes
            self.count(disk, Traffic(flown_bytes))

    def _flown_bytes(self, disk: Disk, now: float) -> int:
        if disk.flow is None:
            return 0
        seconds = max(0.0, now - disk.flow.since)
        return min(disk.flow.most_bytes, round(seconds * disk.machine.download_bytes_per_second))

    def finder(self, vastai: SimulatedVastai, url: str) -> Callable[[], Disk | None]:
        """Return what tells whose server answers at an address, each time anew."""
        port = urlsplit(url).port

        def find() -> Disk | None:
            vastai.advance()
            up = (disk for disk in self._disks.values() if disk.is_up and disk.port == port)
            disk = next(up, None)
            return disk if disk is not None and vastai.now() >= disk.machine.opens_at else None

        return find
