"""The table of jobs, which checks every write, and one process's faulty access to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, override

from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.jobs import closing, plan
from rune.jobs.engine import NOT_UNDERSTOOD_PAUSE_SECONDS, OUTAGE_PAUSE_SECONDS
from rune.jobs.metrics import Tallies
from rune.jobs.particulars import Particulars
from rune.jobs.places import Places, RowChange
from rune.jobs.receipts import StoredReceipt
from rune.jobs.record import ACTIVE, Callback, DueClass, Event, Job, StepMessage
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
from rune.jobs.transitions import Transition
from rune.jobs.usage import Usage, UsageRow
from rune.jobs.wants import describe_want
from rune.money.budgets import Budgets, BudgetStore
from rune.storage.change import Change, Is
from tests.memory_job_store import MemoryJobStore
from tests.simulation.faults import Crash, Fault
from tests.simulation.metering import Meter
from tests.simulation.shown_cost import watch_job
from tests.simulation.timing import START

if TYPE_CHECKING:
    from tests.simulation.world import World

type Guard = tuple[str, str]
"""The name of a change, and the field that one of its requirements looks at."""


SHORT_PAUSES = (0, 1, 2, OUTAGE_PAUSE_SECONDS, NOT_UNDERSTOOD_PAUSE_SECONDS)
"""After turns that have not looked what the job's limits deny it."""

LATER_FIELDS = frozenset({"begin_by", "max_machines"})
"""By which a job that may not rent gives its slot back; versions until November 2026 did not write them."""


def drop_guards(change: Change, unguarded: Collection[Guard]) -> Change:
    """Return the change without the requirements that the table is to leave out."""
    kept = tuple(r for r in change.requires if (change.name, r.field) not in unguarded)
    return replace(change, requires=kept)


