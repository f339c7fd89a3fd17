"""The table of jobs, which checks every write, and one process's faulty access to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, override

from rune.errors import StoreUnavailableError
from rune.jobs.metrics import Tallies
from rune.jobs.record import ACTIVE, Job
from rune.jobs.store import JobHistory, JobStore, ListedJob, Refused, StoredJob, Submission, Submitted
from rune.jobs.transitions import Transition
from rune.storage.change import Change, Is
from tests.memory_job_store import MemoryJobStore
from tests.simulation.faults import Crash, Fault
from tests.simulation.metering import Meter
from tests.simulation.timing import START

if TYPE_CHECKING:
    from tests.simulation.world import World

type Guard = tuple[str, str]
"""The name of a change, and the field that one of its requirements looks at."""


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

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        before = self.jobs.get(job_id)
        self._world.guards |= {(change.name, requirement.field) for requirement in change.requires}
        written = super().update(job_id, drop_guards(change, self._unguarded))
        if isinstance(written, Job) and before is not None:
            self._watch(before, written)
            if change.name == "claim":
                self._watch_claim(before, written)
            if change.name == "redispatch":
                self._watch_redispatch(change, written)
        return written

    @override
    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        # Of jobs that were due at the same instant the older one comes first: ids differ from run to run.
        late = [job for job in self.jobs.values() if job.due_at and job.due_at <= now]
        return tuple(job.job_id for job in sorted(late, key=lambda job: job.due_at or now)[:limit])

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        is_written = super().commit(job, transition, tallies)
        if is_written and transition.send:
            begins = self._world.now + timedelta(seconds=transition.send.delay_seconds)
            self.not_before[(job.job_id, self.jobs[job.job_id].seq)] = begins
            self._watch_delay(self.jobs[job.job_id], transition.send.delay_seconds)
        if is_written and not self.jobs[job.job_id].is_active and self._world.account:
            self._world.account.watch_job_end(self.jobs[job.job_id])
        return is_written

    def _watch(self, before: Job, after: Job) -> None:
        if before.status not in ACTIVE:
            self._world.violate(f"I3: {before.job_id} was written after it had ended")
        if after.seq < before.seq or after.epoch < before.epoch or after.version <= before.version:
            self._world.violate(f"I3: seq, epoch or version of {before.job_id} fell")

    def _watch_delay(self, job: Job, delay_seconds: int) -> None:
        # A release is not interrupted by a cancel request, and waits for the provider.
        if delay_seconds and job.cancel_requested_at is not None and not job.is_releasing:
            self._world.violate(f"{job.job_id} was put off although it was asked to stop")

    def _watch_claim(self, before: Job, claimed: Job) -> None:
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

    def read[T](self, name: str, look: Callable[[], T]) -> T:
        """Return what is read."""
        self.before(name)
        return look()

    def update[T](self, name: str, write: Callable[[], T]) -> T:
        """Return the answer of a conditional write of one row."""
        self.before(name)
        written = write()
        fault = self._world.fault_at(f"after {name}", Fault.CRASH, Fault.LOST_ANSWER)
        if fault is Fault.CRASH:
            raise Crash
        # The SDK repeats a call whose answer was lost, and the second call finds what the first has written.
        return write() if fault is Fault.LOST_ANSWER else written

    def transact[T](self, name: str, write: Callable[[], T]) -> T:
        """Return the answer of a transaction."""
        self.before(name)
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
    def submit(self, submission: Submission) -> Submitted:
        return self._calls.transact("submit", lambda: self._world.table.submit(submission))

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        return self._calls.transact("commit", lambda: self._world.table.commit(job, transition, tallies))

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
    def list_jobs(self, tenant: str, before: str | None, limit: int) -> tuple[ListedJob, ...]:
        return self._calls.read("list_jobs", lambda: self._world.table.list_jobs(tenant, before, limit))

    @override
    def read_tallies(self, tenant: str, now: datetime) -> Tallies:
        return self._calls.read("read_tallies", lambda: self._world.table.read_tallies(tenant, now))

    @override
    def read_with_result(self, job_id: str, address: str | None = None) -> StoredJob | None:
        return self._calls.read("read_with_result", lambda: self._world.table.read_with_result(job_id))

    @override
    def read_results(self, job_ids: Sequence[str], address: str | None = None) -> tuple[StoredJob, ...]:
        return self._calls.read("read_results", lambda: self._world.table.read_results(job_ids))

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        return self._calls.read("read_events", lambda: self._world.table.read_events(job_id, after))

    @override
    def read_request(self, job: Job) -> str:
        return self._calls.read("read_request", lambda: self._world.table.read_request(job))

    @override
    def read_state(self, job: Job) -> str | None:
        return self._calls.read("read_state", lambda: self._world.table.read_state(job))

    @override
    def find_late(self, now: datetime, limit: int) -> tuple[str, ...]:
        return self._calls.read("find_late", lambda: self._world.table.find_late(now, limit))
