"""Baselines: a benchmark's report under a name, which later benchmarks are held against.

A baseline holds the report itself. Jobs and their results expire, and what a pipeline compares with must not.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Baseline:
    """A name and the benchmark that it stands for.

    Attributes
    ----------
    job_id
        Whose report it is; the job itself may be gone. None where the baseline was deleted.
    model
        What the benchmark measured, for lists.
    version
        Rises with every write.
    expires_at
        Of a deleted one: when its row goes.
    """

    tenant: str
    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    job_id: str | None = None
    model: str | None = None
    expires_at: datetime | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was not deleted."""
        return self.job_id is not None


@dataclass(frozen=True, slots=True)
class TooMany:
    """The tenant has as many of these as it may have, and nothing was written."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The row was written since it was read, and nothing was written now."""


class BaselineStore(Protocol):
    """Stores baselines. Each method raises StoreUnavailableError where the store cannot be reached."""

    def read(self, tenant: str, name: str) -> Baseline | None:
        """Return a baseline, also one that was deleted; raises UnreadableRowError."""
        ...

    def read_report(self, tenant: str, name: str) -> tuple[str, str] | None:
        """Return the id of the job behind a baseline and its report as JSON; raises UnreadableRowError."""
        ...

    def read_all(self, tenant: str) -> tuple[Baseline, ...]:
        """Return the tenant's baselines by name; one that cannot be read is left out."""
        ...

    def write(
        self, before: Baseline | None, after: Baseline, report_json: str | None, most: int
    ) -> Baseline | TooMany | Stale:
        """Write a baseline with its report, or delete both, all or nothing.

        Parameters
        ----------
        before
            As it was read, None where there was none: if it was written since, nothing is written.
        after
            From `put` or `delete`.
        report_json
            None for one that is deleted.
        most
            How many the tenant may have.
        """
        ...


def put(
    before: Baseline | None, tenant: str, name: str, *, job_id: str, model: str, now: datetime
) -> Baseline:
    """Return the baseline that stands for a benchmark from now on."""
    is_new = before is None or not before.is_there
    return Baseline(
        tenant=tenant,
        name=name,
        version=1 if before is None else before.version + 1,
        created_at=now if before is None or is_new else before.created_at,
        updated_at=now,
        job_id=job_id,
        model=model,
    )


def delete(before: Baseline, now: datetime) -> Baseline:
    """Return the baseline as one that is deleted. Its row goes by itself: no function may delete rows."""
    return replace(
        before, version=before.version + 1, updated_at=now, job_id=None, model=None, expires_at=now
    )
