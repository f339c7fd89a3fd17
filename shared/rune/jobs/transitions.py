"""The end of a turn as a write: the next turn, another try, or the end of the job. One function per outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rune.errors import RuneError, ServerTimeoutError
from rune.jobs import plan
from rune.jobs.lifecycle import DISPATCH_GRACE, MAX_ATTEMPTS, Send, due_for_message, hold
from rune.jobs.outcomes import (
    Again,
    Cancelled,
    Done,
    Failed,
    Next,
    Note,
    Outcome,
    Released,
    Requeue,
    Spending,
)
from rune.jobs.places import (
    RowChange,
    ShareRow,
    SlotRow,
    count_given_up,
    count_requeued,
    free_slot,
    stop_renting,
)
from rune.jobs.record import DueClass, Event, Failure, Job, Status, StepMessage, StepName
from rune.jobs.tokens import charged_micro_usd
from rune.jobs.wants import describe_want
from rune.money.receipts import MachineUse
from rune.storage.change import Change, Is, IsAbsentOrBefore, Requirement, Value, apply, make_change

MAX_FAILURES = 3
"""Tries of a step whose failures are retryable."""

RETRY_DELAYS_SECONDS = (5, 20)
"""Before the second and the third try, where the other side names no time."""

LONGEST_DELAY_SECONDS = 900
"""SQS delays a message by at most 15 minutes (SendMessage, DelaySeconds)."""

LONGEST_RELEASE_DELAY_SECONDS = 60
"""Between two tries of `release`; the machine bills meanwhile."""

TOLD_RELEASES = 8
"""Failed tries of `release` of which each has an event."""

LONGEST_SENTENCE_BYTES = 360
"""Of a failure: a sentence of ours and 200 characters of a server's own. The hot item is small, so no more."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows from an outcome: one atomic write, then at most one message.

    Attributes
    ----------
    state_json
        What the next turn goes on from; None leaves what is there.
    companions
        Changes of other rows in the same write. Those of a job that ends have no requirements.
    uses
        Of a job that ends: what each machine cost it, for its receipt.
    """

    change: Change
    events: tuple[Event, ...]
    result_json: str | None
    send: Send | None
    state_json: str | None = None
    companions: tuple[RowChange, ...] = ()
    uses: tuple[MachineUse, ...] = ()

    @property
    def is_requeue(self) -> bool:
        """Whether the job has given its slot back and waits again."""
        return self.change.name == _REQUEUE


_REQUEUE = "requeue"


def forced_outcome(job: Job, now: datetime) -> Cancelled | Failed | None:
    """Return the outcome that is forced on a turn, or None where its step may run.

    A cancel request, the deadline and lost workers force one.
    """
    if job.is_releasing:
        # Nothing keeps `release` from running, because the machine bills until it is gone.
        return None
    if job.cancel_requested_at is not None:
        return Cancelled()
    if now >= job.ends_at + plan.closing_grace_of(job.step):
        return out_of_time(job)
    if job.attempts > MAX_ATTEMPTS:
        return Failed("worker_lost", f"{MAX_ATTEMPTS} workers were lost on this step.", retryable=True)
    return None


def make_transition(
    job: Job, outcome: Outcome, now: datetime, duration_ms: int, token_micro_usd: int | None = None
) -> Transition:
    """Return what follows from the outcome of a claimed turn.

    Parameters
    ----------
    job
        The hot item as the claim left it.
    duration_ms
        How long the step ran.
    token_micro_usd
        What the job's tokens have cost with this turn; None for a turn that has bought none. Then all that a lost
        worker may have bought counts.
    """
    transition = _follow(job, outcome, now, duration_ms)
    if token_micro_usd is None and job.token_bound_micro_usd is None:
        return transition
    token_micro_usd = charged_micro_usd(job) if token_micro_usd is None else token_micro_usd
    return replace(transition, change=_with_tokens(job, transition.change, token_micro_usd))


def _with_tokens(job: Job, change: Change, token_micro_usd: int) -> Change:
    """Return the write with what tokens have cost; what it sets as the job's cost is without those of this turn."""
    bought = max(0, token_micro_usd - (job.token_micro_usd or 0))
    set_cost = change.sets.get("cost_micro_usd")
    without = max(set_cost if isinstance(set_cost, int) else 0, job.cost_micro_usd)
    sets: dict[str, Value] = {
        "cost_micro_usd": without + bought,
        "token_micro_usd": (job.token_micro_usd or 0) + bought or None,
        "token_bound_micro_usd": None,
    }
    return replace(change, sets={**change.sets, **sets})


