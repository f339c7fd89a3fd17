"""The archive: each job that has ended as one line of JSON, an object of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import override

from rune.contracts.archive import ArchivedJob
from rune.contracts.records import BOOKKEEPING
from rune.errors import JobNotFoundError, StoreUnavailableError
from rune.events.record import PublicEvent
from rune.events.sink import Sink
from rune.jobs.record import Job, Status
from rune.jobs.store import JobStore, ObjectStore

log = logging.getLogger(__name__)

PREFIX = "archive"

ENDS = frozenset({"rune.job.succeeded", "rune.job.failed", "rune.job.cancelled"})
"""The events that are archived: one for each job."""

_MILLIONTH = Decimal("0.000001")


class ArchiveSink(Sink):
    """Writes a line for each end of a job. The same job is the same object with the same text, however often.

    Parameters
    ----------
    lines
        The archive's own bucket.
    """

    def __init__(self, jobs: JobStore, lines: ObjectStore) -> None:
        self._jobs = jobs
        self._lines = lines

    @property
    @override
    def name(self) -> str:
        return "archive"

    @override
    def publish(self, events: Sequence[PublicEvent]) -> None:
        for event in events:
            if event.event_type in ENDS:
                self._archive(event.subject.subject_id)

    def _archive(self, job_id: str) -> None:
        stored = self._jobs.read_with_result(job_id)
        if stored is None:
            # Its time was over before it could be told of, and another try brings nothing back.
            log.error("archive.job_gone", extra={"job_id": job_id})
            return
        job = stored.job
        if job.finished_at is None or (job.status is Status.SUCCEEDED and stored.result_json is None):
            # Read beside the transaction that ends it, of which a read may bring some rows and not the others.
            raise StoreUnavailableError("The job's end is not all there yet.")
        try:
            request_json = self._jobs.read_request(job)
        except JobNotFoundError:
            request_json = "{}"
        line = archived_job(job, request_json, stored.result_json)
        self._lines.put(archive_key(line), f"{line.model_dump_json()}\n")


def archived_job(job: Job, request_json: str, result_json: str | None) -> ArchivedJob:
    """Return what is kept of a job that has ended; a function of what never changes of it again."""
    finished_at = job.finished_at or job.updated_at
    request = json.loads(request_json)
    failure = job.failure
    return ArchivedJob(
        tenant=job.tenant,
        kind=job.kind.value,
        day=finished_at.astimezone(UTC).date().isoformat(),
        job_id=job.job_id,
        status=job.status.value,
        model=_text(request.get("model")),
        backend_type=_text(request.get("backend_type")),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=finished_at,
        waited_ms=_ms_between(job.created_at, job.started_at or finished_at),
        ran_ms=None if job.started_at is None else _ms_between(job.started_at, finished_at),
        phases_ms=dict(job.phases_ms),
        rents=job.rents,
        rental_id=job.rental_id,
        cost_usd=job.cost_micro_usd * _MILLIONTH if job.is_billed else None,
        error=failure.sentence if failure else None,
        error_code=failure.code if failure else None,
        error_stage=failure.stage.value if failure else None,
        error_retryable=failure.retryable if failure else None,
        warnings=[*(job.warnings or ())],
        result=_shown(result_json) if result_json is not None else None,
    )


def archive_key(line: ArchivedJob) -> str:
    """Return where the line stands: below its tenant, kind and day, which are partitions of the table.

    A tenant's name and a kind hold neither a slash nor a space, and begin with a letter or digit.
    """
    return f"{PREFIX}/{line.tenant}/{line.kind}/{line.day}/{line.job_id}.json"


def _shown(result_json: str) -> str:
    """Return a stored result without what RUNE keeps with it for itself."""
    document: dict[str, object] = json.loads(result_json)
    document.pop(BOOKKEEPING, None)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _ms_between(first: datetime, last: datetime) -> int:
    # Clocks of two functions may differ.
    return max(0, (last - first) // timedelta(milliseconds=1))
