"""One step of one job: claim, effect, commit, send."""

import logging
import uuid
from collections.abc import Mapping

from rune.clock import Clock
from rune.errors import LeaseLostError, RuneError
from rune.jobs import lifecycle, plan
from rune.jobs.lease import Lease, StepRunner
from rune.jobs.outcomes import Again, Failed, Outcome
from rune.jobs.plan import Lane
from rune.jobs.record import Job, StepMessage, StepName
from rune.jobs.settlement import settle
from rune.jobs.step import Step, StepContext
from rune.jobs.store import JobStore, StepQueue

log = logging.getLogger(__name__)


class Engine:
    """Takes turns of jobs in one lane.

    Parameters
    ----------
    steps
        Every step by name. One that belongs to the other lane is handed over, not run.
    run_step
        How a step is run beside its lease.
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
    ) -> None:
        self._lane = lane
        self._store = store
        self._queue = queue
        self._clock = clock
        self._steps = steps
        self._run_step = run_step

    async def take_turn(self, message: StepMessage) -> None:
        """Take the turn that the message names, if it is still there to be taken.

        Whatever becomes of it, the message has done its work: a turn that was lost is late, and the janitor sends
        late turns again. So only a store that cannot be reached is raised, as StoreUnavailableError.
        """
        job = self._claim(message)
        if job is None:
            return
        started_seconds = self._clock.monotonic_seconds()
        try:
            outcome = await self._run(job)
        except LeaseLostError as error:
            log.warning("turn.abandoned", extra={**_labels(job), "reason": error.sentence})
            return
        duration_ms = round((self._clock.monotonic_seconds() - started_seconds) * 1000)
        settlement = settle(job, outcome, self._clock.now(), duration_ms)
        if not self._store.commit(job, settlement):
            log.warning("turn.fenced_off", extra=_labels(job))
            return
        log.info("turn.committed", extra={**_labels(job), "outcome": type(outcome).__name__})
        if settlement.send:
            self._queue.send(settlement.send)

    def _claim(self, message: StepMessage) -> Job | None:
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

    async def _run(self, job: Job) -> Outcome:
        now = self._clock.now()
        judged = lifecycle.judge(job, now)
        if judged is not None:
            return judged
        if plan.STEPS[job.step].lane is not self._lane:
            return Again(delay_seconds=0)
        time_left_seconds = (job.deadline_at - now).total_seconds()
        context = StepContext(
            job=job,
            request_json=self._store.read_request(job),
            time_limit_seconds=min(plan.LANE_TIME_LIMIT_SECONDS[self._lane], time_left_seconds),
        )
        try:
            return await self._run_step(self._steps[job.step], context, Lease(job, self._store, self._clock))
        except TimeoutError:
            timeout = Failed("step_timeout", "The step took longer than it may.", retryable=False)
            return lifecycle.judge(job, self._clock.now()) or timeout
        except LeaseLostError:
            raise
        except RuneError as error:
            log.info("step.failed", extra={**_labels(job), "code": error.code})
            return Failed.from_error(error)
        except Exception:
            # The outermost edge of a step: whatever a step did not foresee must end in the job, not in a queue.
            log.exception("step.crashed", extra=_labels(job))
            return Failed("internal_error", "RUNE failed inside; the log has the details.", retryable=True)


def _labels(job: Job) -> dict[str, object]:
    return {"job_id": job.job_id, "seq": job.seq, "epoch": job.epoch, "step": job.step}
