"""What jobs that rented have taken: a small row for each, written with its end, and the port to read the latest.

A sample names no tenant, no question and no answer. Estimates of all tenants are made of all samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from rune.jobs.record import Status
from rune.storage.change import Change, Value, make_change

SAMPLES_KEPT = timedelta(days=60)
"""How long a sample counts. Images, servers and hosts change."""

LATEST = 50
"""How many samples an estimate is made of at most."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What jobs have in common that take alike.

    Attributes
    ----------
    kind
        As in the job.
    class_gb
        The class of GPU memory that the model with its context needs, in GiB (`rune.rentals.market.CLASSES_GB`).
    """

    kind: str
    class_gb: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one job has taken, beside what was expected when its first machine was chosen.

    Attributes
    ----------
    gpu
        The last machine's, such as `1x RTX 4090`.
    machine_count
        Machines made for it; all but the last failed.
    cost_micro_usd, expected_micro_usd
        Of the whole job, all machines and their traffic, without the time for which one is kept after its end.
    phases_ms, expected_ms
        Milliseconds by phase: `search`, `boot` (with the image's download), `pull`, `load`, `work`, `release`. What
        is not known is left out.
    """

    job_id: str = ""
    kind: str = ""
    class_gb: int = 0
    ended_at: datetime | None = None
    status: Status = Status.SUCCEEDED
    model: str = ""
    gpu: str = ""
    machine_count: int = 0
    cost_micro_usd: int = 0
    expected_micro_usd: int = 0
    phases_ms: Mapping[str, int] = field(default_factory=dict)
    expected_ms: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    updated_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def shape(self) -> Shape:
        """The shape of its job."""
        return Shape(self.kind, self.class_gb)


@dataclass(frozen=True, slots=True)
class SampleRow:
    """The row of a sample."""

    shape: Shape
    ended_at: datetime
    job_id: str


class SampleStore(Protocol):
    """Where samples are read. Jobs' ends write them."""

    def read(self, shape: Shape, now: datetime, limit: int = LATEST) -> tuple[Sample, ...]:
        """Return the latest samples of a shape that have not expired, the newest first.

        The latest writes may be missing. Raises StoreUnavailableError.
        """
        ...


def record_sample(sample: Sample, now: datetime) -> Change:
    """Return the write of a sample."""
    sets: dict[str, Value] = {
        "job_id": sample.job_id,
        "kind": sample.kind,
        "class_gb": sample.class_gb,
        "ended_at": now,
        "status": sample.status,
        "model": sample.model,
        "gpu": sample.gpu,
        "machine_count": sample.machine_count,
        "cost_micro_usd": sample.cost_micro_usd,
        "expected_micro_usd": sample.expected_micro_usd,
        "phases_ms": sample.phases_ms,
        "expected_ms": sample.expected_ms,
        "expires_at": now + SAMPLES_KEPT,
    }
    return make_change("record_sample", now, requires=(), sets=sets)
