from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rune.errors import RuneError, ServerTimeoutError, ServerUnreachableError
from rune.jobs.lifecycle import Send, claim
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Note, Outcome
from rune.jobs.places import RowChange, ShareRow, count_given_up
from rune.jobs.plan import Lane
from rune.jobs.record import DueClass, Event, Failure, Job, Status, StepMessage, StepName
from rune.jobs.transitions import (
    Transition,
    cancel_queued,
    expire_queued,
    failure_of,
    keep_hold,
    make_transition,
)
from rune.storage.change import Is, IsAbsentOrBefore, Requirement, allows, apply
from tests.builders import JOB_ID, NOW, TENANT, a_claimed_job, a_job, after, an_ended_job

END = after(10)
CLAIMED = a_claimed_job(step=StepName.WARM_UP, seq=2, epoch=5, version=9, event_count=3, dispatches=2)
OVERLOADED = Failed("server_overloaded", "Come later.", retryable=True)
UNKNOWN_MODEL = Failed("model_not_found", "There is no such model.", retryable=False)
OUTCOMES: list[Outcome] = [
    Next(StepName.MEASURE),
    Again(30),
    Done("{}"),
    OVERLOADED,
    UNKNOWN_MODEL,
    Cancelled(),
]


def carried_out(job: Job, outcome: Outcome) -> tuple[Job, Transition]:
    """Return the job as the transition leaves it, and the transition."""
    transition = make_transition(job, outcome, END, duration_ms=1234)
    assert allows(transition.change, job)
    return apply(transition.change, job), transition


