"""What a tenant's ended jobs have used: a row for each day, kind, agent and model.

The row is counted up in the transaction that ends a job, which also requires that the job has not ended. So no job
counts twice, and none is left out. A job counts on the day (UTC) on which it ended. What a kept machine costs after
its job is in the budgets and on the rental, and not here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rune.jobs.record import Event, Job, Status
from rune.storage.change import Change, apply, make_change

USAGE_KEPT = timedelta(days=400)
"""How long a day is kept: a year, and a month to compare it with."""

MODEL_LABEL = "model"
AGENT_LABEL = "agent"
"""Labels of a job's first event. The hot item has no room for them, and the history is read at a job's end."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Which row it is.

    Attributes
    ----------
    agent
        Empty for jobs without an agent.
    model
        Empty where the job named none, or was accepted by a version that did not note it.
    """

    tenant: str
    day: date
    kind: str
    agent: str
    model: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The counts of a row.

    Attributes
    ----------
    run_seconds
        From a job's first claim to its end, of all jobs together; 0 for jobs that were never begun.
    cost_micro_usd
        What all jobs cost, also those that failed.
    token_micro_usd
        The part of the cost that is for tokens.
    succeeded_run_seconds, succeeded_cost_micro_usd, succeeded_token_micro_usd
        The part of those that succeeded.
    """

    version: int = 0
    updated_at: datetime | None = None
    job_count: int = 0
    succeeded_count: int = 0
    run_seconds: int = 0
    cost_micro_usd: int = 0
    succeeded_run_seconds: int = 0
    succeeded_cost_micro_usd: int = 0
    token_micro_usd: int = 0
    succeeded_token_micro_usd: int = 0
    expires_at: datetime | None = None

    def plus(self, other: "Usage") -> "Usage":
        """Return the counts of both together."""
        return Usage(
            job_count=self.job_count + other.job_count,
            succeeded_count=self.succeeded_count + other.succeeded_count,
            run_seconds=self.run_seconds + other.run_seconds,
            cost_micro_usd=self.cost_micro_usd + other.cost_micro_usd,
            succeeded_run_seconds=self.succeeded_run_seconds + other.succeeded_run_seconds,
            succeeded_cost_micro_usd=self.succeeded_cost_micro_usd + other.succeeded_cost_micro_usd,
            token_micro_usd=self.token_micro_usd + other.token_micro_usd,
            succeeded_token_micro_usd=self.succeeded_token_micro_usd + other.succeeded_token_micro_usd,
        )


def add_up(many: Iterable[Usage]) -> Usage:
    """Return the counts of all together."""
    total = Usage()
    for each in many:
        total = total.plus(each)
    return total


def usage_row(job: Job, events: Sequence[Event], ended_at: datetime) -> UsageRow:
    """Return in which row a job with this history counts."""
    labels = events[0].labels if events and events[0].number == 1 else {}
    return UsageRow(
        job.tenant,
        ended_at.astimezone(UTC).date(),
        job.kind.value,
        labels.get(AGENT_LABEL, ""),
        labels.get(MODEL_LABEL, ""),
    )


def count_usage(job: Job, end: Change, ended_at: datetime) -> Change:
    """Return the write of a row for a job that ends by a change of its hot item."""
    ended = apply(end, job)
    began_at = ended.started_at or ended_at
    seconds = max(0, round((ended_at - began_at).total_seconds()))
    adds = {"job_count": 1, "run_seconds": seconds, "cost_micro_usd": ended.cost_micro_usd}
    tokens = ended.token_micro_usd or 0
    if tokens:
        adds["token_micro_usd"] = tokens
    if ended.status is Status.SUCCEEDED:
        adds |= {
            "succeeded_count": 1,
            "succeeded_run_seconds": seconds,
            "succeeded_cost_micro_usd": ended.cost_micro_usd,
        }
        if tokens:
            adds["succeeded_token_micro_usd"] = tokens
    return make_change(
        "count_usage", ended_at, requires=(), sets={"expires_at": ended_at + USAGE_KEPT}, adds=adds
    )
