"""The decisions about a job, as pure functions. `transitions` has those about a turn's outcome.

The API accepts and cancels jobs. A worker claims a turn and renews its lease. The janitor sends the messages of
late turns again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rune.jobs import plan
from rune.jobs.plan import Lane
from rune.jobs.record import ACTIVE, Event, Job, Kind, Status, StepMessage, StepName
from rune.storage.change import Change, Is, IsAbsentOrBefore, IsOneOf, make_change

LEASE = timedelta(seconds=60)
"""How long a claim or a renewal holds. With the janitor's minute, a crash is noticed within two minutes."""

DISPATCH_GRACE = timedelta(seconds=60)
"""How long a message may be under way beyond its delay before the janitor sends it again."""

DISPATCH_GRACE_LIMIT = timedelta(minutes=15)
"""The grace doubles with every dispatch up to this; otherwise a backlog would be filled with copies of itself."""

SET_ASIDE = timedelta(minutes=5)
"""How long the janitor leaves a job alone whose row this version does not understand. The version that wrote it may
be back by then, and until then the row must not stand before others in the list of what is late."""

PROGRESS_SECONDS = 2
"""Between two renewals, which also write the progress that callers see."""

MAX_ATTEMPTS = 4
"""Workers that may be lost on one turn. A step that kills its function each time must end too."""


class Refusal(StrEnum):
    """Why a claim was refused. In each case the message is dropped, and that counts as success."""

    UNKNOWN_JOB = "unknown_job"
    TERMINAL = "terminal"
    STALE = "stale"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Send:
    """A message to be sent, only by the process whose write was carried out."""

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
    warnings: tuple[str, ...] = (),
) -> tuple[Job, Event, Send]:
    """Return a new job, its first event and its first message.

    Parameters
    ----------
    deadline
        How long after `now` the job must have ended.
    retention
        How long after `now` its rows are deleted.
    warnings
        What is done otherwise than asked, by name.
    """
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
        warnings=warnings or None,
    )
    return job, Event(1, "job.accepted", "ok", now), message_for(job)


def claim(seq: int, owner: str, now: datetime) -> Change:
    """Return the write that takes a turn: `seq` matches, the job is active, and no lease is alive."""
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
            # From here on the turn is late when its lease has run out.
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
    """Return whether a claim was refused because the same worker had already made it.

    The SDK repeats a call whose answer was lost.
    """
    return job is not None and job.seq == seq and job.lease_owner == owner


def renew(job: Job, progress: Mapping[str, int], now: datetime) -> Change:
    """Return the write that extends the lease and shows progress."""
    return make_change(
        "renew",
        now,
        # The owner is unique to the claim and removed by the commit, so a late renewal is refused.
        requires=(Is("lease_owner", job.lease_owner or ""),),
        sets={"lease_until": now + LEASE, "due_at": now + LEASE, "progress": dict(progress)},
    )


def request_cancel(now: datetime) -> Change:
    """Return the write of a cancel request, which the next claim sees, or the next renewal of the lease."""
    return make_change(
        "request_cancel",
        now,
        requires=(IsOneOf("status", ACTIVE),),
        # Due at once: if the message is lost, the next tick of the janitor sends it.
        sets={"cancel_requested_at": now, "due_at": now},
    )


def redispatch(job: Job, now: datetime) -> Change:
    """Return the write before a late turn's message is sent again; of two janitors at once, one has it refused."""
    grace = min(DISPATCH_GRACE * 2**job.dispatches, DISPATCH_GRACE_LIMIT)
    return make_change(
        "redispatch",
        now,
        # A job that has ended meanwhile has no due time, so it is refused too.
        requires=(Is("due_at", job.due_at or now),),
        sets={"due_at": now + grace},
        adds={"dispatches": 1},
    )


def set_aside(now: datetime) -> Change:
    """Return the write that makes a late job due again later; nothing else of its row is read or written."""
    return make_change(
        "set_aside",
        now,
        # A worker that understands the row may have claimed it meanwhile.
        requires=(IsOneOf("status", ACTIVE), IsAbsentOrBefore("due_at", now)),
        sets={"due_at": now + SET_ASIDE},
    )


def is_late(job: Job, now: datetime) -> bool:
    """Return whether the turn's message, or the worker that took it, counts as lost."""
    return job.status in ACTIVE and job.due_at is not None and job.due_at <= now


def seconds_until_news(job: Job, now: datetime) -> int | None:
    """Return when to ask for the job again, in whole seconds from 1 to 60; None once it has ended."""
    if job.status not in ACTIVE or job.due_at is None:
        return None
    if job.lease_until is not None and job.lease_until > now:
        return PROGRESS_SECONDS
    waiting_seconds = (job.due_at - DISPATCH_GRACE - now).total_seconds()
    return max(1, min(60, math.ceil(waiting_seconds)))


def message_for(job: Job) -> Send:
    """Return the message for the turn that the job is in, to be sent at once."""
    return Send(plan.lane_of(job), StepMessage(job.job_id, job.seq), delay_seconds=0)
