"""The decisions about a job, as pure functions. `transitions` has those about a turn's outcome.

The API accepts and cancels jobs. A worker claims a turn and renews its lease. The janitor sends the messages of
late turns again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rune.jobs import plan
from rune.jobs.plan import Lane
from rune.jobs.record import (
    ACTIVE,
    RELEASING,
    DueClass,
    Event,
    Job,
    Kind,
    Status,
    StepMessage,
    StepName,
)
from rune.storage.change import Change, Is, IsAbsentOrBefore, IsOneOf, Requirement, Value, make_change

LEASE = timedelta(seconds=60)
"""How long a claim or a renewal holds. With the janitor's minute, a crash is noticed within two minutes."""

DISPATCH_GRACE = timedelta(seconds=60)
"""How long a message may be under way beyond its delay before the janitor sends it again."""

CANCEL_GRACE = timedelta(seconds=5)
"""The same of a cancel's message: a machine may bill meanwhile. It is received within a second, and a tick in that
second would send another."""

DISPATCH_GRACE_LIMIT = timedelta(minutes=15)
"""The grace doubles with every dispatch up to this; otherwise a backlog would be filled with copies of itself."""

SET_ASIDE = timedelta(minutes=5)
"""How long the janitor leaves a job alone whose row this version does not understand. The version that wrote it may
be back by then, and until then the row must not stand before others in the list of what is late."""

RENEWAL = timedelta(seconds=20)
"""Between two renewals of a lease. One that fails is followed by another before the lease runs out."""

DUE_MARGIN = timedelta(seconds=10)
"""How much later than `RENEWAL` the next renewal may come: a worker looks only every few seconds, and a call to the
table takes some. The turn must not count as late meanwhile."""

PROGRESS_RENEWAL = timedelta(seconds=10)
"""Between two renewals of a long step while there is new progress, which a renewal writes."""

PROGRESS_PARTS = 4
"""Progress of a young step is written after each such part of its time, so that people see it begin."""

NEWS_SECONDS = 2
"""When to ask again for a job that a worker has in hand: a short step may have ended by then."""

LONGEST_NEWS_SECONDS = 60
"""A caller is never asked to wait longer before it looks again."""

COST_SECONDS = 15
"""How often the cost that is shown of a job with a machine rises; a machine of 3 USD an hour costs 1.3 US cents
meanwhile."""

COST_LAG = timedelta(seconds=5)
"""How far what is shown of it lies back at least: a look at a machine that ends is written by then.

Where a process is stalled between its decision and its write for longer, what is shown falls by that time.
"""

OVERRUN = timedelta(minutes=2)
"""How long after the end of its time a job may still end by way of its own lane. Then the janitor ends it."""

MAX_ATTEMPTS = 4
"""Workers that may be lost on one turn. A step that kills its function each time must end too."""


class Refusal(StrEnum):
    """Why a claim was refused. In each case the message is dropped, and that counts as success."""

    UNKNOWN_JOB = "unknown_job"
    TERMINAL = "terminal"
    STALE = "stale"
    HELD = "held"
    WAITING = "waiting"


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
    queue_timeout: timedelta,
    max_runtime: timedelta,
    retention: timedelta,
    rents: bool = False,
    cap_micro_usd: int | None = None,
    token_cap_micro_usd: int | None = None,
    reserved_micro_usd: int | None = None,
    warnings: tuple[str, ...] = (),
    calls_back: bool = False,
    labels: Mapping[str, str] | None = None,
) -> tuple[Job, Event]:
    """Return a new job that waits for a slot, and its first event.

    Parameters
    ----------
    queue_timeout
        How long after `now` a worker must have begun it.
    max_runtime
        How long after that it must have ended.
    retention
        How long after `now` its rows are deleted, unless it may be active for longer.
    cap_micro_usd
        What it may cost at most; None for a job that neither rents nor buys tokens.
    token_cap_micro_usd
        What tokens may cost of it, where it rents too.
    reserved_micro_usd
        What is reserved for it in the budgets; None where it can cost nothing.
    warnings
        What is done otherwise than asked, by name.
    labels
        Of its first event.
    """
    deadline_at = now + queue_timeout
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
        deadline_at=deadline_at,
        expires_at=now + max(retention, queue_timeout + max_runtime + _LONGEST_END),
        max_runtime_seconds=int(max_runtime.total_seconds()),
        waiting_since=now,
        due_at=deadline_at,
        due_class=DueClass.WAIT,
        rents=rents,
        cap_micro_usd=cap_micro_usd,
        token_cap_micro_usd=token_cap_micro_usd,
        reserved_micro_usd=reserved_micro_usd,
        warnings=warnings or None,
        calls_back=calls_back,
    )
    return job, Event(1, "job.accepted", "ok", now, labels=labels or {})


