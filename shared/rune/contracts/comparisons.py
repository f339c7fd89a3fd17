"""Benchmarks side by side, and whether limits are kept."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import Document

type Verdict = Literal["better", "worse", "no difference", "undecided", "not comparable"]
type Outcome = Literal["passed", "failed", "undecided"]


class ComparedValue(Document):
    """One number of one benchmark, beside the first benchmark's.

    Attributes
    ----------
    value
        The mean, or the number itself where there is one a run. Null where there are too few requests for it.
    std
        Of single values; null for what is none of many, as a quantile.
    count
        Independent values that stand behind it; requests that wait in one queue are worth fewer than they are.
    """

    job_id: str
    value: float | None
    std: float | None
    count: int
    difference: float | None
    """`value` less the first one's."""
    difference_ratio: float | None
    """`difference` / the first one's value."""
    interval_low: float | None
    """Lower end of the 99 % confidence interval of `difference` (Welch)."""
    interval_high: float | None
    verdict: Verdict | None
    """Null for the first one, with which the others are compared."""
    standard_error: float | None = None
    """How far `value` may be off, in its unit."""
    requests_to_decide: int | None = None
    """Of `undecided`: how many requests each side needs at this point, if its numbers stay what they are. Null
    where no number of requests would decide."""


class ComparedMetric(Document):
    """One number, in all benchmarks."""

    name: str
    """A field of a run, which stands for its mean, or a quantile of it, such as `ttft_ms.p95`."""
    unit: str
    better: Literal["lower", "higher"]
    values: list[ComparedValue]


class ComparedPoint(Document):
    """One point of the workload, in all benchmarks that have it."""

    load: Literal["closed", "open"]
    max_concurrency: int
    request_rate_per_s: float | None
    metrics: list[ComparedMetric]


class ComparedJob(Document):
    """What was compared."""

    job_id: str
    name: str | None = None
    """The caller's own for the job; null where its request has none, and in reports of earlier versions."""
    model: str
    backend: str
    server: str | None
    gpu: str | None
    warnings: list[str]
    finished_at: datetime | None = None


class GateCheck(Document):
    """Whether one number of one benchmark keeps its limit at one point."""

    metric: str
    limit_ratio: float
    """Of the first benchmark's value: `value` may not be beyond `limit_ratio` times it."""
    better: Literal["lower", "higher"]
    """`lower`: above the limit is worse. `higher`: below it is."""
    unit: str
    job_id: str
    load: Literal["closed", "open"]
    max_concurrency: int
    request_rate_per_s: float | None
    first_value: float | None
    value: float | None
    ratio: float | None
    """`value / first_value`."""
    outcome: Outcome
    requests_to_decide: int | None = None
    """Of `undecided`: how many requests each side needs at this point; null where no number would decide, or a
    benchmark has no such number."""
    reason: str
    """The outcome in a sentence."""


class Comparison(Document):
    """Benchmarks side by side; the first is what the others are held against."""

    jobs: list[ComparedJob]
    points: list[ComparedPoint]
    threshold_ratio: float
    """Smaller differences are none, however sure they are."""
    confidence: float
    notes: list[str]
    """What the reader must know: other prompts, other sampling, points that not all have."""
    baseline: str | None = None
    """Name of the baseline that is the first benchmark; null where it was named as a job."""
    gate: Outcome | None = None
    """`failed` where a limit is surely broken, `passed` where all are surely kept; null where none was given."""
    checks: list[GateCheck] = Field(default_factory=list)
    """Each limit at each point, of each benchmark but the first."""
