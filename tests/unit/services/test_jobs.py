import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from rune.errors import (
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobFinishedError,
    JobNotFoundError,
    StoreUnavailableError,
    TooManyWaitingJobsError,
)
from rune.jobs.closing import ended_job
from rune.jobs.lifecycle import CANCEL_GRACE, Send, admit, claim, request_cancel
from rune.jobs.metrics import Tally, tally
from rune.jobs.outcomes import Done, Failed, Next, Outcome
from rune.jobs.places import Terms
from rune.jobs.plan import Lane
from rune.jobs.record import Event, Job, Kind, Status, StepMessage, StepName
from rune.jobs.store import (
    CompanionsRefused,
    IdempotencyKey,
    IsWanted,
    JobHistory,
    StoredJob,
    Submission,
    Submitted,
)
from rune.jobs.transitions import cancel_queued, make_transition
from rune.money.limits import TenantSpending
from rune.services.admission.bedrock_budget import TokenMoney
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller, Granted, JobLimits, JobService
from rune.storage.change import apply
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
from tests.memory_job_store import MemoryJobStore
from tests.unit.jobs.stores import InterruptedStore, UntouchableStore, a_store, fill

CALLER = Caller(TENANT)
FIRST_STEPS = {
    Kind.BENCHMARK: StepName.CHECK,
    Kind.AGENTIC_AGENT: StepName.CHECK_AGENT,
    Kind.LLM_INSTANCE: StepName.VERIFY,
}
LIMITS = JobLimits(
    queue_timeout=timedelta(days=1),
    max_runtime=timedelta(hours=1),
    retention=timedelta(days=30),
    max_cost_micro_usd=10_000_000,
)


def admitted(request_json: str = "{}", kind: Kind = Kind.BENCHMARK) -> Admitted:
    return Admitted(kind, FIRST_STEPS[kind], request_json)


@dataclass
class Office:
    """A service with everything around it in memory."""

    store: MemoryJobStore
    clock: FakeClock = field(default_factory=FakeClock)
    queue: RecordingQueue = field(default_factory=RecordingQueue)

    @property
    def service(self) -> JobService:
        return JobService(
            self.store, self.queue, self.clock, LIMITS, slot_count=5, budgets=self.store.budgets
        )

    @property
    def job(self) -> Job:
        return self.store.jobs[JOB_ID]


def admitted_at_once(job_id: str, **overrides: object) -> Job:
    """Return a job that was given the first slot when it was posted."""
    return a_job(**{"job_id": job_id, "slot": 0, "deadline_at": after(86400), **overrides})


def test_submit_stores_the_job_and_sends_its_first_message() -> None:
    office = Office(a_store())

    submitted = office.service.submit(CALLER, admitted('{"question": "q"}'))

    job = admitted_at_once(submitted.job_id)
    assert office.store.jobs == {job.job_id: job}
    assert office.store.read_request(job) == '{"question": "q"}'
    assert office.store.events_of(job.job_id) == (an_event(),)
    assert office.queue.sent == [Send(Lane.INFERENCE, StepMessage(job.job_id, 1), 0)]


@pytest.mark.parametrize("kind", Kind)
def test_submit_begins_a_job_with_the_first_step_of_its_kind(kind: Kind) -> None:
    office = Office(a_store())

    submitted = office.service.submit(CALLER, admitted("{}", kind))

    job = office.store.jobs[submitted.job_id]
    assert job == admitted_at_once(submitted.job_id, kind=kind, step=FIRST_STEPS[kind])
    assert office.queue.sent == [Send(Lane.INFERENCE, StepMessage(job.job_id, 1), 0)]


def test_submit_gives_the_job_the_times_that_its_request_asks_for() -> None:
    office = Office(a_store())
    asked = replace(admitted(), queue_timeout=timedelta(minutes=5), max_runtime=timedelta(minutes=10))

    job = office.store.jobs[office.service.submit(CALLER, asked).job_id]

    assert (job.deadline_at, job.max_runtime_seconds) == (after(300), 600)