_LONGEST_END = timedelta(days=2)
"""How long a job may be active beyond its time: until its machine is proven gone."""


def place(job: Job, slot: int, now: datetime) -> Job:
    """Return a new job that is admitted before it is stored."""
    return replace(
        job,
        waiting_since=None,
        slot=slot,
        due_at=now + DISPATCH_GRACE,
        due_class=DueClass.MESSAGE,
    )


def admit(job: Job, slot: int, now: datetime) -> Change:
    """Return the write that ends a job's waiting."""
    return make_change(
        "admit",
        now,
        # A job may wait twice; then only `seq` tells its two times apart.
        requires=(Is("status", Status.QUEUED), Is("waiting_since", job.waiting_since), Is("seq", job.seq)),
        sets={
            "waiting_since": None,
            "looks_again_at": None,
            "slot": slot,
            **_due(now + DISPATCH_GRACE, DueClass.MESSAGE),
        },
    )


def claim(job: Job, seq: int, owner: str, now: datetime) -> Change:
    """Return the write that takes a turn.

    It holds if `seq` matches, the job is active and has a slot, and no lease is alive.

    Parameters
    ----------
    job
        The job as it was just read: with its first claim its running time begins.
    """
    requires: tuple[Requirement, ...] = (
        Is("seq", seq),
        IsOneOf("status", ACTIVE),
        IsAbsentOrBefore("lease_until", now),
        Is("waiting_since", None),
    )
    sets: dict[str, Value] = {"status": Status.RUNNING, **_hold(job.is_releasing, owner, now)}
    if job.started_at is None:
        requires = (*requires, Is("started_at", None))
        sets |= {"started_at": now, "deadline_at": now + timedelta(seconds=job.max_runtime_seconds)}
        if job.rents:
            sets["begin_by"] = job.begin_by or job.deadline_at
    return make_change("claim", now, requires=requires, sets=sets, adds={"epoch": 1, "attempts": 1})


def is_too_late_to_begin(job: Job, now: datetime) -> bool:
    """Return whether the job's time to wait is over before a worker has begun it.

    It may have a slot and a message under way. What it would rent, its caller does not want any more.
    """
    return job.status is Status.QUEUED and now >= job.deadline_at


def is_first_claim(job: Job) -> bool:
    """Return whether no worker has taken a turn of the job; one that waits again was begun before."""
    return job.started_at is None and job.begin_by is None


def begin(job: Job, seq: int, owner: str, now: datetime) -> tuple[Change, Event]:
    """Return the write that takes the first turn of a job, and the event that comes with it.

    Parameters
    ----------
    job
        As of `claim`. Until its first claim only its end writes an event, so its next number is known.
    """
    change = claim(job, seq, owner, now)
    counted = replace(change, adds={**change.adds, "event_count": 1})
    return counted, Event(job.event_count + 1, "job.running", "ok", now)


def explain_refusal(job: Job | None, seq: int) -> Refusal:
    """Return why `claim` was refused, from the item as it was found."""
    if job is None:
        return Refusal.UNKNOWN_JOB
    if job.status not in ACTIVE:
        return Refusal.TERMINAL
    if job.is_waiting:
        return Refusal.WAITING
    return Refusal.STALE if job.seq != seq else Refusal.HELD


