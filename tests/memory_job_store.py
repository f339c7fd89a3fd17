"""Jobs in memory: a store for unit tests, the state machine and the simulation.

It checks and applies a `Change` with `rune.storage.change`, the engine's own definition. That the store in DynamoDB
does the same is tested in `tests/functional/aws/test_job_store.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import override

from rune.clock import to_epoch_ms
from rune.errors import IdempotencyKeyReusedError, JobNotFoundError, StoreUnavailableError
from rune.events.outbox import OutboxRow, OutboxState
from rune.jobs import closing
from rune.jobs.metrics import Summary, SummaryKey, Tallies, fold, merge, summary_key
from rune.jobs.particulars import NOTHING_KNOWN, Particulars
from rune.jobs.places import AnyRow, JobRow, Places, RowChange, Share, ShareRow, Slot, SlotRow
from rune.jobs.receipts import ReceiptRow, StoredReceipt
from rune.jobs.record import Callback, DueClass, Event, Job, Kind
from rune.jobs.samples import Sample, SampleRow
from rune.jobs.stops import Stop, StopRow
from rune.jobs.store import (
    CompanionsRefused,
    IdempotencyKey,
    IsWanted,
    JobHistory,
    JobStore,
    ListedJob,
    Refused,
    StoredJob,
    Submission,
    Submitted,
)
from rune.jobs.transitions import Transition
from rune.jobs.usage import Usage, UsageRow
from rune.money.budgets import Balance, BudgetRow
from rune.storage.change import Change, allows, apply
from tests.memory_budget_store import MemoryBudgetStore
from tests.memory_outbox import MemoryOutbox


class MemoryJobStore(JobStore):
    """A store of jobs in memory; no address is blocked.

    Attributes
    ----------
    jobs
        The hot items by id.
    stops
        Whom a stop holds.
    slots, shares
        Which jobs run, and how many of each tenant run and wait.
    usages
        What ended jobs have used.
    outbox
        How far the jobs' events are published.
    budgets
        What is free, reserved and spent.
    samples
        What jobs that rented have taken.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.slots: dict[int, Slot] = {}
        self.shares: dict[str, Share] = {}
        self.stops: dict[StopRow, Stop] = {}
        self.usages: dict[UsageRow, Usage] = {}
        self.receipts: dict[str, StoredReceipt] = {}
        self.outbox = MemoryOutbox()
        self.budgets = MemoryBudgetStore()
        self.samples: dict[SampleRow, Sample] = {}
        self._requests: dict[str, str] = {}
        self._particulars: dict[str, Particulars] = {}
        self._results: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._callbacks: dict[str, Callback] = {}
        self._keys: dict[tuple[str, Kind, str], tuple[IdempotencyKey, str]] = {}
        self._summaries: dict[SummaryKey, Summary] = {}
        # By number, as the table's sort key has it: an event of the same number would overwrite.
        self._events: dict[str, dict[int, Event]] = {}

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        job, key = submission.job, submission.idempotency_key
        if job.job_id in self.jobs:
            raise StoreUnavailableError("A job with this id is there already.")
        named = None if key is None else (job.tenant, job.kind, key.key)
        replay = self.find_replay(submission)
        if replay is not None:
            return replay
        refused = self.write_rows(submission.companions)
        if refused:
            return CompanionsRefused(refused)
        if key is not None and named is not None:
            self._keys[named] = (key, job.job_id)
        self.jobs[job.job_id] = job
        self._requests[job.job_id] = submission.request_json
        self._particulars[job.job_id] = submission.particulars
        if submission.callback:
            self._callbacks[job.job_id] = submission.callback
        self._events[job.job_id] = {submission.event.number: submission.event}
        return Submitted(job.job_id)

    @override
    def find_replay(self, submission: Submission) -> Submitted | None:
        job, key = submission.job, submission.idempotency_key
        named = None if key is None else (job.tenant, job.kind, key.key)
        if key is None or named not in self._keys:
            return None
        first, job_id = self._keys[named]
        if not key.is_of_same_request(first.fingerprint, first.sent_fingerprint):
            raise IdempotencyKeyReusedError("The Idempotency-Key came before, with another request.")
        return Submitted(job_id, is_replay=True)

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        found = self.jobs.get(job_id)
        if found is None or not allows(change, found):
            return Refused(found)
        self.jobs[job_id] = apply(change, found)
        return self.jobs[job_id]

    @override
    def begin(self, job: Job, change: Change, event: Event) -> Job | Refused:
        begun = self.update(job.job_id, change)
        if isinstance(begun, Job):
            self._events[job.job_id][event.number] = event
        return begun

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        own = RowChange(JobRow(job.job_id), transition.change)
        if self.write_rows((own, *transition.companions)):
            return False
        self._events[job.job_id] |= {event.number: event for event in transition.events}
        if transition.result_json is not None:
            self._results[job.job_id] = transition.result_json
        if transition.state_json is not None:
            self._states[job.job_id] = transition.state_json
        ended_at = closing.ended_at(transition)
        if tallies and ended_at is not None:
            key = summary_key(job, ended_at)
            self._summaries[key] = fold(self._summaries.get(key, Summary()), tallies, job.expires_at)
        return True

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        found = [self._row(change.row) for change in changes]
        refused = [
            position
            for position, (change, row) in enumerate(zip(changes, found, strict=True))
            if row is None or not allows(change.change, row)
        ]
        if not refused:
            for change in changes:
                self._apply(change)
        return tuple(refused)

    def _row(  # noqa: PLR0911 one for each row
        self, row: AnyRow
    ) -> Job | Slot | Share | Stop | OutboxState | Usage | Balance | Sample | StoredReceipt | None:
        match row:
            case ReceiptRow(job_id):
                return self.receipts.get(job_id, StoredReceipt())
            case UsageRow():
                return self.usages.get(row, Usage())
            case BudgetRow(window):
                return self.budgets.balance_of(window)
            case OutboxRow(subject):
                return self.outbox.read(subject)
            case SampleRow():
                return self.samples.get(row, Sample())
            case JobRow(job_id):
                return self.jobs.get(job_id)
            case SlotRow(number):
                return self.slots.get(number, Slot(number))
            case StopRow(tenant):
                return self.stops.get(row, Stop(tenant))
            case ShareRow(tenant):
                return self.shares.get(tenant, Share(tenant))

    def _apply(self, change: RowChange) -> None:
        match change.row:
            case ReceiptRow(job_id):
                self.receipts[job_id] = apply(change.change, self.receipts.get(job_id, StoredReceipt()))
            case UsageRow():
                self.usages[change.row] = apply(change.change, self.usages.get(change.row, Usage()))
            case BudgetRow(window):
                self.budgets.write(window, change.change)
            case OutboxRow(subject):
                self.outbox.update(subject, change.change)
            case SampleRow():
                self.samples[change.row] = apply(change.change, Sample())
            case JobRow(job_id):
                self.update(job_id, change.change)
            case SlotRow(number):
                self.slots[number] = apply(change.change, self.slots.get(number, Slot(number)))
            case StopRow(tenant):
                self.stops[change.row] = apply(change.change, self.stops.get(change.row, Stop(tenant)))
            case ShareRow(tenant):
                self.shares[tenant] = apply(change.change, self.shares.get(tenant, Share(tenant)))

    @override
    def read_places(self) -> Places:
        taken = tuple(slot for _, slot in sorted(self.slots.items()) if slot.job_id is not None)
        stops = tuple(stop for stop in self.stops.values() if stop.stopped_at is not None)
        return Places(taken, tuple(self.shares.values()), stops)

    @override
    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        waiting = [
            (job.waiting_since, job.job_id)
            for job in self.jobs.values()
            if job.tenant == tenant and job.waiting_since is not None
        ]
        return tuple(job_id for _, job_id in sorted(waiting)[:limit])

    @override
    def count_waiting_before(self, job: Job, limit: int) -> int:
        since = job.waiting_since
        return min(
            limit,
            sum(
                each.tenant == job.tenant
                and each.waiting_since is not None
                and since is not None
                and each.waiting_since < since
                for each in self.jobs.values()
            ),
        )

    @override
    def glance(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    @override
    def read(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        return tuple(self.jobs[job_id] for job_id in job_ids if job_id in self.jobs)

    @override
    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        listed = [
            ListedJob(
                job.job_id,
                job.kind,
                f"{to_epoch_ms(job.created_at):013d}#{job.job_id}",
                self._particulars.get(job.job_id, NOTHING_KNOWN),
            )
            for job in self.jobs.values()
            if job.tenant == tenant
        ]
        newest_first = sorted(listed, key=lambda line: line.position, reverse=True)
        return tuple(line for line in newest_first if before is None or line.position < before)[:limit]

    @override
    def read_usage(self, tenant: str, first: date, last: date) -> Mapping[UsageRow, Usage]:
        return {
            row: usage
            for row, usage in self.usages.items()
            if row.tenant == tenant and first <= row.day <= last
        }

    @override
    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        return merge(
            each.tallies
            for key, each in self._summaries.items()
            if key.tenant == tenant and each.expires_at is not None and each.expires_at > now
        )

    @override
    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        job = self.jobs.get(job_id)
        if job is None:
            return None
        result_json = self.result_of(job_id) if is_wanted is None or is_wanted(job) else None
        if wants_request is None or not wants_request(job):
            return StoredJob(job, result_json)
        submitted_by = self._particulars[job_id].submitted_by
        return StoredJob(job, result_json, self._requests[job_id], submitted_by)

    @override
    def read_results(
        self, job_ids: Sequence[str], address: str | None = None, is_wanted: IsWanted | None = None
    ) -> tuple[StoredJob, ...]:
        found = [self.read_with_result(job_id, address, is_wanted) for job_id in job_ids]
        return tuple(stored for stored in found if stored is not None)

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        job = self.jobs.get(job_id)
        if job is None:
            return None
        return JobHistory(job, tuple(event for event in self.events_of(job_id) if event.number > after))

    @override
    def read_particulars(self, job: Job) -> Particulars:
        return self._particulars.get(job.job_id, NOTHING_KNOWN)

    @override
    def read_request(self, job: Job) -> str:
        if job.job_id not in self._requests:
            raise JobNotFoundError(job.job_id)
        return self._requests[job.job_id]

    @override
    def read_state(self, job: Job) -> str | None:
        return self._states.get(job.job_id)

    @override
    def read_receipt(self, job_id: str) -> StoredReceipt | None:
        return self.receipts.get(job_id)

    @override
    def read_callback(self, job: Job) -> Callback | None:
        return self._callbacks.get(job.job_id) if job.calls_back else None

    @override
    def replace_callback(self, job: Job, before: Callback, after: Callback) -> bool:
        found = self._callbacks.get(job.job_id)
        if found is None or found.version != before.version:
            return False
        self._callbacks[job.job_id] = replace(after, version=before.version + 1)
        return True

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        late = [
            (job.due_at, job.job_id)
            for job in self.jobs.values()
            if job.due_class is due_class and job.due_at and job.due_at <= now
        ]
        return tuple(job_id for _, job_id in sorted(late)[:limit])

    def put_result(self, job_id: str, result_json: str) -> None:
        """Give a job a result, for tests that begin with one."""
        self._results[job_id] = result_json

    def events_of(self, job_id: str) -> tuple[Event, ...]:
        """Return a job's events by number, for tests to look at."""
        return tuple(event for _, event in sorted(self._events.get(job_id, {}).items()))

    def result_of(self, job_id: str) -> str | None:
        """Return a job's result, for tests to look at."""
        return self._results.get(job_id)
