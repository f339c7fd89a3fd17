from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from rune.errors import JobFinishedError, JobNotFoundError, StoreUnavailableError
from rune.jobs.change import apply
from rune.jobs.desk import Desk, Terms
from rune.jobs.lifecycle import Send, claim, request_cancel
from rune.jobs.outcomes import Done
from rune.jobs.plan import Lane
from rune.jobs.record import Event, Job, Kind, Status, StepMessage, StepName
from rune.jobs.settlement import cancel_queued, settle
from rune.jobs.store import History, StoredJob
from tests.builders import (
    JOB_ID,
    NOW,
    TENANT,
    FakeClock,
    RecordingQueue,
    a_claimed_job,
    a_job,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
)
from tests.memory_store import MemoryJobStore
from tests.unit.jobs.stores import InterruptedStore, a_store, fill

TERMS = Terms(run_limit=timedelta(hours=1), retention=timedelta(days=30))


@dataclass
class Office:
    """A desk with everything around it in memory."""

    store: MemoryJobStore
    clock: FakeClock = field(default_factory=FakeClock)
    queue: RecordingQueue = field(default_factory=RecordingQueue)

    @property
    def desk(self) -> Desk:
        return Desk(self.store, self.queue, self.clock, TERMS)

    @property
    def job(self) -> Job:
        return self.store.jobs[JOB_ID]


def test_submit_stores_the_job_and_sends_its_first_message() -> None:
    office = Office(a_store())

    job = office.desk.submit(TENANT, Kind.BENCHMARK, '{"question": "q"}')

    assert job == a_job(job_id=job.job_id)
    assert office.store.jobs == {job.job_id: job}
    assert office.store.read_request(job) == '{"question": "q"}'
    assert office.store.events_of(job.job_id) == (an_event(),)
    assert office.queue.sent == [Send(Lane.CONTROL, StepMessage(job.job_id, 1), 0)]


def test_submit_gives_every_job_its_own_id() -> None:
    office = Office(a_store())

    ids = {office.desk.submit(TENANT, Kind.BENCHMARK, "{}").job_id for _ in range(3)}

    assert len(ids) == 3


def test_submit_accepts_the_job_when_the_queue_is_down() -> None:
    office = Office(a_store(), queue=RecordingQueue(is_down=True))

    job = office.desk.submit(TENANT, Kind.BENCHMARK, "{}")

    assert office.store.jobs == {job.job_id: job}


def test_submit_sends_nothing_when_the_store_is_down() -> None:
    class Down(MemoryJobStore):
        def submit(self, job: Job, request_json: str, event: Event) -> None:
            raise StoreUnavailableError("Down.")

    office = Office(Down())

    with pytest.raises(StoreUnavailableError):
        office.desk.submit(TENANT, Kind.BENCHMARK, "{}")

    assert office.queue.sent == []


def test_find_returns_the_job_and_its_result_when_it_has_ended() -> None:
    office = Office(a_store(a_claimed_job()))
    office.store.commit(a_claimed_job(), settle(a_claimed_job(), Done('{"answer": "a"}'), NOW, 5))

    assert office.desk.find(TENANT, JOB_ID) == StoredJob(office.job, '{"answer": "a"}')


def test_find_events_returns_the_later_ones_when_asked_so() -> None:
    office = Office(a_store(a_claimed_job()))
    office.store.commit(a_claimed_job(), settle(a_claimed_job(), Done("{}"), NOW, 5))

    history = office.desk.find_events(TENANT, JOB_ID, after=2)

    assert history == History(office.job, (Event(3, "job.succeeded", "ok", NOW, 0, None, {}),))
    assert len(office.desk.find_events(TENANT, JOB_ID).events) == 3


