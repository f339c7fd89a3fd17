from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from rune.errors import (
    LeaseLostError,
    ModelNotFoundError,
    ServerTimeoutError,
    StoreRefusedError,
    StoreUnavailableError,
    StreamTruncatedError,
    UnreadableRowError,
)
from rune.jobs import plan
from rune.jobs.admission import Admission
from rune.jobs.engine import NOT_UNDERSTOOD_PAUSE_SECONDS, OUTAGE_PAUSE_SECONDS, Engine
from rune.jobs.lease import Lease
from rune.jobs.lifecycle import MAX_ATTEMPTS, Refusal, Send, begin, claim, request_cancel
from rune.jobs.metrics import Tallies, Tally, tally
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Note, Outcome, Spending
from rune.jobs.places import Share, Slot
from rune.jobs.plan import Lane
from rune.jobs.receipts import describe, make_receipt
from rune.jobs.record import DueClass, Event, Failure, Job, Status, StepMessage, StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.store import Refused
from rune.jobs.transitions import Transition, cut_off, expire_queued, make_transition
from rune.storage.change import Change, apply
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
)
from tests.memory_job_store import MemoryJobStore
from tests.template import load_template
from tests.unit.jobs.stores import DownStore, ForgetfulStore, RequestlessStore, a_store, fill, request_json_of


