from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rune.errors import StoreUnavailableError
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.jobs.record import Callback, Job, Status
from rune.jobs.store import Submission
from rune.services.workflow_answers import LONGEST_CAUSE, Unsuccessful, WorkflowAnswers, answer_of
from tests.builders import JOB_ID, NOW, a_claimed_job, a_failure, a_job, an_ended_job, an_event
from tests.memory_job_store import MemoryJobStore
from tests.unit.services.intake.offices import MemoryTasks

TOKEN = Callback(None, "token-1", "execution-1", NOW)


def an_event_of(event_type: str, subject: Subject | None = None) -> PublicEvent:
    return PublicEvent(event_type, "default", subject or Subject(SubjectKind.JOB, JOB_ID), 2, NOW, {})


def told(job: Job, event_type: str, callback: Callback | None = TOKEN) -> list[tuple[str, ...]]:
    """Return what tasks are told when a job, as it is, has had an event."""
    store, tasks = MemoryJobStore(), MemoryTasks()
    store.submit(Submission(a_job(calls_back=callback is not None), "{}", an_event(), callback=callback))
    store.jobs[JOB_ID] = job
    WorkflowAnswers(store, tasks).publish([an_event_of(event_type)])
    return tasks.answers


@pytest.mark.parametrize("event_type", ["rune.job.accepted", "rune.job.running", "rune.job.step"])
def test_task_hears_that_the_work_goes_on(event_type: str) -> None:
    assert told(a_claimed_job(calls_back=True), event_type) == [("beat", "token-1")]


def test_task_is_told_where_the_result_is() -> None:
    ((verb, token, output),) = told(an_ended_job(calls_back=True), "rune.job.succeeded")

    assert (verb, token) == ("succeed", "token-1")
    assert json.loads(output)["job_url"] == f"/v1/jobs/{JOB_ID}"


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (an_ended_job(Status.FAILED, calls_back=True), "stream_truncated"),
        (an_ended_job(Status.CANCELLED, calls_back=True), "cancelled"),
    ],
)
def test_task_is_told_why_there_is_no_result(job: Job, error: str) -> None:
    ((verb, token, told_error, cause),) = told(job, f"rune.job.{job.status}")

    assert (verb, token, told_error) == ("fail", "token-1", error)
    assert json.loads(cause)["status"] == job.status


def test_cause_has_what_a_state_needs_to_choose_by() -> None:
    ((*_, cause),) = told(an_ended_job(Status.FAILED, calls_back=True), "rune.job.failed")

    shown = json.loads(cause)
    assert (shown["error_code"], shown["error_retryable"]) == ("stream_truncated", a_failure().retryable)
    assert {"error", "error_stage"} <= shown.keys()


@pytest.mark.parametrize("callback", [None, Callback("https://hooks.example.com/a")])
def test_job_that_no_workflow_waits_for_tells_none(callback: Callback | None) -> None:
    job = an_ended_job(calls_back=callback is not None)

    assert told(job, "rune.job.succeeded", callback) == []


def test_events_of_others_than_jobs_tell_no_workflow() -> None:
    tasks = MemoryTasks()
    event = an_event_of("rune.rental.gone", Subject(SubjectKind.RENTAL, JOB_ID))

    WorkflowAnswers(MemoryJobStore(), tasks).publish([event])

    assert tasks.answers == []


def test_job_that_is_gone_tells_none() -> None:
    tasks = MemoryTasks()

    WorkflowAnswers(MemoryJobStore(), tasks).publish([an_event_of("rune.job.succeeded")])

    assert tasks.answers == []


def test_publisher_hears_that_a_task_could_not_be_told() -> None:
    store = MemoryJobStore()
    store.submit(Submission(a_job(calls_back=True), "{}", an_event(), callback=TOKEN))
    answers = WorkflowAnswers(store, MemoryTasks(is_down=True))

    with pytest.raises(StoreUnavailableError):
        answers.publish([an_event_of("rune.job.running")])


def test_new_token_leaves_the_jobs_other_receiver_as_it_was() -> None:
    store, url = MemoryJobStore(), "https://hooks.example.com/a"
    first, second = (Callback(None, token, "execution-1", NOW) for token in ("first", "second"))
    job = a_job(calls_back=True)
    store.submit(Submission(job, "{}", an_event(), callback=replace(first, callback_url=url)))

    WorkflowAnswers(store, MemoryTasks()).follow(JOB_ID, second)

    assert store.read_callback(job) == replace(second, callback_url=url, other_tokens=("first",), version=2)


@pytest.mark.parametrize("job", [None, a_job()])
def test_job_that_is_gone_or_tells_nobody_follows_no_token(job: Job | None) -> None:
    store, tasks = MemoryJobStore(), MemoryTasks()
    if job is not None:
        store.submit(Submission(job, "{}", an_event()))

    WorkflowAnswers(store, tasks).follow(JOB_ID, TOKEN)

    assert tasks.answers == []


def test_answer_is_never_longer_than_a_state_takes() -> None:
    failure = a_failure(sentence="é" * LONGEST_CAUSE)
    answer = answer_of(an_ended_job(Status.FAILED, failure=failure))

    assert isinstance(answer, Unsuccessful)
    assert len(answer.cause) == LONGEST_CAUSE
