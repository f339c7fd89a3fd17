"""What runs on a rented machine: nothing here, a real server in the local stack, a scripted one in a simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from local.simulators.vastai.offers import SimulatedOffer

SERVER_PORT = 11434
"""Ollama's, inside the container; its image exposes it."""

CLOSED_PORT = 9
"""A host port on which nothing listens."""

_FIRST_MADE_UP_PORT = 40_000
_MADE_UP_PORT_COUNT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RentedMachine:
    """A container that has started.

    Attributes
    ----------
    opens_at
        Epoch seconds from which its server accepts connections.
    """

    contract_id: int
    label: str | None
    offer: SimulatedOffer
    image: str
    env: Mapping[str, str]
    disk_gb: float
    download_bytes_per_second: float
    opens_at: float


class MachineHost(Protocol):
    """Starts and stops what runs in containers."""

    def start(self, machine: RentedMachine) -> int:
        """Start the server of a container, and return the public port at which it is reached."""
        ...

    def stop(self, contract_id: int) -> None:
        """Stop the server of a container; what it has on its disk stays until `forget`."""
        ...

    def forget(self, contract_id: int) -> None:
        """Delete the disk of a container that is stopped, for good."""
        ...

    def downloaded_bytes(self, contract_id: int) -> int:
        """Return what it has downloaded since its contract was made, besides its image."""
        ...


class MadeUpHost:
    """Hands out ports on which nothing listens, another one at every start."""

    def __init__(self) -> None:
        self._started_count = 0

    def start(self, machine: RentedMachine) -> int:
        """Return a port."""
        del machine
        self._started_count += 1
        return _FIRST_MADE_UP_PORT + self._started_count % _MADE_UP_PORT_COUNT

    def stop(self, contract_id: int) -> None:
        """Do nothing."""

    def forget(self, contract_id: int) -> None:
        """Do nothing."""

    def downloaded_bytes(self, contract_id: int) -> int:
        """Return 0."""
        del contract_id
        return 0


def starts_server(image: str, runtype: str, onstart: str, args: tuple[str, ...]) -> bool:
    """Return whether a container's own start, or what it is told to run, brings up Ollama.

    Only `args` keeps the image's entrypoint; with every other runtype an ssh server takes its place.
    """
    told = " ".join((onstart, *args))
    if runtype != "args":
        return "ollama serve" in told
    is_own_entrypoint = not onstart or onstart.endswith("ollama")
    return "ollama serve" in told or (is_own_entrypoint and "ollama" in image and args in {(), ("serve",)})