def _follow(  # noqa: PLR0911 one for each outcome
    job: Job, outcome: Outcome, now: datetime, duration_ms: int
) -> Transition:
    match outcome:
        case Again():
            return _repeat(job, outcome, now)
        case Requeue():
            return _requeue(job, outcome, now)
        case Next():
            return _advance(job, outcome, now, duration_ms)
        case Done():
            return _finish(job, outcome, now, duration_ms)
        case Failed():
            fail = _retry_release if job.is_releasing else _fail
            return fail(job, outcome, now, duration_ms)
        case Cancelled():
            spent = _spent(outcome.spending)
            return _conclude(job, now, Status.CANCELLED, notes=outcome.notes, more=spent)
        case Released():
            return _end_release(job, outcome, now, duration_ms)


def cut_off(job: Job, outcome: Outcome, duration_ms: int) -> Cancelled | Again:
    """Return the outcome of a turn whose step had ended when the cancel request was seen; it tells of the step.

    A step that winds down is given another turn for that, with what this one has found.
    """
    winds_down = plan.STEPS[job.step].winds_down
    match outcome:
        case Again() if winds_down:
            return replace(outcome, delay_seconds=0)
        case Again():
            return Cancelled(outcome.notes, outcome.spending)
        case Requeue():
            return Cancelled(outcome.notes)
        case Next():
            step_end = _step_end(job, duration_ms, error_type=outcome.error_type, labels=outcome.labels)
            return Cancelled((*outcome.notes, step_end), outcome.spending)
        case Failed():
            notes = (*outcome.notes, _step_end(job, duration_ms, error_type=outcome.code))
            return Again(0, notes=notes) if winds_down else Cancelled(notes)
        case _:
            return Cancelled()


def out_of_time(job: Job) -> Failed:
    """Return the outcome of a job whose running time, or whose money, is over."""
    if job.is_capped:
        return Failed("cost_cap_reached", "The job would have cost more than its cap.", retryable=False)
    return Failed("deadline_exceeded", f"{_too_late(job)}.", retryable=True)


def failure_of(job: Job, error: RuneError, now: datetime) -> Failed:
    """Return the outcome of a step that raised an error.

    A call that ended because the job's time was over says nothing about its server, which may have had seconds.
    """
    ends_at = job.ends_at - plan.headroom_of(job.step)
    if isinstance(error, ServerTimeoutError) and now >= ends_at - _TIMER_TOLERANCE:
        if job.is_capped:
            return out_of_time(job)
        sentence = f"{_too_late(job)}; the model server had not answered by then."
        return Failed("deadline_exceeded", sentence, retryable=True, is_final=True)
    return Failed.from_error(error)


def _too_late(job: Job) -> str:
    return f"The job did not end within its time limit of {job.max_runtime_seconds} seconds"


_TIMER_TOLERANCE = timedelta(seconds=1)
"""Between the monotonic clock, by which calls end, and the time of day."""


def cancel_queued(job: Job, now: datetime, warning: str | None = None, by: str | None = None) -> Transition:
    """Return the write that ends a job which no worker has claimed yet; see `lifecycle.request_cancel`."""
    end = _end(job, now, Status.CANCELLED)
    told: dict[str, Value] = {"warnings": (*(job.warnings or ()), warning)} if warning else {}
    if by is not None:
        told["cancelled_by"] = by
    if told:
        end = replace(end, change=replace(end.change, sets={**end.change.sets, **told}))
    return _end_queued("cancel_queued", job, end, now)


def expire_queued(job: Job, now: datetime) -> Transition:
    """Return the write that fails a job which no worker has claimed in its time to wait."""
    sentence = "The job was not begun within its time to wait."
    want = describe_want(job.progress)
    if want is not None:
        sentence = clip_sentence(f"{sentence} {want}")
    failure = Failure("queue_timeout", sentence, job.step, retryable=True)
    return _end_queued("expire_queued", job, _end(job, now, Status.FAILED, failure=failure), now)


def _end_queued(name: str, job: Job, end: Transition, now: datetime) -> Transition:
    # As of `admit`; the events are numbered on from those of this `seq`.
    requires = (Is("status", Status.QUEUED), Is("waiting_since", job.waiting_since), Is("seq", job.seq))
    counts = (RowChange(ShareRow(job.tenant), count_given_up(now)),) if job.is_waiting else ()
    return replace(end, change=replace(end.change, name=name, requires=requires), companions=counts)


