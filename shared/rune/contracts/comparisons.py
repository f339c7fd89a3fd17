"""Benchmarks side by side."""

from typing import Literal

from rune.contracts.document import Document

type Verdict = Literal["better", "worse", "no difference", "not comparable"]


class ComparedValue(Document):
    """One number of one benchmark, beside the first benchmark's.

    Attributes
    ----------
    value
        The mean, or the number itself where there is one a run.
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


class ComparedMetric(Document):
    """One number, in all benchmarks."""

    name: str
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
    model: str
    backend: str
    server: str | None
    gpu: str | None
    warnings: list[str]


class Comparison(Document):
    """Benchmarks side by side; the first is what the others are held against."""

    jobs: list[ComparedJob]
    points: list[ComparedPoint]
    threshold_ratio: float
    """Smaller differences are none, however sure they are."""
    confidence: float
    notes: list[str]
    """What the reader must know: other prompts, other sampling, points that not all have."""
