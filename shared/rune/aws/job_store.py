"""Jobs in one DynamoDB table.

=====================  ==========================  ==========================================================
pk                     sk                          what
=====================  ==========================  ==========================================================
JOB#<job id>           CALLBACK                    whom it tells, besides those who are told of all
JOB#<job id>           EVENT#<8 digits>            one event
JOB#<job id>           JOB                         the hot item
JOB#<job id>           OUTBOX                      how far its events are published; see `outbox`
JOB#<job id>           RECEIPT                     what it cost, line by line, once it has ended
JOB#<job id>           REQUEST                     the request as submitted
JOB#<job id>           RESULT                      the result
JOB#<job id>           STATE                       what a step of many turns continues from
TENANT#<tenant>        JOB#<created ms>#<job id>   a line of the tenant's list
SUMMARY#<tenant>       DAY#<yyyy-mm-dd>#<shard>    what its jobs that ended then have done; see `job_summaries`
USAGE#<tenant>         DAY#<yyyy-mm-dd>#<kind>…    what those of a kind, agent and model have used; see `jobs/usage`
KEY#<tenant>#<kind>    <sha256 of the key>         an idempotency key: which job it stands for
PLACES                 SHARE#<tenant>              how many jobs of the tenant run and wait
PLACES                 SLOT#<4 digits>             which job has the slot
PLACES                 STOP#ALL#<2 digits>         whether all tenants are stopped; see `jobs/stops`
PLACES                 STOP#TENANT#<tenant>        whether the tenant is
LIMIT#<address>        LIMIT                       failed authentications; see rune.tenants
BUDGET#<tenant>        DAY#…, MONTH#…              what is free, reserved and spent; see `budget_store`
=====================  ==========================  ==========================================================

The keys sort so that "EVENT#n" to "JOB" is a job with its later events. The index `due` holds the hot items of
active jobs by class and `due_at`, the index `waiting` those of waiting jobs by tenant and `waiting_since`. All
rows of a job carry the same `expires_at`, the table's TTL.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, override

from rune.aws import job_rows
from rune.aws.dynamodb_rows import FORMAT, TTL_FIELD, attribute, check_format
from rune.aws.dynamodb_table import ConditionFailedError, ConflictError, DynamoTable, pause, tries
from rune.aws.job_summaries import DynamoSummaries
from rune.errors import (
    IdempotencyKeyReusedError,
    JobNotFoundError,
    RateLimitedError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.jobs import closing
from rune.jobs.metrics import Tallies
from rune.jobs.particulars import NOTHING_KNOWN, Particulars
from rune.jobs.places import Places, RowChange
from rune.jobs.receipts import StoredReceipt
from rune.jobs.record import Callback, DueClass, Event, Job
from rune.jobs.store import (
    CompanionsRefused,
    IsWanted,
    JobHistory,
    JobStore,
    ListedJob,
    ObjectStore,
    Refused,
    StoredJob,
    Submission,
    Submitted,
)
from rune.jobs.usage import Usage, UsageRow
from rune.storage.change import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    from rune.aws.auth_limiter import DynamoLimiter
    from rune.jobs.transitions import Transition

    type Item = Mapping[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

LARGEST_ROW_BYTES = 5_000
"""Longer bodies go to the bucket, because there they are cheaper. With its names such a row has just under 5 KB.

In USD for a million bodies (on demand, us-east-1, November 2026):

- a transaction writes a row for 1.25 a KB, and 4 KB of it are read for 0.125;
- an object is written for 5 and read for 0.40, and a row of 1 KB points there, for 1.25 and 0.125;
- so a body that is written and read once costs 6.50 as a row of 5 KB, 7.75 as one of 6 KB, and 6.78 as an object.

What counts more is the table's write limit: a row of 14 KB takes 28 of its units, an object's row 2.

An object costs some 40 ms at its write and 20 ms at each read, and 50 ms for the client in an environment that has
none. A poll reads it only for the answer that holds it; 40 benchmarks are compared within a second.
https://aws.amazon.com/dynamodb/pricing/on-demand/ https://aws.amazon.com/s3/pricing/
"""

SUMMARY_TRIES = 8
"""Of a job's end while other jobs of its tenant end, with up to 2.5 s of pauses. Then the engine repeats it."""

SUBMITTED_BY = "submitted_by"
"""Attribute of the request's row: the hot item is small, and this is asked for with the request."""