class WatchedTable(MemoryJobStore):
    """The table; it records each write that breaks a rule."""

    def __init__(self, world: World, unguarded: Collection[Guard]) -> None:
        super().__init__()
        self._world = world
        self._unguarded = unguarded
        self._sent_again: set[tuple[str, object]] = set()
        self.not_before: dict[tuple[str, int], datetime] = {}
        self.not_understood: set[str] = set()
        self._earlier: dict[str, Job | None] = {}
        self._written_at: dict[str, datetime] = {}

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        submitted = super().submit(submission)
        self._note_written(submission.job.job_id, None)
        return submitted

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        before = self.jobs.get(job_id)
        self._world.guards |= {(change.name, requirement.field) for requirement in change.requires}
        written = super().update(job_id, self._as_written(change))
        if job_id in self.not_understood:
            # The write is carried out, and its answer is not understood.
            self._note_written(job_id, before)
            raise UnreadableRowError("Simulated: of another version.")
        if isinstance(written, Job) and before is not None:
            self._note_written(job_id, before)
            self._watch(before, written)
            watch_job(self._world, before, written)
            if change.name == "claim":
                self._watch_claim(before, written)
            if change.name == "redispatch":
                self._watch_redispatch(change, written)
        return written

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        # Of jobs that were due at the same instant the older one comes first: ids differ from run to run.
        late = [
            job
            for job in self._indexed(lambda job: job.due_class is due_class)
            if job.due_at and job.due_at <= now
        ]
        return tuple(job.job_id for job in sorted(late, key=lambda job: job.due_at or now)[:limit])

    @override
    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        waiting = self._indexed(lambda job: job.is_waiting and job.tenant == tenant)
        waiting.sort(key=lambda job: job.waiting_since or job.created_at)
        return tuple(job.job_id for job in waiting[:limit])

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        self._world.guards |= {
            (each.change.name, requirement.field) for each in changes for requirement in each.change.requires
        }
        return super().write_rows([replace(each, change=self._as_written(each.change)) for each in changes])

    def _as_written(self, change: Change) -> Change:
        """Return a change without the requirements, and without the fields, that the table is to leave out."""
        change = drop_guards(change, self._unguarded)
        if not self._world.keeps_slots:
            return change
        return replace(change, sets={name: v for name, v in change.sets.items() if name not in LATER_FIELDS})

    @override
    def read(self, job_id: str) -> Job | None:
        if job_id in self.not_understood:
            raise UnreadableRowError("Simulated: of another version.")
        return super().read(job_id)

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        return super().read_many([job_id for job_id in job_ids if job_id not in self.not_understood])

    @override
    def glance(self, job_id: str) -> Job | None:
        return self.read(job_id)

    def _indexed(self, is_shown: Callable[[Job], bool]) -> list[Job]:
        """Return the jobs that an index shows: some as they were a moment ago."""
        lag = timedelta(seconds=self._world.odds.index_lag_seconds)
        shown = []
        for job in self.jobs.values():
            earlier = self._earlier.get(job.job_id)
            is_new = self._written_at.get(job.job_id, START) + lag > self._world.now
            found = earlier if is_new else job
            if found is not None and is_shown(found):
                shown.append(found)
        return shown

    def _note_written(self, job_id: str, before: Job | None) -> None:
        if self._world.odds.index_lag_seconds:
            self._earlier[job_id] = before
            self._written_at[job_id] = self._world.now

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        before = self.jobs[job.job_id]
        is_written = super().commit(job, transition, tallies)
        if is_written:
            watch_job(self._world, before, self.jobs[job.job_id])
        if is_written and transition.send is None and self.jobs[job.job_id].is_active:
            # The same worker goes on at once.
            holders = self._world.at_work[(job.job_id, self.jobs[job.job_id].seq)]
            self._watch_going_on(job.job_id, holders)
        if is_written and transition.send:
            begins = self._world.now + timedelta(seconds=transition.send.delay_seconds)
            self.not_before[(job.job_id, self.jobs[job.job_id].seq)] = begins
            self._watch_delay(self.jobs[job.job_id], transition.send.delay_seconds)
        if is_written and transition.send and transition.send.delay_seconds not in SHORT_PAUSES:
            self._watch_slot(self.jobs[job.job_id])
        if is_written and not self.jobs[job.job_id].is_active and self._world.account:
            self._world.account.watch_job_end(self.jobs[job.job_id])
        return is_written

    def _watch(self, before: Job, after: Job) -> None:
        if before.status not in ACTIVE:
            self._world.violate(f"I3: {before.job_id} was written after it had ended")
        if after.seq < before.seq or after.epoch < before.epoch or after.version <= before.version:
            self._world.violate(f"I3: seq, epoch or version of {before.job_id} fell")
        if after.cost_micro_usd < before.cost_micro_usd:
            fall = f"from {before.cost_micro_usd} to {after.cost_micro_usd}"
            self._world.violate(f"the cost of {before.job_id} fell {fall} in {before.step}")

    def _watch_delay(self, job: Job, delay_seconds: int) -> None:
        # A release is not interrupted by a cancel request, and waits for the provider. A step that winds down may
        # wait for another server, for a while.
        if not delay_seconds or job.cancel_requested_at is None or job.is_releasing:
            return
        may_wait_until = job.cancel_requested_at + plan.WINDING_DOWN
        if not plan.STEPS[job.step].winds_down or job.updated_at > may_wait_until:
            self._world.violate(f"{job.job_id} was put off although it was asked to stop")

    def _watch_slot(self, job: Job) -> None:
        """Look whether a job keeps a slot between two looks at what its limits deny."""
        if job.slot is None or job.lease_owner is not None or describe_want(job.progress) is None:
            return
        account = self._world.account
        has_ordered = account is not None and account.rental_store.read_attempts(job.job_id)
        if not has_ordered and job.rental_id is None and not self._world.keeps_slots:
            self._world.violate(f"{job.job_id} keeps its slot while its limits deny it a machine")

    def _watch_going_on(self, job_id: str, holders: set[str | None]) -> None:
        if holders:
            self._world.violate(f"a worker went on with a turn of {job_id} that another one runs")

    def _watch_claim(self, before: Job, claimed: Job) -> None:
        if before.started_at is None and claimed.started_at and claimed.started_at >= before.deadline_at:
            self._world.violate(f"{claimed.job_id} was begun after its time to wait")
        begins = self.not_before.get((claimed.job_id, claimed.seq), START)
        is_asked_to_stop = claimed.cancel_requested_at is not None
        if self._world.now < begins and not is_asked_to_stop:
            self._world.violate(f"turn {claimed.seq} of {claimed.job_id} began before its time")
        slack = timedelta(seconds=self._world.odds.skew_seconds)
        if before.lease_until and before.lease_until <= self._world.now + slack:
            # Its lease ran out by another clock, so the worker may still be at work, and that is no fault.
            self._world.at_work[(before.job_id, before.seq)].discard(before.lease_owner)

    def _watch_redispatch(self, change: Change, written: Job) -> None:
        (seen,) = (guard.value for guard in change.requires if isinstance(guard, Is))
        if (written.job_id, seen) in self._sent_again:
            self._world.violate(f"I5: {written.job_id} was sent twice for one due time")
        self._sent_again.add((written.job_id, seen))
        if self._world.queue.has_arrived(written.job_id):
            # Frozen workers hold the slots of its lane.
            self._world.queue.allow_one_more(StepMessage(written.job_id, written.seq))


