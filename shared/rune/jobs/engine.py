"""One step of one job: claim, effect, commit, send."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping

from rune.clock import Clock
from rune.errors import (
    JobNotFoundError,
    LeaseLostError,
    RuneError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.jobs import lifecycle, plan
from rune.jobs.lease import Lease, StepRunner
from rune.jobs.metrics import Tallies, tally
from rune.jobs.outcomes import Again, Cancelled, Failed, Outcome
from rune.jobs.plan import Lane
from rune.jobs.record import Job, Status, StepMessage, StepName
from rune.jobs.step import Step, StepContext
from rune.jobs.store import JobStore, StepQueue
from rune.jobs.transitions import Transition, forced_outcome, make_transition

log = logging.getLogger(__name__)

NO_REQUEST = "{}"
"""The request that `release` gets where it needs none, or where none can be read."""

OUTAGE_PAUSE_SECONDS = 30
"""Until the next try of a turn whose request or state cannot be read."""

REQUEST_TRIES = 3
"""Failures of `release` after which it goes on without a request that cannot be read."""

NOT_UNDERSTOOD_PAUSE_SECONDS = 60
"""Until the next try of a turn whose request, state or rows this version does not understand."""

NOT_UNDERSTOOD_METRIC = "RowsNotUnderstood"
"""Counts what this version does not understand; an alarm rings for it (template.yaml)."""

FIRST_COMMIT_PAUSE_SECONDS = 0.5
LONGEST_COMMIT_PAUSE_SECONDS = 10.0
"""Between two tries of a commit; it doubles from the first to the longest, which is well below the lease."""

COMMIT_SECONDS = 10
"""How long after the longest step a further try of its commit may begin; see `plan.LANE_TIME_LIMIT_SECONDS`."""


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
    ) -> None:
        self._lane = lane
        self._store = store
        self._queue = queue
        self._clock = clock
        self._steps = steps
        self._run_step = run_step
        self._pause = pause

    async def take_turn(self, message: StepMessage) -> None:
        """Take the turn that the message names, if it can still be taken.

        The message is done with afterwards, however the turn ended: the janitor sends the message of a late turn
        again. A job whose row this version does not understand is left as it is.

        Raises
        ------
        StoreUnavailableError
            The store cannot be reached.
        """
        try:
            await self._take_turn(message)
        except UnreadableRowError as error:
            _log_not_understood({"job_id": message.job_id, "seq": message.seq}, error)

    async def _take_turn(self, message: StepMessage) -> None:
        job = self._claim(message)
        if job is None:
            return
        lease = Lease(job, self._store, self._clock)
        started_seconds = self._clock.monotonic_seconds()
        try:
            outcome = await self._run(job, lease)
        except LeaseLostError as error:
            log.warning("turn.abandoned", extra={**_labels(job), "reason": error.sentence})
            return
        except UnreadableRowError as error:
            _log_not_understood(_labels(job), error)
            outcome = _outcome_when_not_understood(job, error)
        duration_ms = round((self._clock.monotonic_seconds() - started_seconds) * 1000)
        transition = make_transition(job, outcome, self._clock.now(), duration_ms)
        last_try_seconds = started_seconds + plan.LANE_TIME_LIMIT_SECONDS[self._lane] + COMMIT_SECONDS
        if await self._commit_within(last_try_seconds, job, transition, lease):
            log.info("turn.committed", extra={**_labels(job), "outcome": type(outcome).__name__})
        elif not self._commit_cancel(job):
            log.warning("turn.fenced_off", extra=_labels(job))

    def _claim(self, message: StepMessage) -> Job | None:
        # Read first: a row that this version does not understand must not count an attempt.
        self._store.read(message.job_id)
        owner = uuid.uuid4().hex
        change = lifecycle.claim(message.seq, owner, self._clock.now())
        claimed = self._store.update(message.job_id, change)
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
        earlier try may have been carried out, and only its answer was lost.

        Parameters
        ----------
        last_try_seconds
            On the monotonic clock: no try begins later, because the function would be ended.
        """
        pause_seconds = FIRST_COMMIT_PAUSE_SECONDS
        is_repeated = False
        while True:
            try:
                if is_repeated and self._send_if_committed(job, transition):
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
            try:
                lease.renew()
            except LeaseLostError:
                return self._send_if_committed(job, transition)

    def _commit(self, job: Job, transition: Transition) -> bool:
        """Commit the turn's end and send the next message; return False if the commit was refused."""
        if not self._store.commit(job, transition, self._tallies(job, transition)):
            return False
        self._send(transition)
        return True

    def _send_if_committed(self, job: Job, transition: Transition) -> bool:
        """Send the next message if the commit was carried out; return whether it was."""
        found = self._store.read(job.job_id)
        # Only the holder of the epoch ends a turn, and no worker has claimed since.
        if found is None or (found.epoch, found.seq) != (job.epoch, job.seq + 1):
            return False
        self._send(transition)
        return True

    def _send(self, transition: Transition) -> None:
        if transition.send:
            self._queue.send(transition.send)

    def _commit_cancel(self, job: Job) -> bool:
        """Cancel the job if its commit was refused because of a cancel request; return whether that was so.

        The other cause of a refusal is another worker that has claimed the turn since.
        """
        found = self._store.read(job.job_id)
        is_own = found is not None and (found.epoch, found.lease_owner) == (job.epoch, job.lease_owner)
        if found is None or not is_own or found.cancel_requested_at is None:
            return False
        is_committed = self._commit(found, make_transition(found, Cancelled(), self._clock.now(), 0))
        if is_committed:
            log.info("turn.committed", extra={**_labels(found), "outcome": Cancelled.__name__})
        return is_committed

    def _tallies(self, job: Job, transition: Transition) -> Tallies | None:
        """Return the tallies of all the job's events, once it is over."""
        if transition.send is not None:
            return None
        history = self._store.read_events(job.job_id, after=0)
        return tally([*(history.events if history else ()), *transition.events])

    async def _run(self, job: Job, lease: Lease) -> Outcome:
        now = self._clock.now()
        if job.is_releasing:
            return await self._release(job, lease)
        forced = forced_outcome(job, now)
        if forced is not None:
            return forced
        step = plan.STEPS[job.step]
        if step.lane is not self._lane:
            return Again(delay_seconds=0)
        try:
            request_json = self._store.read_request(job)
            state_json = self._store.read_state(job) if step.keeps_state else None
        except JobNotFoundError:
            return Failed("request_lost", "The job's request is gone from the table.", retryable=False)
        except StoreUnavailableError as error:
            # An outage is no lost worker. The job waits for its end, or for its own deadline.
            log.warning("turn.put_off", extra={**_labels(job), "reason": error.sentence})
            return Again(OUTAGE_PAUSE_SECONDS, dict(job.progress))
        time_left_seconds = (job.deadline_at - now).total_seconds()
        if step.keeps_state:
            time_left_seconds = max(time_left_seconds, plan.CLOSING_SECONDS)
        time_limit_seconds = min(plan.LANE_TIME_LIMIT_SECONDS[self._lane], time_left_seconds)
        context = StepContext(job, request_json, time_limit_seconds, state_json=state_json)
        return await self._run_step_of(context, lease)

    async def _release(self, job: Job, lease: Lease) -> Outcome:
        """Run the step `release`: in either lane, after the deadline too, and without what cannot be read."""
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

        limit_seconds = plan.LANE_TIME_LIMIT_SECONDS[Lane.MONEY]
        return await self._run_step_of(StepContext(job, request_json, limit_seconds, read_draft), lease)

    async def _run_step_of(self, context: StepContext, lease: Lease) -> Outcome:
        job = context.job
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
            return Failed.from_error(error)
        except Exception:
            # The outermost edge of a step: an unforeseen error must end in the job, not in a queue.
            log.exception("step.crashed", extra=_labels(job))
            return Failed("internal_error", "RUNE failed; the log has the details.", retryable=True)


def _outcome_when_not_understood(job: Job, error: UnreadableRowError) -> Outcome:
    """Return the end of a turn that met a document or row which this version does not understand.

    The job waits for a version that does, and its deadline ends it. `release` has no deadline, so its tries count.
    """
    if job.is_releasing:
        return Failed.from_error(error)
    return Again(NOT_UNDERSTOOD_PAUSE_SECONDS, dict(job.progress))


def _log_not_understood(labels: Mapping[str, object], error: UnreadableRowError) -> None:
    extra = {**labels, "reason": error.sentence, "metric": NOT_UNDERSTOOD_METRIC}
    log.warning("turn.not_understood", exc_info=error, extra=extra)


def _labels(job: Job) -> dict[str, object]:
    return {"job_id": job.job_id, "seq": job.seq, "epoch": job.epoch, "step": job.step}
