"""A rental as the rental store keeps it; written before any money is spent."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rune.money.receipts import Charge

OLLAMA_IMAGE_BYTES = 2_000_000_000
"""Upper bound of the download of ollama/ollama: 1.9 GB compressed (https://hub.docker.com/r/ollama/ollama/tags,
versions 0.9 to 0.13)."""


class RentalState(StrEnum):
    """Where a rental stands; only the last is final."""

    INTENDED = "intended"
    """The create call may be under way, or its answer lost."""
    CREATED = "created"
    """The provider named a contract; the machine boots."""
    RUNNING = "running"
    """Its server answered."""
    KEPT = "kept"
    """Alive without a job, on purpose, until `kept_until`."""
    RELEASING = "releasing"
    """To be destroyed; it bills until that is proven."""
    RELEASED = "released"
    """Proven gone, or proven never made."""


class EndReason(StrEnum):
    """Why a rental ends, as people read it."""

    JOB_ENDED = "job_ended"
    CALLER_ENDED = "caller_ended"
    EXPIRED = "expired"
    OFFER_GONE = "offer_gone"
    CREATE_PUT_OFF = "create_put_off"
    """The provider could not take the order; the offer may be ordered again."""
    CREATE_REFUSED = "create_refused"
    CREATE_LOST = "create_lost"
    BOOT_FAILED = "boot_failed"
    BOOT_TIMEOUT = "boot_timeout"
    MODEL_FAILED = "model_failed"
    PULL_TOO_SLOW = "pull_too_slow"
    """The model came so slowly that another machine was expected to cost less."""
    MACHINE_LOST = "machine_lost"
    VANISHED = "vanished"
    ORPHANED = "orphaned"
    COST_CAP = "cost_cap"
    """Its job may cost no more."""
    DEPLOYMENT_CLOSED = "deployment_closed"
    """The operator had everything given back."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What the provider charges, in millionths of a US dollar.

    Attributes
    ----------
    gpu_micro_usd_per_hour
        From the moment the container runs.
    disk_micro_usd_per_hour
        From the contract's creation, whether or not the container runs.
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
class Alternative:
    """The next best offer of another machine, when this one was chosen.

    Attributes
    ----------
    mbit_per_second
        With which it was reckoned to download.
    """

    mbit_per_second: int
    micro_usd_per_hour: int
    download_micro_usd_per_gb: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a job was expected to take on a machine, when that was chosen.

    Attributes
    ----------
    class_gb
        The class of GPU memory that was searched for, in GiB.
    micro_usd
        The cost of one try, in millionths of a dollar, without the time for which the machine is kept.
    """

    class_gb: int
    micro_usd: int
    boot_ms: int
    pull_ms: int
    load_ms: int
    work_ms: int


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
    """One attempt to rent a machine. None means not known, or not yet.

    Attributes
    ----------
    label
        The machine's name at the provider: unique, and the only sign by which RUNE recognizes its machines.
    job_id, attempt
        The job that rented it, and which of its attempts this was.
    holder
        The job that uses it now; None for a rental that is kept or gone.
    held_since
        When the holder began to use it; the holder's share of the bill starts there.
    unfit_for
        The job that borrowed it last and could not use it.
    model
        The model that it was rented for.
    pulling_model
        The model of the latest download to it, complete or not; another than `model` where a job has borrowed it.
    template_hash
        The provider's template that it was made from, if any.
    choice
        Why this machine was chosen, in a sentence.
    alternative
        None where no other machine fitted.
    expected
        What its job was expected to take on it; None where a version without it has written.
    parallel_count
        Requests that its server was told to answer at a time; 0 where a template says how many.
    image_bytes
        Upper bound of the download of its image.
    model_bytes
        Upper bound of the download of the model that its holder needs; 0 where a version without it has written.
    reserved_micro_usd
        What of the account's credit is reserved for it as long as it is alive.
    is_credit_short
        Whether that is less than it might cost. Then the reservation ends its job, as a cap does.
    budget_at
        When the job was accepted for which it was rented: it is booked to the budgets of that day and month. None
        where nothing is reserved for that job.
    budget_micro_usd
        What the budgets hold reserved for it while it is kept.
    of_job_micro_usd
        What of its cost its job's end books: what it had cost when it was kept, or when it was called gone before
        it came back. None where that is all of it.
    booked_micro_usd
        That, and what its own end has booked.
    mbit_per_second
        How fast it downloads: as its offer states, or more where it was seen to be faster. None where a version
        without it has written.
    account_id
        The provider's account that pays; None for a rental of an earlier version, and where no key may read it.
    missed_at
        When the first listing began that lacked the machine of an order whose contract is not known, though it
        should have shown it by then.
    last_seen_stopped_at
        Latest moment at which it was seen not running; its GPU is counted as billed from there.
    first_seen_running_at
        When it was first seen running, though its server may not have answered.
    downloaded_bytes
        Size of all completed downloads of models.
    pulling_bytes
        Upper bound of the download under way, or of one that was broken off; 0 where there is none.
    pulled_bytes, pulled_at
        How much of that had come, and when that was seen; None where a version without it has written.
    borrowed_from_bytes
        How many bytes of models it had received when a job borrowed it last; what came later is that job's.
    used_by, used_micro_usd
        The job that borrowed it last and no longer has it, and what all that it has borrowed has cost the job.
    used_before_micro_usd
        What a borrower's earlier machines had cost it when it took this one.
    kept_until, ceiling_at
        When a kept machine ends, and the latest moment to which that can be moved.
    destroy_asked_at
        When the provider last answered an order to destroy the machine.
    destroyed_at
        When the provider last took such an order, which is no proof.
    absent_at
        When neither a listing nor a read of the machine showed it first, after the provider had taken the order to
        destroy it. It is too fresh for that to be proof, but if it is proven gone later, it was gone by then. None
        again once a look shows it.
    has_self_destruct
        Whether it was ordered with a script that destroys it some time after `ceiling_at`. Whether that runs is not
        known: an image may lack what it needs.
    self_destruct_seen_at
        When the script was seen to have started.
    is_guarded
        Whether it was ordered with a key of its own in front of its server (`rune.rentals.guard`).
    is_open
        Whether anyone who finds the address can use the server, since it asks for no credential. False only once a
        request without the key was refused.
    due_at
        Present until the rental is proven gone, as one that may bill. Then it is when the provider's charges are to
        be read next, and absent once that is done. The index has a bucket for each.
    cost_micro_usd
        The whole bill; written when the rental is proven gone.
    billed
        What the provider charged; None until that was read.
    charge_problem
        Why it is not known, as a `ChargeProblem`; None where it is, or was not read yet.
    charge_reading_count
        How often charges were read for it since it was proven gone.
    over_micro_usd
        By how much the charge exceeds `cost_micro_usd`; the budgets have booked it.
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
    unfit_for: str | None = None
    model: str | None = None
    pulling_model: str | None = None
    template_hash: str | None = None
    choice: str | None = None
    alternative: Alternative | None = None
    expected: Expected | None = None
    image_bytes: int = OLLAMA_IMAGE_BYTES
    parallel_count: int = 1
    model_bytes: int = 0
    reserved_micro_usd: int = 0
    is_credit_short: bool = False
    budget_at: datetime | None = None
    budget_micro_usd: int = 0
    of_job_micro_usd: int | None = None
    booked_micro_usd: int | None = None
    mbit_per_second: int | None = None
    account_id: int | None = None
    contract_id: int | None = None
    missed_at: datetime | None = None
    url: str | None = None
    last_seen_stopped_at: datetime | None = None
    first_seen_running_at: datetime | None = None
    running_at: datetime | None = None
    downloaded_bytes: int = 0
    pulling_bytes: int = 0
    pulled_bytes: int = 0
    pulled_at: datetime | None = None
    borrowed_from_bytes: int | None = None
    used_by: str | None = None
    used_micro_usd: int = 0
    used_before_micro_usd: int = 0
    kept_until: datetime | None = None
    end_reason: EndReason | None = None
    end_detail: str | None = None
    release_asked_at: datetime | None = None
    destroy_asked_at: datetime | None = None
    destroyed_at: datetime | None = None
    absent_at: datetime | None = None
    released_at: datetime | None = None
    cost_micro_usd: int | None = None
    billed: Charge | None = None
    charge_problem: str | None = None
    charge_reading_count: int = 0
    over_micro_usd: int = 0
    has_self_destruct: bool = False
    self_destruct_seen_at: datetime | None = None
    is_guarded: bool = False
    is_open: bool = True
    expires_at: datetime | None = None

    @property
    def was_seen(self) -> bool:
        """Whether a listing has shown the machine."""
        seen = (self.last_seen_stopped_at, self.first_seen_running_at, self.running_at)
        return any(moment is not None for moment in seen)

    @property
    def destroys_itself(self) -> bool | None:
        """Whether the machine would also end without RUNE; None where that was not shown."""
        if not self.has_self_destruct:
            return False
        return None if self.self_destruct_seen_at is None else True

    def is_used_by(self, job_id: str) -> bool:
        """Return whether the machine boots or runs for the job."""
        return self.state in (RentalState.CREATED, RentalState.RUNNING) and self.holder == job_id

    @property
    def is_borrowed(self) -> bool:
        """Whether another job than the one that rented it uses the machine: it was kept before."""
        return self.state is RentalState.RUNNING and self.holder not in (None, self.job_id)

    @property
    def has_foreign_image(self) -> bool:
        """Whether it is made from a caller's template with another image than Ollama's."""
        return self.template_hash is not None and self.image_bytes > OLLAMA_IMAGE_BYTES

    @property
    def is_alive(self) -> bool:
        """Whether the machine may exist and bill."""
        return self.state is not RentalState.RELEASED


def make_rental_id(job_id: str, attempt: int) -> str:
    """Return the id of a job's attempt."""
    return f"{job_id}-{attempt}"


def parse_rental_id(rental_id: str) -> tuple[str, int] | None:
    """Return job and attempt; None for text that is not a rental's id."""
    match = re.fullmatch(r"([0-9a-f]{32})-([0-9]{1,4})", rental_id)
    return None if match is None else (match[1], int(match[2]))