THROTTLED_RATIO = 0.9
"""Ratio of the writes that fail while the table throttles."""


class FaultyCalls:
    """One process's calls of one table: calls fail, answers are lost, and the process crashes."""

    def __init__(self, world: World, meter: Meter | None = None) -> None:
        self._world = world
        self._meter = meter

    def before(self, name: str) -> None:
        """Let a call reach the table, or fail."""
        if self._meter:
            self._meter.count_table_call()
        fault = self._world.fault_at(f"before {name}", Fault.CRASH, Fault.OUTAGE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.OUTAGE:
            raise StoreUnavailableError("Simulated outage.")

    def _throttle(self) -> None:
        """Let a write fail while the table throttles, most of the time."""
        if self._world.now < self._world.throttled_until and self._world.random.random() < THROTTLED_RATIO:
            raise StoreUnavailableError("Simulated throttle.")

    def read[T](self, name: str, look: Callable[[], T]) -> T:
        """Return what is read."""
        self.before(name)
        return look()

    def update[T](self, name: str, write: Callable[[], T]) -> T:
        """Return the answer of a conditional write of one row."""
        self.before(name)
        self._throttle()
        written = write()
        fault = self._world.fault_at(f"after {name}", Fault.CRASH, Fault.LOST_ANSWER)
        if fault is Fault.CRASH:
            raise Crash
        # The SDK repeats a call whose answer was lost, and the second call finds what the first has written.
        return write() if fault is Fault.LOST_ANSWER else written

    def transact[T](self, name: str, write: Callable[[], T]) -> T:
        """Return the answer of a transaction."""
        self.before(name)
        self._throttle()
        written = write()
        fault = self._world.fault_at(f"after {name}", Fault.CRASH, Fault.LOST_ANSWER)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOST_ANSWER:
            raise StoreUnavailableError("Simulated: written, but the answer was lost.")
        return written


class FaultyStore(JobStore):
    """One process's access to the table of jobs.

    Parameters
    ----------
    overlap
        Whether other processes may run between a read and what follows it.
    """

    def __init__(self, world: World, *, overlap: bool = False, meter: Meter | None = None) -> None:
        self._world = world
        self._overlap = overlap
        self._calls = FaultyCalls(world, meter)

    @override
    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        return self._calls.transact("submit", lambda: self._world.table.submit(submission))

    @override
    def find_replay(self, submission: Submission) -> Submitted | None:
        return self._calls.read("find replay", lambda: self._world.table.find_replay(submission))

    @override
    def begin(self, job: Job, change: Change, event: Event) -> Job | Refused:
        begun = self._calls.transact(change.name, lambda: self._world.table.begin(job, change, event))
        # The client reads what the transaction has written.
        return self.read(job.job_id) or begun if isinstance(begun, Job) else begun

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        def write() -> bool:
            return self._world.table.commit(job, transition, tallies)

        is_one_row = not transition.events and transition.state_json is None and not closing.ends(transition)
        # A write of one row is repeated by the client, a transaction by the engine.
        call = self._calls.update if is_one_row and transition.result_json is None else self._calls.transact
        return call("commit", write)

    @override
    def write_rows(self, changes: Sequence[RowChange]) -> tuple[int, ...]:
        return self._calls.transact("write_rows", lambda: self._world.table.write_rows(changes))

    @override
    def read_places(self) -> Places:
        return self._calls.read("read_places", self._world.table.read_places)

    @override
    def find_waiting(self, tenant: str, limit: int) -> tuple[str, ...]:
        return self._calls.read("find_waiting", lambda: self._world.table.find_waiting(tenant, limit))

    @override
    def count_waiting_before(self, job: Job, limit: int) -> int:
        return self._calls.read(
            "count_waiting_before", lambda: self._world.table.count_waiting_before(job, limit)
        )

    @override
    def glance(self, job_id: str) -> Job | None:
        return self._calls.read("glance", lambda: self._world.table.glance(job_id))

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        return self._calls.update(change.name, lambda: self._world.table.update(job_id, change))

    @override
    def read(self, job_id: str) -> Job | None:
        job = self._calls.read("read", lambda: self._world.table.read(job_id))
        if self._overlap and self._world.fault_at("after read", Fault.OVERTAKEN):
            self._world.let_pass(self._world.random.uniform(0.0, 90.0))
        return job

    @override
    def read_many(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        return self._calls.read("read_many", lambda: self._world.table.read_many(job_ids))

    @override
    def read_receipt(self, job_id: str) -> StoredReceipt | None:
        return self._calls.read("read_receipt", lambda: self._world.table.read_receipt(job_id))

    @override
    def read_callback(self, job: Job) -> Callback | None:
        return self._calls.read("read_callback", lambda: self._world.table.read_callback(job))

    @override
    def replace_callback(self, job: Job, before: Callback, after: Callback) -> bool:
        return self._calls.transact(
            "replace_callback", lambda: self._world.table.replace_callback(job, before, after)
        )

    @override
    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        return self._calls.read("list_jobs", lambda: self._world.table.list_jobs(tenant, before, limit))

    @override
    def read_usage(self, tenant: str, first: date, last: date) -> Mapping[UsageRow, Usage]:
        return self._calls.read("read_usage", lambda: self._world.table.read_usage(tenant, first, last))

    @override
    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        return self._calls.read("read_tallies", lambda: self._world.table.read_tallies(tenant, now))

    @override
    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        return self._calls.read(
            "read_with_result",
            lambda: self._world.table.read_with_result(job_id, address, is_wanted, wants_request),
        )

    @override
    def read_results(
        self, job_ids: Sequence[str], address: str | None = None, is_wanted: IsWanted | None = None
    ) -> tuple[StoredJob, ...]:
        return self._calls.read(
            "read_results", lambda: self._world.table.read_results(job_ids, address, is_wanted)
        )

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        return self._calls.read("read_events", lambda: self._world.table.read_events(job_id, after))

    @override
    def read_particulars(self, job: Job) -> Particulars:
        return self._calls.read("read_particulars", lambda: self._world.table.read_particulars(job))

    @override
    def read_request(self, job: Job) -> str:
        return self._calls.read("read_request", lambda: self._world.table.read_request(job))

    @override
    def read_state(self, job: Job) -> str | None:
        return self._calls.read("read_state", lambda: self._world.table.read_state(job))

    @override
    def find_late(self, due_class: DueClass, now: datetime, limit: int) -> tuple[str, ...]:
        return self._calls.read("find_late", lambda: self._world.table.find_late(due_class, now, limit))


class FaultyBudgets(BudgetStore):
    """One process's way to the budgets; others may reserve between its look and its write."""

    def __init__(self, world: World, meter: Meter | None = None) -> None:
        self._world = world
        self._calls = FaultyCalls(world, meter)

    @override
    def read(self, tenant: str, now: datetime) -> Budgets:
        found = self._calls.read("read budgets", lambda: self._world.table.budgets.read(tenant, now))
        if self._world.fault_at("after read budgets", Fault.OVERTAKEN):
            self._world.let_pass(self._world.random.uniform(0.0, 30.0))
        return found