def test_submit_gives_the_job_its_tenants_time_to_run() -> None:
    office = Office(a_store())
    caller = Caller(TENANT, max_runtime=timedelta(hours=2))
    whole = replace(admitted(), max_runtime=timedelta(hours=2))

    jobs = [office.store.jobs[office.service.submit(caller, each).job_id] for each in (admitted(), whole)]

    assert [job.max_runtime_seconds for job in jobs] == [7200, 7200]


TOO_LONG = [
    (CALLER, {"queue_timeout": timedelta(days=1, seconds=1)}, "/queue_timeout_seconds"),
    (CALLER, {"max_runtime": timedelta(hours=1, seconds=1)}, "/max_runtime_seconds"),
    (
        Caller(TENANT, max_runtime=timedelta(minutes=1)),
        {"max_runtime": timedelta(hours=1)},
        "/max_runtime_seconds",
    ),
]


@pytest.mark.parametrize(("caller", "times", "pointer"), TOO_LONG)
def test_submit_is_refused_when_it_asks_for_more_time_than_the_tenant_has(
    caller: Caller, times: dict[str, timedelta], pointer: str
) -> None:
    office = Office(a_store())

    with pytest.raises(InvalidRequestError) as caught:
        office.service.submit(caller, replace(admitted(), **times))  # type: ignore[arg-type]  # names of fields

    assert (caught.value.specific_code, caught.value.pointer) == ("time_too_long", pointer)
    assert (office.store.jobs, office.queue.sent) == ({}, [])


def test_submit_is_refused_when_the_tenant_has_as_many_waiting_jobs_as_it_may_have() -> None:
    office = Office(a_store())
    caller = Caller(TENANT, terms=Terms(max_running=1, max_waiting=1))
    for _ in range(2):
        office.service.submit(caller, admitted())

    with pytest.raises(TooManyWaitingJobsError):
        office.service.submit(caller, admitted())

    assert (len(office.store.jobs), len(office.queue.sent)) == (2, 1)


def test_submit_gives_every_job_its_own_id() -> None:
    office = Office(a_store())

    ids = {office.service.submit(CALLER, admitted()).job_id for _ in range(3)}

    assert len(ids) == 3


def test_submit_accepts_the_job_when_the_queue_is_down() -> None:
    office = Office(a_store(), queue=RecordingQueue(is_down=True))

    submitted = office.service.submit(CALLER, admitted())

    assert list(office.store.jobs) == [submitted.job_id]


def test_submit_sends_nothing_when_the_store_is_down() -> None:
    class Down(MemoryJobStore):
        def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
            raise StoreUnavailableError("Down.")

    office = Office(Down())

    with pytest.raises(StoreUnavailableError):
        office.service.submit(CALLER, admitted())

    assert office.queue.sent == []


class WatchedStore(MemoryJobStore):
    """Keeps what it was asked to submit, and from where jobs were read."""

    def __init__(self) -> None:
        super().__init__()
        self.submissions: list[Submission] = []
        self.addresses: list[str | None] = []

    def submit(self, submission: Submission) -> Submitted | CompanionsRefused:
        self.submissions.append(submission)
        return super().submit(submission)

    def read_with_result(
        self,
        job_id: str,
        address: str | None = None,
        is_wanted: IsWanted | None = None,
        wants_request: IsWanted | None = None,
    ) -> StoredJob | None:
        self.addresses.append(address)
        return super().read_with_result(job_id, address, is_wanted, wants_request)


@pytest.mark.parametrize("address", [None, "203.0.113.7"])
def test_service_lets_the_store_look_at_the_callers_address(address: str | None) -> None:
    store = WatchedStore()
    service, caller = Office(store).service, Caller(TENANT, address)

    service.find(caller, service.submit(caller, admitted()).job_id)

    assert [submission.address for submission in store.submissions] == [address]
    assert store.addresses == [address]


