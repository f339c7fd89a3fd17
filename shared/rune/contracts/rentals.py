"""What callers get about rented machines, and send to keep one."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import Document

type RentalStateName = Literal["intended", "created", "running", "kept", "releasing", "released"]


class RentalRecord(Document):
    """A machine that RUNE rents for you, or has rented in the last 30 days."""

    rental_id: str
    state: RentalStateName
    """`running` is used by a job, `kept` by none; `releasing` is being destroyed; `released` is proven gone."""
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
    """In USD: so far, without what is not known yet; of one that is proven gone, its whole bill. It never falls."""
    rented_at: datetime
    kept_until: datetime | None
    """When RUNE destroys it by itself; null while a job has it."""
    ceiling_at: datetime
    """The latest moment to which that can be put off."""
    is_open_to_the_world: bool
    """Whether anybody who finds the address can use the server: it asks for no credential."""
    destroys_itself: bool | None
    """Whether the machine would also end without RUNE; null where that was not shown."""

    billed_usd: float | None = None
    """What the provider charged for it; read from the day after its end on, null while that is not known."""
    released_at: datetime | None = None
    """When it was proven gone; null before."""
    end_reason: str | None = None
    """Why it ends or has ended, as a stable name such as `expired`; null before."""


class RentalList(Document):
    """Your rented machines: those that are not proven gone, oldest first; ended ones, newest first."""

    rentals: list[RentalRecord]
    next_cursor: str | None = None
    """What to send as `cursor` for older ones that have ended; null where there are none."""


class RentalKey(Document):
    """The key of a machine's server. Keep it secret: it is in no other answer, event or log."""

    rental_id: str
    backend_url: str | None
    """Where the server is; null while the machine boots."""
    key: str
    authorization: str
    """The header `Authorization` of each request to it."""


class RentalExtension(Document):
    """How much longer a kept machine is to stay."""

    keep_seconds: int = Field(ge=60, le=604_800)
    """Seconds from now."""