def a_next_turn(job: Job, delay_seconds: int = 0, **overrides: object) -> Job:
    """Return the job in its next turn, as every outcome that goes on leaves it."""
    following = replace(
        job,
        seq=job.seq + 1,
        version=job.version + 1,
        updated_at=END,
        due_at=END + timedelta(seconds=delay_seconds + 60),
        due_class=DueClass.MESSAGE,
        lease_owner=None,
        lease_until=None,
        attempts=0,
        dispatches=0,
    )
    return replace(following, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def an_end(job: Job, status: Status, event_count: int, failure: Failure | None = None) -> Job:
    """Return the job as every outcome that ends it leaves it."""
    return replace(
        job,
        status=status,
        seq=job.seq + 1,
        version=job.version + 1,
        event_count=event_count,
        updated_at=END,
        finished_at=END,
        due_at=None,
        due_class=None,
        lease_owner=None,
        lease_until=None,
        failure=failure,
    )


def a_step_event(number: int, error_type: str | None = None, turn: str = "1") -> Event:
    labels = {"step": "warm_up", "try": turn}
    return Event(number, "backend.warmup", "error" if error_type else "ok", END, 1234, error_type, labels)


def a_send_of(seq: int, lane: Lane = Lane.INFERENCE, delay_seconds: int = 0) -> Send:
    return Send(lane, StepMessage(JOB_ID, seq), delay_seconds)


def test_transition_fails_the_job_when_a_step_that_has_had_its_tries_fails() -> None:
    outcome = replace(OVERLOADED, is_final=True)

    transition = make_transition(a_claimed_job(failures=0), outcome, END, 1234)

    failure = transition.change.sets["failure"]
    assert isinstance(failure, Failure)
    assert (failure.code, failure.retryable, transition.send) == ("server_overloaded", True, None)


def test_transition_moves_on_when_the_step_is_complete() -> None:
    job = replace(CLAIMED, failures=1, progress={"chunks": 3}, phases_ms={"check": 5})

    after_it, transition = carried_out(job, Next(StepName.MEASURE))

    assert after_it == a_next_turn(
        job,
        step=StepName.MEASURE,
        failures=0,
        progress={},
        phases_ms={"check": 5, "warm_up": 1234},
        event_count=4,
    )
    assert transition.events == (a_step_event(4, turn="2"),)
    assert (transition.result_json, transition.send) == (None, a_send_of(3))


def test_transition_keeps_the_steps_own_phases_when_it_names_them() -> None:
    after_it, _ = carried_out(CLAIMED, Next(StepName.MEASURE, phases_ms={"load": 900, "first_token": 30}))

    assert after_it.phases_ms == {"load": 900, "first_token": 30}


def test_transition_sends_to_the_next_steps_lane_when_that_is_another() -> None:
    boot = a_claimed_job(step=StepName.BOOT)

    _, transition = carried_out(boot, Next(StepName.WARM_UP, delay_seconds=7))

    assert transition.send == a_send_of(2, Lane.INFERENCE, delay_seconds=7)


def test_transition_repeats_the_step_without_an_event_when_it_is_not_ready() -> None:
    after_it, transition = carried_out(CLAIMED, Again(30, progress={"layers": 2}))

    assert after_it == a_next_turn(CLAIMED, 30, progress={"layers": 2})
    assert (transition.events, transition.send) == ((), a_send_of(3, delay_seconds=30))


def test_transition_tells_what_a_turn_found_when_the_step_is_not_ready() -> None:
    note = Note("benchmark.point", {"concurrency": "4"}, duration_ms=900)

    after_it, transition = carried_out(CLAIMED, Again(0, notes=(note, note)))

    assert after_it == a_next_turn(CLAIMED, event_count=5)
    assert transition.events == tuple(
        Event(number, "benchmark.point", "ok", END, 900, None, {"concurrency": "4"}) for number in (4, 5)
    )


def test_transition_grants_all_tries_again_to_a_step_that_has_got_somewhere() -> None:
    job = replace(CLAIMED, failures=2)

    assert carried_out(job, Again(0, state_json="[1]"))[0].failures == 0
    assert carried_out(job, Again(0))[0].failures == 2


@pytest.mark.parametrize(
    ("outcome", "state_json"),
    [
        (Again(0, state_json="[1]"), "[1]"),
        (Next(StepName.JUDGE, state_json="[1]"), "[1]"),
        (Again(0), None),
        (Next(StepName.JUDGE), None),
        (OVERLOADED, None),
        (Done("{}"), None),
    ],
    ids=repr,
)
def test_transition_leaves_the_state_that_the_step_gives_and_no_other(
    outcome: Outcome, state_json: str | None
) -> None:
    assert carried_out(CLAIMED, outcome)[1].state_json == state_json


@pytest.mark.parametrize(("asked", "given"), [(-5, 0), (0, 0), (900, 900), (901, 900), (86400, 900)])
def test_transition_clips_the_delay_to_what_sqs_can(asked: int, given: int) -> None:
    after_it, transition = carried_out(CLAIMED, Again(asked))

    assert (after_it, transition.send) == (a_next_turn(CLAIMED, given), a_send_of(3, delay_seconds=given))


def test_transition_keeps_the_result_when_the_job_is_done() -> None:
    after_it, transition = carried_out(CLAIMED, Done('{"answer": "Nothing."}', {"measure": 700}))

    phases_ms = {**CLAIMED.phases_ms, "measure": 700}
    assert after_it == replace(an_end(CLAIMED, Status.SUCCEEDED, event_count=5), phases_ms=phases_ms)
    assert transition.events == (a_step_event(4), Event(5, "job.succeeded", "ok", END, 10_000, None, {}))
    assert (transition.result_json, transition.send) == ('{"answer": "Nothing."}', None)


def test_transition_ends_the_job_when_it_was_cancelled() -> None:
    after_it, transition = carried_out(CLAIMED, Cancelled())

    assert after_it == an_end(CLAIMED, Status.CANCELLED, event_count=4)
    assert transition.events == (Event(4, "job.cancelled", "ok", END, 10_000, None, {}),)
    assert (transition.result_json, transition.send) == (None, None)


@pytest.mark.parametrize(
    ("failures", "asked", "delay_seconds"),
    [(0, None, 5), (1, None, 20), (0, 30, 30), (1, 30, 30), (0, 3000, 900), (0, 0, 5)],
)
def test_transition_tries_again_when_the_failure_is_worth_it(
    failures: int, asked: int | None, delay_seconds: int
) -> None:
    job = replace(CLAIMED, failures=failures, progress={"chunks": 3})

    after_it, transition = carried_out(job, replace(OVERLOADED, retry_after_seconds=asked))

    assert after_it == a_next_turn(job, delay_seconds, failures=failures + 1, progress={}, event_count=4)
    assert transition.events == (a_step_event(4, "server_overloaded", str(failures + 1)),)
    assert transition.send == a_send_of(3, delay_seconds=delay_seconds)


FAILURES: list[tuple[str, Job, Failed]] = [
    ("not worth another try", CLAIMED, UNKNOWN_MODEL),
    ("last try", replace(CLAIMED, failures=2), OVERLOADED),
    ("deadline before the next try", replace(CLAIMED, deadline_at=END + timedelta(seconds=5)), OVERLOADED),
    ("deadline before the server is ready", CLAIMED, replace(OVERLOADED, retry_after_seconds=3600)),
    ("deadline has passed", replace(CLAIMED, deadline_at=END), OVERLOADED),
    ("cancelled meanwhile", replace(CLAIMED, cancel_requested_at=NOW), OVERLOADED),
]


@pytest.mark.parametrize(("job", "outcome"), [r[1:] for r in FAILURES], ids=[r[0] for r in FAILURES])
def test_transition_fails_the_job_when_no_try_is_left(job: Job, outcome: Failed) -> None:
    after_it, transition = carried_out(job, outcome)

    failure = Failure(outcome.code, outcome.sentence, StepName.WARM_UP, outcome.retryable)
    assert after_it == an_end(job, Status.FAILED, 5, failure)
    assert transition.events == (
        a_step_event(4, outcome.code, str(job.failures + 1)),
        Event(5, "job.failed", "error", END, 10_000, outcome.code, {}),
    )
    assert (transition.result_json, transition.send) == (None, None)


def test_transition_tries_again_when_the_deadline_is_just_after_the_next_try() -> None:
    job = replace(CLAIMED, deadline_at=END + timedelta(seconds=5, milliseconds=1))

    _, transition = carried_out(job, OVERLOADED)

    assert transition.send == a_send_of(3, delay_seconds=5)


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("x" * 360, "x" * 360),
        ("x" * 361, "x" * 360),
        ("x" * 9000, "x" * 360),
        # The 360th byte lies within a letter, which is left out whole.
        ("x" + "é" * 240, "x" + "é" * 179),
        ("x" + "漢" * 240, "x" + "漢" * 119),
        ("xx" + "🚀" * 240, "xx" + "🚀" * 89),
    ],
)
def test_transition_shortens_the_sentence_when_it_is_longer_than_360_bytes(sentence: str, kept: str) -> None:
    after_it, _ = carried_out(CLAIMED, replace(UNKNOWN_MODEL, sentence=sentence))

    assert after_it.failure == Failure("model_not_found", kept, StepName.WARM_UP, retryable=False)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_transition_tells_of_lost_workers_first_when_there_were_any(outcome: Outcome) -> None:
    alone = make_transition(CLAIMED, outcome, END, 1234)
    lost = Event(4, "worker.lost", "error", END, None, "worker_lost", {"step": "warm_up", "lost": "2"})

    third = make_transition(replace(CLAIMED, attempts=3), outcome, END, 1234)

    later = tuple(replace(event, number=event.number + 1) for event in alone.events)
    assert third.events == (lost, *later)
    assert third.change.adds == {**alone.change.adds, "event_count": len(alone.events) + 1}


