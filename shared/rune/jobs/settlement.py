"""How the end of a turn is written down: the next turn, another try, or the end of the job."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rune.jobs import plan
from rune.jobs.history import History
from rune.jobs.lifecycle import DISPATCH_GRACE, Send, judge
from rune.jobs.outcomes import Again, Cancelled, Done, Failed, Next, Outcome
from rune.jobs.record import Event, Failure, Job, Status, StepMessage, StepName
from rune.storage.change import Change, Is, IsAbsentOrBefore, Requirement, Value, make_change

MAX_FAILURES = 3
"""Tries of a step whose failures are worth another try."""

RETRY_DELAYS_SECONDS = (5, 20)
"""Wait before the second and the third try, where the other side names no time of its own."""

LONGEST_DELAY_SECONDS = 900
"""SQS delays a message by at most 15 minutes (SendMessage, DelaySeconds)."""

LONGEST_SENTENCE_BYTES = 300
"""Of a failure, for the hot item's sake."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a step's end comes to: one atomic write, then at most one message."""

    change: Change
    events: tuple[Event, ...]
    result_json: str | None
    send: Send | None


def settle(job: Job, outcome: Outcome, now: datetime, duration_ms: int) -> Settlement:
    """Return what the end of a claimed turn comes to.

    Parameters
    ----------
    job
        The hot item as the claim left it.
    duration_ms
        How long the step ran.
    """
    match outcome:
        case Again():
            return _repeat(job, outcome, now)
        case Next():
            return _advance(job, outcome, now, duration_ms)
        case Failed():
            return _fail(job, outcome, now, duration_ms)
        case Cancelled():
            history = History(job, now)
            history.add_lost_workers()
            return _end(job, history, now, Status.CANCELLED)
        case Done():
            history = History(job, now)
            history.add_lost_workers()
            history.add_step_end(duration_ms)
            return _end(job, history, now, Status.SUCCEEDED, result_json=outcome.result_json)


def cancel_queued(job: Job, now: datetime) -> Settlement:
    """Return the write that ends a job which no worker has touched yet."""
    settlement = _end(job, History(job, now), now, Status.CANCELLED)
    change = settlement.change
    untouched = replace(change, name="cancel_queued", requires=(Is("status", Status.QUEUED),))
    return replace(settlement, change=untouched)


def _advance(job: Job, outcome: Next, now: datetime, duration_ms: int) -> Settlement:
    history = History(job, now)
    history.add_lost_workers()
    history.add_step_end(duration_ms)
    sets: dict[str, Value] = {
        "step": outcome.step,
        "failures": 0,
        "progress": {},
        "phases_ms": {**job.phases_ms, **(outcome.phases_ms or {job.step: duration_ms})},
    }
    return _take_turn(job, history, now, step=outcome.step, delay_seconds=outcome.delay_seconds, sets=sets)


def _repeat(job: Job, outcome: Again, now: datetime) -> Settlement:
    history = History(job, now)
    history.add_lost_workers()
    sets: dict[str, Value] = {"progress": dict(outcome.progress)}
    return _take_turn(job, history, now, step=job.step, delay_seconds=outcome.delay_seconds, sets=sets)


def _fail(job: Job, outcome: Failed, now: datetime, duration_ms: int) -> Settlement:
    history = History(job, now)
    history.add_lost_workers()
    history.add_step_end(duration_ms, error_type=outcome.code)
    if outcome.retryable and job.failures + 1 < MAX_FAILURES:
        delay_seconds = outcome.retry_after_seconds or RETRY_DELAYS_SECONDS[job.failures]
        # A turn that would only find the deadline passed would hide why the job failed.
        if judge(job, now + timedelta(seconds=delay_seconds)) is None:
            sets: dict[str, Value] = {"failures": job.failures + 1, "progress": {}}
            return _take_turn(job, history, now, step=job.step, delay_seconds=delay_seconds, sets=sets)
    failure = Failure(outcome.code, _clip(outcome.sentence), job.step, outcome.retryable)
    return _end(job, history, now, Status.FAILED, failure=failure)


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
) -> Settlement:
    """Return the settlement of a job that goes on: its next turn, and the message for it."""
    delay_seconds = max(0, min(delay_seconds, LONGEST_DELAY_SECONDS))
    requires: tuple[Requirement, ...] = (Is("epoch", job.epoch),)
    if delay_seconds:
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
    return Settlement(change, history.events, None, send)


def _end(
    job: Job,
    history: History,
    now: datetime,
    status: Status,
    *,
    failure: Failure | None = None,
    result_json: str | None = None,
) -> Settlement:
    """Return the settlement of a job that is over."""
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
        },
        adds={"seq": 1, "event_count": len(history.events)},
    )
    return Settlement(change, history.events, result_json, None)