def test_submit_stores_the_key_with_a_digest_of_the_request() -> None:
    store = WatchedStore()

    Office(store).service.submit(CALLER, admitted('{"question": "漢"}'), "my-key")

    digest = hashlib.sha256('{"question": "漢"}'.encode()).hexdigest()
    assert [each.idempotency_key for each in store.submissions] == [IdempotencyKey("my-key", digest)]


def test_submit_stores_the_key_with_a_digest_of_what_the_caller_sent() -> None:
    store = WatchedStore()

    Office(store).service.submit(CALLER, replace(admitted(), sent_json='{"a": 1}'), "my-key")

    digests = [hashlib.sha256(text).hexdigest() for text in (b"{}", b'{"a": 1}')]
    assert [each.idempotency_key for each in store.submissions] == [IdempotencyKey("my-key", *digests)]


def test_submit_gives_the_first_job_again_when_key_and_request_are_the_same() -> None:
    office = Office(a_store())
    first = office.service.submit(CALLER, admitted(), "my-key")
    office.clock.advance(60)

    again = [office.service.submit(CALLER, admitted(), "my-key") for _ in range(2)]

    assert first == Submitted(first.job_id, is_replay=False)
    assert again == [Submitted(first.job_id, is_replay=True)] * 2
    assert list(office.store.jobs.values()) == [admitted_at_once(first.job_id)]
    assert office.queue.sent == [Send(Lane.INFERENCE, StepMessage(first.job_id, 1), 0)]


def test_submit_gives_the_first_job_again_when_that_has_ended() -> None:
    office = Office(a_store())
    first = office.service.submit(CALLER, admitted(), "my-key")
    office.service.cancel(TENANT, first.job_id)

    assert office.service.submit(CALLER, admitted(), "my-key") == Submitted(first.job_id, is_replay=True)
    assert office.store.jobs[first.job_id].status is Status.CANCELLED


def test_submit_is_refused_when_the_key_came_with_another_request() -> None:
    office = Office(a_store())
    first = office.service.submit(CALLER, admitted('{"question": "a"}'), "my-key")

    with pytest.raises(IdempotencyKeyReusedError):
        office.service.submit(CALLER, admitted('{"question": "b"}'), "my-key")

    assert (list(office.store.jobs), len(office.queue.sent)) == ([first.job_id], 1)
    assert office.service.submit(CALLER, admitted('{"question": "a"}'), "my-key").is_replay


INDEPENDENT: dict[str, tuple[Caller, Admitted, str | None]] = {
    "no key": (CALLER, admitted(), None),
    "another key": (CALLER, admitted(), "my-key-2"),
    "a key in capitals": (CALLER, admitted(), "MY-KEY"),
    "another kind": (CALLER, admitted("{}", Kind.AGENTIC_AGENT), "my-key"),
    "another kind and request": (CALLER, admitted('{"a": 1}', Kind.LLM_INSTANCE), "my-key"),
    "another tenant": (Caller("acme"), admitted(), "my-key"),
    "another tenant and request": (Caller("acme"), admitted('{"a": 1}'), "my-key"),
}


@pytest.mark.parametrize(("caller", "request_", "key"), INDEPENDENT.values(), ids=INDEPENDENT.keys())
def test_submit_takes_another_job_when_the_key_is_not_the_same(
    caller: Caller, request_: Admitted, key: str | None
) -> None:
    office = Office(a_store())
    first = office.service.submit(CALLER, admitted(), "my-key")

    other = office.service.submit(caller, request_, key)

    assert not other.is_replay
    assert set(office.store.jobs) == {first.job_id, other.job_id}
    assert [send.message.job_id for send in office.queue.sent] == [first.job_id, other.job_id]


def test_find_returns_the_job_and_its_result_when_it_has_ended() -> None:
    office = Office(a_store(a_claimed_job()))
    office.store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done('{"answer": "a"}'), NOW, 5))

    assert office.service.find(CALLER, JOB_ID) == StoredJob(office.job, '{"answer": "a"}')