OWN_EPOCH, OWN_SEQ = Is("epoch", 5), Is("seq", 2)
NO_CANCEL_REQUEST = IsAbsentOrBefore("cancel_requested_at", CLAIMED.created_at)
REQUIRED: list[tuple[Outcome, tuple[Requirement, ...]]] = [
    (Next(StepName.MEASURE), (OWN_EPOCH, OWN_SEQ)),
    (Next(StepName.MEASURE, delay_seconds=1), (OWN_EPOCH, OWN_SEQ, NO_CANCEL_REQUEST)),
    (Again(0), (OWN_EPOCH, OWN_SEQ)),
    (Again(-5), (OWN_EPOCH, OWN_SEQ)),
    (Again(30), (OWN_EPOCH, OWN_SEQ, NO_CANCEL_REQUEST)),
    (OVERLOADED, (OWN_EPOCH, OWN_SEQ, NO_CANCEL_REQUEST)),
    (UNKNOWN_MODEL, (OWN_EPOCH, OWN_SEQ)),
    (Done("{}"), (OWN_EPOCH, OWN_SEQ)),
    (Cancelled(), (OWN_EPOCH, OWN_SEQ)),
]


@pytest.mark.parametrize(("outcome", "requires"), REQUIRED, ids=[repr(row[0]) for row in REQUIRED])
def test_transition_is_refused_when_another_worker_has_claimed_since(
    outcome: Outcome, requires: tuple[Requirement, ...]
) -> None:
    transition = make_transition(CLAIMED, outcome, END, 1234)

    assert transition.change.requires == requires
    assert not allows(transition.change, replace(CLAIMED, epoch=6))
    assert not allows(transition.change, replace(CLAIMED, seq=3))


