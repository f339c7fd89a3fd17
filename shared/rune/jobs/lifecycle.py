"""Every decision about a job, as plain functions over plain data.

A worker claims a turn and judges whether to run it; `transitions` says what its end comes to. The API accepts
and cancels; the janitor sends lost turns again. Nothing here reads a clock or touches a store.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rune.jobs import plan
from rune.jobs.outcomes import Cancelled, Failed, Outcome
from rune.jobs.plan import Lane
from rune.jobs.record import ACTIVE, Event, Job, Kind, Status, StepMessage, StepName
from rune.storage.change import Change, Is, IsAbsentOrBefore, IsOneOf, make_change

LEASE = timedelta(seconds=60)
"""How long a silent worker keeps its turn. With a janitor's minute on top, a crash is noticed within two."""

DISPATCH_GRACE = timedelta(seconds=60)
"""How long after its due time a message may still be on its way before the janitor sends it again."""

DISPATCH_GRACE_LIMIT = timedelta(minutes=15)
"""The grace doubles with every dispatch up to this, so that a backlog is not fed with copies of itself."""

PROGRESS_SECONDS = 2
"""How often a worker renews its lease, and with it the progress that callers see."""

MAX_ATTEMPTS = 4
"""Workers that may be lost on one turn; a step that kills its function every time must end too."""


class Refusal(StrEnum):
    """Why a message has nothing to do. Every one of them means: drop it, all is well."""

    UNKNOWN_JOB = "unknown_job"
    TERMINAL = "terminal"
    STALE = "stale"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Send:
    """A message to be sent by whoever won the commit, and by nobody else."""

    lane: Lane
    message: StepMessage
    delay_seconds: int


def accept(
    *,
    job_id: str,
    tenant: str,
    kind: Kind,
    first_step: StepName,
    now: datetime,
    deadline: timedelta,
    retention: timedelta,
    rents: bool = False,
) -> tuple[Job, Event, Send]:
    """Return a new job, its first event and its first message."""
    job = Job(
        job_id=job_id,
        tenant=tenant,
        kind=kind,
        status=Status.QUEUED,
        step=first_step,
        seq=1,
        epoch=0,
        version=1,
        event_count=1,
        created_at=now,
        updated_at=now,
        deadline_at=now + deadline,
        expires_at=now + retention,
        due_at=now + DISPATCH_GRACE,
        rents=rents,
    )
    return job, Event(1, "job.accepted", "ok", now), message_for(job)


def claim(seq: int, owner: str, now: datetime) -> Change:
    """Return the write that takes a turn: right turn, still active, nobody else at work."""
    return make_change(
        "claim",
        now,
        requires=(
            Is("seq", seq),
            IsOneOf("status", ACTIVE),
            IsAbsentOrBefore("lease_until", now),
        ),
        sets={
            "status": Status.RUNNING,
            "lease_owner": owner,
            "lease_until": now + LEASE,
            # From here on it is the lease that is late, not the message.
            "due_at": now + LEASE,
        },
        adds={"epoch": 1, "attempts": 1},
        sets_once={"started_at": now},
    )


def explain_refusal(job: Job | None, seq: int) -> Refusal:
    """Return why `claim` was refused, from the item as it was found."""
    if job is None:
        return Refusal.UNKNOWN_JOB
    if job.status not in ACTIVE:
        return Refusal.TERMINAL
    return Refusal.STALE if job.seq != seq else Refusal.HELD


def is_own_claim(job: Job | None, seq: int, owner: str) -> bool:
    """Return whether a refused claim had in fact been made by the same worker.

    The first answer may be lost on its way, and the SDK then repeats the call.
    """
    return job is not None and job.seq == seq and job.lease_owner == owner


def renew(job: Job, progress: Mapping[str, int], now: datetime) -> Change:
    """Return the write that keeps the turn a while longer, and shows how far it is."""
    return make_change(
        "renew",
        now,
        # Unique to the claim, and gone with the commit: a renewal that comes late finds nothing to renew.
        requires=(Is("lease_owner", job.lease_owner or ""),),
        sets={"lease_until": now + LEASE, "due_at": now + LEASE, "progress": dict(progress)},
    )


def forced_outcome(job: Job, now: datetime) -> Outcome | None:
    """Return how a claimed turn ends without being run, or None where it is to be run."""
    if job.is_releasing:
        # Money runs until this is done, whatever was wished, whenever it should have ended, whoever was lost.
        return None
    if job.cancel_requested_at is not None:
        return Cancelled()
    grace = plan.CLOSING_GRACE if plan.STEPS[job.step].keeps_state else timedelta(0)
    if now >= job.deadline_at + grace:
        return Failed("deadline_exceeded", "The job did not end within its time limit.", retryable=True)
    if job.attempts > MAX_ATTEMPTS:
        return Failed("worker_lost", f"{MAX_ATTEMPTS} workers were lost on this step.", retryable=True)
    return None


def request_cancel(now: datetime) -> Change:
    """Return the write that asks a running job's next claim, or the worker that holds it, to stop."""
    return make_change(
        "request_cancel",
        now,
        requires=(IsOneOf("status", ACTIVE),),
        # Due at once: should the message be lost, the next tick sends it.
        sets={"cancel_requested_at": now, "due_at": now},
    )


def redispatch(job: Job, now: datetime) -> Change:
    """Return the write that wins the right to send a late turn's message again.

    Two janitors may run at the same time; `due_at` tells which of them saw it first.
    """
    grace = min(DISPATCH_GRACE * 2**job.dispatches, DISPATCH_GRACE_LIMIT)
    return make_change(
        "redispatch",
        now,
        # A job that has ended meanwhile has no due time, so this refuses it too.
        requires=(Is("due_at", job.due_at or now),),
        sets={"due_at": now + grace},
        adds={"dispatches": 1},
    )


def is_late(job: Job, now: datetime) -> bool:
    """Return whether the turn's message, or the worker that took it, must be given up for lost."""
    return job.status in ACTIVE and job.due_at is not None and job.due_at <= now


def seconds_until_news(job: Job, now: datetime) -> int | None:
    """Return when it is worth asking for the job again, in whole seconds from 1 to 60; None once it has ended."""
    if job.status not in ACTIVE or job.due_at is None:
        return None
    if job.lease_until is not None and job.lease_until > now:
        return PROGRESS_SECONDS
    waiting_seconds = (job.due_at - DISPATCH_GRACE - now).total_seconds()
    return max(1, min(60, math.ceil(waiting_seconds)))


def message_for(job: Job) -> Send:
    """Return the message for the turn that the job is in, to be sent at once."""
    return Send(plan.lane_of(job), StepMessage(job.job_id, job.seq), delay_seconds=0)