def test_find_events_returns_the_later_ones_when_asked_so() -> None:
    office = Office(a_store(a_claimed_job()))
    office.store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done("{}"), NOW, 5))

    history = office.service.find_events(TENANT, JOB_ID, after=2)

    assert history == JobHistory(office.job, (Event(3, "job.succeeded", "ok", NOW, 0, None, {}),))
    assert len(office.service.find_events(TENANT, JOB_ID).events) == 3


ACTS: dict[str, Callable[[JobService, str, str], object]] = {
    "find": lambda service, tenant, job_id: service.find(Caller(tenant), job_id),
    "find_events": lambda service, tenant, job_id: service.find_events(tenant, job_id),
    "summarize": lambda service, tenant, job_id: service.summarize(tenant, job_id),
    "cancel": lambda service, tenant, job_id: service.cancel(tenant, job_id),
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
def test_service_knows_no_such_job_when_it_is_not_the_callers(
    found: list[Job], tenant: str, act: Callable[[JobService, str, str], object]
) -> None:
    office = Office(a_store(*found))

    with pytest.raises(JobNotFoundError) as caught:
        act(office.service, tenant, JOB_ID)

    assert caught.value.job_id == JOB_ID
    assert (list(office.store.jobs.values()), office.queue.sent) == (found, [])


ODD_IDS = {
    "empty": "",
    "blank": " ",
    "a letter too long": "x" * 65,
    "2000 letters": "x" * 2000,
    "longer than a key may be": "x" * 100_000,
    "slash": "a/b",
    "up": "..",
    "another row": f"{JOB_ID}#EVENT",
    "line end": f"{JOB_ID}\n",
    "null": "a\0b",
    "percent": "%2F",
    "digits of another script": "٣",
    "letters of another script": "漢字",
    "combined letter": "e\u0301",
    "half a letter": "\ud800",
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
@pytest.mark.parametrize("job_id", ODD_IDS.values(), ids=ODD_IDS.keys())
def test_service_asks_no_store_for_what_can_be_no_job(
    job_id: str, act: Callable[[JobService, str, str], object]
) -> None:
    office = Office(UntouchableStore())

    with pytest.raises(JobNotFoundError) as caught:
        act(office.service, TENANT, job_id)

    assert caught.value.job_id == job_id[:64]
    assert (len(caught.value.sentence) < 500, office.queue.sent) == (True, [])


@pytest.mark.parametrize("job_id", ["x", "x" * 64, "A-b_9", JOB_ID])
def test_service_asks_the_store_for_what_could_be_a_job(job_id: str) -> None:
    office = Office(a_store(a_job(job_id=job_id)))

    assert office.service.find(CALLER, job_id).job.job_id == job_id


def test_service_shows_a_job_until_it_expires() -> None:
    office = Office(a_store(a_job(expires_at=after(0.001))))

    assert office.service.find(CALLER, JOB_ID).job == office.job


def test_cancel_ends_the_job_at_once_when_nobody_has_begun_it() -> None:
    office = Office(a_store(a_job()))

    cancelled = office.service.cancel(TENANT, JOB_ID)

    transition = cancel_queued(a_job(), NOW)
    assert cancelled == ended_job(a_job(), transition) == office.job
    assert cancelled.display == "The job was cancelled: nothing was rented."
    assert [event.name for event in office.store.events_of(JOB_ID)] == ["job.accepted", "job.cancelled"]
    assert office.queue.sent == []


@pytest.mark.parametrize(
    "job",
    [
        a_waiting_job(),
        a_claimed_job(),
        a_waiting_job(step=StepName.MEASURE),
    ],
    ids=["waiting", "at work", "asking"],
)
def test_cancel_asks_to_stop_when_the_job_has_begun(job: Job) -> None:
    office = Office(a_store(job))

    asked = office.service.cancel(TENANT, JOB_ID)

    assert asked == apply(request_cancel(job, NOW), job) == office.job
    assert office.queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, job.seq), 0)]


