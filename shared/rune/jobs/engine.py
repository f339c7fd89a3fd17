"""Turns of one job: claim, effect, commit, and the next turn or its message."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from rune.clock import Clock
from rune.errors import (
    JobNotFoundError,
    LeaseLostError,
    RuneError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.jobs import closing, lifecycle, plan
from rune.jobs.admission import Admission
from rune.jobs.lease import Lease, StepRunner
from rune.jobs.outcomes import Again, Cancelled, Failed, Outcome
from rune.jobs.plan import Lane
from rune.jobs.record import Job, Status, StepMessage, StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.store import JobStore, StepQueue
from rune.jobs.transitions import (
    Transition,
    cut_off,
    expire_queued,
    failure_of,
    forced_outcome,
    keep_hold,
    make_transition,
)
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC
from rune.storage.change import apply

log = logging.getLogger(__name__)

NO_REQUEST = "{}"
"""The request that `release` gets where it needs none, or where none can be read."""

OUTAGE_PAUSE_SECONDS = 30
"""Until the next try of a turn whose request or state cannot be read."""

REQUEST_TRIES = 3
"""Failures of `release` after which it goes on without a request that cannot be read."""

NOT_UNDERSTOOD_PAUSE_SECONDS = 60
"""Until the next try of a turn whose request, state or rows this version does not understand."""

FIRST_COMMIT_PAUSE_SECONDS = 0.5
LONGEST_COMMIT_PAUSE_SECONDS = 10.0
"""Between two tries of a commit; it doubles from the first to the longest, which is well below the lease."""

COMMIT_SECONDS = 10
"""How long after the longest step a further try of its commit may begin; see `plan.LANE_TIME_LIMIT_SECONDS`."""


@dataclass(frozen=True, slots=True)
class _Time:
    """The time of one invocation, on the monotonic clock.

    Attributes
    ----------
    last_begin_seconds
        When a further turn may begin at the latest.
    ends_seconds
        When each step must have ended.
    """

    last_begin_seconds: float
    ends_seconds: float


class Engine:
    """Takes turns of jobs in one lane.

    Parameters
    ----------
    steps
        Every step by name. A turn whose step belongs to the other lane is sent there and not run.
    run_step
        Runs a step and renews its lease meanwhile.
    pause
        Waits for up to so many seconds before a commit is repeated.
    admission
        Takes the slot of a job that has ended, for one that waits.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        store: JobStore,
        queue: StepQueue,
        clock: Clock,
        steps: Mapping[StepName, Step],
        run_step: StepRunner,
        pause: Callable[[float], Awaitable[None]],
        admission: Admission,
    ) -> None:
        self._lane = lane
        self._admission = admission
        self._store = store
        self._queue = queue
        self._clock = clock
        self._steps = steps
        self._run_step = run_step
        self._pause = pause

    async def take_turn(self, message: StepMessage, time_left_seconds: float | None = None) -> None:
        """Take the turn that the message names, if it can still be taken, and those after it while there is time.

        The message is done with afterwards, however the turn ended: the janitor sends the message of a late turn
        again. A job whose row this version does not understand is left as it is.

        Parameters
        ----------
        time_left_seconds
            Until the function is ended, as Lambda says; None takes the lane's usual time.

        Raises
        ------
        StoreUnavailableError
            The store cannot be reached.
        """
        began_seconds = self._clock.monotonic_seconds()
        lane_seconds = float(plan.LANE_TIME_LIMIT_SECONDS[self._lane])
        if time_left_seconds is not None:
            lane_seconds = min(lane_seconds, time_left_seconds - plan.SPARE_SECONDS)
        ends_seconds = began_seconds + lane_seconds
        longest_step_seconds = plan.LANE_TIME_LIMIT_SECONDS[self._lane] - plan.GO_ON_SECONDS[self._lane]
        time = _Time(ends_seconds - longest_step_seconds, ends_seconds)
        try:
            job = self._claim(message)
            while job is not None:
                job = await self._take_claimed(job, time)
        except UnreadableRowError as error:
            _log_not_understood({"job_id": message.job_id, "seq": message.seq}, error)

    async def _take_claimed(self, job: Job, time: _Time) -> Job | None:
        """Take a turn that was claimed; return the job with its next turn claimed, or None where that is not."""
        lease = Lease(job, self._store, self._clock)
        started_seconds = self._clock.monotonic_seconds()
        try:
            outcome = await self._run(job, lease, time.ends_seconds - started_seconds)
        except LeaseLostError as error:
            log.warning("turn.abandoned", extra={**_labels(job), "reason": error.sentence})
            return None
        except UnreadableRowError as error:
            _log_not_understood(_labels(job), error)
            outcome = _outcome_when_not_understood(job, error)
        ended_seconds = self._clock.monotonic_seconds()
        duration_ms = round((ended_seconds - started_seconds) * 1000)
        tokens = lease.tokens.to_commit_micro_usd
        transition, held = make_transition(job, outcome, self._clock.now(), duration_ms, tokens), None
        # A job that is asked to stop is never held on to, so that write would be refused.
        may_go_on = job.cancel_requested_at is None and ended_seconds <= time.last_begin_seconds
        if may_go_on and self._goes_on(transition):
            transition, held = keep_hold(job, transition, uuid.uuid4().hex, self._clock.now())
        if await self._commit_within(time.ends_seconds + COMMIT_SECONDS, job, transition, lease):
            log.info("turn.committed", extra={**_labels(job), "outcome": type(outcome).__name__})
            return held
        if not self._commit_cancel(job, outcome, duration_ms, tokens):
            log.warning("turn.fenced_off", extra=_labels(job))
        return None

    def _goes_on(self, transition: Transition) -> bool:
        """Return whether the next turn is to be taken at once and in this lane."""
        send = transition.send
        return send is not None and send.lane is self._lane and send.delay_seconds == 0

    def _claim(self, message: StepMessage) -> Job | None:
        # A row that this version does not understand must not count an attempt.
        job = self._store.read(message.job_id)
        if job is None:
            log.info(
                "turn.dropped", extra={"job_id": message.job_id, "seq": message.seq, "reason": "unknown_job"}
            )
            return None
        now = self._clock.now()
        if lifecycle.is_too_late_to_begin(job, now):
            if self._commit(job, expire_queued(job, now)):
                log.info("turn.committed", extra={**_labels(job), "outcome": Failed.__name__})
            return None
        owner = uuid.uuid4().hex
        if lifecycle.is_first_claim(job):
            claimed = self._store.begin(job, *lifecycle.begin(job, message.seq, owner, now))
        else:
            claimed = self._store.update(message.job_id, lifecycle.claim(job, message.seq, owner, now))
        if isinstance(claimed, Job):
            return claimed
        if claimed.found and lifecycle.is_own_claim(claimed.found, message.seq, owner):
            return claimed.found
        reason = lifecycle.explain_refusal(claimed.found, message.seq)
        log.info("turn.dropped", extra={"job_id": message.job_id, "seq": message.seq, "reason": reason})
        return None

    async def _commit_within(
        self, last_try_seconds: float, job: Job, transition: Transition, lease: Lease
    ) -> bool:
        """Commit the turn's end, again and again while the store throttles or is away; see `_commit`.

        What the step has done was paid for. Before each further try the lease is renewed, and the row is read: an
        earlier try may have been carried out, and only its answer was lost. If another worker has claimed the turn,
        the commit is refused.

        Parameters
        ----------
        last_try_seconds
            On the monotonic clock: no try begins later, because the function would be ended.
        """
        pause_seconds = FIRST_COMMIT_PAUSE_SECONDS
        is_repeated = False
        while True:
            try:
                if is_repeated and self._follow_if_committed(job, transition):
                    return True
                return self._commit(job, transition)
            except StoreUnavailableError as error:
                is_too_late = self._clock.monotonic_seconds() + pause_seconds > last_try_seconds
                if not error.retryable or is_too_late:
                    raise
                log.warning("commit.repeated", extra={**_labels(job), "reason": error.sentence})
            is_repeated = True
            await self._pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_COMMIT_PAUSE_SECONDS)
            # A lease that is lost decides nothing here: the row does, at the next try. Where the table could not be
            # reached for so long that the lease ran out, no other worker may have reached it either.
            with suppress(LeaseLostError):
                lease.renew()

    def _commit(self, job: Job, transition: Transition) -> bool:
        """Commit the turn's end and do what follows; return False if the commit was refused."""
        if not closing.commit(self._store, job, transition):
            # The client repeats a call whose answer was lost, and its own write refuses the second one.
            return self._follow_if_committed(job, transition)
        self._follow(job, transition)
        return True

    def _follow_if_committed(self, job: Job, transition: Transition) -> bool:
        """Do what follows from the commit if it was carried out; return whether it was."""
        found = self._store.read(job.job_id)
        # Only the holder of the epoch ends a turn, and no worker has claimed since. Where this worker goes on, the
        # epoch alone does not tell: another may have claimed this turn, and ended it.
        epoch, owner = (
            job.epoch + transition.change.adds.get("epoch", 0),
            transition.change.sets["lease_owner"],
        )
        if found is None or (found.epoch, found.seq, found.lease_owner) != (epoch, job.seq + 1, owner):
            return False
        self._follow(job, transition)
        return True

    def _follow(self, job: Job, transition: Transition) -> None:
        """Do what follows from a commit that was carried out: send the next message, or give up the job's slot."""
        if transition.send:
            self._queue.send(transition.send)
        if transition.is_requeue:
            self._admission.fill_slot(job)
        if closing.ends(transition):
            self._admission.leave(apply(transition.change, job))

    def _commit_cancel(self, job: Job, outcome: Outcome, duration_ms: int, tokens: int | None = None) -> bool:
        """Cancel the job if its commit was refused because of a cancel request; return whether that was so.

        The other cause of a refusal is another worker that has claimed the turn since.
        """
        found = self._store.read(job.job_id)
        is_own = found is not None and (found.epoch, found.lease_owner) == (job.epoch, job.lease_owner)
        if found is None or not is_own or found.cancel_requested_at is None:
            return False
        # What the step did is told all the same: it may have rented a machine.
        cancelled = cut_off(found, outcome, duration_ms)
        transition = make_transition(found, cancelled, self._clock.now(), duration_ms, tokens)
        is_committed = self._commit(found, transition)
        if is_committed:
            log.info("turn.committed", extra={**_labels(found), "outcome": Cancelled.__name__})
        return is_committed

    async def _run(self, job: Job, lease: Lease, lane_seconds: float) -> Outcome:
        now = self._clock.now()
        if job.is_releasing:
            return await self._release(job, lease, lane_seconds)
        step = plan.STEPS[job.step]
        forced = forced_outcome(job, now)
        if forced is not None:
            # A worker that is lost over it again and again must not keep the job from its end.
            if step.winds_down and self._lane is step.lane and job.attempts <= lifecycle.MAX_ATTEMPTS + 1:
                return await self._wind_down(job, forced, lease, lane_seconds)
            return forced
        if step.lane is not self._lane:
            return Again(delay_seconds=0)
        return await self._run_own_step(job, lease, lane_seconds, now)

    async def _run_own_step(self, job: Job, lease: Lease, lane_seconds: float, now: datetime) -> Outcome:
        step = plan.STEPS[job.step]
        try:
            request_json = self._store.read_request(job)
            state_json = self._store.read_state(job) if step.keeps_state else None
        except JobNotFoundError:
            return Failed("request_lost", "The job's request is gone from the table.", retryable=False)
        except StoreUnavailableError as error:
            # An outage is no lost worker. The job waits for its end, or for its own deadline.
            log.warning("turn.put_off", extra={**_labels(job), "reason": error.sentence})
            return Again(OUTAGE_PAUSE_SECONDS, dict(job.progress))
        time_left_seconds = (job.ends_at - now).total_seconds()
        if step.keeps_state:
            time_left_seconds = max(time_left_seconds, plan.CLOSING_SECONDS)
        time_limit_seconds = min(plan.time_limit_seconds_of(job.step), time_left_seconds, lane_seconds)
        context = StepContext(job, request_json, time_limit_seconds, state_json=state_json)
        outcome = await self._run_step_of(context, lease)
        if isinstance(outcome, Cancelled) and context.works_elsewhere:
            # The next turn begins with the request, and ends that work.
            return Again(0, dict(context.progress))
        return outcome

    async def _wind_down(
        self, job: Job, forced: Cancelled | Failed, lease: Lease, lane_seconds: float
    ) -> Outcome:
        """Let the step end what other servers do for a job that is to end; return the end, or another such turn."""
        try:
            state_json = self._store.read_state(job)
            if state_json is None and job.attempts <= 1 and not job.failures:
                return forced
            request_json = self._store.read_request(job)
            limit_seconds = min(plan.time_limit_seconds_of(job.step), lane_seconds)
            context = StepContext(job, request_json, limit_seconds, state_json=state_json, ends_with=forced)
            outcome = await self._run_step_of(context, lease)
        except (JobNotFoundError, StoreUnavailableError, UnreadableRowError) as error:
            log.warning("wind_down.left_out", extra={**_labels(job), "reason": error.sentence})
            if isinstance(error, JobNotFoundError):
                return forced
            outcome = Again(OUTAGE_PAUSE_SECONDS, dict(job.progress))
        if isinstance(outcome, Again) and _may_wind_on(job, outcome, self._clock.now()):
            return outcome
        notes = outcome.notes if isinstance(outcome, Cancelled | Failed) else ()
        return replace(forced, notes=notes)

    async def _release(self, job: Job, lease: Lease, lane_seconds: float) -> Outcome:
        """Give a machine back: in either lane, after the deadline too, and without what cannot be read."""
        request_json = NO_REQUEST
        has_succeeded = job.ends_as is Status.SUCCEEDED
        if has_succeeded:
            # The request says whether the machine is to be kept; after a failure it never is.
            try:
                request_json = self._store.read_request(job)
            except JobNotFoundError:
                log.warning("release.request_lost", extra=_labels(job))
            except (StoreUnavailableError, UnreadableRowError) as error:
                # A large request is in the bucket. The machine bills, so the bucket is waited for only so long, and
                # a version that understands the request too.
                if job.failures < REQUEST_TRIES:
                    return Failed.from_error(error)
                log.warning("release.request_unreadable", extra=_labels(job))

        def read_draft() -> str | None:
            stored = self._store.read_with_result(job.job_id) if has_succeeded else None
            return None if stored is None else stored.result_json

        limit_seconds = min(plan.time_limit_seconds_of(job.step), lane_seconds)
        return await self._run_step_of(StepContext(job, request_json, limit_seconds, read_draft), lease)

    async def _run_step_of(self, context: StepContext, lease: Lease) -> Outcome:
        job = context.job
        context.tokens = lease.tokens
        try:
            return await self._run_step(self._steps[job.step], context, lease)
        except TimeoutError:
            # What the state holds was paid for, and another turn can make a result of it.
            has_state = context.state_json is not None
            timeout = Failed("step_timeout", "The step took longer than it may.", retryable=has_state)
            return forced_outcome(job, self._clock.now()) or timeout
        except (LeaseLostError, UnreadableRowError):
            raise
        except RuneError as error:
            log.info("step.failed", extra={**_labels(job), "code": error.code})
            return failure_of(job, error, self._clock.now())
        except Exception:
            # The outermost edge of a step: an unforeseen error must end in the job, not in a queue.
            log.exception("step.crashed", extra=_labels(job))
            return Failed("internal_error", "RUNE failed; the log has the details.", retryable=True)


def _may_wind_on(job: Job, outcome: Again, now: datetime) -> bool:
    """Return whether a job that is to end gets another turn to wind down.

    With a state, the step counts its tries. Without one it waits, for which a cancel request leaves some time.
    """
    asked_at = job.cancel_requested_at
    return outcome.state_json is not None or (asked_at is not None and now < asked_at + plan.WINDING_DOWN)


def _outcome_when_not_understood(job: Job, error: UnreadableRowError) -> Outcome:
    """Return the end of a turn that met a document or row which this version does not understand.

    The job waits for a version that does, and its deadline ends it. `release` has no deadline, so its tries count.
    """
    if job.is_releasing:
        return Failed.from_error(error)
    return Again(NOT_UNDERSTOOD_PAUSE_SECONDS, dict(job.progress))


def _log_not_understood(labels: Mapping[str, object], error: UnreadableRowError) -> None:
    extra = {**labels, "reason": error.sentence, "metric": ROWS_NOT_UNDERSTOOD_METRIC}
    log.warning("turn.not_understood", exc_info=error, extra=extra)


def _labels(job: Job) -> dict[str, object]:
    return {"job_id": job.job_id, "seq": job.seq, "epoch": job.epoch, "step": job.step}
