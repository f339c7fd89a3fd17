"""What runs on a rented machine: a simulated Ollama in the local stack, a scripted server in a simulation."""

import gzip
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from local.simulators.vastai.offers import SimulatedOffer

SERVER_PORT = 11434
"""Ollama's, inside the container; its image exposes it."""

DIGEST_VARIABLE = "RUNE_KEY_SHA256"
HOST_VARIABLE = "OLLAMA_HOST"

CLOSED_PORT = 9
"""A host port on which nothing listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RentedMachine:
    """A container that has started.

    Attributes
    ----------
    opens_at
        Epoch seconds from which its server accepts connections.
    key_digest
        SHA-256 of the key that its proxy asks for, in hexadecimal; None for a server that is open.
    """

    contract_id: int
    label: str | None
    offer: SimulatedOffer
    image: str
    env: Mapping[str, str]
    disk_gb: float
    download_bytes_per_second: float
    opens_at: float
    key_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that a container has received and sent, without its image."""

    received_bytes: int = 0
    sent_bytes: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        """Return both together."""
        return Traffic(self.received_bytes + other.received_bytes, self.sent_bytes + other.sent_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Steady traffic of strangers with an open port, for as long as the machine runs.

    Attributes
    ----------
    since
        Epoch seconds.
    """

    since: float
    received_bytes_per_second: float = 0.0
    sent_bytes_per_second: float = 0.0


class MachineHost(Protocol):
    """Runs the containers of rented machines."""

    def start(self, machine: RentedMachine) -> int:
        """Start the server of a container, and return its public port."""
        ...

    def stop(self, contract_id: int) -> None:
        """Stop the server of a container; its disk stays until `forget`."""
        ...

    def forget(self, contract_id: int) -> None:
        """Delete the disk of a stopped container."""
        ...

    def traffic(self, contract_id: int) -> Traffic:
        """Return the container's traffic since its contract was made."""
        ...


def finds_key(key_digest: str, key: str | None) -> bool:
    """Return whether a key is the one of which a proxy has the digest."""
    return key is not None and sha256(key.encode()).hexdigest() == key_digest


def starts_proxy(runtype: str, args: tuple[str, ...]) -> bool:
    """Return whether a container's script starts the proxy that asks for a key, by what the script unpacks."""
    packed = re.search(r"echo (\S+) \| base64 -d \| gzip -dc", " ".join(args)) if runtype == "args" else None
    if packed is None:
        return False
    program = gzip.decompress(b64decode(packed[1])).decode()
    return DIGEST_VARIABLE in program and "accept" in program and "perl -e" in " ".join(args)


def listens_on_loopback(host: str) -> bool:
    """Return whether an `OLLAMA_HOST` keeps Ollama from being reached by the mapped port."""
    return host.startswith(("127.", "localhost"))


def starts_server(image: str, runtype: str, onstart: str, args: tuple[str, ...]) -> bool:
    """Return whether a container starts Ollama, by its entrypoint or by its command.

    Only `args` keeps the image's entrypoint; every other runtype replaces it by an ssh server.
    """
    command = " ".join((onstart, *args))
    if runtype != "args":
        return "ollama serve" in command
    is_own_entrypoint = not onstart or onstart.endswith("ollama")
    return "ollama serve" in command or (is_own_entrypoint and "ollama" in image and args in {(), ("serve",)})