def keep_hold(job: Job, transition: Transition, owner: str, now: datetime) -> tuple[Transition, Job]:
    """Return the transition with the next turn claimed in the same write, and the job as that leaves it.

    The same worker goes on: there is no message, and no write of a claim. If the worker is lost, the turn is late
    like one whose worker was lost after its claim.

    Parameters
    ----------
    owner
        Of the next turn's lease: unique to it.
    """
    change = transition.change
    not_asked_to_stop = IsAbsentOrBefore("cancel_requested_at", job.created_at)
    requires = (
        change.requires if not_asked_to_stop in change.requires else (*change.requires, not_asked_to_stop)
    )
    step = StepName(str(change.sets["step"]))
    held = replace(
        change,
        requires=requires,
        sets={**change.sets, **hold(step, owner, now)},
        adds={**change.adds, "epoch": 1},
    )
    return replace(transition, change=held, send=None), apply(held, job)


def _repeat(job: Job, outcome: Again, now: datetime) -> Transition:
    """Return the transition to another turn of the same step; it leaves no event of its own."""
    sets: dict[str, Value] = {"progress": dict(outcome.progress), **_spent(outcome.spending)}
    if outcome.state_json is not None:
        # The step has got further, so its next turn has all its tries.
        sets["failures"] = 0
    return _go_on(
        job,
        now,
        step=job.step,
        delay_seconds=outcome.delay_seconds,
        notes=outcome.notes,
        sets=sets,
        state_json=outcome.state_json,
    )


def _requeue(job: Job, outcome: Requeue, now: datetime) -> Transition:
    """Return the transition of a job that waits again, with its slot given back in the same write.

    Its running time begins anew with its next claim. It stands where it stood among its tenant's jobs, and waits no
    longer than it would have without this turn.
    """
    if job.slot is None or job.begin_by is None:
        return _repeat(job, Again(outcome.delay_seconds, outcome.progress, notes=outcome.notes), now)
    events = _events(job, now, outcome.notes)
    change = make_change(
        _REQUEUE,
        now,
        # A cancel request that came while the step ran must not wait until the job is begun again.
        requires=(*_own_turn(job), IsAbsentOrBefore("cancel_requested_at", job.created_at)),
        sets={
            **_FRESH,
            "status": Status.QUEUED,
            "waiting_since": job.created_at,
            "slot": None,
            "looks_again_at": now + timedelta(seconds=outcome.delay_seconds),
            "started_at": None,
            "deadline_at": job.begin_by,
            "due_at": job.begin_by,
            "due_class": DueClass.WAIT,
            "lease_owner": None,
            "lease_until": None,
            "attempts": 0,
            "dispatches": 0,
            "progress": dict(outcome.progress),
        },
        adds={"seq": 1, "event_count": len(events)},
    )
    companions = (
        RowChange(SlotRow(job.slot), free_slot(job.job_id, now)),
        RowChange(ShareRow(job.tenant), count_requeued(now)),
    )
    return Transition(change, events, None, send=None, companions=companions)


def _advance(job: Job, outcome: Next, now: datetime, duration_ms: int) -> Transition:
    """Return the transition to the next step."""
    step_end = _step_end(job, duration_ms, error_type=outcome.error_type, labels=outcome.labels)
    return _go_on(
        job,
        now,
        step=outcome.step,
        delay_seconds=outcome.delay_seconds,
        notes=(*outcome.notes, step_end),
        sets={
            **_FRESH,
            **_phases(job, outcome, duration_ms),
            **_spent(outcome.spending),
            # From here on it keeps its slot.
            **({} if job.begin_by is None else {"begin_by": None}),
        },
        state_json=outcome.state_json,
    )


def _finish(job: Job, outcome: Done, now: datetime, duration_ms: int) -> Transition:
    """Return the transition of a job that has its result."""
    notes = (_step_end(job, duration_ms),)
    phases = _phases(job, outcome, duration_ms)
    return _conclude(job, now, Status.SUCCEEDED, notes=notes, result_json=outcome.result_json, more=phases)


def _phases(job: Job, outcome: Next | Done, duration_ms: int) -> dict[str, Value]:
    """Return the phases with those of a step that is complete; without any, the step is a phase of its name."""
    return {"phases_ms": {**job.phases_ms, **(outcome.phases_ms or {job.step: duration_ms})}}