ACTS: dict[str, Callable[[Desk, str], object]] = {
    "find": lambda desk, tenant: desk.find(tenant, JOB_ID),
    "find_events": lambda desk, tenant: desk.find_events(tenant, JOB_ID),
    "cancel": lambda desk, tenant: desk.cancel(tenant, JOB_ID),
}
HIDDEN: dict[str, tuple[list[Job], str]] = {
    "unknown": ([], TENANT),
    "another tenant's": ([a_job(tenant="acme")], TENANT),
    "a tenant's with a longer name": ([a_job(tenant="default2")], TENANT),
    "just expired": ([a_job(expires_at=NOW)], TENANT),
    "long expired": ([an_ended_job(expires_at=after(-86400))], TENANT),
    "another tenant's, ended": ([an_ended_job(tenant="acme")], TENANT),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
@pytest.mark.parametrize(("found", "tenant"), HIDDEN.values(), ids=HIDDEN.keys())
def test_desk_knows_no_such_job_when_it_is_not_the_callers(
    found: list[Job], tenant: str, act: Callable[[Desk, str], object]
) -> None:
    office = Office(a_store(*found))

    with pytest.raises(JobNotFoundError) as caught:
        act(office.desk, tenant)

    assert caught.value.job_id == JOB_ID
    assert (list(office.store.jobs.values()), office.queue.sent) == (found, [])


def test_desk_shows_a_job_until_it_expires() -> None:
    office = Office(a_store(a_job(expires_at=after(0.001))))

    assert office.desk.find(TENANT, JOB_ID).job == office.job


def test_cancel_ends_the_job_at_once_when_nobody_has_begun_it() -> None:
    office = Office(a_store(a_job()))

    cancelled = office.desk.cancel(TENANT, JOB_ID)

    assert cancelled == apply(cancel_queued(a_job(), NOW).change, a_job()) == office.job
    assert [event.name for event in office.store.events_of(JOB_ID)] == ["job.accepted", "job.cancelled"]
    assert office.queue.sent == []


@pytest.mark.parametrize(
    "job",
    [
        a_waiting_job(),
        a_claimed_job(),
        a_waiting_job(step=StepName.ASK),
        a_waiting_job(cancel_requested_at=after(-5)),
    ],
    ids=["waiting", "at work", "asking", "again"],
)
def test_cancel_asks_to_stop_when_the_job_has_begun(job: Job) -> None:
    office = Office(a_store(job))

    asked = office.desk.cancel(TENANT, JOB_ID)

    assert asked == apply(request_cancel(NOW), job) == office.job
    assert office.queue.sent == [Send(Lane.CONTROL, StepMessage(JOB_ID, job.seq), 0)]


def test_cancel_stands_when_the_queue_is_down() -> None:
    office = Office(a_store(a_waiting_job()), queue=RecordingQueue(is_down=True))

    office.desk.cancel(TENANT, JOB_ID)

    assert (office.job.cancel_requested_at, office.job.due_at) == (NOW, NOW)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_cancel_is_refused_when_the_job_has_ended(status: Status) -> None:
    job = an_ended_job(status)
    office = Office(a_store(job))

    with pytest.raises(JobFinishedError) as caught:
        office.desk.cancel(TENANT, JOB_ID)

    assert (caught.value.job_id, caught.value.status) == (JOB_ID, status)
    assert (office.job, office.queue.sent) == (job, [])


def begin(store: MemoryJobStore) -> None:
    store.update(JOB_ID, claim(1, "worker-1", NOW))


def begin_and_finish(store: MemoryJobStore) -> None:
    begin(store)
    job = store.jobs[JOB_ID]
    store.commit(job, settle(job, Done("{}"), NOW, 0))


def test_cancel_asks_to_stop_when_the_job_begins_between_read_and_cancel() -> None:
    office = Office(fill(InterruptedStore(after_read=begin), a_job()))

    asked = office.desk.cancel(TENANT, JOB_ID)

    begun = a_claimed_job()
    assert asked == apply(request_cancel(NOW), begun) == office.job
    assert office.queue.sent == [Send(Lane.CONTROL, StepMessage(JOB_ID, 1), 0)]


@pytest.mark.parametrize("job", [a_job(), a_job(status=Status.RUNNING)], ids=["queued", "running"])
def test_cancel_is_refused_when_the_job_ends_between_read_and_cancel(job: Job) -> None:
    office = Office(fill(InterruptedStore(after_read=begin_and_finish), job))

    with pytest.raises(JobFinishedError) as caught:
        office.desk.cancel(TENANT, JOB_ID)

    assert caught.value.status is Status.SUCCEEDED
    assert (office.job.status, office.queue.sent) == (Status.SUCCEEDED, [])


def test_cancel_is_refused_when_the_row_is_gone_between_read_and_cancel() -> None:
    def remove(store: MemoryJobStore) -> None:
        del store.jobs[JOB_ID]

    office = Office(fill(InterruptedStore(after_read=remove), a_waiting_job()))

    with pytest.raises(JobFinishedError):
        office.desk.cancel(TENANT, JOB_ID)


def test_cancelled_job_is_not_begun_when_its_message_arrives() -> None:
    office = Office(a_store(a_job()))
    office.desk.cancel(TENANT, JOB_ID)
    ended = replace(office.job)

    office.store.update(JOB_ID, claim(1, "worker-1", after(1)))

    assert office.job == ended