def test_cancel_sends_no_second_message_when_it_is_repeated() -> None:
    asked = a_waiting_job(cancel_requested_at=after(-5))
    office = Office(a_store(asked))

    assert office.service.cancel(TENANT, JOB_ID) == office.job == asked
    assert office.queue.sent == []


def test_cancel_ends_a_job_that_waits_and_counts_it_out() -> None:
    office = Office(a_store())
    ids = [office.service.submit(CALLER, admitted()).job_id for _ in range(6)]

    cancelled = office.service.cancel(TENANT, ids[5])

    assert (cancelled.status, cancelled.is_waiting, cancelled.due_at) == (Status.CANCELLED, False, None)
    assert (office.store.shares[TENANT].waiting, office.store.shares[TENANT].running) == (0, 5)
    assert len(office.queue.sent) == 5


def test_cancel_gives_the_slot_of_a_queued_job_to_the_next() -> None:
    office = Office(a_store())
    ids = [office.service.submit(CALLER, admitted()).job_id for _ in range(6)]

    office.service.cancel(TENANT, ids[2])

    assert (office.store.jobs[ids[5]].is_waiting, office.store.jobs[ids[5]].slot) == (False, 2)
    assert (office.store.shares[TENANT].waiting, office.store.shares[TENANT].running) == (0, 5)
    assert office.queue.sent[-1].message == StepMessage(ids[5], 1)


def test_cancel_ends_a_job_that_was_admitted_between_read_and_cancel() -> None:
    waiting = a_job(waiting_since=NOW)
    store = InterruptedStore(after_read=lambda inner: inner.update(JOB_ID, admit(waiting, 3, NOW)))
    office = Office(fill(store, waiting))

    assert office.service.cancel(TENANT, JOB_ID).status is Status.CANCELLED


def test_cancel_stands_when_the_queue_is_down() -> None:
    office = Office(a_store(a_waiting_job()), queue=RecordingQueue(is_down=True))

    office.service.cancel(TENANT, JOB_ID)

    assert (office.job.cancel_requested_at, office.job.due_at) == (NOW, NOW + CANCEL_GRACE)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_cancel_is_refused_when_the_job_has_ended(status: Status) -> None:
    job = an_ended_job(status)
    office = Office(a_store(job))

    with pytest.raises(JobFinishedError) as caught:
        office.service.cancel(TENANT, JOB_ID)

    assert (caught.value.job_id, caught.value.status) == (JOB_ID, status)
    assert (office.job, office.queue.sent) == (job, [])


def begin(store: MemoryJobStore) -> None:
    store.update(JOB_ID, claim(store.jobs[JOB_ID], 1, "worker-1", NOW))


def begin_and_finish(store: MemoryJobStore) -> None:
    begin(store)
    job = store.jobs[JOB_ID]
    store.commit(job, make_transition(job, Done("{}"), NOW, 0))


def test_cancel_asks_to_stop_when_the_job_begins_between_read_and_cancel() -> None:
    office = Office(fill(InterruptedStore(after_read=begin), a_job()))

    asked = office.service.cancel(TENANT, JOB_ID)

    begun = a_claimed_job()
    assert asked == apply(request_cancel(begun, NOW), begun) == office.job
    assert office.queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, 1), 0)]


@pytest.mark.parametrize("job", [a_job(), a_job(status=Status.RUNNING)], ids=["queued", "running"])
def test_cancel_is_refused_when_the_job_ends_between_read_and_cancel(job: Job) -> None:
    office = Office(fill(InterruptedStore(after_read=begin_and_finish), job))

    with pytest.raises(JobFinishedError) as caught:
        office.service.cancel(TENANT, JOB_ID)

    assert caught.value.status is Status.SUCCEEDED
    assert (office.job.status, office.queue.sent) == (Status.SUCCEEDED, [])


