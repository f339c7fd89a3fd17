"""What `dry_run` answers."""

from typing import Literal

from rune.contracts.document import Document
from rune.contracts.estimates import RentalEstimate
from rune.contracts.records import KindName
from rune.contracts.usage import BudgetLeft


class JobPlan(Document):
    """What would follow if the job were posted now. Nothing was spent or stored, and nothing is reserved."""

    dry_run: Literal[True] = True
    kind: KindName
    rents: bool
    """Whether a machine would be rented."""
    would_wait: bool
    """Whether it would wait for a slot."""
    waits_for: str | None
    """What it would wait for; null where it would begin at once."""
    queue_position: int | None
    """Which of your tenant's waiting jobs it would be, 1 for the next; null as above."""
    queue_wait_seconds: int | None
    """About how long, by how long your tenant's latest jobs took; null as above, and where no job has ended yet."""
    queue_timeout_seconds: int
    """How long it might wait to be begun."""
    max_runtime_seconds: int
    """How long it might run."""
    point_count: int | None
    """Points that a benchmark measures at most; null for other jobs."""
    longest_measuring_seconds: int | None
    """How long these may take, each with all of its time; what is beyond `max_runtime_seconds` is not measured."""
    max_cost_usd: float | None
    """What it might cost at most, and what would be reserved in the budgets; null where it costs nothing."""
    estimate: RentalEstimate | None
    """What it would cost, and the offer; null for a job that rents nothing."""
    budgets_after: list[BudgetLeft]
    """Your tenant's budgets, as they would be once the job is accepted."""
    warnings: list[str]
    """What would be done otherwise than asked, by name."""
