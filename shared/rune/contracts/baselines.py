"""Baselines: benchmarks under names, which later ones are held against."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from rune.contracts.document import Document

BASELINE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class BaselineRequest(Document):
    """Which benchmark a baseline stands for."""

    job_id: Annotated[str, Field(min_length=1, max_length=64)]
    """An own benchmark that succeeded. Its report is copied, so the job may expire."""


class BaselineRecord(Document):
    """A baseline."""

    name: str
    job_id: str
    """Whose report it is; the job may be gone."""
    model: str | None
    created_at: datetime
    updated_at: datetime
    """When it was last set."""


class BaselineList(Document):
    """The tenant's baselines by name; at most 50."""

    baselines: list[BaselineRecord]