def test_cancel_is_refused_when_the_row_is_gone_between_read_and_cancel() -> None:
    def remove(store: MemoryJobStore) -> None:
        del store.jobs[JOB_ID]

    office = Office(fill(InterruptedStore(after_read=remove), a_waiting_job()))

    with pytest.raises(JobNotFoundError):
        office.service.cancel(TENANT, JOB_ID)


def test_cancelled_job_is_not_begun_when_its_message_arrives() -> None:
    office = Office(a_store(a_job()))
    office.service.cancel(TENANT, JOB_ID)
    ended = replace(office.job)

    office.store.update(JOB_ID, claim(ended, 1, "worker-1", after(1)))

    assert office.job == ended


def end(office: Office, job: Job, outcome: Outcome, duration_ms: int) -> None:
    """End a job as its worker would."""
    transition = make_transition(job, outcome, after(20), duration_ms)
    earlier = office.store.events_of(job.job_id)
    assert office.store.commit(job, transition, tally([*earlier, *transition.events]))


FAILED = Failed("model_not_found", "None.", retryable=False)


def test_summarize_tells_what_happened_in_one_job() -> None:
    office = Office(a_store(a_claimed_job()))
    end(office, a_claimed_job(), FAILED, duration_ms=7)

    assert office.service.summarize(TENANT, JOB_ID) == {
        "backend.list_models": Tally(0, 1, 7, 7, 7),
        "job.failed": Tally(0, 1, 20_000, 20_000, 20_000),
    }


def test_summarize_tells_of_one_job_also_while_it_runs() -> None:
    office = Office(a_store(a_claimed_job()))
    office.store.commit(a_claimed_job(), make_transition(a_claimed_job(), Next(StepName.MEASURE), NOW, 7))

    assert office.service.summarize(TENANT, JOB_ID) == {"backend.list_models": Tally(1, 0, 7, 7, 7)}


def test_summarize_adds_up_a_tenants_jobs_that_have_ended() -> None:
    mine = [a_claimed_job(job_id=f"mine-{n}") for n in range(2)]
    others = a_claimed_job(job_id="others", tenant="acme")
    office = Office(a_store(*mine, others, a_claimed_job(job_id="running")))
    end(office, mine[0], FAILED, duration_ms=7)
    end(office, mine[1], Done("{}"), duration_ms=5)
    end(office, others, Done("{}"), duration_ms=1)

    assert office.service.summarize(TENANT) == {
        "backend.list_models": Tally(1, 1, 12, 5, 7),
        "job.failed": Tally(0, 1, 20_000, 20_000, 20_000),
        "job.succeeded": Tally(1, 0, 20_000, 20_000, 20_000),
    }
    assert office.service.summarize("nobody") == {}


def test_summarize_counts_a_job_that_was_cancelled_before_it_began() -> None:
    office = Office(a_store(a_job()), clock=FakeClock(after(3)))
    office.service.cancel(TENANT, JOB_ID)

    cancelled = {"job.cancelled": Tally(1, 0, 3000, 3000, 3000)}
    assert office.service.summarize(TENANT) == office.service.summarize(TENANT, JOB_ID) == cancelled


def test_service_says_when_there_may_be_news() -> None:
    service = Office(a_store(), clock=FakeClock(after(10))).service

    assert service.seconds_until_news(a_waiting_job(due_at=after(90))) == 20
    assert service.seconds_until_news(an_ended_job()) is None


# Several jobs at once.


def test_find_many_returns_jobs_in_the_order_of_their_ids() -> None:
    office = Office(a_store(a_job(job_id="a"), an_ended_job(job_id="b")))
    office.store.put_result("b", "{}")

    assert office.service.find_many(CALLER, ["b", "a"]) == (
        StoredJob(an_ended_job(job_id="b"), "{}"),
        StoredJob(a_job(job_id="a"), None),
    )


NOT_FOUND = {
    "nobody's": a_job(job_id="c"),
    "another tenant's": a_job(job_id="b", tenant="acme"),
    "expired": a_job(job_id="b", expires_at=NOW),
}


