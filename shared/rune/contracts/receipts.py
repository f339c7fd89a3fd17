"""What a job has cost, line by line."""

from datetime import date, datetime
from typing import Literal

from rune.contracts.document import Document
from rune.contracts.records import KindName, StatusName

type LineKindName = Literal["gpu", "disk", "traffic", "tokens", "aws"]


class ReceiptLine(Document):
    """One line of a receipt."""

    attempt: int | None
    """Number of the job's attempt to rent; null where it belongs to none."""
    phase: str
    """When it was paid for: `boot` (with the image), `pull`, `load`, `work`, `judge`, `wait` (the machine was
    there, unused), `release`, or `other` where only the sum is known. Of `aws`: `engine`, `functions`, `events`,
    `receipt`."""
    kind: LineKindName
    micro_usd: int
    """Millionths of a US dollar."""
    usd: float


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
    """What it cost this job."""
    ended_because: str | None
    """Null while it is kept."""
    rental_cost_usd: float | None
    """What it cost from its order to its proven end, by RUNE's record, for all jobs that used it; null before that,
    and where the rental is forgotten."""
    billed_usd: float | None
    """What the provider charged for all of that; null until that was read."""


class JobReceipt(Document):
    """What a job has cost."""

    job_id: str
    kind: KindName
    status: StatusName
    finished_at: datetime
    display: str
    """One sentence for people."""
    cost_usd: float
    """What providers of machines and models charge for it by RUNE's record: the sum of all lines but those of
    `aws`. It is the job's `cost_usd`, which caps and budgets count."""
    aws_usd: float
    """What it cost the deployment at AWS, by list prices: the sum of the lines of `aws`. No cap holds it."""
    total_usd: float
    """Both."""
    billed_usd: float | None
    """What the provider charged for the job's machines, all together. Null until all of it was read, which is the
    next day at the earliest, and for good where the provider's key may not read charges. Null too where a machine
    was kept or borrowed, since then the charge is for others' use as well; see `machines`."""
    lines: list[ReceiptLine]
    machines: list[ReceiptMachine]
    aws_prices_as_of: date
