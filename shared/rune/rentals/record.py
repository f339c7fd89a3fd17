"""A rental as the rental store keeps it, written before any money is spent."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MICRO_USD_PER_USD = 1_000_000

OLLAMA_IMAGE_BYTES = 2_000_000_000
"""What ollama/ollama takes on the wire, at most: 1.9 GB compressed (Docker Hub, 0.9 to 0.13)."""

_LABEL = re.compile(r"rune-(?P<stage>.+)-(?P<job_id>[0-9a-f]{32})-(?P<attempt>[0-9]{1,4})")


class RentalState(StrEnum):
    """Where a rental stands; only the last is final."""

    INTENDED = "intended"
    """Written down; the create call may be under way, or its answer lost."""
    CREATED = "created"
    """The provider named a contract; the machine boots."""
    RUNNING = "running"
    """Its server answered."""
    KEPT = "kept"
    """No job's any more: alive on purpose, until `kept_until`."""
    RELEASING = "releasing"
    """To be destroyed; it bills until that is proven."""
    RELEASED = "released"
    """Proven gone, or never made."""


class EndReason(StrEnum):
    """Why a rental is given back; the first word of what people read."""

    JOB_ENDED = "job_ended"
    CALLER_ENDED = "caller_ended"
    EXPIRED = "expired"
    OFFER_GONE = "offer_gone"
    CREATE_PUT_OFF = "create_put_off"
    """The provider could not take the order; the machine is not to blame."""
    CREATE_REFUSED = "create_refused"
    CREATE_LOST = "create_lost"
    BOOT_FAILED = "boot_failed"
    BOOT_TIMEOUT = "boot_timeout"
    MODEL_FAILED = "model_failed"
    MACHINE_LOST = "machine_lost"
    VANISHED = "vanished"
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class Prices:
    """What the provider charges, in millionths of a US dollar.

    Attributes
    ----------
    gpu_micro_usd_per_hour
        From the moment the container runs.
    disk_micro_usd_per_hour
        From the contract's creation, whatever runs.
    download_micro_usd_per_gb
        For what the machine receives.
    """

    gpu_micro_usd_per_hour: int
    disk_micro_usd_per_hour: int
    download_micro_usd_per_gb: int

    @property
    def micro_usd_per_hour(self) -> int:
        """The price of a running machine."""
        return self.gpu_micro_usd_per_hour + self.disk_micro_usd_per_hour


@dataclass(frozen=True, slots=True)
class Machine:
    """What was rented, as the offer described it."""

    offer_id: int
    machine_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    disk_gb: int
    reliability_percent: int
    place: str


@dataclass(frozen=True, slots=True)
class Rental:
    """One attempt to rent a machine, and what became of it. None means not (yet) known.

    Attributes
    ----------
    label
        What the machine is called at the provider: unique, and the only sign by which RUNE knows its own.
    job_id, attempt
        The job that rented it, and which of its attempts this was.
    holder
        The job that uses it now; None for one that is kept or gone.
    held_since
        When the holder began; its share of the bill starts there.
    model
        The model that was put on it.
    template_hash
        The provider's template it was made from, if any.
    image_bytes
        The most that its image takes on the wire.
    last_seen_stopped_at
        Latest moment at which it was seen not running; its GPU is counted as billed from there.
    first_seen_running_at
        When it was first seen running, though its server may not have answered.
    downloaded_bytes
        What all downloads of models took that are complete.
    pulling_bytes
        The most that the one under way may take; 0 where there is none.
    kept_until, ceiling_at
        When it ends without anybody asking, and the latest moment to which that can be put off.
    destroyed_at
        When the provider last said that it destroys the machine; that is a word, and no proof.
    has_self_destruct
        Whether the machine destroys itself some time after `ceiling_at`.
    is_open
        Whether anybody who finds the address may use the server, since it asks for no credential.
    due_at
        Present as long as the rental is not proven gone: the index of what may be alive.
    cost_micro_usd
        The whole bill; written when the rental is proven gone.
    """

    rental_id: str
    label: str
    tenant: str
    job_id: str
    attempt: int
    state: RentalState
    version: int
    intended_at: datetime
    updated_at: datetime
    machine: Machine
    prices: Prices
    ceiling_at: datetime
    due_at: datetime | None = None
    holder: str | None = None
    held_since: datetime | None = None
    model: str | None = None
    template_hash: str | None = None
    image_bytes: int = OLLAMA_IMAGE_BYTES
    contract_id: int | None = None
    url: str | None = None
    last_seen_stopped_at: datetime | None = None
    first_seen_running_at: datetime | None = None
    running_at: datetime | None = None
    downloaded_bytes: int = 0
    pulling_bytes: int = 0
    kept_until: datetime | None = None
    end_reason: EndReason | None = None
    end_detail: str | None = None
    release_asked_at: datetime | None = None
    destroyed_at: datetime | None = None
    released_at: datetime | None = None
    cost_micro_usd: int | None = None
    has_self_destruct: bool = False
    is_open: bool = True
    expires_at: datetime | None = None

    @property
    def was_seen(self) -> bool:
        """Whether a listing has shown the machine."""
        seen = (self.last_seen_stopped_at, self.first_seen_running_at, self.running_at)
        return any(moment is not None for moment in seen)

    def is_used_by(self, job_id: str) -> bool:
        """Whether the machine boots or runs for the job."""
        return self.state in (RentalState.CREATED, RentalState.RUNNING) and self.holder == job_id

    @property
    def is_alive(self) -> bool:
        """Whether the machine may exist and bill."""
        return self.state is not RentalState.RELEASED


@dataclass(frozen=True, slots=True)
class LabelParts:
    """What a label says."""

    stage: str
    job_id: str
    attempt: int

    @property
    def rental_id(self) -> str:
        """The id of the rental that carries the label."""
        return make_rental_id(self.job_id, self.attempt)


def make_rental_id(job_id: str, attempt: int) -> str:
    """Return the id of a job's attempt."""
    return f"{job_id}-{attempt}"


def make_label(stage: str, job_id: str, attempt: int) -> str:
    """Return the label of a job's attempt; `parse_label` reads it back."""
    return f"rune-{stage}-{job_id}-{attempt}"


def parse_label(label: str | None) -> LabelParts | None:
    """Return what a label of RUNE's says; None for anybody else's."""
    match = _LABEL.fullmatch(label or "")
    return None if match is None else LabelParts(match["stage"], match["job_id"], int(match["attempt"]))


def parse_rental_id(rental_id: str) -> tuple[str, int] | None:
    """Return job and attempt, or None for what is no rental's id."""
    match = re.fullmatch(r"([0-9a-f]{32})-([0-9]{1,4})", rental_id)
    return None if match is None else (match[1], int(match[2]))