def _fail(job: Job, outcome: Failed, now: datetime, duration_ms: int) -> Transition:
    """Return the transition to another try of the step, or the failure of the job where no try is left."""
    notes = (*outcome.notes, _step_end(job, duration_ms, error_type=outcome.code))
    delay_seconds = retry_delay_seconds(job, outcome, now)
    if delay_seconds is not None:
        return _go_on(
            job,
            now,
            step=job.step,
            delay_seconds=delay_seconds,
            notes=notes,
            sets={"failures": job.failures + 1, "progress": {}},
        )
    failure = Failure(outcome.code, clip_sentence(outcome.sentence), job.step, outcome.retryable)
    return _conclude(job, now, Status.FAILED, notes=notes, failure=failure)


def retry_delay_seconds(job: Job, outcome: Failed, now: datetime) -> int | None:
    """Return after how long the step is tried again; None where the failure is the job's."""
    if not outcome.retryable or outcome.is_final or job.failures + 1 >= MAX_FAILURES:
        return None
    delay_seconds = outcome.retry_after_seconds or RETRY_DELAYS_SECONDS[job.failures]
    # A turn that would only find the deadline passed would hide why the job failed.
    is_in_time = forced_outcome(job, now + timedelta(seconds=delay_seconds)) is None
    return delay_seconds if is_in_time else None


def _retry_release(job: Job, outcome: Failed, now: datetime, duration_ms: int) -> Transition:
    """Return the transition to another try to give the machine back.

    There is no last try: what bills must be proven gone, for however long the provider is out of order. The first
    tries are told, and then each whose number is a power of two, so that days of them do not fill the history.
    """
    tries = job.failures + 1
    is_told = tries <= TOLD_RELEASES or tries.bit_count() == 1
    notes = (*outcome.notes, _step_end(job, duration_ms, error_type=outcome.code)) if is_told else ()
    return _go_on(
        job,
        now,
        step=job.step,
        delay_seconds=min(LONGEST_RELEASE_DELAY_SECONDS, 5 * 2 ** min(job.failures, 5)),
        notes=notes,
        sets={"failures": tries},
    )


def _end_release(job: Job, outcome: Released, now: datetime, duration_ms: int) -> Transition:
    """Return the end in the status `ends_as`; without one the job goes on.

    It is judged after `give_back`. Otherwise the machine failed it, and it rents another.
    A cancel request that came during the release counts: a job that was to succeed is cancelled.
    """
    notes = (_step_end(job, duration_ms, labels=outcome.labels),)
    spent = _spent(outcome.spending)
    if job.ends_as is None:
        # Without a machine nothing costs anything, so no cap ends the job's time.
        sets = {**_FRESH, **spent, "cost_cap_at": None}
        step = StepName.JUDGE if job.step is StepName.GIVE_BACK else StepName.RENT
        gone_on = _go_on(job, now, step=step, delay_seconds=0, notes=notes, sets=sets)
        if step is StepName.RENT or job.slot is None:
            return gone_on
        # Another job of the tenant may rent meanwhile.
        return replace(gone_on, companions=(RowChange(SlotRow(job.slot), stop_renting(now)),))
    if job.ends_as is Status.SUCCEEDED and job.cancel_requested_at is not None:
        cancelled = _end(job, now, Status.CANCELLED, notes=notes, sets=spent)
        return replace(cancelled, companions=outcome.companions, uses=outcome.uses)
    end = _end(
        job,
        now,
        job.ends_as,
        notes=notes,
        failure=job.failure,
        result_json=outcome.result_json,
        sets=spent,
    )
    end = replace(end, companions=outcome.companions, uses=outcome.uses)
    if job.ends_as is not Status.SUCCEEDED:
        return end
    # The step knows nothing of a request that came while it ran, and may have kept the machine.
    requires = (*end.change.requires, IsAbsentOrBefore("cancel_requested_at", job.created_at))
    return replace(end, change=replace(end.change, requires=requires))


def _conclude(
    job: Job,
    now: datetime,
    status: Status,
    *,
    notes: tuple[Note, ...] = (),
    failure: Failure | None = None,
    result_json: str | None = None,
    more: Mapping[str, Value] | None = None,
) -> Transition:
    """Return the end of a job, or the way to it: one that may have rented a machine gives it back first."""
    if not job.rents:
        return _end(job, now, status, notes=notes, failure=failure, result_json=result_json, sets=more)
    return _go_on(
        job,
        now,
        step=StepName.RELEASE,
        delay_seconds=0,
        notes=notes,
        sets={**_FRESH, "ends_as": status, "failure": failure, **(more or {})},
        result_json=result_json,
    )


