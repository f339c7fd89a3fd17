"""What a job has cost, line by line."""

from datetime import datetime
from typing import Literal

from rune.contracts.document import Document
from rune.contracts.records import KindName, StatusName

type LineKindName = Literal["gpu", "disk", "traffic", "tokens", "aws"]


class ReceiptLine(Document):
    """One line of a receipt."""

    attempt: int | None
    """Number of the job's attempt to rent; null where it belongs to none, as of a borrowed machine."""
    phase: str
    """When it was paid for: `boot` (with the image), `pull`, `load`, `work`, `judge`, `wait` (the machine was
    there, unused), `release`, or `other` where only the sum is known. Of `aws`: `engine`, `functions`, `events`,
    `receipt`."""
    kind: LineKindName
    micro_usd: int
    """Millionths of a US dollar."""


class ReceiptMachine(Document):
    """A machine that the job has paid for."""

    rental_id: str
    attempt: int | None
    """Null for a machine that another job had rented."""
    gpu_name: str
    gpu_count: int
    price_usd_per_hour: float
    """Running, with its disk."""
    cost_usd: float
    """What it cost this job: the sum of its lines."""
    ended_because: str | None
    """Null while it is kept."""


class JobReceipt(Document):
    """What a job has cost."""

    job_id: str
    kind: KindName
    status: StatusName
    finished_at: datetime | None
    display: str
    """One sentence for people."""
    cost_usd: float
    """What providers of machines and models charge for it by RUNE's record: the sum of all lines but those of
    `aws`. It is the job's `cost_usd`, which caps and budgets count."""
    aws_usd: float
    """What it costs the deployment at AWS, by list prices: the sum of the lines of `aws`. No cap holds it."""
    total_usd: float
    """Both."""
    lines: list[ReceiptLine]
    machines: list[ReceiptMachine]
    aws_prices_as_of: str
    """The date of AWS's list prices."""