def is_own_claim(job: Job | None, seq: int, owner: str) -> bool:
    """Return whether a claim was refused because the same worker had already made it.

    The SDK repeats a call whose answer was lost.
    """
    return job is not None and job.seq == seq and job.lease_owner == owner


def renew(
    job: Job,
    progress: Mapping[str, int],
    now: datetime,
    cost_micro_usd: int | None = None,
    token_micro_usd: int = 0,
) -> Change:
    """Return the write that extends the lease and shows progress.

    Parameters
    ----------
    job
        With `due_at` as this worker's last claim or renewal wrote it. It is written again only shortly before it
        comes: each new value moves the row in an index, which costs more than the row.
    cost_micro_usd
        What the job has cost by now, tokens that this turn has bought left out; None leaves what is known.
    token_micro_usd
        What its tokens have cost by now.
    """
    sets: dict[str, Value] = {"lease_until": now + LEASE, "progress": dict(progress)}
    bought = max(0, token_micro_usd - (job.token_micro_usd or 0))
    cost = max(job.cost_micro_usd, cost_micro_usd or 0) + bought
    if cost > job.cost_micro_usd:
        sets["cost_micro_usd"] = cost
    if bought:
        sets["token_micro_usd"] = token_micro_usd
    if job.due_at is None or job.due_at - now <= RENEWAL + DUE_MARGIN:
        sets |= _due(now + LEASE, _class_of_lease(is_releasing=job.is_releasing))
    return make_change(
        "renew",
        now,
        # The owner is unique to the claim and removed by the commit, so a late renewal is refused.
        requires=(Is("lease_owner", job.lease_owner or ""),),
        sets=sets,
    )


def announce_tokens(job: Job, bound_micro_usd: int, now: datetime) -> Change:
    """Return the write that says up to what the job's tokens may have cost by the end of the turn.

    It comes before they are bought, and is refused to a worker that has lost the turn, which then buys nothing.
    """
    return make_change(
        "announce_tokens",
        now,
        requires=(Is("lease_owner", job.lease_owner or ""),),
        sets={"token_bound_micro_usd": bound_micro_usd},
    )


def renewal_pace(held: timedelta, *, has_progress: bool) -> timedelta:
    """Return how long after the last renewal a lease that was held for so long is renewed."""
    return min(PROGRESS_RENEWAL, held / PROGRESS_PARTS) if has_progress else RENEWAL


def request_cancel(job: Job, now: datetime, *, warning: str | None = None, by: str | None = None) -> Change:
    """Return the write of a cancel request, which the next claim sees, or the worker that has the turn.

    Parameters
    ----------
    warning
        Tells why, where nobody asked for this job's end: `RENTING_CLOSED` or `STOPPED`.
    by
        Who asks; see `Job.cancelled_by`.
    """
    told: dict[str, Value] = {"warnings": (*(job.warnings or ()), warning)} if warning else {}
    if by is not None:
        told["cancelled_by"] = by
    return make_change(
        "request_cancel",
        now,
        # One that waits is cancelled at once.
        requires=(IsOneOf("status", ACTIVE), Is("waiting_since", None)),
        # Due soon: if the message is lost, the next tick of the janitor sends it.
        sets={"cancel_requested_at": now, **told, **due_for_message(job.step, now + CANCEL_GRACE)},
    )


def redispatch(job: Job, now: datetime) -> Change:
    """Return the write before a late turn's message is sent again; of two janitors at once, one has it refused."""
    grace = min(DISPATCH_GRACE * 2**job.dispatches, DISPATCH_GRACE_LIMIT)
    due_at = now + grace
    if not job.is_releasing and now < overrun_at(job):
        due_at = min(due_at, overrun_at(job))
    return make_change(
        "redispatch",
        now,
        # A job that has ended meanwhile has no due time, so it is refused too.
        requires=(Is("due_at", job.due_at or now),),
        sets=due_for_message(job.step, due_at),
        adds={"dispatches": 1},
    )