TOKEN_LENGTH = 36
"""Longest ClientRequestToken of TransactWriteItems."""


class NoObjectStore(ObjectStore):
    """Refuses every body, for a function without permission for the bucket."""

    @override
    def put(self, key: str, text: str) -> None:
        raise StoreUnavailableError("This function may not write large bodies.")

    @override
    def get(self, key: str) -> str:
        raise StoreUnavailableError("This function may not read large bodies.")


class DynamoJobStore(JobStore):
    """Jobs in a DynamoDB table, their large bodies elsewhere.

    Parameters
    ----------
    limiter
        Checks within the same calls whether a caller's address is blocked; only the API has callers.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, bodies: ObjectStore, limiter: DynamoLimiter | None = None
    ) -> None:
        self._table = DynamoTable(client, table)
        self._summaries = DynamoSummaries(self._table)
        self._bodies = bodies
        self._limiter = limiter

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        job = submission.job
        request = self._body_item(
            job, job_rows.REQUEST_KEY, submission.request_json, f"requests/{job.job_id}.json"
        )
        if submission.particulars.submitted_by is not None:
            request = {**request, SUBMITTED_BY: {"S": submission.particulars.submitted_by}}
        writes = [
            self._table.put(job_rows.hot_item(job), condition="attribute_not_exists(pk)"),
            self._table.put(request),
            self._table.put(job_rows.event_item(job, submission.event)),
            self._table.put(job_rows.listed_item(job, submission.particulars)),
        ]
        if submission.callback:
            writes.append(self._table.put(job_rows.callback_item(job, submission.callback)))
        key_position = len(writes)
        if submission.idempotency_key:
            writes.append(job_rows.key_write(self._table.name, job, submission.idempotency_key))
        first_companion = len(writes)
        writes += self._row_writes(submission.companions)
        try:
            self._write_unless_blocked(submission, writes)
        except ConditionFailedError as error:
            if submission.idempotency_key and key_position in error.found:
                return _replay(error.found[key_position], submission)
            refused = [position - first_companion for position in sorted(error.found)]
            if refused and refused[-1] >= 0:
                return CompanionsRefused(tuple(position for position in refused if position >= 0))
            raise StoreUnavailableError("A job with this id exists already.") from None
        return Submitted(job.job_id)

    @override
    def find_replay(self, submission: Submission) -> Submitted | None:
        key, address, job = submission.idempotency_key, submission.address, submission.job
        keys = [] if key is None else [job_rows.idempotency_row_key(job, key)]
        limiter = None if address is None else self._limiter
        if address is not None and limiter is not None:
            keys.append(limiter.row_key(address))
        if not keys:
            return None
        rows = {(row["pk"]["S"], row["sk"]["S"]): row for row in self._table.get(keys)}
        if address is not None and limiter is not None:
            self._refuse_blocked(address, rows.get((keys[-1]["pk"]["S"], keys[-1]["sk"]["S"])))
        found = None if key is None else rows.get((keys[0]["pk"]["S"], keys[0]["sk"]["S"]))
        if found is None or int(found[TTL_FIELD]["N"]) < int(job.created_at.timestamp()):
            return None
        return _replay(found, submission)

    def _write_unless_blocked(
        self, submission: Submission, writes: Sequence[TransactWriteItemTypeDef]
    ) -> None:
        """Write all or nothing in one try, or raise RateLimitedError if the address is blocked.

        A later round does not ask for the address again. Each one that meets another write waits before it says so:
        whoever goes on looks at all rows first.
        """
        address = submission.address
        if address is None or self._limiter is None or submission.round:
            try:
                return self._table.transact(writes, try_count=1)
            except ConflictError:
                pause(submission.round + 1)
                raise
        try:
            return self._table.transact([*writes, self._limiter.not_blocked(address)], try_count=1)
        except ConditionFailedError as error:
            if len(writes) in error.found:
                self._refuse_blocked(address, error.found[len(writes)])
            raise
        except ConflictError:
            # Callers at one address share its row, and concurrent transactions on it cancel each other. After such
            # a conflict the row is read instead.
            remaining_seconds = self._limiter.read(address)
            if remaining_seconds is not None:
                raise RateLimitedError(remaining_seconds) from None
            return self._write_unless_blocked(replace(submission, address=None), writes)

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        try:
            written = self._table.update(job_rows.job_key(job_id), job_rows.job_expression(job_id, change))
        except ConditionFailedError as error:
            found = error.found[0]
            return Refused(job_rows.job_from_item(found) if found else None)
        return job_rows.job_from_item(written)

    @override
    def begin(self, job: Job, change: Change, event: Event) -> Job | Refused:
        own = self._table.change(job_rows.job_key(job.job_id), job_rows.job_expression(job.job_id, change))
        own["Update"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            self._table.transact([own, self._table.put(job_rows.event_item(job, event))])
        except ConditionFailedError as error:
            found = error.found[0]
            return Refused(job_rows.job_from_item(found) if found else None)
        # A transaction does not return what it has written.
        return self.read(job.job_id) or Refused(None)

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        key, expression = (
            job_rows.job_key(job.job_id),
            job_rows.job_expression(job.job_id, transition.change),
        )
        writes = [self._table.change(key, expression), *self._row_writes(transition.companions)]
        writes += [self._table.put(job_rows.event_item(job, event)) for event in transition.events]
        if transition.result_json is not None:
            # The epoch in the name keeps a worker that lost its lease from overwriting the winner's result.
            name = f"results/{job.job_id}/{job.epoch}.json"
            writes.append(
                self._table.put(self._body_item(job, job_rows.RESULT_KEY, transition.result_json, name))
            )
        if transition.state_json is not None:
            name = f"results/{job.job_id}/state-{job.epoch}.json"
            writes.append(
                self._table.put(self._body_item(job, job_rows.STATE_KEY, transition.state_json, name))
            )
        try:
            if len(writes) == 1 and not tallies:
                # Half the price of a transaction. A repeated one is refused by its own effect on `seq`.
                self._table.update(key, expression)
            else:
                self._transact_with_summary(job, transition, writes, tallies)
        except ConditionFailedError:
            return False
        return True

    def _transact_with_summary(
        self,
        job: Job,
        transition: Transition,
        writes: Sequence[TransactWriteItemTypeDef],
        tallies: Tallies | None,
    ) -> None:
        """Write all or nothing, and the tallies into the summary of the day on which the job ends.

        Another job may end in the same summary meanwhile; then the summary is read again.

        Raises
        ------
        ConditionFailedError
            The job is not as it was read.
        ConflictError
            Every try met another job's end.
        """
        ended_at = closing.ended_at(transition)
        for _ in tries(SUMMARY_TRIES):
            folds = []
            if tallies and ended_at is not None:
                folds = [self._summaries.fold_write(job, ended_at, tallies)]
            all_writes = [*writes, *(write for write in folds if write is not None)]
            # The engine repeats a commit whose answer was lost; the first one must not take effect beside it. With
            # another summary it is another transaction, and what it requires of the job refuses one of the two.
            token = hashlib.sha256(repr((job.job_id, transition, folds)).encode()).hexdigest()[:TOKEN_LENGTH]
            try:
                return self._table.transact(all_writes, token=token)
            except ConditionFailedError as error:
                if [*error.found] != [len(writes)]:
                    raise
        raise ConflictError("Other jobs of the tenant ended at the same moment all the time.")

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        try:
            self._table.transact(self._row_writes(changes))
        except ConditionFailedError as error:
            return tuple(error.found)
        return ()

    @override
    def read_places(self) -> Places:
        return job_rows.places_from_items(self._table.query(job_rows.PLACES_PARTITION, "A", "Z"))

    @override
    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        return tuple(job_rows.job_id_of(row) for row in self._table.query_waiting(tenant, limit=limit))

    @override
    def count_waiting_before(self, job: Job, limit: int) -> int:
        if job.waiting_since is None:
            return 0
        before = attribute("waiting_since", job.waiting_since)
        rows = self._table.query_waiting(job.tenant, limit=limit, before=before)
        return len(rows)

    @override
    def glance(self, job_id: str) -> Job | None:
        rows = self._table.get([job_rows.job_key(job_id)], is_consistent=False)
        return job_rows.job_from_item(rows[0]) if rows else None

    def _row_writes(self, changes: Sequence[RowChange]) -> list[TransactWriteItemTypeDef]:
        return [
            (self._table.require if each.change.is_check else self._table.change)(
                job_rows.row_key(each.row), job_rows.row_expression(each)
            )
            for each in changes
        ]

    @override
    def read(self, job_id: str) -> Job | None:
        rows = self._table.get([job_rows.job_key(job_id)])
        return job_rows.job_from_item(rows[0]) if rows else None

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        rows = self._table.get([job_rows.job_key(job_id) for job_id in job_ids]) if job_ids else []
        return tuple(job for job in map(_understood_job, rows) if job is not None)

    @override
    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        found = self._read_results([job_id], address, is_wanted, wants_request)
        return found[0] if found else None

    @override
    def read_results(
        self, job_ids: Sequence[str], address: str | None = None, is_wanted: IsWanted | None = None
    ) -> tuple[StoredJob, ...]:
        return self._read_results(job_ids, address, is_wanted)

    def _read_results(
        self,
        job_ids: Sequence[str],
        address: str | None,
        is_wanted: IsWanted | None,
        wants_request: IsWanted | None = None,
    ) -> tuple[StoredJob, ...]:
        of_job = [job_rows.HOT_KEY, job_rows.RESULT_KEY]
        if wants_request is not None:
            of_job.append(job_rows.REQUEST_KEY)
        keys = [job_rows.job_key(job_id, sort_key) for job_id in job_ids for sort_key in of_job]
        if address is not None and self._limiter is not None:
            keys.append(self._limiter.row_key(address))
        rows = {(row["pk"]["S"], row["sk"]["S"]): row for row in self._table.get(keys)}
        if address is not None and self._limiter is not None:
            limit_key = self._limiter.row_key(address)
            self._refuse_blocked(address, rows.get((limit_key["pk"]["S"], limit_key["sk"]["S"])))
        found = []
        for partition in map(job_rows.job_partition, job_ids):
            if hot := rows.get((partition, job_rows.HOT_KEY)):
                job = job_rows.job_from_item(hot)
                result = rows.get((partition, job_rows.RESULT_KEY))
                is_read = result is not None and (is_wanted is None or is_wanted(job))
                result_json = self._body(result) if result and is_read else None
                request = rows.get((partition, job_rows.REQUEST_KEY))
                if request is None or wants_request is None or not wants_request(job):
                    found.append(StoredJob(job, result_json))
                    continue
                submitted_by = request[SUBMITTED_BY]["S"] if SUBMITTED_BY in request else None
                found.append(StoredJob(job, result_json, self._request_of(job, request), submitted_by))
        return tuple(found)

    def _request_of(self, job: Job, row: Item) -> str | None:
        """Return a request to be shown; None where it cannot be had now: the job is told all the same."""
        try:
            return self._body(row)
        except (StoreUnavailableError, UnreadableRowError):
            log.warning("request.not_shown", exc_info=True, extra={"job_id": job.job_id})
            return None

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        rows = self._query_history(job_id, after)
        if not _is_whole(rows, after):
            # A query beside a transaction may bring some of its rows and not the others. What is missing once more
            # is not there: the table forgets the rows of one job at different times.
            rows = self._query_history(job_id, after)
        if not rows or rows[-1]["sk"]["S"] != job_rows.HOT_KEY:
            return None
        events = tuple(event for event in map(_understood_event, rows[:-1]) if event is not None)
        return JobHistory(job_rows.job_from_item(rows[-1]), events)

    def _query_history(self, job_id: str, after: int) -> list[Item]:
        first = job_rows.event_sort_key(after + 1)
        return [*self._table.query(job_rows.job_partition(job_id), first, job_rows.HOT_KEY)]

    @override
    def read_particulars(self, job: Job) -> Particulars:
        rows = self._table.get([job_rows.listed_row_key(job)])
        return job_rows.listed_from_item(rows[0]).particulars if rows else NOTHING_KNOWN

    @override
    def read_request(self, job: Job) -> str:
        rows = self._table.get([job_rows.job_key(job.job_id, job_rows.REQUEST_KEY)])
        if not rows:
            raise JobNotFoundError(job.job_id)
        return self._body(rows[0])

    @override
    def read_state(self, job: Job) -> str | None:
        rows = self._table.get([job_rows.job_key(job.job_id, job_rows.STATE_KEY)])
        return self._body(rows[0]) if rows else None

    @override
    def read_receipt(self, job_id: str) -> StoredReceipt | None:
        rows = self._table.get([job_rows.job_key(job_id, job_rows.RECEIPT_KEY)])
        return job_rows.receipt_from_item(rows[0]) if rows else None

    @override
    def read_callback(self, job: Job) -> Callback | None:
        if not job.calls_back:
            return None
        rows = self._table.get([job_rows.job_key(job.job_id, job_rows.CALLBACK_KEY)])
        return job_rows.callback_from_item(rows[0]) if rows else None

    @override
    def replace_callback(self, job: Job, before: Callback, after: Callback) -> bool:
        write = job_rows.callback_replacement(self._table.name, job, before, after)
        try:
            self._table.transact([write])
        except ConditionFailedError:
            return False
        return True

    @override
    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        # One more than asked for, since the query begins at the position itself.
        rows = self._table.query(
            job_rows.tenant_partition(tenant),
            job_rows.LIST_PREFIX,
            job_rows.position_key(before),
            newest_first=True,
            limit=limit + 1,
        )
        lines = [job_rows.listed_from_item(row) for row in rows]
        return tuple(line for line in lines if line.position != before)[:limit]

    @override
    def read_usage(self, tenant: str, first: date, last: date) -> Mapping[UsageRow, Usage]:
        rows = self._table.query(
            job_rows.usage_partition(tenant),
            job_rows.usage_day(first),
            f"{job_rows.usage_day(last)}~",
        )
        found = (job_rows.usage_from_item(tenant, row) for row in rows)
        return dict(each for each in found if each is not None)

    @override
    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        return self._summaries.read(tenant, now)

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        buckets = job_rows.due_buckets(due_class)
        if due_class is DueClass.MESSAGE:
            buckets = (*buckets, job_rows.EARLIER_DUE_BUCKET)
        until = attribute("due_at", now)
        rows = [row for bucket in buckets for row in self._table.query_due(bucket, until, limit)]
        rows.sort(key=lambda row: int(row["due_at"]["N"]))
        return tuple(job_rows.job_id_of(row) for row in rows[:limit])

    def _refuse_blocked(self, address: str | None, row: Item | None) -> None:
        if address is not None and self._limiter:
            remaining_seconds = self._limiter.learn(address, row)
            if remaining_seconds is not None:
                raise RateLimitedError(remaining_seconds)

    def _body_item(self, job: Job, sort_key: str, text: str, key: str) -> Item:
        """Return the row for a body. A large body is stored in the bucket before the row that points there."""
        row = {
            **job_rows.job_key(job.job_id, sort_key),
            "format": attribute("format", FORMAT),
            "expires_at": attribute("expires_at", job.expires_at),
        }
        if len(text.encode()) <= LARGEST_ROW_BYTES:
            return {**row, "body": {"S": text}}
        self._bodies.put(key, text)
        return {**row, "object_key": {"S": key}}

    def _body(self, item: Item) -> str:
        check_format(item)
        return item["body"]["S"] if "body" in item else self._bodies.get(item["object_key"]["S"])


def _is_whole(rows: Sequence[Item], after: int) -> bool:
    """Return whether no event is missing, also of those that this version does not understand."""
    if not rows or "event_count" not in rows[-1]:
        return True
    found = [row["sk"]["S"] for row in rows[:-1]]
    last = max(int(rows[-1]["event_count"]["N"]), after + len(found))
    return found == [job_rows.event_sort_key(number) for number in range(after + 1, last + 1)]


def _understood_job(row: Item) -> Job | None:
    """Return the job; None, and a log line, for a row that this version does not understand."""
    try:
        return job_rows.job_from_item(row)
    except UnreadableRowError:
        log.warning("row.unreadable", exc_info=True, extra={"job_id": job_rows.job_id_of(row)})
        return None


def _understood_event(row: Item) -> Event | None:
    """Return the event; None, and a log line, for one that this version does not understand."""
    try:
        return job_rows.event_from_item(row)
    except UnreadableRowError:
        log.warning("row.unreadable", exc_info=True, extra={"job_id": job_rows.job_id_of(row)})
        return None


def _replay(found: Item | None, submission: Submission) -> Submitted:
    """Return the job that the key already stands for, if the request is the same."""
    if found is None or submission.idempotency_key is None:
        raise StoreUnavailableError("The idempotency key is being written by another request.")
    sent_fingerprint = found["sent_fingerprint"]["S"] if "sent_fingerprint" in found else None
    if not submission.idempotency_key.is_of_same_request(found["fingerprint"]["S"], sent_fingerprint):
        raise IdempotencyKeyReusedError("The Idempotency-Key came before, with another request.")
    return Submitted(found["job_id"]["S"], is_replay=True)
