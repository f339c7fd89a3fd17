"""What is kept of a job in the archive: one document on one line, for queries over many jobs.

Its members are the columns of a table (template.yaml), so each has one type for good. Members may be added; a
changed type would make earlier lines unreadable.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import ConfigDict, PlainSerializer

from rune.contracts.document import Document
from rune.contracts.records import KindName, StatusName

SCHEMA_VERSION = "1.0"
"""Its second number rises where members are added."""


def _to_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


type Instant = Annotated[datetime, PlainSerializer(_to_text, return_type=str)]
"""In UTC with three digits of milliseconds, so that texts sort as instants do."""


class ArchivedJob(Document):
    """A job that has ended."""

    model_config = ConfigDict(extra="ignore")

    schema_version: str = SCHEMA_VERSION
    tenant: str
    kind: KindName
    day: str
    """On which it ended, in UTC, as `yyyy-mm-dd`."""
    job_id: str
    status: StatusName
    model: str | None
    """As the request names it; null where it names none."""
    backend_type: str | None
    """`ollama`, `openai` or `bedrock`, as the request says it; null where nothing says."""
    created_at: Instant
    started_at: Instant | None
    """When a worker took its first turn; null where none did."""
    finished_at: Instant
    waited_ms: int
    """From its acceptance to its first turn, or to its end where it had none."""
    ran_ms: int | None
    """From its first turn to its end."""
    phases_ms: dict[str, int]
    """Time by phase, such as `boot`, `load` and `measure`."""
    rents: bool
    """Whether machines may have been rented for it."""
    rental_id: str | None
    """The rental that it used last."""
    cost_usd: Decimal | None
    """What its rented machines have cost, to the millionth, as text; null for a job that rents none."""
    error: str | None
    """Why it failed, as one sentence."""
    error_code: str | None
    error_stage: str | None
    error_retryable: bool | None
    warnings: list[str]
    result: str | None
    """The result as `GET /v1/jobs/{job_id}` shows it, as the text of a JSON document; null without one."""