@pytest.mark.parametrize("job", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_find_many_finds_none_when_one_is_not_the_tenants(job: Job) -> None:
    office = Office(a_store(a_job(job_id="a"), job))

    with pytest.raises(JobNotFoundError) as caught:
        office.service.find_many(CALLER, ["a", "b"])

    assert caught.value.job_id == "b"


@pytest.mark.parametrize("job_id", ["", "a" * 65, "a b", "../a", "a\n"])
def test_find_many_asks_nobody_for_what_is_no_id(job_id: str) -> None:
    service = Office(UntouchableStore()).service

    with pytest.raises(JobNotFoundError):
        service.find_many(CALLER, ["a", job_id])


@pytest.mark.parametrize(
    ("limits", "asked", "code", "pointer"),
    [
        ({"max_dph_micro_usd": 2_000_000}, 2_000_001, "max_dph_too_high", "/max_dph"),
        ({"max_micro_usd_per_hour": 2_000_000}, 2_000_001, "max_dph_too_high", "/max_dph"),
        ({"max_machines": 0}, None, "renting_not_allowed", "/vastai"),
        ({"max_dph_micro_usd": 0}, None, "renting_not_allowed", "/vastai"),
    ],
)
def test_job_that_would_wait_for_a_machine_in_vain_is_refused(
    limits: dict[str, int], asked: int | None, code: str, pointer: str
) -> None:
    caller = replace(CALLER, spending=TenantSpending(**limits))
    rented = replace(admitted(), rents=True, asked_micro_usd_per_hour=asked)
    service = Office(a_store()).service

    with pytest.raises(InvalidRequestError) as refused:
        service.judge(caller, rented)

    assert (refused.value.specific_code, refused.value.pointer) == (code, pointer)
    assert service.judge(caller, replace(rented, rents=False)).cap_micro_usd is None
    service.judge(CALLER, replace(rented, asked_micro_usd_per_hour=10_000_000))


TOKENS = TokenMoney(most_micro_usd=2_000_000, least_micro_usd=50_000)


def money_of(max_cost_micro_usd: int | None, tokens: TokenMoney | None, *, rents: bool) -> Granted:
    service = Office(a_store()).service
    asked = replace(admitted(), max_cost_micro_usd=max_cost_micro_usd, tokens=tokens, rents=rents)
    return service.judge(CALLER, asked)


@pytest.mark.parametrize(
    ("asked", "tokens", "rents", "cap", "token_cap"),
    [
        (None, None, False, None, None),
        (None, TOKENS, False, 2_000_000, None),
        (1_500_000, TOKENS, False, 1_500_000, None),
        (50_000, TOKENS, False, 50_000, None),
        (None, TOKENS, True, 10_000_000, 2_000_000),
        (2_000_001, TOKENS, True, 2_000_001, 2_000_000),
    ],
)
def test_job_that_buys_tokens_may_cost_the_most_that_they_can_or_what_it_asks_for(
    asked: int | None, tokens: TokenMoney | None, *, rents: bool, cap: int | None, token_cap: int | None
) -> None:
    granted = money_of(asked, tokens, rents=rents)

    assert (granted.cap_micro_usd, granted.token_cap_micro_usd) == (cap, token_cap)
    assert granted.reserved_micro_usd == cap


@pytest.mark.parametrize(("asked", "rents"), [(49_999, False), (2_000_000, True)])
def test_job_is_refused_when_its_tokens_cannot_fit_in_what_it_may_cost(asked: int, *, rents: bool) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        money_of(asked, TOKENS, rents=rents)

    assert (refused.value.specific_code, refused.value.pointer) == ("cost_cap_too_low", "/max_cost_usd")


def test_job_whose_tokens_cost_nothing_reserves_nothing() -> None:
    granted = money_of(None, TokenMoney(0, 0), rents=False)

    assert (granted.cap_micro_usd, granted.reserved_micro_usd) == (0, None)