@dataclass
class Rig:
    """A worker with everything around it in memory; every step does what `act` does.

    It takes one turn, because its function has no time for another one, unless `goes_on`.
    """

    store: MemoryJobStore
    act: Callable[[StepContext], Outcome] = lambda _: Done("{}")
    lane: Lane = Lane.INFERENCE
    goes_on: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    ran: list[StepContext] = field(default_factory=list)
    on_pause: Callable[[], object] = lambda: None

    def take_turn(self, seq: int = 1, time_left_seconds: float | None = None) -> Rig:
        if time_left_seconds is None and not self.goes_on:
            time_left_seconds = time_for_one_turn_seconds(self.lane)
        engine = Engine(
            lane=self.lane,
            store=self.store,
            queue=self.queue,
            clock=self.clock,
            steps=dict.fromkeys(StepName, self._step),
            run_step=self._run,
            pause=self._pause,
            admission=Admission(self.store, self.queue, self.clock, slot_count=5),
        )
        asyncio.run(engine.take_turn(StepMessage(JOB_ID, seq), time_left_seconds))
        return self

    @property
    def job(self) -> Job:
        return self.store.jobs[JOB_ID]

    async def _pause(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.on_pause()

    async def _step(self, context: StepContext) -> Outcome:
        self.ran.append(context)
        return self.act(context)

    async def _run(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        return await step(context)


def time_for_one_turn_seconds(lane: Lane) -> float:
    """Return a time in which a worker begins no second turn."""
    return plan.LANE_TIME_LIMIT_SECONDS[lane] + plan.SPARE_SECONDS - plan.GO_ON_SECONDS[lane] - 1.0


def raising(error: Exception) -> Callable[[StepContext], Outcome]:
    def act(_context: StepContext) -> Outcome:
        raise error

    return act


def taken(job: Job) -> Job:
    """Return a job whose turn a worker took at `NOW`."""
    is_first = job.started_at is None
    change = begin(job, job.seq, "anybody", NOW)[0] if is_first else claim(job, job.seq, "anybody", NOW)
    return apply(change, job)


def carried_out(job: Job, outcome: Outcome, duration_ms: int = 0) -> Job:
    """Return a job after a turn in which it was claimed and committed at `NOW`."""
    claimed = taken(job)
    return told(apply(make_transition(claimed, outcome, NOW, duration_ms).change, claimed))


def told(job: Job) -> Job:
    """Return a job with the sentence that its end writes."""
    return job if job.is_active else replace(job, display=describe(job, make_receipt(job, ())))


def test_take_turn_commits_and_sends_when_the_step_goes_on() -> None:
    rig = Rig(a_store(a_job()), lambda _: Next(StepName.WARM_UP, delay_seconds=4)).take_turn()

    assert rig.job == carried_out(a_job(), Next(StepName.WARM_UP, delay_seconds=4))
    assert rig.queue.sent == [Send(Lane.INFERENCE, StepMessage(JOB_ID, 2), 4)]
    assert [event.number for event in rig.store.events_of(JOB_ID)] == [1, 2, 3]


def test_take_turn_keeps_the_result_when_the_job_is_done() -> None:
    rig = Rig(a_store(a_job()), lambda _: Done('{"answer": "Nothing."}')).take_turn()

    assert rig.job == carried_out(a_job(), Done('{"answer": "Nothing."}'))
    assert rig.store.result_of(JOB_ID) == '{"answer": "Nothing."}'
    assert rig.queue.sent == []


def test_take_turn_shows_the_step_its_job_request_and_time() -> None:
    rig = Rig(a_store(a_job())).take_turn()

    (context,) = rig.ran
    owner = context.job.lease_owner
    assert context == StepContext(
        a_claimed_job(lease_owner=owner, event_count=2), request_json_of(a_job()), 20.0
    )
    assert owner


@pytest.mark.parametrize(
    ("step", "state_json"), [(StepName.MEASURE, "[1]"), (StepName.JUDGE, "[1]"), (StepName.WARM_UP, None)]
)
def test_take_turn_shows_the_state_to_steps_that_keep_one(step: StepName, state_json: str | None) -> None:
    store = a_store(a_job(step=step))
    claimed = apply(claim(a_job(), 1, "worker-0", after(-90)), a_job(step=step))
    store.jobs[JOB_ID] = claimed
    assert store.commit(claimed, make_transition(claimed, Again(0, state_json="[1]"), NOW, 5))

    rig = Rig(store, lane=Lane.INFERENCE).take_turn(2)

    assert [context.state_json for context in rig.ran] == [state_json]


def test_take_turn_leaves_no_state_when_another_worker_has_claimed_meanwhile() -> None:
    store = a_store(a_job(step=StepName.MEASURE))

    def act(_context: StepContext) -> Outcome:
        store.update(JOB_ID, claim(a_claimed_job(), 1, "worker-2", after(61)))
        return Again(0, state_json="[1]")

    rig = Rig(store, act, Lane.INFERENCE).take_turn()

    assert store.read_state(rig.job) is None


@pytest.mark.parametrize(
    ("late_seconds", "limits"), [(-3600, [870.0]), (-16, [16.0]), (0, [15.0]), (179, [15.0]), (180, [])]
)
def test_take_turn_lets_a_step_with_a_state_end_a_little_after_the_jobs_time(
    late_seconds: float, limits: list[float]
) -> None:
    job = a_job(
        step=StepName.MEASURE, status=Status.RUNNING, deadline_at=after(-late_seconds), started_at=NOW
    )

    rig = Rig(a_store(job), goes_on=True).take_turn()

    assert [context.time_limit_seconds for context in rig.ran] == limits
    assert rig.job.status is (Status.SUCCEEDED if limits else Status.FAILED)


def test_take_turn_claims_under_a_new_name_every_time() -> None:
    owners = {Rig(a_store(a_job())).take_turn().ran[0].job.lease_owner for _ in range(3)}

    assert len(owners) == 3


@pytest.mark.parametrize(
    ("lane", "left_seconds", "limit_seconds"),
    [
        (Lane.MONEY, 3600, 45),
        (Lane.MONEY, 44, 44),
        (Lane.INFERENCE, 3600, 870),
        (Lane.INFERENCE, 869.5, 869.5),
    ],
)
def test_take_turn_limits_the_step_to_its_lane_and_its_job(
    lane: Lane, left_seconds: float, limit_seconds: float
) -> None:
    step = StepName.RENT if lane is Lane.MONEY else StepName.WARM_UP
    job = a_job(step=step, deadline_at=after(left_seconds), started_at=NOW)

    rig = Rig(a_store(job), lane=lane, goes_on=True).take_turn()

    assert rig.ran[0].time_limit_seconds == limit_seconds


def test_take_turn_measures_the_step_on_the_monotonic_clock() -> None:
    rig = Rig(a_store(a_job()))

    def act(_context: StepContext) -> Outcome:
        rig.clock.elapsed_seconds += 1.25
        return Done("{}")

    rig.act = act
    rig.take_turn()

    assert rig.store.events_of(JOB_ID)[2].duration_ms == 1250


DROPPED: list[tuple[list[Job], int, Refusal]] = [
    ([], 1, Refusal.UNKNOWN_JOB),
    ([an_ended_job()], 4, Refusal.TERMINAL),
    ([an_ended_job(Status.CANCELLED)], 1, Refusal.TERMINAL),
    ([a_waiting_job()], 1, Refusal.STALE),
    ([a_claimed_job()], 1, Refusal.HELD),
]


@pytest.mark.parametrize(("found", "seq", "reason"), DROPPED, ids=[str(row[2]) for row in DROPPED])
def test_take_turn_drops_the_message_when_there_is_nothing_to_do(
    found: list[Job], seq: int, reason: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rune")

    rig = Rig(a_store(*found)).take_turn(seq)

    assert list(rig.store.jobs.values()) == found
    assert (rig.ran, rig.queue.sent) == ([], [])
    assert [(record.msg, record.__dict__["reason"]) for record in caplog.records] == [
        ("turn.dropped", reason)
    ]


def test_take_turn_goes_on_when_only_the_answer_to_its_claim_was_lost() -> None:
    rig = Rig(fill(ForgetfulStore(), a_waiting_job())).take_turn(2)

    assert rig.job == carried_out(a_waiting_job(), Done("{}"))


def test_take_turn_takes_over_when_the_earlier_worker_was_lost() -> None:
    lost = a_claimed_job(lease_until=after(-1))

    rig = Rig(a_store(lost)).take_turn()

    assert rig.job == carried_out(lost, Done("{}"))
    assert [event.name for event in rig.store.events_of(JOB_ID)] == [
        "job.accepted",
        "worker.lost",
        "backend.list_models",
        "job.succeeded",
    ]


@pytest.mark.parametrize(
    ("lane", "step", "other"),
    [
        (Lane.MONEY, StepName.WARM_UP, Lane.INFERENCE),
        (Lane.MONEY, StepName.MEASURE, Lane.INFERENCE),
        (Lane.MONEY, StepName.RUN_AGENT, Lane.INFERENCE),
        (Lane.INFERENCE, StepName.RENT, Lane.MONEY),
        (Lane.INFERENCE, StepName.RECONCILE, Lane.MONEY),
        (Lane.INFERENCE, StepName.BOOT, Lane.MONEY),
    ],
)
def test_take_turn_hands_over_when_the_step_belongs_to_the_other_lane(
    lane: Lane, step: StepName, other: Lane
) -> None:
    job = a_waiting_job(step=step)

    rig = Rig(a_store(job), lane=lane).take_turn(2)

    assert rig.ran == []
    assert rig.job == carried_out(job, Again(0))
    assert rig.queue.sent == [Send(other, StepMessage(JOB_ID, 3), 0)]


CRASH = Failed("internal_error", "RUNE failed; the log has the details.", retryable=True)
TIMEOUT = Failed("step_timeout", "The step took longer than it may.", retryable=False)
A_TALLY, A_FAILURES_TALLY = Tally(1, 0, 1250, 1250, 1250), Tally(0, 1, 1250, 1250, 1250)
RAISED: list[tuple[Exception, Failed]] = [
    (ModelNotFoundError("None."), Failed("model_not_found", "None.", retryable=False)),
    (StreamTruncatedError("Cut."), Failed("stream_truncated", "Cut.", retryable=True)),
    (ValueError("a secret"), CRASH),
    (KeyError("body"), CRASH),
    (TimeoutError(), TIMEOUT),
]


@pytest.mark.parametrize(("error", "outcome"), RAISED, ids=[type(row[0]).__name__ for row in RAISED])
def test_take_turn_settles_a_failure_when_the_step_raises(error: Exception, outcome: Failed) -> None:
    rig = Rig(a_store(a_job()), raising(error)).take_turn()

    assert rig.job == carried_out(a_job(), outcome)
    assert [send.message for send in rig.queue.sent] == ([StepMessage(JOB_ID, 2)] * outcome.retryable)


def test_take_turn_fails_the_job_when_an_unforeseen_error_comes_for_the_third_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(a_store(a_job(failures=2)), raising(ValueError("a secret"))).take_turn()

    assert rig.job.status is Status.FAILED
    assert rig.job.failure == Failure(
        "internal_error", "RUNE failed; the log has the details.", StepName.CHECK, retryable=True
    )
    errors = [record.msg for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["step.crashed"]


def test_take_turn_names_the_deadline_when_the_step_ran_into_it() -> None:
    rig = Rig(a_store(a_job()))

    def act(_context: StepContext) -> Outcome:
        rig.clock.advance(3600)
        raise TimeoutError

    rig.act = act
    rig.take_turn()

    assert rig.job.failure
    assert rig.job.failure.code == "deadline_exceeded"


@pytest.mark.parametrize(
    ("late_seconds", "code"),
    [(0, "server_timeout"), (3595, "deadline_exceeded"), (3600, "deadline_exceeded")],
)
def test_take_turn_names_the_deadline_when_it_cut_off_a_silent_server(late_seconds: float, code: str) -> None:
    rig = Rig(a_store(a_job()))

    def act(_context: StepContext) -> Outcome:
        rig.clock.advance(late_seconds)
        raise ServerTimeoutError("The server was silent for 43.2871 seconds.")

    rig.act = act
    rig.take_turn()

    assert rig.job.failure
    assert rig.job.failure.code == code


def test_take_turn_gives_a_step_with_a_state_another_try_when_it_took_too_long() -> None:
    store = a_store(a_job(step=StepName.MEASURE))
    claimed = apply(claim(a_job(), 1, "worker-0", after(-90)), a_job(step=StepName.MEASURE))
    store.jobs[JOB_ID] = claimed
    assert store.commit(claimed, make_transition(claimed, Again(0, state_json="[1]"), NOW, 5))

    rig = Rig(store, raising(TimeoutError()), lane=Lane.INFERENCE).take_turn(2)

    assert (rig.job.status, rig.job.step, rig.job.failures) == (Status.RUNNING, StepName.MEASURE, 1)
    assert [send.message for send in rig.queue.sent] == [StepMessage(JOB_ID, 3)]


def test_take_turn_commits_and_sends_nothing_when_the_lease_was_lost() -> None:
    rig = Rig(a_store(a_job()), raising(LeaseLostError("Gone."))).take_turn()

    assert rig.job == a_claimed_job(lease_owner=rig.ran[0].job.lease_owner, event_count=2)
    assert (rig.queue.sent, len(rig.store.events_of(JOB_ID))) == ([], 2)


@pytest.mark.parametrize(
    "outcome", [Next(StepName.WARM_UP), Again(0), Done("{}"), CRASH, TIMEOUT, Cancelled()], ids=repr
)
def test_take_turn_sends_nothing_when_another_worker_has_claimed_meanwhile(outcome: Outcome) -> None:
    store = a_store(a_job())

    def act(_context: StepContext) -> Outcome:
        store.update(JOB_ID, claim(a_claimed_job(), 1, "worker-2", after(61)))
        return outcome

    rig = Rig(store, act).take_turn()

    assert (rig.job.lease_owner, rig.job.epoch, rig.job.status) == ("worker-2", 2, Status.RUNNING)
    assert (rig.queue.sent, store.result_of(JOB_ID), len(store.events_of(JOB_ID))) == ([], None, 2)


def test_take_turn_is_content_when_the_queue_does_not_take_the_message() -> None:
    rig = Rig(a_store(a_job()), lambda _: Again(9), queue=RecordingQueue(is_down=True)).take_turn()

    assert rig.job == carried_out(a_job(), Again(9))


ENDS: list[tuple[str, Job, Outcome]] = [
    ("cancel", a_job(cancel_requested_at=NOW), Cancelled()),
    (
        "deadline",
        a_job(deadline_at=NOW, started_at=NOW, status=Status.RUNNING),
        Failed(
            "deadline_exceeded", "The job did not end within its time limit of 3600 seconds.", retryable=True
        ),
    ),
    (
        "lost workers",
        a_claimed_job(lease_until=after(-1), attempts=MAX_ATTEMPTS),
        Failed("worker_lost", "4 workers were lost on this step.", retryable=True),
    ),
]


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize(("job", "outcome"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_take_turn_ends_the_job_in_either_lane_when_it_is_not_to_go_on(
    job: Job, outcome: Outcome, lane: Lane
) -> None:
    rig = Rig(a_store(job), lane=lane).take_turn()

    assert rig.ran == []
    assert rig.job == carried_out(job, outcome)
    assert rig.job.status in (Status.CANCELLED, Status.FAILED)
    assert rig.queue.sent == []


def test_take_turn_lets_a_cancel_wait_when_it_came_after_the_last_renewal() -> None:
    store = a_store(a_job())

    def act(_context: StepContext) -> Outcome:
        store.update(JOB_ID, request_cancel(a_claimed_job(), NOW))
        return Next(StepName.WARM_UP)

    rig = Rig(store, act).take_turn()
    rig.take_turn(2)

    assert rig.job.status is Status.CANCELLED


# Outcomes after which the job would wait.
DELAYED: list[tuple[str, Outcome]] = [
    ("next later", Next(StepName.WARM_UP, delay_seconds=4)),
    ("again later", Again(30, progress={"layers": 2})),
    ("another try", Failed("server_overloaded", "Come later.", retryable=True)),
]


def cancelling(store: MemoryJobStore, outcome: Outcome) -> Callable[[StepContext], Outcome]:
    """Return a step at whose end a cancel is requested."""

    def act(_context: StepContext) -> Outcome:
        store.update(JOB_ID, request_cancel(a_claimed_job(), NOW))
        return outcome

    return act


@pytest.mark.parametrize("outcome", [row[1] for row in DELAYED], ids=[row[0] for row in DELAYED])
def test_take_turn_ends_the_job_when_a_cancel_would_wait_out_a_delay(outcome: Outcome) -> None:
    store = a_store(a_job())

    rig = Rig(store, cancelling(store, outcome)).take_turn()

    claimed = taken(a_job())
    cut = make_transition(claimed, cut_off(claimed, outcome, 0), NOW, 0).change
    assert rig.job == told(apply(cut, apply(request_cancel(a_claimed_job(), NOW), claimed)))
    names = [event.name for event in store.events_of(JOB_ID)[2:]]
    assert names == ([] if isinstance(outcome, Again) else ["backend.list_models"]) + ["job.cancelled"]
    assert store.read_tallies(TENANT, NOW)["job.cancelled"] == Tally(1, 0, 0, 0, 0)
    assert rig.queue.sent == []


def test_take_turn_tells_of_a_machine_that_was_rented_when_a_cancel_came_meanwhile() -> None:
    search, spending = Note("vastai.offer_search"), Spending("r-1", 4_000)
    rented = Next(StepName.BOOT, notes=(search,), labels={"contract_id": "7"}, spending=spending)
    store = a_store(a_job(rents=True, step=StepName.RENT))

    rig = Rig(store, cancelling(store, rented), lane=Lane.MONEY, goes_on=True).take_turn()

    told = store.events_of(JOB_ID)[2:]
    assert [event.name for event in told] == ["vastai.offer_search", "vastai.instance.create"]
    assert told[1].labels["contract_id"] == "7"
    assert (rig.job.step, rig.job.ends_as) == (StepName.RELEASE, Status.CANCELLED)
    assert (rig.job.rental_id, rig.job.cost_micro_usd) == ("r-1", 4_000)


def test_take_turn_writes_the_end_of_a_turn_once_when_the_job_is_asked_to_stop() -> None:
    class Counted(MemoryJobStore):
        commit_count = 0

        def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
            self.commit_count += 1
            return super().commit(job, transition, tallies)

    asked_to_stop = a_job(rents=True, step=StepName.BOOT, cancel_requested_at=NOW)
    store = fill(Counted(), asked_to_stop)

    rig = Rig(store, lane=Lane.MONEY, goes_on=True).take_turn()

    assert (rig.job.step, store.commit_count) == (StepName.RELEASE, 1)
    assert rig.queue.sent == [Send(Lane.MONEY, StepMessage(JOB_ID, 2), 0)]


def test_take_turn_tells_of_lost_workers_when_a_cancel_ends_the_job() -> None:
    store = a_store(a_claimed_job(lease_until=after(-1)))

    Rig(store, cancelling(store, Again(30))).take_turn()

    names = [event.name for event in store.events_of(JOB_ID)]
    assert names == ["job.accepted", "worker.lost", "job.cancelled"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Done('{"answer": "a"}'), Status.SUCCEEDED), (TIMEOUT, Status.FAILED), (Cancelled(), Status.CANCELLED)],
)
def test_take_turn_keeps_an_end_that_a_cancel_came_too_late_for(outcome: Outcome, status: Status) -> None:
    store = a_store(a_job())

    rig = Rig(store, cancelling(store, outcome)).take_turn()

    assert rig.job.status is status
    assert (rig.job.seq, rig.queue.sent) == (2, [])


def taken_over(store: MemoryJobStore) -> None:
    store.update(JOB_ID, claim(a_claimed_job(), 1, "worker-2", after(61)))
    store.update(JOB_ID, request_cancel(a_claimed_job(), after(62)))


def already_written(store: MemoryJobStore) -> None:
    job = store.jobs[JOB_ID]
    store.commit(job, make_transition(job, Again(30), NOW, 0))
    store.update(JOB_ID, request_cancel(a_claimed_job(), NOW))


def ended(store: MemoryJobStore) -> None:
    taken_over(store)
    job = store.jobs[JOB_ID]
    store.commit(job, make_transition(job, Cancelled(), NOW, 0))


def gone(store: MemoryJobStore) -> None:
    del store.jobs[JOB_ID]


FENCED = [taken_over, ended, gone]


@pytest.mark.parametrize("outcome", [row[1] for row in DELAYED], ids=[row[0] for row in DELAYED])
@pytest.mark.parametrize("meanwhile", FENCED, ids=lambda meanwhile: meanwhile.__name__)
def test_take_turn_is_fenced_off_when_the_turn_is_no_longer_its_own(
    meanwhile: Callable[[MemoryJobStore], None], outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    store = CoveredStore(meanwhile)

    rig = Rig(fill(store, a_job()), lambda _: outcome).take_turn()

    assert (rig.store.jobs, rig.store.events_of(JOB_ID)) == (store.jobs_then, store.events_then)
    assert rig.queue.sent == []
    assert [record.msg for record in caplog.records] == ["turn.fenced_off"]


class CoveredStore(MemoryJobStore):
    """Lets something happen right before the first commit, and remembers what it left."""

    def __init__(self, before_commit: Callable[[MemoryJobStore], None]) -> None:
        super().__init__()
        self._happenings = [before_commit]
        self.jobs_then: dict[str, Job] = {}
        self.events_then: tuple[Event, ...] = ()

    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        if self._happenings:
            self._happenings.pop()(self)
            self.jobs_then, self.events_then = dict(self.jobs), self.events_of(JOB_ID)
        return super().commit(job, transition, tallies)


def test_take_turn_fails_the_job_when_its_request_is_gone() -> None:
    rig = Rig(fill(RequestlessStore(), a_job())).take_turn()

    lost = Failed("request_lost", "The job's request is gone from the table.", retryable=False)
    assert rig.ran == []
    assert rig.job == carried_out(a_job(), lost)
    assert rig.job.failure == Failure(lost.code, lost.sentence, StepName.CHECK, retryable=False)
    assert rig.queue.sent == []


TALLIED: list[tuple[Outcome, dict[str, Tally]]] = [
    (Done("{}"), {"backend.list_models": Tally(2, 0, 1257, 7, 1250), "job.succeeded": A_TALLY}),
    (TIMEOUT, {"backend.list_models": Tally(1, 1, 1257, 7, 1250), "job.failed": A_FAILURES_TALLY}),
    (Cancelled(), {"backend.list_models": Tally(1, 0, 7, 7, 7), "job.cancelled": A_TALLY}),
]


@pytest.mark.parametrize(("outcome", "tallies"), TALLIED, ids=[type(row[0]).__name__ for row in TALLIED])
def test_take_turn_adds_up_the_whole_job_when_it_ends(outcome: Outcome, tallies: dict[str, Tally]) -> None:
    store = a_store(a_job())
    store.commit(a_job(), make_transition(a_job(), Next(StepName.CHECK), NOW, 7))
    rig = Rig(store)

    def act(_context: StepContext) -> Outcome:
        rig.clock.advance(1.25)
        return outcome

    rig.act = act
    rig.take_turn(2)

    assert store.read_tallies(TENANT, NOW) == tallies == tally(store.events_of(JOB_ID))


@pytest.mark.parametrize("outcome", [Next(StepName.WARM_UP), Again(0), Again(30), CRASH], ids=repr)
def test_take_turn_adds_up_nothing_when_the_job_goes_on(outcome: Outcome) -> None:
    # Nor does it read the events for that, turn by turn.
    rig = Rig(fill(DownStore("read_events"), a_job()), lambda _: outcome).take_turn()

    assert rig.job.seq == 2
    assert rig.store.read_tallies(TENANT, NOW) == {}


@pytest.mark.parametrize("operation", ["read_request", "read_state"])
def test_take_turn_puts_the_turn_off_and_counts_no_lost_worker_when_reads_fail(operation: str) -> None:
    store = fill(DownStore(operation), a_job(step=StepName.MEASURE, failures=1, progress={"runs": 3}))
    rig = Rig(store, lane=Lane.INFERENCE)

    for seq in range(1, 2 * MAX_ATTEMPTS):
        rig.take_turn(seq)
    store.down.clear()
    rig.take_turn(2 * MAX_ATTEMPTS)

    assert [send.delay_seconds for send in rig.queue.sent] == [OUTAGE_PAUSE_SECONDS] * (2 * MAX_ATTEMPTS - 1)
    assert [context.job.attempts for context in rig.ran] == [1]
    assert [(context.job.failures, dict(context.job.progress)) for context in rig.ran] == [(1, {"runs": 3})]
    assert "worker.lost" not in [event.name for event in store.events_of(JOB_ID)]


def test_take_turn_ends_the_job_at_its_deadline_when_reads_go_on_failing() -> None:
    rig = Rig(fill(DownStore("read_request"), a_job())).take_turn()
    rig.clock.advance(3600)

    rig.take_turn(2)

    assert rig.job.failure
    assert rig.job.failure.code == "deadline_exceeded"


@pytest.mark.parametrize("operation", ["read_request", "read_state"])
def test_take_turn_leaves_a_job_alone_for_a_while_when_its_documents_are_not_understood(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = a_job(step=StepName.MEASURE, failures=1, progress={"runs": 3})
    rig = Rig(fill(DownStore(operation, error=UnreadableRowError), job), lane=Lane.INFERENCE).take_turn()

    assert rig.ran == []
    assert rig.job == carried_out(job, Again(NOT_UNDERSTOOD_PAUSE_SECONDS, {"runs": 3}))
    assert rig.queue.sent == [Send(Lane.INFERENCE, StepMessage(JOB_ID, 2), NOT_UNDERSTOOD_PAUSE_SECONDS)]
    (line,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert (line.msg, line.__dict__["metric"]) == ("turn.not_understood", "RowsNotUnderstood")


def test_take_turn_fails_no_job_when_its_step_does_not_understand_what_is_stored() -> None:
    rig = Rig(a_store(a_job()), raising(UnreadableRowError("This version does not understand the request.")))

    for seq in range(1, 2 * MAX_ATTEMPTS):
        rig.take_turn(seq)

    assert (rig.job.status, rig.job.failures, rig.job.seq) == (Status.RUNNING, 0, 2 * MAX_ATTEMPTS)
    assert [event.name for event in rig.store.events_of(JOB_ID)] == ["job.accepted", "job.running"]


def test_take_turn_ends_a_job_that_is_not_understood_at_its_deadline() -> None:
    rig = Rig(fill(DownStore("read_request", error=UnreadableRowError), a_job())).take_turn()
    rig.clock.advance(3600)

    rig.take_turn(2)

    assert rig.job.failure
    assert rig.job.failure.code == "deadline_exceeded"


class ThrottledStore(MemoryJobStore):
    """Fails at so many commits; where answers are lost, it has carried them out."""

    def __init__(self, failure_count: int, *, loses_answers: bool = False, retryable: bool = True) -> None:
        super().__init__()
        self._failures = [StoreUnavailableError if retryable else StoreRefusedError] * failure_count
        self._loses_answers = loses_answers
        self.tries = 0

    def commit(self, job: Job, transition: Transition, tallies: Tallies | None = None) -> bool:
        self.tries += 1
        if self._failures and not self._loses_answers:
            raise self._failures.pop()("The table throttles the write.")
        written = super().commit(job, transition, tallies)
        if self._failures:
            raise self._failures.pop()("The answer was lost.")
        return written


def test_take_turn_repeats_the_commit_while_the_table_throttles(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(fill(ThrottledStore(5), a_job()), lambda _: Next(StepName.WARM_UP)).take_turn()

    assert len(rig.ran) == 1
    assert (rig.job.seq, rig.job.step) == (2, StepName.WARM_UP)
    assert [send.message for send in rig.queue.sent] == [StepMessage(JOB_ID, 2)]
    assert [line.msg for line in caplog.records if line.levelno > logging.INFO] == ["commit.repeated"] * 5
    # Half a second, then twice as long each time.
    assert rig.clock.elapsed_seconds == 15.5


def test_take_turn_keeps_its_lease_while_it_repeats_the_commit() -> None:
    store = fill(ThrottledStore(12), a_job(step=StepName.MEASURE))
    rig = Rig(store, lambda _: Next(StepName.JUDGE), Lane.INFERENCE)
    rig.on_pause = lambda: rivals.append(store.update(JOB_ID, claim(rig.job, 1, "worker-2", rig.clock.now())))
    rivals: list[Job | Refused] = []

    rig.take_turn()

    assert {type(rival) for rival in rivals} == {Refused}
    assert rig.clock.elapsed_seconds > 60
    assert rig.job.step is StepName.JUDGE


def test_take_turn_sends_the_message_once_when_only_the_answer_to_its_commit_was_lost() -> None:
    store = ThrottledStore(1, loses_answers=True)
    rig = Rig(fill(store, a_job()), lambda _: Next(StepName.WARM_UP)).take_turn()

    assert (store.tries, rig.job.seq) == (1, 2)
    assert [send.message for send in rig.queue.sent] == [StepMessage(JOB_ID, 2)]


class AwayStore(ThrottledStore):
    """Carries a commit out, loses its answer, and does not take the next renewal."""

    def __init__(self) -> None:
        super().__init__(1, loses_answers=True)
        self._is_away = True

    def update(self, job_id: str, change: Change) -> Job | Refused:
        if change.name == "renew" and self._is_away:
            self._is_away = False
            raise StoreUnavailableError("The table cannot be reached now.")
        return super().update(job_id, change)


@pytest.mark.parametrize("outcome", [Next(StepName.WARM_UP), Done("{}")], ids=["goes on", "ends"])
def test_take_turn_commits_once_when_the_answer_was_lost_and_the_lease_cannot_be_renewed(
    outcome: Outcome,
) -> None:
    store = AwayStore()
    rig = Rig(fill(store, a_job()), lambda _: outcome).take_turn()

    assert (store.tries, rig.job.seq) == (1, 2)
    assert len(rig.queue.sent) == isinstance(outcome, Next)


def test_take_turn_sends_nothing_when_another_worker_came_while_it_repeated_its_commit() -> None:
    store = ThrottledStore(9)
    rig = Rig(fill(store, a_job()), lambda _: Next(StepName.WARM_UP))
    rig.on_pause = lambda: store.update(JOB_ID, claim(a_claimed_job(), 1, "worker-2", after(3600)))

    rig.take_turn()

    # Its last try reaches the table, which refuses it.
    assert (store.tries, rig.job.lease_owner, rig.queue.sent) == (10, "worker-2", [])


def test_take_turn_does_not_repeat_a_commit_that_is_refused_for_good() -> None:
    store = ThrottledStore(1, retryable=False)

    with pytest.raises(StoreRefusedError):
        Rig(fill(store, a_job())).take_turn()

    assert store.tries == 1


@pytest.mark.parametrize("lane", Lane)
def test_take_turn_repeats_its_commit_no_longer_than_its_function_runs(lane: Lane) -> None:
    step = StepName.BOOT if lane is Lane.MONEY else StepName.MEASURE
    rig = Rig(fill(ThrottledStore(10_000), a_job(step=step)), lambda _: Again(5), lane, goes_on=True)

    with pytest.raises(StoreUnavailableError):
        rig.take_turn()

    resource = f"{lane.capitalize()}WorkerFunction"
    timeout_seconds = load_template()["Resources"][resource]["Properties"]["Timeout"]
    assert timeout_seconds - 30 < rig.clock.elapsed_seconds < timeout_seconds - 4


@pytest.mark.parametrize("operation", ["claim", "read_events", "commit"])
def test_take_turn_raises_when_the_store_cannot_be_reached(operation: str) -> None:
    rig = Rig(fill(DownStore(operation), a_job()))

    with pytest.raises(StoreUnavailableError):
        rig.take_turn()

    assert rig.queue.sent == []
    assert rig.job.seq == 1
    assert len(rig.store.events_of(JOB_ID)) == (1 if operation == "claim" else 2)


def test_take_turn_sends_the_message_when_its_commit_is_refused_by_its_own_first_try() -> None:
    rig = Rig(fill(CoveredStore(already_written), a_job()), lambda _: Again(30)).take_turn()

    assert rig.job.seq == 2
    assert rig.queue.sent == [Send(Lane.INFERENCE, StepMessage(JOB_ID, 2), 30)]


# The next turn in the same invocation.


def acting(*outcomes: Outcome) -> Callable[[StepContext], Outcome]:
    """Return a step that ends its turns in these ways."""
    following = iter(outcomes)
    return lambda _: next(following)


def test_take_turn_goes_on_without_messages_until_the_job_has_ended() -> None:
    outcomes = (Next(StepName.WARM_UP), Next(StepName.MEASURE), Again(0, state_json="[1]"), Done("{}"))

    rig = Rig(a_store(a_job()), acting(*outcomes), goes_on=True).take_turn()

    steps = [StepName.CHECK, StepName.WARM_UP, StepName.MEASURE, StepName.MEASURE]
    assert [context.job.step for context in rig.ran] == steps
    assert [(context.job.seq, context.job.epoch, context.job.attempts) for context in rig.ran] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
        (4, 4, 1),
    ]
    assert len({context.job.lease_owner for context in rig.ran}) == 4
    assert rig.ran[-1].state_json == "[1]"
    assert (rig.job.status, rig.job.started_at, rig.queue.sent) == (Status.SUCCEEDED, NOW, [])


def test_take_turn_shows_the_step_of_a_further_turn_the_job_as_it_is_stored() -> None:
    store = a_store(a_job())
    stored: list[Job] = []

    def act(context: StepContext) -> Outcome:
        stored.append(store.jobs[JOB_ID])
        return Next(StepName.WARM_UP) if context.job.seq == 1 else Done("{}")

    rig = Rig(store, act, goes_on=True).take_turn()

    assert [context.job for context in rig.ran] == stored
    assert (stored[1].due_at, stored[1].due_class, stored[1].lease_until) == (
        after(60),
        DueClass.LEASE,
        after(60),
    )


GOES_ON_ELSEWHERE: list[tuple[str, Lane, StepName, Outcome, Send]] = [
    (
        "another lane",
        Lane.MONEY,
        StepName.BOOT,
        Next(StepName.PULL),
        Send(Lane.INFERENCE, StepMessage(JOB_ID, 2), 0),
    ),
    (
        "a delay",
        Lane.INFERENCE,
        StepName.CHECK,
        Next(StepName.WARM_UP, delay_seconds=1),
        Send(Lane.INFERENCE, StepMessage(JOB_ID, 2), 1),
    ),
    (
        "another try",
        Lane.INFERENCE,
        StepName.CHECK,
        Failed("server_overloaded", "Come later.", retryable=True),
        Send(Lane.INFERENCE, StepMessage(JOB_ID, 2), 5),
    ),
]


@pytest.mark.parametrize(
    ("lane", "step", "outcome", "send"),
    [row[1:] for row in GOES_ON_ELSEWHERE],
    ids=[row[0] for row in GOES_ON_ELSEWHERE],
)
def test_take_turn_sends_a_message_for_a_turn_that_is_not_to_be_taken_here_and_now(
    lane: Lane, step: StepName, outcome: Outcome, send: Send
) -> None:
    rig = Rig(a_store(a_job(step=step)), acting(outcome), lane, goes_on=True).take_turn()

    assert rig.queue.sent == [send]
    assert (len(rig.ran), rig.job.lease_owner, rig.job.attempts, rig.job.epoch) == (1, None, 0, 1)


@pytest.mark.parametrize(
    ("lane", "step", "seconds", "turns"),
    [
        (Lane.INFERENCE, StepName.WARM_UP, 60, 2),
        (Lane.INFERENCE, StepName.WARM_UP, 60.001, 1),
        (Lane.MONEY, StepName.BOOT, 10, 2),
        (Lane.MONEY, StepName.BOOT, 10.001, 1),
    ],
)
def test_take_turn_begins_no_further_turn_when_its_function_has_run_for_long(
    lane: Lane, step: StepName, seconds: float, turns: int
) -> None:
    rig = Rig(a_store(a_job(step=step)), lane=lane, goes_on=True)

    def act(context: StepContext) -> Outcome:
        rig.clock.elapsed_seconds += seconds
        return Again(0) if context.job.seq == 1 else Done("{}")

    rig.act = act
    rig.take_turn()

    assert len(rig.ran) == turns
    assert [send.message.seq for send in rig.queue.sent] == [2] * (2 - turns)


@pytest.mark.parametrize(
    ("time_left_seconds", "limits"), [(885.0, [870, 870]), (1000.0, [870, 870]), (824.0, [809]), (20.0, [5])]
)
def test_take_turn_keeps_to_the_time_that_lambda_leaves_it(
    time_left_seconds: float, limits: list[float]
) -> None:
    job = a_job(step=StepName.MEASURE)
    rig = Rig(a_store(job), acting(Again(0), Done("{}"))).take_turn(time_left_seconds=time_left_seconds)

    assert [context.time_limit_seconds for context in rig.ran] == limits
    assert len(rig.queue.sent) == 2 - len(limits)


def test_take_turn_gives_a_further_turn_only_what_is_left_of_the_time() -> None:
    rig = Rig(a_store(a_job(step=StepName.MEASURE)), goes_on=True)

    def act(context: StepContext) -> Outcome:
        rig.clock.elapsed_seconds += 50
        return Again(0) if context.job.seq == 1 else Done("{}")

    rig.act = act
    rig.take_turn()

    assert [context.time_limit_seconds for context in rig.ran] == [870, 820]


def test_take_turn_does_not_go_on_when_a_cancel_came_meanwhile() -> None:
    store = a_store(a_job())

    rig = Rig(store, cancelling(store, Next(StepName.WARM_UP)), goes_on=True).take_turn()

    assert (len(rig.ran), rig.job.status, rig.queue.sent) == (1, Status.CANCELLED, [])


def test_take_turn_goes_on_when_only_the_answer_to_such_a_commit_was_lost() -> None:
    store = fill(ThrottledStore(1, loses_answers=True), a_job())

    rig = Rig(store, acting(Next(StepName.WARM_UP), Done("{}")), goes_on=True).take_turn()

    assert ([context.job.seq for context in rig.ran], store.tries) == ([1, 2], 2)
    assert (rig.job.status, rig.queue.sent) == (Status.SUCCEEDED, [])


def taken_over_and_ended(store: MemoryJobStore) -> None:
    taken = store.update(JOB_ID, claim(a_claimed_job(), 1, "worker-2", after(61)))
    assert isinstance(taken, Job)
    assert store.commit(taken, make_transition(taken, Next(StepName.WARM_UP), after(62), 0))


def test_take_turn_does_not_take_what_another_worker_has_written_for_its_own() -> None:
    # Its claim and commit leave the epoch and the turn that this worker's own commit would have left.
    store = CoveredStore(taken_over_and_ended)

    rig = Rig(fill(store, a_job()), acting(Next(StepName.WARM_UP)), goes_on=True).take_turn()

    assert (len(rig.ran), rig.store.jobs, rig.queue.sent) == (1, store.jobs_then, [])


def test_take_turn_leaves_a_further_turn_to_the_janitor_when_its_worker_is_lost() -> None:
    rig = Rig(a_store(a_job()), goes_on=True)

    def act(context: StepContext) -> Outcome:
        if context.job.seq == 1:
            return Next(StepName.WARM_UP)
        raise LeaseLostError("Gone.")

    rig.act = act
    rig.take_turn()

    assert (rig.job.seq, rig.job.step, rig.job.attempts) == (2, StepName.WARM_UP, 1)
    assert (rig.job.due_at, rig.job.due_class, rig.queue.sent) == (after(60), DueClass.LEASE, [])


@pytest.mark.parametrize("outcome", [Done("{}"), TIMEOUT, Cancelled()], ids=repr)
def test_take_turn_gives_the_slot_of_an_ended_job_to_the_one_that_waits(outcome: Outcome) -> None:
    waiting = a_job(job_id="waiting", waiting_since=NOW)
    store = a_store(a_job(slot=0), waiting)
    store.slots = {n: Slot(n, job_id=JOB_ID if n == 0 else f"job-{n}", tenant=TENANT) for n in range(5)}
    store.shares = {TENANT: Share(TENANT, running=5, waiting=1)}

    rig = Rig(store, acting(outcome)).take_turn()

    assert (store.slots[0].job_id, store.jobs["waiting"].slot) == ("waiting", 0)
    assert (store.shares[TENANT].running, store.shares[TENANT].waiting) == (5, 0)
    assert rig.queue.sent == [Send(Lane.INFERENCE, StepMessage("waiting", 1), 0)]


@pytest.mark.parametrize("lane", Lane)
def test_take_turn_runs_no_step_of_a_job_whose_time_to_wait_is_over(lane: Lane) -> None:
    job = a_job(step=StepName.RENT, rents=True, slot=3, deadline_at=NOW)
    store = a_store(job)
    store.slots, store.shares = {3: Slot(3, job_id=JOB_ID, tenant=TENANT)}, {TENANT: Share(TENANT, running=1)}

    rig = Rig(store, lane=lane).take_turn()

    assert (rig.ran, rig.queue.sent) == ([], [])
    assert rig.job == told(apply(expire_queued(job, NOW).change, job))
    assert (store.slots[3].job_id, store.shares[TENANT].running) == (None, 0)


def test_take_turn_leaves_a_job_that_was_begun_in_time_since_it_was_read() -> None:
    class SlowStore(MemoryJobStore):
        def read(self, job_id: str) -> Job | None:
            return late if self.jobs[job_id].epoch == 1 else self.jobs[job_id]

    late, begun = a_job(deadline_at=NOW), a_claimed_job()

    rig = Rig(fill(SlowStore(), begun)).take_turn()

    assert (rig.job, rig.ran, rig.queue.sent) == (begun, [], [])


def test_take_turn_drops_the_message_of_a_job_that_waits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rune")
    waiting = a_job(waiting_since=NOW)

    rig = Rig(a_store(waiting)).take_turn()

    assert (rig.job, rig.ran) == (waiting, [])
    assert [record.__dict__["reason"] for record in caplog.records] == [Refusal.WAITING]