@pytest.mark.parametrize(("outcome", "requires"), REQUIRED, ids=[repr(row[0]) for row in REQUIRED])
@pytest.mark.parametrize("asked_at", [CLAIMED.created_at, NOW, END], ids=["at once", "early", "just now"])
def test_transition_is_refused_when_a_cancel_request_would_wait_out_a_delay(
    outcome: Outcome, requires: tuple[Requirement, ...], asked_at: datetime
) -> None:
    asked_to_stop = replace(CLAIMED, cancel_requested_at=asked_at)

    is_allowed = allows(make_transition(CLAIMED, outcome, END, 1234).change, asked_to_stop)

    assert is_allowed is (NO_CANCEL_REQUEST not in requires)


def test_cancel_queued_ends_a_job_that_no_worker_has_claimed() -> None:
    transition = cancel_queued(a_job(), END)

    assert apply(transition.change, a_job()) == an_end(a_job(), Status.CANCELLED, event_count=2)
    assert transition.events == (Event(2, "job.cancelled", "ok", END, 10_000, None, {}),)
    assert (transition.result_json, transition.send) == (None, None)


@pytest.mark.parametrize("found", [a_claimed_job(), an_ended_job(), an_ended_job(Status.CANCELLED)])
def test_cancel_queued_is_refused_when_the_job_is_no_longer_queued(found: Job) -> None:
    assert not allows(cancel_queued(a_job(), END).change, found)


WAITING = a_job(waiting_since=NOW, due_at=after(3600), due_class=DueClass.WAIT)


def test_cancel_queued_counts_a_job_out_that_waited() -> None:
    transition = cancel_queued(WAITING, END)

    ended = apply(transition.change, WAITING)
    assert (ended.status, ended.waiting_since, ended.due_class) == (Status.CANCELLED, None, None)
    assert transition.companions == (RowChange(ShareRow(TENANT), count_given_up(END)),)
    assert cancel_queued(a_job(), END).companions == ()


@pytest.mark.parametrize("end_queued", [cancel_queued, expire_queued])
def test_end_of_a_waiting_job_is_refused_when_it_was_admitted_meanwhile(
    end_queued: Callable[[Job, datetime], Transition],
) -> None:
    assert not allows(end_queued(WAITING, END).change, a_job(slot=0))
    assert not allows(end_queued(WAITING, END).change, a_claimed_job())
    assert not allows(end_queued(a_job(), END).change, WAITING)


SILENT = ServerTimeoutError("The server's answer took longer than 43.2871 seconds.")


@pytest.mark.parametrize(
    ("step", "left_seconds", "error", "code"),
    [
        (StepName.WARM_UP, 5, SILENT, "deadline_exceeded"),
        (StepName.WARM_UP, 7, SILENT, "server_timeout"),
        (StepName.MEASURE, 15, SILENT, "deadline_exceeded"),
        (StepName.MEASURE, 17, SILENT, "server_timeout"),
        (StepName.WARM_UP, 5, ServerUnreachableError("No connection."), "server_unreachable"),
    ],
)
def test_failure_of_a_call_that_the_jobs_own_time_cut_off_is_not_its_servers(
    step: StepName, left_seconds: float, error: RuneError, code: str
) -> None:
    job = a_claimed_job(step=step, deadline_at=after(left_seconds), max_runtime_seconds=60)

    failure = failure_of(job, error, NOW)

    cut_off = (
        "The job did not end within its time limit of 60 seconds; the model server had not answered by then."
    )
    assert failure.code == code
    assert failure.sentence == (cut_off if code == "deadline_exceeded" else error.sentence)


