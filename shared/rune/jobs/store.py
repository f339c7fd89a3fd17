"""The ports of the engine: the store, what is too large for it, and the queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from rune.jobs.lifecycle import Send
from rune.jobs.metrics import Tallies
from rune.jobs.particulars import NOTHING_KNOWN, Particulars
from rune.jobs.places import Places, RowChange
from rune.jobs.plan import Lane
from rune.jobs.receipts import StoredReceipt
from rune.jobs.record import Callback, DueClass, Event, Job, Kind
from rune.jobs.usage import Usage, UsageRow
from rune.storage.change import Change

if TYPE_CHECKING:
    from rune.jobs.transitions import Transition


@dataclass(frozen=True, slots=True)
class Refused:
    """A requirement did not hold, and nothing was written. `found` is the item as it is; None if there is none."""

    found: Job | None


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job with what stands beside it; None for what is not there, and where it was not wanted.

    Attributes
    ----------
    result_json
        Its result, a JSON document.
    request_json
        The admitted request, a JSON document; also None where it cannot be read now.
    submitted_by
        See `Particulars`; read with the request.
    """

    job: Job
    result_json: str | None
    request_json: str | None = None
    submitted_by: str | None = None


type IsWanted = Callable[[Job], bool]
"""Whether the result, or the request, of a job is wanted."""


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job and its events in order, from one consistent read."""

    job: Job
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's name for a request, with the request's fingerprints.

    Attributes
    ----------
    fingerprint
        Digest of the admitted request, in which spelling and defaults make no difference to one version.
    sent_fingerprint
        Digest of what the caller sent, which is the same for versions with other defaults and fields; None where it
        is not known.
    """

    key: str
    fingerprint: str
    sent_fingerprint: str | None = None

    def is_of_same_request(self, fingerprint: str, sent_fingerprint: str | None) -> bool:
        """Return whether a key's stored fingerprints, of which one suffices, are those of the same request."""
        is_sent_again = sent_fingerprint is not None and sent_fingerprint == self.sent_fingerprint
        return is_sent_again or fingerprint == self.fingerprint


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be stored.

    Attributes
    ----------
    address
        The caller's; the same call refuses it if it is blocked. None is not looked up.
    companions
        Changes of the rows that say which jobs run and wait, in the same write.
    callback
        Of a job that calls back.
    particulars
        Of the job, for its tenant's list.
    round
        How often it met other writes of the same rows. The store waits the longer after the next one.
    """

    job: Job
    request_json: str
    event: Event
    idempotency_key: IdempotencyKey | None = None
    address: str | None = None
    companions: tuple[RowChange, ...] = ()
    callback: Callback | None = None
    particulars: Particulars = NOTHING_KNOWN
    round: int = 0


@dataclass(frozen=True, slots=True)
class CompanionsRefused:
    """Requirements of a submission's companions did not hold, and nothing was written.

    Attributes
    ----------
    positions
        Of those companions.
    """

    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of the request: a new one, or an earlier one with the same key."""

    job_id: str
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a tenant's list. An older page goes on after the position.

    Attributes
    ----------
    kind
        None for a kind that this version does not know.
    """

    job_id: str
    kind: Kind | None
    position: str
    particulars: Particulars = NOTHING_KNOWN


class JobStore(Protocol):
    """Stores jobs.

    Each method raises StoreUnavailableError where the store cannot be reached, and UnreadableRowError for a job
    whose row this version does not understand.
    """

    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        """Write a new job with its request, its first event, its callback and the companions, all or nothing.

        Raises
        ------
        IdempotencyKeyReusedError
            The key was used before with another request.
        RateLimitedError
            The caller's address is blocked.
        """
        ...

    def find_replay(self, submission: Submission) -> Submitted | None:
        """Return the earlier job that a submission's key stands for; None where it would be a new one.

        Raises
        ------
        IdempotencyKeyReusedError, RateLimitedError
            As `submit`.
        """
        ...

    def update(self, job_id: str, change: Change) -> Job | Refused:
        """Write the hot item if the change's requirements hold, and return it as written.

        UnreadableRowError does not tell whether it was written.
        """
        ...

    def begin(self, job: Job, change: Change, event: Event) -> Job | Refused:
        """Write the hot item and an event, all or nothing, if the change's requirements hold; return it as written.

        Parameters
        ----------
        job
            As it was read.
        """
        ...

    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        """Write change, events, result and state, and add tallies to the tenant's summary, all or nothing.

        The tallies come with the end of a job, and count for its day. A summary that this version does not
        understand is left as it is, and the job ends without it. Return False if a requirement did not hold; then
        nothing was written.
        """
        ...

    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        """Write several rows, all or nothing; return the positions of those whose requirements do not hold."""
        ...

    def read_places(self) -> Places:
        """Return which jobs have slots, and all tenants' shares, as all earlier writes left them."""
        ...

    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        """Return ids of a tenant's waiting jobs, longest waiting first; the latest writes may be missing."""
        ...

    def count_waiting_before(self, job: Job, limit: int) -> int:
        """Return how many jobs of its tenant wait for longer, up to the limit; the latest writes may be missing."""
        ...

    def read(self, job_id: str) -> Job | None:
        """Return the job as all earlier writes left it."""
        ...

    def glance(self, job_id: str) -> Job | None:
        """Return the job as some earlier write left it, for half the price of `read`."""
        ...

    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        """Return the job and its result as all earlier writes left them.

        The same call raises RateLimitedError where an address is given and is blocked.

        Parameters
        ----------
        is_wanted
            Whether the job's result is read, which may be another call; None for always.
        wants_request
            The same of its request; None for never.
        """
        ...

    def read_results(
        self, job_ids: Sequence[str], address: str | None = None, is_wanted: IsWanted | None = None
    ) -> tuple[StoredJob, ...]:
        """Return those of up to 40 jobs that exist with their results, in no order.

        Parameters and errors are those of `read_with_result`.
        """
        ...

    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        """Return the job and its events numbered above `after`, none left out that a later one follows.

        So who goes on after the last of them misses nothing, also where a commit is being written at that moment.
        """
        ...

    def read_particulars(self, job: Job) -> Particulars:
        """Return what stands beside the job in its tenant's list; nothing where that is gone."""
        ...

    def read_request(self, job: Job) -> str:
        """Return the admitted request, a JSON document; raises JobNotFoundError if it is gone."""
        ...

    def read_state(self, job: Job) -> str | None:
        """Return the state of the latest commit that had one; None where there was none."""
        ...

    def read_receipt(self, job_id: str) -> StoredReceipt | None:
        """Return the row of a job's receipt; None before its end, and for one that an earlier version ended."""
        ...

    def read_callback(self, job: Job) -> Callback | None:
        """Return whom the job tells; None where it tells nobody."""
        ...

    def replace_callback(self, job: Job, before: Callback, after: Callback) -> bool:
        """Tell others than before, such as the newest task token of a workflow that asked again.

        Return False where the job has no callback, or it was written since `before` was read; then nothing is
        written. What was told before is not told again: whoever replaces the callback of a job that has ended tells
        its end by itself.
        """
        ...

    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        """Return those of up to 100 jobs that exist, in no order, without those that cannot be understood."""
        ...

    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        """Return a tenant's jobs from newest to oldest, after a position."""
        ...

    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        """Return the tallies of a tenant's ended jobs, by whole days, without those that have expired.

        A day's jobs expire together, with the last of them in the same summary.
        """
        ...

    def read_usage(self, tenant: str, first: date, last: date) -> Mapping[UsageRow, Usage]:
        """Return what a tenant's jobs have used that ended from the one day to the other."""
        ...

    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        """Return ids of jobs of a class that were due by `now`, longest overdue first.

        The latest writes may be missing.
        """
        ...


class ObjectStore(Protocol):
    """Stores documents that are too large for a row. Raises StoreUnavailableError where it cannot be reached."""

    def put(self, key: str, text: str) -> None:
        """Store the text under the key, in place of an earlier one."""
        ...

    def get(self, key: str) -> str:
        """Return what `put` stored."""
        ...


class StepQueue(Protocol):
    """The queues of the lanes."""

    def send(self, send: Send) -> bool:
        """Send the message; return False if the queue did not take it. The janitor then sends it again."""
        ...

    def count_backlog(self, lane: Lane) -> int:
        """Return about how many messages of a lane wait for a worker; 0 where that is unknown."""
        ...
