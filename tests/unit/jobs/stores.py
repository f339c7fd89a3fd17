"""Stores in memory with one thing wrong, each for the tests that need it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import override

from rune.errors import JobNotFoundError, RuneError, StoreUnavailableError
from rune.jobs.metrics import Tallies
from rune.jobs.record import Event, Job
from rune.jobs.store import IsWanted, JobHistory, Refused, StoredJob, Submission
from rune.jobs.transitions import Transition
from rune.storage.change import Change
from tests.builders import REQUEST, an_event
from tests.memory_job_store import MemoryJobStore


def a_store(*jobs: Job) -> MemoryJobStore:
    """Return a store with these jobs, each with the builders' request and as many events as it counts."""
    return fill(MemoryJobStore(), *jobs)


def fill[S: MemoryJobStore](store: S, *jobs: Job) -> S:
    """Put jobs into the store as if they had come there in the usual way."""
    for job in jobs:
        store.submit(Submission(job, request_json_of(job), an_event()))
        later = range(2, job.event_count + 1)
        store._events[job.job_id] |= {n: Event(n, "earlier", "ok", job.created_at) for n in later}
    return store


def request_json_of(job: Job) -> str:
    """Return a request that tells which job it belongs to."""
    return json.dumps({**REQUEST, "question": f"What of {job.job_id}?"})


class DownStore(MemoryJobStore):
    """Cannot be reached for the operations named in `down`, or fails at them in another way."""

    def __init__(self, *down: str, error: type[RuneError] = StoreUnavailableError) -> None:
        super().__init__()
        self.down = set(down)
        self._error = error

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        self._fail(change.name)
        return super().update(job_id, change)

    @override
    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        self._fail("commit")
        return super().commit(job, transition, tallies)

    @override
    def read_request(self, job: Job) -> str:
        self._fail("read_request")
        return super().read_request(job)

    @override
    def read_state(self, job: Job) -> str | None:
        self._fail("read_state")
        return super().read_state(job)

    @override
    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        self._fail("read_with_result")
        return super().read_with_result(job_id, address, is_wanted, wants_request)

    @override
    def read_events(self, job_id: str, after: int) -> JobHistory | None:
        self._fail("read_events")
        return super().read_events(job_id, after)

    def _fail(self, name: str) -> None:
        if name in self.down:
            raise self._error("The table cannot be reached now.")


class InterruptedStore(MemoryJobStore):
    """Lets something else happen once, right after the first read."""

    def __init__(self, after_read: Callable[[MemoryJobStore], object]) -> None:
        super().__init__()
        self._interrupts = [after_read]

    @override
    def read(self, job_id: str) -> Job | None:
        job = super().read(job_id)
        if self._interrupts:
            self._interrupts.pop()(self)
        return job


class RequestlessStore(MemoryJobStore):
    """Has lost the requests, as when TTL removes a job's rows one by one."""

    @override
    def read_request(self, job: Job) -> str:
        raise JobNotFoundError(job.job_id)


class UntouchableStore(MemoryJobStore):
    """Fails the test at any call."""

    def __getattribute__(self, name: str) -> object:
        if name.startswith("_"):
            return super().__getattribute__(name)

        def fail(*_: object) -> None:
            raise AssertionError(f"the store was called: {name}")

        return fail


class ForgetfulStore(MemoryJobStore):
    """Loses the answer to a claim, so that the SDK repeats it and sees its own first try."""

    @override
    def update(self, job_id: str, change: Change) -> Job | Refused:
        written = super().update(job_id, change)
        return super().update(job_id, change) if change.name == "claim" else written
