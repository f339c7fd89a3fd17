"""What Vast.ai reports about a machine, and how far that machine has booted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from rune.rentals.record import Rental

REPORT_TIMEOUT = timedelta(seconds=120)
"""How long a host may stay silent; none has been seen to report after that
(https://github.com/skypilot-org/skypilot, provision/vast)."""

PORT_TIMEOUT = timedelta(seconds=45)
"""How long a running machine may lack its port or a server behind it: the mapping comes some seconds after the
container runs, and the server starts in seconds."""

CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of two workers may differ. A listing that another worker began counts as later than an event
only beyond that."""

LONGEST_STATUS = 160


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine of a listing. States are Vast.ai's own words, None where it gives none.

    Attributes
    ----------
    host_ports
        Public port by container port, such as `{"11434/tcp": 40123}`.
    micro_usd_per_hour
        Its price while it runs, with its disk, in millionths of a dollar.
    """

    contract_id: int
    label: str | None
    machine_id: int | None = None
    actual_status: str | None = None
    intended_status: str | None = None
    cur_state: str | None = None
    next_state: str | None = None
    status_text: str = ""
    address: str | None = None
    host_ports: Mapping[str, int] = field(default_factory=dict)
    micro_usd_per_hour: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether the container runs; the server in it may not answer yet."""
        return self.actual_status == "running"

    def url(self, container_port: int) -> str | None:
        """Return where a port of the container is reached; None while it is not mapped."""
        host_port = self.host_ports.get(f"{container_port}/tcp")
        if not self.is_running or host_port is None or not self.address:
            return None
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{host_port}"


@dataclass(frozen=True, slots=True)
class Listing:
    """All machines of the account, from one complete answer.

    Attributes
    ----------
    begun_at
        When the first page was asked for: a machine that was gone by then is not in it.
    key_mark
        Which key all its pages were read with, without telling the key.
    account_id
        The account of that key; None where it could not be read.
    unshown
        Contracts that it lacks, and that a later read of the machine itself with the same key did not show.
    """

    begun_at: datetime
    instances: tuple[Instance, ...]
    key_mark: str = ""
    account_id: int | None = None
    unshown: frozenset[int] = frozenset()

    def find(self, rental: Rental) -> Instance | None:
        """Return the rental's machine, by contract and else by label."""
        by_contract = (i for i in self.instances if i.contract_id == rental.contract_id)
        by_label = (i for i in self.instances if i.label == rental.label)
        return next(by_contract, None) or next(by_label, None)


class BootState(StrEnum):
    """How far a machine is."""

    WAITING = "waiting"
    REACHABLE = "reachable"
    """It runs and its port is mapped: its server can be asked."""
    FAILED = "failed"
    """It will not run; another machine is needed."""


# Container states that a booting machine does not leave by itself (https://github.com/skypilot-org/skypilot,
# https://github.com/dstackai/dstack).
_FINAL_STATES = frozenset({"exited", "unknown", "offline", "stopped", "frozen"})
_IMAGE_FAILED = re.compile(
    r"manifest unknown|failed to resolve reference|pull access denied|repository does not exist|unauthorized: "
    r"|oci runtime create failed|no space left",
    re.IGNORECASE,
)


def find_boot_state(rental: Rental, instance: Instance, port: int, now: datetime) -> tuple[BootState, str]:
    """Return how far the machine has booted, and in a few words why it failed."""
    if has_stopped(instance):
        return BootState.FAILED, describe_state(instance)
    if not instance.is_running and _IMAGE_FAILED.search(instance.status_text):
        return BootState.FAILED, describe_state(instance)
    if (
        instance.actual_status is None
        and not instance.status_text
        and now - rental.intended_at > REPORT_TIMEOUT
    ):
        return BootState.FAILED, "host never reported"
    if instance.url(port) is not None:
        return BootState.REACHABLE, ""
    return BootState.WAITING, ""


def has_stopped(instance: Instance) -> bool:
    """Return whether a machine that should run has stopped: crashed, offline, outbid, or without credit."""
    stopped_by_provider = instance.cur_state == instance.intended_status == instance.next_state == "stopped"
    return stopped_by_provider or instance.actual_status in _FINAL_STATES


def describe_state(instance: Instance) -> str:
    """Return the machine's state and the provider's status text, at most 160 characters of it."""
    words = " ".join(instance.status_text.split())[:LONGEST_STATUS]
    state = instance.actual_status or "not reported"
    return f"{state}: {words}" if words else state
