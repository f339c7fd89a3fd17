"""Baselines for their callers: set, find, list, delete, and read what they stand for."""

from dataclasses import dataclass

from rune.clock import Clock
from rune.contracts import BenchmarkReport, read_stored
from rune.errors import (
    BaselineChangedError,
    BaselineNotFoundError,
    StoreContendedError,
    TooManyBaselinesError,
)
from rune.jobs import baselines
from rune.jobs.baselines import Baseline, BaselineStore, Stale, TooMany
from rune.services.jobs import Caller
from rune.services.reports import ReportService

MOST_BASELINES = 50
"""Of a tenant."""

_TRIES = 4
"""Of a write while another one writes the same baseline."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a caller expects a baseline to be before a write.

    Attributes
    ----------
    tags
        Entity tags of which the baseline has one (`If-Match`); `*` is any. None where nothing is expected.
    is_absent
        There is none (`If-None-Match: *`).
    """

    tags: frozenset[str] | None = None
    is_absent: bool = False

    def is_met_by(self, found: Baseline | None) -> bool:
        """Return whether a baseline, or None, is what was expected."""
        if found is None:
            return self.tags is None
        return not self.is_absent and (self.tags is None or bool(self.tags & {"*", tag_of(found)}))


def tag_of(baseline: Baseline) -> str:
    """Return the entity tag of a baseline: of its content and of each time at which it was set."""
    return f'"bl{baseline.version}-{baseline.updated_at.timestamp():.3f}"'


class BaselineService:
    """The baselines of the caller's own tenant; one of another tenant counts as not found.

    Every method raises StoreUnavailableError when the store cannot be reached.
    """

    def __init__(self, store: BaselineStore, reports: ReportService, clock: Clock) -> None:
        self._store = store
        self._reports = reports
        self._clock = clock

    def put(self, caller: Caller, name: str, job_id: str, expected: Expected) -> tuple[Baseline, bool]:
        """Return the baseline of this name, which stands for the benchmark now, and whether it is new.

        Where it stands for that benchmark already, nothing is written, whatever was expected: the request may be
        the repetition of one whose answer was lost.

        Raises
        ------
        BaselineChangedError
            It is not what was expected.
        TooManyBaselinesError
            The tenant has as many as it may have.
        RequestError
            As `ReportService.find`: there is no such benchmark, or it has no report.
        """
        report = None
        for _ in range(_TRIES):
            before = self._store.read(caller.tenant, name)
            found = before if before is not None and before.is_there else None
            if found is not None and found.job_id == job_id:
                return found, False
            if not expected.is_met_by(found):
                raise BaselineChangedError(name)
            report = report or self._reports.find(caller, job_id).report
            now = self._clock.now()
            after = baselines.put(before, caller.tenant, name, job_id=job_id, model=report.model.id, now=now)
            written = self._store.write(before, after, report.model_dump_json(), MOST_BASELINES)
            match written:
                case TooMany():
                    raise TooManyBaselinesError(MOST_BASELINES)
                case Stale():
                    continue
                case _:
                    return written, found is None
        raise StoreContendedError("The baseline changes all the time; try again.")

    def find(self, tenant: str, name: str) -> Baseline:
        """Return a baseline; raises BaselineNotFoundError."""
        found = self._store.read(tenant, name)
        if found is None or not found.is_there:
            raise BaselineNotFoundError(name)
        return found

    def list_baselines(self, tenant: str) -> tuple[Baseline, ...]:
        """Return the tenant's baselines by name."""
        return self._store.read_all(tenant)

    def delete(self, tenant: str, name: str, expected: Expected) -> None:
        """Delete a baseline; raises BaselineNotFoundError, BaselineChangedError."""
        for _ in range(_TRIES):
            found = self.find(tenant, name)
            if not expected.is_met_by(found):
                raise BaselineChangedError(name)
            written = self._store.write(
                found, baselines.delete(found, self._clock.now()), None, MOST_BASELINES
            )
            if not isinstance(written, (Stale, TooMany)):
                return
        raise StoreContendedError("The baseline changes all the time; try again.")

    def read_report(self, tenant: str, name: str) -> tuple[str, BenchmarkReport]:
        """Return the id of the job behind a baseline, which may be gone, and its report.

        Raises
        ------
        BaselineNotFoundError
            The tenant has no such baseline.
        UnreadableRowError
            This version does not understand the report.
        """
        found = self._store.read_report(tenant, name)
        if found is None:
            raise BaselineNotFoundError(name)
        job_id, report_json = found
        return job_id, read_stored(BenchmarkReport, report_json)
