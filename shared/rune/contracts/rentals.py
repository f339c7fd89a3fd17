"""What callers get about rented machines, and send to keep one."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import Document


class RentalRecord(Document):
    """A machine that RUNE rents for you now."""

    rental_id: str
    state: Literal["intended", "created", "running", "kept", "releasing"]
    """`running` is used by a job, `kept` by none; `releasing` is being destroyed."""
    job_id: str
    """The job that rented it."""
    used_by_job_id: str | None
    """The job that uses it now."""
    contract_id: int | None
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    model: str | None
    backend_url: str | None
    price_usd_per_hour: float
    cost_usd: float
    """So far, in USD."""
    rented_at: datetime
    kept_until: datetime | None
    """When RUNE destroys it by itself; null while a job has it."""
    ceiling_at: datetime
    """The latest moment to which that can be put off."""
    is_open_to_the_world: bool
    """Whether anybody who finds the address can use the server: it asks for no credential."""
    destroys_itself: bool | None
    """Whether the machine would also end without RUNE; null where that was not shown."""


class RentalList(Document):
    """Your rented machines, oldest first."""

    rentals: list[RentalRecord]


class RentalExtension(Document):
    """How much longer a kept machine is to stay."""

    keep_seconds: int = Field(ge=60, le=604_800)
    """Seconds from now."""
