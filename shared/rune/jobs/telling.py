"""A store of jobs that says where there are new events. Everything that writes events of jobs writes through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, override

from rune.events.notices import NoticeQueue, SubjectNotice
from rune.events.record import Subject, SubjectKind
from rune.jobs.metrics import Tallies
from rune.jobs.particulars import Particulars
from rune.jobs.places import Places, RowChange
from rune.jobs.receipts import StoredReceipt
from rune.jobs.record import Callback, DueClass, Event, Job
from rune.jobs.store import (
    CompanionsRefused,
    IsWanted,
    JobHistory,
    JobStore,
    ListedJob,
    Refused,
    StoredJob,
    Submission,
    Submitted,
)
from rune.jobs.usage import Usage, UsageRow
from rune.storage.change import Change

if TYPE_CHECKING:
    from rune.jobs.transitions import Transition


class TellingStore(JobStore):
    """Sends a notice after each write that was carried out and has events.

    A notice that is lost with its process delays what it would have told: until the job's next one, or, after the
    job's end, until the janitor finds the outbox that the last write made due.
    """

    def __init__(self, store: JobStore, notices: NoticeQueue) -> None:
        self._store = store
        self._notices = notices

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        submitted = self._store.submit(submission)
        if isinstance(submitted, Submitted) and not submitted.is_replay:
            self._tell(submitted.job_id)
        return submitted

    @override
    def find_replay(self, submission: Submission) -> Submitted | None:
        return self._store.find_replay(submission)

    @override
    def begin(self, job: Job, change: Change, event: Event) -> Job | Refused:
        begun = self._store.begin(job, change, event)
        if isinstance(begun, Job):
            self._tell(job.job_id)
        return begun

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        is_written = self._store.commit(job, transition, tallies)
        if is_written and transition.events:
            self._tell(job.job_id)
        return is_written

    def _tell(self, job_id: str) -> None:
        self._notices.send(SubjectNotice(Subject(SubjectKind.JOB, job_id)))

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        return self._store.update(job_id, change)

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        return self._store.write_rows(changes)

    @override
    def read_places(self) -> Places:
        return self._store.read_places()

    @override
    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        return self._store.find_waiting(tenant, limit)

    @override
    def count_waiting_before(self, job: Job, limit: int) -> int:
        return self._store.count_waiting_before(job, limit)

    @override
    def read(self, job_id: str) -> Job | None:
        return self._store.read(job_id)

    @override
    def glance(self, job_id: str) -> Job | None:
        return self._store.glance(job_id)

    @override
    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        return self._store.read_with_result(job_id, address, is_wanted, wants_request)

    @override
    def read_results(
        self, job_ids: Sequence[str], address: str | None = None, is_wanted: IsWanted | None = None
    ) -> tuple[StoredJob, ...]:
        return self._store.read_results(job_ids, address, is_wanted)

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        return self._store.read_events(job_id, after)

    @override
    def read_particulars(self, job: Job) -> Particulars:
        return self._store.read_particulars(job)

    @override
    def read_request(self, job: Job) -> str:
        return self._store.read_request(job)

    @override
    def read_state(self, job: Job) -> str | None:
        return self._store.read_state(job)

    @override
    def read_receipt(self, job_id: str) -> StoredReceipt | None:
        return self._store.read_receipt(job_id)

    @override
    def read_callback(self, job: Job) -> Callback | None:
        return self._store.read_callback(job)

    @override
    def replace_callback(self, job: Job, before: Callback, after: Callback) -> bool:
        return self._store.replace_callback(job, before, after)

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        return self._store.read_many(job_ids)

    @override
    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        return self._store.list_jobs(tenant, before, limit)

    @override
    def read_usage(self, tenant: str, first: date, last: date) -> Mapping[UsageRow, Usage]:
        return self._store.read_usage(tenant, first, last)

    @override
    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        return self._store.read_tallies(tenant, now)

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        return self._store.find_late(due_class, now, limit)