def test_job_whose_time_cut_off_a_call_ends_without_another_try() -> None:
    job = a_claimed_job(step=StepName.MEASURE, deadline_at=after(15))

    transition = make_transition(job, failure_of(job, SILENT, NOW), NOW, 5)

    assert transition.change.sets["status"] is Status.FAILED


def test_expire_queued_fails_a_job_that_was_not_begun_in_its_time() -> None:
    transition = expire_queued(WAITING, END)

    failure = Failure(
        "queue_timeout", "The job was not begun within its time to wait.", StepName.CHECK, retryable=True
    )
    assert apply(transition.change, WAITING) == an_end(
        replace(WAITING, waiting_since=None), Status.FAILED, 2, failure
    )
    assert transition.events == (Event(2, "job.failed", "error", END, 10_000, "queue_timeout", {}),)
    assert transition.companions == (RowChange(ShareRow(TENANT), count_given_up(END)),)


# The next turn in the same write.


def test_keep_hold_claims_the_next_turn_in_the_write_that_ends_this_one() -> None:
    transition = make_transition(CLAIMED, Next(StepName.MEASURE, state_json="[1]"), END, 1234)

    held, job = keep_hold(CLAIMED, transition, "worker-2", END)

    assert job == apply(held.change, CLAIMED)
    assert job == a_next_turn(
        CLAIMED,
        step=StepName.MEASURE,
        phases_ms={"warm_up": 1234},
        event_count=4,
        epoch=6,
        attempts=1,
        lease_owner="worker-2",
        lease_until=END + timedelta(seconds=60),
        due_class=DueClass.LEASE,
    )
    assert held.send is None
    assert (held.events, held.state_json) == (transition.events, transition.state_json)


def test_keep_hold_leaves_the_turn_as_a_claim_of_its_message_would() -> None:
    transition = make_transition(CLAIMED, Again(0), END, 1234)
    ended = apply(transition.change, CLAIMED)
    claimed = apply(claim(ended, ended.seq, "worker-2", END), ended)

    _, held = keep_hold(CLAIMED, transition, "worker-2", END)

    assert replace(held, version=claimed.version) == claimed


def test_keep_hold_of_a_release_is_due_in_the_class_that_comes_first() -> None:
    renting = replace(CLAIMED, rents=True, step=StepName.BOOT)

    _, job = keep_hold(renting, make_transition(renting, Cancelled(), END, 0), "worker-2", END)

    assert (job.step, job.due_class) == (StepName.RELEASE, DueClass.RELEASE)


@pytest.mark.parametrize(
    "found",
    [
        replace(CLAIMED, epoch=6),
        replace(CLAIMED, seq=3),
        replace(CLAIMED, cancel_requested_at=CLAIMED.created_at),
        replace(CLAIMED, cancel_requested_at=END),
    ],
    ids=["claimed since", "ended since", "cancelled at once", "cancelled just now"],
)
def test_keep_hold_is_refused_when_the_job_is_not_to_go_on(found: Job) -> None:
    held, _ = keep_hold(CLAIMED, make_transition(CLAIMED, Again(0), END, 0), "worker-2", END)

    assert allows(held.change, CLAIMED)
    assert not allows(held.change, found)


def test_keep_hold_requires_nothing_twice() -> None:
    job = replace(CLAIMED, ends_as=Status.SUCCEEDED)
    transition = make_transition(job, Again(5), END, 0)

    held, _ = keep_hold(job, transition, "worker-2", END)

    assert held.change.requires == transition.change.requires == (OWN_EPOCH, OWN_SEQ, NO_CANCEL_REQUEST)
