"""What a job has cost, line by line."""

from datetime import datetime
from typing import Literal

from rune.contracts.document import Document
from rune.contracts.records import KindName, StatusName

type NoticeCode = Literal["charges_pending", "charges_not_allowed", "charges_not_there", "machine_shared"]
type LineKindName = Literal["gpu", "disk", "traffic", "tokens", "aws"]


class ReceiptLine(Document):
    """One line of a receipt."""

    attempt: int | None
    """Number of the job's attempt to rent; null where it belongs to none, as of a borrowed machine."""
    phase: str
    """When it was paid for: `boot` (with the image), `pull`, `load`, `work`, `judge`, `wait` (the machine was
    there, unused), `release`, `late` (after the job's end: a machine came back or was made late), or `other` where
    only the sum is known. `charged` is by how much the provider's charge, read the day after, differs from the
    other lines of its kind. Of `aws`: `engine`, `functions`, `events`, `receipt`."""
    kind: LineKindName
    micro_usd: int
    """Millionths of a US dollar; of `charged` it may be negative."""
    is_estimate: bool = False
    """Whether it is RUNE's record of a machine, of which it is not known yet what the provider charged."""


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
    billed_usd: float | None = None
    """What the provider charged for it; null while that is not known, and where others have used it too."""
    ended_because: str | None
    """Null where it was kept; its rental says why it ended."""


class ReceiptNotice(Document):
    """Something that the figures do not say by themselves."""

    code: NoticeCode
    message: str


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
    `aws` and those `charged`. But for lines in the phase `late` it is the job's `cost_usd`."""
    billed_usd: float | None = None
    """What the provider of machines really charged, read from the day after on; null while that is not known, which
    `notices` explain, and for a job without machines of its own."""
    aws_usd: float
    """What it costs the deployment at AWS, by list prices: the sum of the lines of `aws`. No cap holds it."""
    total_usd: float
    """The sum of all lines: both, with what the provider charged as soon as that is known."""
    lines: list[ReceiptLine]
    machines: list[ReceiptMachine]
    notices: list[ReceiptNotice]
    aws_prices_as_of: str
    """The date of AWS's list prices."""
