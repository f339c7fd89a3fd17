"""State machines that wait for a job's end are told of it, by the token that they gave."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, override

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.problems import Problem
from rune.errors import StoreUnavailableError
from rune.events.record import PublicEvent, SubjectKind
from rune.events.sink import Sink
from rune.jobs.record import Callback, Failure, Job, Status
from rune.jobs.store import JobStore

log = logging.getLogger(__name__)

LONGEST_ERROR = 256
LONGEST_CAUSE = 32_768
"""In characters. https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html"""

MOST_TOKENS = 5
"""Of a job, the newest. A state that is tried again has one that waits; the others are gone, or not its own."""

ENDS = frozenset({"rune.job.succeeded", "rune.job.failed", "rune.job.cancelled"})


class Tasks(Protocol):
    """Tasks that wait.

    A token for which nothing waits any more is no error: its task was answered, or has timed out.
    Each method raises StoreUnavailableError where the answer could not be given now.
    """

    def succeed(self, token: str, output_json: str) -> None:
        """End the task well."""
        ...

    def fail(self, token: str, error: str, cause: str) -> None:
        """End the task otherwise."""
        ...

    def beat(self, token: str) -> None:
        """Say that the work goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The output of a task."""

    output_json: str


@dataclass(frozen=True, slots=True)
class Unsuccessful:
    """Why a task failed: a code to choose by, and what people read."""

    error: str
    cause: str


def answer_of(job: Job) -> Succeeded | Unsuccessful:
    """Return what a workflow is told of a job that has ended: where the result is, and not the result.

    A result may be larger than what a state may hand on (262,144 bytes).
    """
    document: dict[str, object] = {
        "job_id": job.job_id,
        "kind": job.kind,
        "status": job.status,
        "job_url": f"/v1/jobs/{job.job_id}",
        "cost_usd": job.cost_micro_usd / MICRO_USD_PER_USD if job.is_billed else None,
    }
    if job.status is Status.SUCCEEDED:
        return Succeeded(json.dumps(document))
    failure = job.failure
    told = {**document, **_error_of(failure)} if failure else document
    return Unsuccessful(failure.code if failure else job.status.value, json.dumps(told)[:LONGEST_CAUSE])


def _error_of(failure: Failure) -> dict[str, object]:
    """Return the members that the API shows of a failure."""
    return {
        "error": failure.sentence,
        "error_code": failure.code,
        "error_stage": failure.stage,
        "error_retryable": failure.retryable,
    }


def with_token(found: Callback, asking: Callback) -> Callback:
    """Return what a job tells once another token has asked: to the latest tokens, and where else as before."""
    is_earlier = bool(asking.asked_at and found.asked_at and asking.asked_at < found.asked_at)
    newest, other = (found, asking) if is_earlier else (asking, found)
    others = dict.fromkeys((*other.tokens, *newest.other_tokens))
    return replace(newest, callback_url=found.callback_url, other_tokens=tuple(others)[: MOST_TOKENS - 1])


class WorkflowAnswers(Sink):
    """Answers the tokens of jobs that have one, each once."""

    def __init__(self, jobs: JobStore, tasks: Tasks) -> None:
        self._jobs = jobs
        self._tasks = tasks

    @property
    @override
    def name(self) -> str:
        return "workflows"

    @override
    def publish(self, events: Sequence[PublicEvent]) -> None:
        subject = events[-1].subject
        if subject.kind is not SubjectKind.JOB:
            return
        # An end must be seen, for it comes once; a heartbeat may be left out.
        is_end = any(event.event_type in ENDS for event in events)
        job = (self._jobs.read if is_end else self._jobs.glance)(subject.subject_id)
        callback = None if job is None else self._jobs.read_callback(job)
        if job is not None and callback is not None:
            for token in callback.tokens:
                self._tell(job, token)

    def follow(self, job_id: str, callback: Callback) -> None:
        """Have a job that is there tell the one who asks now, as after a retry of a state.

        An end that was told to an earlier token is told again, to this one. The job is read after the token was
        written: if it ends later, the end is told to this token in the usual way.

        The earlier tokens stay. Who may send can claim any execution, and must not take its answer away; to a token
        that nothing waits for, an answer does nothing.

        Raises
        ------
        StoreUnavailableError
            Another token was written at the same moment; the next try finds it.
        """
        if not self._add(job_id, callback):
            log.info("task.not_followed", extra={"job_id": job_id})
            return
        job = self._jobs.read(job_id)
        if job is not None and not job.is_active and callback.task_token is not None:
            self._tell(job, callback.task_token)

    def _add(self, job_id: str, callback: Callback) -> bool:
        job = self._jobs.read(job_id)
        found = None if job is None else self._jobs.read_callback(job)
        if job is None or found is None:
            return False
        if callback.task_token in found.tokens:
            return True
        if not self._jobs.replace_callback(job, found, with_token(found, callback)):
            raise StoreUnavailableError("The job's tokens are being written by others.")
        return True

    def refuse(self, token: str, problem: Problem) -> None:
        """End a task whose order was not accepted."""
        self._tasks.fail(token, problem.code[:LONGEST_ERROR], problem.as_json()[:LONGEST_CAUSE])

    def _tell(self, job: Job, token: str) -> None:
        if job.is_active:
            self._tasks.beat(token)
            return
        match answer_of(job):
            case Succeeded(output_json):
                self._tasks.succeed(token, output_json)
            case Unsuccessful(error, cause):
                self._tasks.fail(token, error[:LONGEST_ERROR], cause)
        log.info("task.answered", extra={"job_id": job.job_id, "status": job.status})