def put_off(job: Job, now: datetime) -> Change:
    """Return the write that makes a late turn late again at the next tick, because its lane has a backlog.

    Its message is most likely among those that wait, and one more would lengthen the backlog.
    """
    return make_change(
        "put_off",
        now,
        requires=(Is("due_at", job.due_at or now),),
        sets=due_for_message(job.step, min(now + DISPATCH_GRACE, max(now, overrun_at(job)))),
    )


def overrun_at(job: Job) -> datetime:
    """Return when the janitor ends a job whose own lane has not ended it.

    Before, the job's deadline has passed and, where its step can make a result of what it has, the closing grace. A
    job that was not begun has nothing to end, and its lane may not begin it any more.
    """
    if job.status is Status.QUEUED:
        return job.deadline_at
    return job.ends_at + plan.closing_grace_of(job.step) + OVERRUN


def due_for_message(step: StepName, due_at: datetime) -> dict[str, Value]:
    """Return the fields of a job whose turn's message is under way."""
    return _due(due_at, DueClass.RELEASE if step in RELEASING else DueClass.MESSAGE)


def hold(step: StepName, owner: str, now: datetime) -> dict[str, Value]:
    """Return the fields of a job whose next turn the same worker takes in the write that ends this one."""
    return {**_hold(step in RELEASING, owner, now), "attempts": 1}


def _hold(is_releasing: bool, owner: str, now: datetime) -> dict[str, Value]:  # noqa: FBT001  # private
    # From here on the turn is late when its lease has run out.
    due = _due(now + LEASE, _class_of_lease(is_releasing=is_releasing))
    return {"lease_owner": owner, "lease_until": now + LEASE, **due}


def _class_of_lease(*, is_releasing: bool) -> DueClass:
    return DueClass.RELEASE if is_releasing else DueClass.LEASE


def _due(due_at: datetime, due_class: DueClass) -> dict[str, Value]:
    return {"due_at": due_at, "due_class": due_class}


def set_aside(due_class: DueClass, now: datetime) -> Change:
    """Return the write that makes a late job due again later; nothing else of its row is read or written.

    Parameters
    ----------
    due_class
        In which it was found late, and stays: a job that gives its machine back still goes first.
    """
    return make_change(
        "set_aside",
        now,
        # A worker that understands the row may have claimed it meanwhile.
        requires=(IsOneOf("status", ACTIVE), IsAbsentOrBefore("due_at", now)),
        sets=_due(now + SET_ASIDE, due_class),
    )


def is_late(job: Job, now: datetime) -> bool:
    """Return whether the turn's message, or the worker that took it, counts as lost."""
    return job.status in ACTIVE and job.due_at is not None and job.due_at <= now


def seconds_until_news(job: Job, now: datetime) -> int | None:
    """Return when to ask for the job again, in whole seconds from 1 to 60; None once it has ended."""
    if job.status not in ACTIVE or job.due_at is None:
        return None
    if job.is_waiting:
        return LONGEST_NEWS_SECONDS // 4
    if job.lease_until is not None and job.lease_until > now:
        return NEWS_SECONDS
    waiting_seconds = (job.due_at - DISPATCH_GRACE - now).total_seconds()
    return max(1, min(LONGEST_NEWS_SECONDS, math.ceil(waiting_seconds)))


def cost_moment(job: Job, now: datetime) -> datetime | None:
    """Return up to which moment the cost of a job is shown that uses a rented machine; None for any other job.

    It lies a few seconds back, and goes on every `COST_SECONDS`: what a look has found out of the machine's end is
    written by then, and a caller who polls more often gets the same document.
    """
    if not job.is_active or job.rental_id is None:
        return None
    seconds = int((now - COST_LAG).timestamp())
    return datetime.fromtimestamp(seconds - seconds % COST_SECONDS, UTC)


def message_for(job: Job) -> Send:
    """Return the message for the turn that the job is in, to be sent at once."""
    return Send(plan.lane_of(job), StepMessage(job.job_id, job.seq), delay_seconds=0)
