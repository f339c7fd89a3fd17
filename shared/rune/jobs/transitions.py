"""How the end of a turn is written down: the next turn, another try, or the end of the job."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rune.jobs import plan
from rune.jobs.history import History
from rune.jobs.lifecycle import DISPATCH_GRACE, Send, judge
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome, Released, Spending
from rune.jobs.record import Event, Failure, Job, Status, StepMessage, StepName
from rune.storage.change import Change, Is, IsAbsentOrBefore, Requirement, Value, make_change

MAX_FAILURES = 3
"""Tries of a step whose failures are worth another try."""

RETRY_DELAYS_SECONDS = (5, 20)
"""Wait before the second and the third try, where the other side names no time of its own."""

LONGEST_DELAY_SECONDS = 900
"""SQS delays a message by at most 15 minutes (SendMessage, DelaySeconds)."""

LONGEST_RELEASE_DELAY_SECONDS = 60
"""Between two tries to give a machine back; it bills meanwhile."""

LONGEST_SENTENCE_BYTES = 260
"""Of a failure, for the hot item's sake."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What a step's end comes to: one atomic write, then at most one message.

    Attributes
    ----------
    state_json
        What the next turn goes on from; None leaves what is there.
    """

    change: Change
    events: tuple[Event, ...]
    result_json: str | None
    send: Send | None
    state_json: str | None = None


def make_transition(job: Job, outcome: Outcome, now: datetime, duration_ms: int) -> Transition:
    """Return what the end of a claimed turn comes to.

    Parameters
    ----------
    job
        The hot item as the claim left it.
    duration_ms
        How long the step ran.
    """
    history = History(job, now)
    history.add_lost_workers()
    match outcome:
        case Again():
            return _repeat(job, outcome, history, now)
        case Next():
            return _advance(job, outcome, history, now, duration_ms)
        case Failed():
            return _fail(job, outcome, history, now, duration_ms)
        case Cancelled():
            return _conclude(job, history, now, Status.CANCELLED)
        case Done():
            history.add_step_end(duration_ms)
            return _conclude(job, history, now, Status.SUCCEEDED, result_json=outcome.result_json)
        case Released():
            return _end_release(job, outcome, history, now, duration_ms)


def cancel_queued(job: Job, now: datetime) -> Transition:
    """Return the write that ends a job which no worker has touched yet."""
    transition = _end(job, History(job, now), now, Status.CANCELLED)
    change = transition.change
    untouched = replace(change, name="cancel_queued", requires=(Is("status", Status.QUEUED),))
    return replace(transition, change=untouched)


def _advance(job: Job, outcome: Next, history: History, now: datetime, duration_ms: int) -> Transition:
    history.add_notes(outcome.notes)
    history.add_step_end(duration_ms, outcome.error_type, outcome.labels)
    sets: dict[str, Value] = {
        "step": outcome.step,
        "failures": 0,
        "progress": {},
        "phases_ms": {**job.phases_ms, **(outcome.phases_ms or {job.step: duration_ms})},
        **_spent(outcome.spending),
    }
    transition = _take_turn(
        job, history, now, step=outcome.step, delay_seconds=outcome.delay_seconds, sets=sets
    )
    return replace(transition, state_json=outcome.state_json)


def _repeat(job: Job, outcome: Again, history: History, now: datetime) -> Transition:
    history.add_notes(outcome.notes)
    sets: dict[str, Value] = {"progress": dict(outcome.progress), **_spent(outcome.spending)}
    if outcome.state_json is not None:
        # It has got somewhere, so its next turn has all its tries.
        sets["failures"] = 0
    transition = _take_turn(job, history, now, step=job.step, delay_seconds=outcome.delay_seconds, sets=sets)
    return replace(transition, state_json=outcome.state_json)


def _end_release(
    job: Job, outcome: Released, history: History, now: datetime, duration_ms: int
) -> Transition:
    """Return the end that the job was waiting for; without one its machine had failed it, and it rents anew."""
    history.add_step_end(duration_ms, labels=outcome.labels)
    if job.verdict is not None:
        return _end(
            job,
            history,
            now,
            job.verdict,
            failure=job.failure,
            result_json=outcome.result_json,
            sets=_spent(outcome.spending),
        )
    sets: dict[str, Value] = {
        "step": StepName.RENT,
        "failures": 0,
        "progress": {},
        **_spent(outcome.spending),
    }
    return _take_turn(job, history, now, step=StepName.RENT, delay_seconds=0, sets=sets)


def _spent(spending: Spending) -> dict[str, Value]:
    known: dict[str, Value] = {
        "rental_id": spending.rental_id,
        "cost_micro_usd": spending.cost_micro_usd,
        "borrowed_micro_usd": spending.borrowed_micro_usd,
    }
    return {name: value for name, value in known.items() if value is not None}


def _fail(job: Job, outcome: Failed, history: History, now: datetime, duration_ms: int) -> Transition:
    history.add_notes(outcome.notes)
    history.add_step_end(duration_ms, error_type=outcome.code)
    if job.is_releasing:
        # There is no giving up: what bills must be proven gone, however long the provider is out of order.
        delay_seconds = min(LONGEST_RELEASE_DELAY_SECONDS, 5 * 2 ** min(job.failures, 5))
        return _take_turn(
            job,
            history,
            now,
            step=job.step,
            delay_seconds=delay_seconds,
            sets={"failures": job.failures + 1},
        )
    if outcome.retryable and job.failures + 1 < MAX_FAILURES:
        delay_seconds = outcome.retry_after_seconds or RETRY_DELAYS_SECONDS[job.failures]
        # A turn that would only find the deadline passed would hide why the job failed.
        if judge(job, now + timedelta(seconds=delay_seconds)) is None:
            sets: dict[str, Value] = {"failures": job.failures + 1, "progress": {}}
            return _take_turn(job, history, now, step=job.step, delay_seconds=delay_seconds, sets=sets)
    failure = Failure(outcome.code, _clip(outcome.sentence), job.step, outcome.retryable)
    return _conclude(job, history, now, Status.FAILED, failure=failure)


def _conclude(
    job: Job,
    history: History,
    now: datetime,
    status: Status,
    *,
    failure: Failure | None = None,
    result_json: str | None = None,
) -> Transition:
    """Return the end of a job, or the way to it: one that may have rented a machine gives it back first."""
    if not job.rents:
        return _end(job, history, now, status, failure=failure, result_json=result_json)
    sets: dict[str, Value] = {
        "step": StepName.RELEASE,
        "failures": 0,
        "progress": {},
        "verdict": status,
        "failure": failure,
    }
    transition = _take_turn(job, history, now, step=StepName.RELEASE, delay_seconds=0, sets=sets)
    return replace(transition, result_json=result_json)


def _clip(sentence: str) -> str:
    return sentence.encode()[:LONGEST_SENTENCE_BYTES].decode(errors="ignore")


def _take_turn(
    job: Job,
    history: History,
    now: datetime,
    *,
    step: StepName,
    delay_seconds: int,
    sets: Mapping[str, Value],
) -> Transition:
    """Return the transition of a job that goes on: its next turn, and the message for it."""
    delay_seconds = max(0, min(delay_seconds, LONGEST_DELAY_SECONDS))
    requires: tuple[Requirement, ...] = (Is("epoch", job.epoch),)
    if delay_seconds and not job.is_releasing:
        # A wish to cancel that came while the step ran must not wait until the delay is over.
        requires = (*requires, IsAbsentOrBefore("cancel_requested_at", job.created_at))
    change = make_change(
        "commit",
        now,
        requires=requires,
        sets={
            "due_at": now + timedelta(seconds=delay_seconds) + DISPATCH_GRACE,
            "lease_owner": None,
            "lease_until": None,
            "attempts": 0,
            "dispatches": 0,
            **sets,
        },
        adds={"seq": 1, "event_count": len(history.events)},
    )
    send = Send(plan.STEPS[step].lane, StepMessage(job.job_id, job.seq + 1), delay_seconds)
    return Transition(change, history.events, None, send)


def _end(
    job: Job,
    history: History,
    now: datetime,
    status: Status,
    *,
    failure: Failure | None = None,
    result_json: str | None = None,
    sets: Mapping[str, Value] | None = None,
) -> Transition:
    """Return the transition of a job that is over."""
    history.add_job_end(status, failure)
    change = make_change(
        "commit",
        now,
        requires=(Is("epoch", job.epoch),),
        sets={
            "status": status,
            "finished_at": now,
            "failure": failure,
            # Counts of an unfinished step are no result; the result has its own numbers.
            "progress": {},
            "due_at": None,
            "lease_owner": None,
            "lease_until": None,
            **(sets or {}),
        },
        adds={"seq": 1, "event_count": len(history.events)},
    )
    return Transition(change, history.events, result_json, None)
