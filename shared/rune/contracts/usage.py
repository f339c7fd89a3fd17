"""What callers get about what they have used."""

from datetime import date, datetime
from typing import Literal

from rune.contracts.document import Document


class UsedCounts(Document):
    """What jobs have used that ended; also those that failed."""

    job_count: int
    succeeded_count: int
    run_seconds: int
    """From a job's first step to its end, of all jobs together."""
    cost_usd: float
    """What they cost, rented machines and tokens."""
    token_cost_usd: float
    """The part of it for tokens of Amazon Bedrock, by list price."""


class UsedOfDay(UsedCounts):
    """The part of one day."""

    day: date
    """In UTC. A job counts on the day on which it ended."""


class UsedOfKind(UsedCounts):
    """The part of one kind of job."""

    kind: str


class UsedOfModel(UsedCounts):
    """The part of one model."""

    model: str | None
    """Null for jobs that named none, and for those accepted before RUNE noted it."""


class BudgetLeft(Document):
    """A budget as it is now."""

    window: Literal["day", "month"]
    """In UTC."""
    limit_usd: float
    spent_usd: float
    """What jobs that were accepted in this window have cost, and the machines that they left running."""
    reserved_usd: float
    """What jobs that have not ended, and machines that are kept, may still cost."""
    remaining_usd: float
    """What new jobs may reserve; 0 where more was spent than the limit."""
    renews_at: datetime


class UsageReport(Document):
    """What a tenant's jobs have used, and what is left of its budgets."""

    first_day: date
    last_day: date
    totals: UsedCounts
    by_day: list[UsedOfDay]
    """Days on which a job ended, in order."""
    by_kind: list[UsedOfKind]
    """By cost, then by name."""
    by_model: list[UsedOfModel]
    """By cost, then by name; at most 100, the rest is in `totals` alone."""
    budgets: list[BudgetLeft]
    """Of today and of this month."""
