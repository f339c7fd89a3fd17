"""A notice after each write that has events, and after no other."""

from __future__ import annotations

import inspect

import pytest

from rune.errors import StoreUnavailableError
from rune.events.notices import SubjectNotice
from rune.events.record import Subject, SubjectKind
from rune.jobs import closing, lifecycle
from rune.jobs.outcomes import Again, Done
from rune.jobs.record import Job
from rune.jobs.store import CompanionsRefused, IdempotencyKey, JobStore, Refused, Submission, Submitted
from rune.jobs.telling import TellingStore
from rune.jobs.transitions import cancel_queued, make_transition
from rune.storage.change import apply
from tests.builders import JOB_ID, NOW, a_claimed_job, a_job, an_event
from tests.memory_job_store import MemoryJobStore
from tests.memory_outbox import RecordingNotices
from tests.unit.jobs.stores import DownStore, a_store

TOLD = [SubjectNotice(Subject(SubjectKind.JOB, JOB_ID))]
KEY = IdempotencyKey("key", "fingerprint")


def telling(store: MemoryJobStore) -> tuple[TellingStore, RecordingNotices]:
    notices = RecordingNotices()
    return TellingStore(store, notices), notices


def begin(store: JobStore, job: Job) -> Job | Refused:
    return store.begin(job, *lifecycle.begin(job, job.seq, "worker-1", NOW))


def test_new_job_is_told() -> None:
    store, notices = telling(MemoryJobStore())

    assert store.submit(Submission(a_job(), "{}", an_event())) == Submitted(JOB_ID)

    assert notices.sent == TOLD


def test_request_that_is_repeated_or_refused_is_not_told() -> None:
    store, notices = telling(MemoryJobStore())
    store.submit(Submission(a_job(), "{}", an_event(), KEY))
    notices.sent.clear()
    store.submit(Submission(a_job(job_id="second"), "{}", an_event(), KEY))

    class Crowded(MemoryJobStore):
        def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
            return CompanionsRefused((0,))

    refusing = TellingStore(Crowded(), notices)
    refusing.submit(Submission(a_job(job_id="third"), "{}", an_event()))

    assert notices.sent == []


def test_first_claim_is_told_with_its_event() -> None:
    memory = a_store(a_job())
    store, notices = telling(memory)

    begun = begin(store, a_job())

    assert isinstance(begun, Job)
    assert begun.event_count == 2
    assert [event.name for event in memory.events_of(JOB_ID)] == ["job.accepted", "job.running"]
    assert notices.sent == TOLD


def test_claim_that_is_refused_writes_and_tells_nothing() -> None:
    memory = a_store(a_claimed_job())
    store, notices = telling(memory)

    assert isinstance(begin(store, a_job()), Refused)

    assert len(memory.events_of(JOB_ID)) == 1
    assert notices.sent == []


def test_commit_is_told_when_it_has_events_and_was_carried_out() -> None:
    claimed = a_claimed_job()
    store, notices = telling(a_store(claimed))
    step_ends = make_transition(claimed, Done("{}"), NOW, 5)

    assert closing.commit(store, claimed, step_ends)
    assert not closing.commit(store, claimed, step_ends)

    assert notices.sent == TOLD


def test_turn_of_waiting_is_not_told() -> None:
    claimed = a_claimed_job()
    store, notices = telling(a_store(claimed))

    assert closing.commit(store, claimed, make_transition(claimed, Again(15), NOW, 5))

    assert notices.sent == []


def test_write_that_failed_is_not_told() -> None:
    store, notices = telling(DownStore("commit"))

    with pytest.raises(StoreUnavailableError):
        store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))

    assert notices.sent == []


def test_only_the_end_of_a_job_makes_its_events_due() -> None:
    subject = Subject(SubjectKind.JOB, JOB_ID)
    claimed = a_claimed_job()
    memory = a_store(claimed)
    closing.commit(memory, claimed, make_transition(claimed, Again(0), NOW, 5))
    before_end = memory.outbox.read(subject)
    job = memory.jobs[JOB_ID]
    again = apply(lifecycle.claim(job, job.seq, "worker-2", NOW), job)
    memory.jobs[JOB_ID] = again
    closing.commit(memory, again, make_transition(again, Done("{}"), NOW, 5))

    assert before_end.due_at is None
    assert memory.outbox.read(subject).due_at is not None
    assert memory.outbox.read(subject).expires_at == claimed.expires_at


def test_job_that_is_cancelled_before_it_began_is_due_too() -> None:
    memory = a_store(a_job())
    closing.commit(memory, a_job(), cancel_queued(a_job(), NOW))

    assert memory.outbox.read(Subject(SubjectKind.JOB, JOB_ID)).due_at is not None


def test_telling_store_hands_every_other_call_on() -> None:
    own = {name for name, _ in inspect.getmembers(TellingStore, inspect.isfunction) if name[0] != "_"}

    assert own == {name for name, _ in inspect.getmembers(JobStore, inspect.isfunction) if name[0] != "_"}