_FRESH: Mapping[str, Value] = {"failures": 0, "progress": {}}
"""What a step begins with."""


def _go_on(
    job: Job,
    now: datetime,
    *,
    step: StepName,
    delay_seconds: int,
    notes: tuple[Note, ...],
    sets: Mapping[str, Value],
    result_json: str | None = None,
    state_json: str | None = None,
) -> Transition:
    """Return the transition of a job that goes on: its next turn, and the message for it."""
    delay_seconds = max(0, min(delay_seconds, LONGEST_DELAY_SECONDS))
    requires: tuple[Requirement, ...] = _own_turn(job)
    if delay_seconds and not job.is_releasing and job.cancel_requested_at is None:
        # A cancel request that came while the step ran must not wait until the delay is over.
        requires = (*requires, IsAbsentOrBefore("cancel_requested_at", job.created_at))
    events = _events(job, now, notes)
    change = make_change(
        "commit",
        now,
        requires=requires,
        sets={
            "step": step,
            **due_for_message(step, now + timedelta(seconds=delay_seconds) + DISPATCH_GRACE),
            "lease_owner": None,
            "lease_until": None,
            "attempts": 0,
            "dispatches": 0,
            **sets,
        },
        adds={"seq": 1, "event_count": len(events)},
    )
    send = Send(plan.STEPS[step].lane, StepMessage(job.job_id, job.seq + 1), delay_seconds)
    return Transition(change, events, result_json, send, state_json)


def _end(
    job: Job,
    now: datetime,
    status: Status,
    *,
    notes: tuple[Note, ...] = (),
    failure: Failure | None = None,
    result_json: str | None = None,
    sets: Mapping[str, Value] | None = None,
) -> Transition:
    """Return the transition of a job that is over."""
    lifetime_ms = round((now - job.created_at).total_seconds() * 1000)
    job_end = Note(f"job.{status}", error_type=failure.code if failure else None, duration_ms=lifetime_ms)
    events = _events(job, now, (*notes, job_end))
    change = make_change(
        "commit",
        now,
        requires=_own_turn(job),
        sets={
            "status": status,
            "finished_at": now,
            "failure": failure,
            # Counts of an unfinished step are no result; the result has its own numbers.
            "progress": {},
            "due_at": None,
            "due_class": None,
            "waiting_since": None,
            "lease_owner": None,
            "lease_until": None,
            **(sets or {}),
        },
        adds={"seq": 1, "event_count": len(events)},
    )
    return Transition(change, events, result_json, send=None)


def _own_turn(job: Job) -> tuple[Requirement, ...]:
    """Return what must hold of a turn that its worker ends: `seq` keeps a repeated call from ending it twice."""
    return Is("epoch", job.epoch), Is("seq", job.seq)


def _step_end(
    job: Job, duration_ms: int, *, error_type: str | None = None, labels: Mapping[str, str] | None = None
) -> Note:
    """Return what the event of the step's end says."""
    labels = {"step": job.step, "try": str(job.failures + 1), **(labels or {})}
    return Note(plan.STEPS[job.step].event, labels, error_type, duration_ms)


def _events(job: Job, now: datetime, notes: tuple[Note, ...]) -> tuple[Event, ...]:
    """Return the events of one write, numbered on from the job's last; lost workers are told of first."""
    lost_count = job.attempts - 1
    if lost_count > 0:
        labels = {"step": job.step.value, "lost": str(lost_count)}
        notes = (Note("worker.lost", labels, "worker_lost"), *notes)
    return tuple(
        Event(
            number,
            note.name,
            "error" if note.error_type else "ok",
            now,
            note.duration_ms,
            note.error_type,
            note.labels,
        )
        for number, note in enumerate(notes, job.event_count + 1)
    )


def _spent(spending: Spending) -> dict[str, Value]:
    known: dict[str, Value] = {
        "rental_id": spending.rental_id,
        "cost_micro_usd": spending.cost_micro_usd,
        "borrowed_micro_usd": spending.borrowed_micro_usd,
        "cost_cap_at": spending.cost_cap_at,
        "shared_micro_usd": spending.shared_micro_usd,
    }
    return {name: value for name, value in known.items() if value is not None}


def clip_sentence(sentence: str) -> str:
    """Return a failure's sentence as far as it is kept."""
    return sentence.encode()[:LONGEST_SENTENCE_BYTES].decode(errors="ignore")
