"""Suites: a tenant's own cases under a name, on which models are tried as investigators.

A job runs one version of a suite, which the digest of its cases names. Cases that no name stands for any longer are
kept until every job that was to run them is over.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from rune.jobs.baselines import Stale, TooMany

KEPT_FOR = timedelta(days=9)
"""Of cases that no name stands for: a job waits for at most a week, and runs for at most a day."""

__all__ = ["KEPT_FOR", "Stale", "Suite", "SuiteStore", "TooMany", "delete", "digest_of", "put", "to_json"]


@dataclass(frozen=True, slots=True)
class Suite:
    """A name and the cases that it stands for.

    Attributes
    ----------
    digest
        SHA-256 of the cases as `to_json` writes them; None where the suite was deleted.
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
    digest: str | None = None
    case_count: int | None = None
    expires_at: datetime | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was not deleted."""
        return self.digest is not None


class SuiteStore(Protocol):
    """Stores suites. Each method raises StoreUnavailableError where the store cannot be reached."""

    def read(self, tenant: str, name: str) -> Suite | None:
        """Return a suite, also one that was deleted; raises UnreadableRowError."""
        ...

    def read_cases(self, tenant: str, name: str, digest: str) -> str | None:
        """Return the cases of a version as JSON, None where they are gone; raises UnreadableRowError."""
        ...

    def read_all(self, tenant: str) -> tuple[Suite, ...]:
        """Return the tenant's suites by name; one that cannot be read is left out."""
        ...

    def write(
        self, before: Suite | None, after: Suite, cases_json: str | None, most: int
    ) -> Suite | TooMany | Stale:
        """Write a suite with its cases, all or nothing; those of the version before expire.

        Parameters
        ----------
        before
            As it was read, None where there was none: if it was written since, nothing is written.
        after
            From `put` or `delete`.
        cases_json
            None for one that is deleted.
        most
            How many the tenant may have.
        """
        ...


def to_json(cases: Sequence[dict[str, Any]]) -> str:
    """Return cases in one spelling: members sorted, no blanks; raises ValueError for NaN and infinities."""
    return json.dumps(cases, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(cases_json: str) -> str:
    """Return what names a version of a suite."""
    return hashlib.sha256(cases_json.encode()).hexdigest()


def put(
    before: Suite | None, tenant: str, name: str, *, cases_json: str, case_count: int, now: datetime
) -> Suite:
    """Return the suite that has these cases from now on."""
    is_new = before is None or not before.is_there
    return Suite(
        tenant=tenant,
        name=name,
        version=1 if before is None else before.version + 1,
        created_at=now if before is None or is_new else before.created_at,
        updated_at=now,
        digest=digest_of(cases_json),
        case_count=case_count,
    )


def delete(before: Suite, now: datetime) -> Suite:
    """Return the suite as one that is deleted. Its row goes by itself: no function may delete rows."""
    return replace(
        before, version=before.version + 1, updated_at=now, digest=None, case_count=None, expires_at=now
    )
