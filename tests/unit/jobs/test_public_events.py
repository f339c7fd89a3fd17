from typing import Any

import pytest

from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.jobs.particulars import Particulars
from rune.jobs.public_events import public_event
from rune.jobs.record import Event, Job, Kind, Status
from tests.builders import JOB_ID, NOW, TENANT, a_job, a_waiting_job, after, an_ended_job

OF_JOB = {
    "job_id": JOB_ID,
    "kind": "benchmark",
    "created_at": "2026-11-23T12:00:00Z",
    "job_url": f"/v1/jobs/{JOB_ID}",
    "name": None,
    "metadata": None,
}
OF_END = {
    "started_at": "2026-11-23T12:00:00Z",
    "finished_at": "2026-11-23T12:01:00Z",
    "cost_usd": None,
    "rental_id": None,
    "rentals_url": None,
}


def an_event(name: str, number: int = 5, **overrides: Any) -> Event:  # noqa: ANN401  # fields of an event
    return Event(**{"number": number, "name": name, "status": "ok", "recorded_at": after(60), **overrides})


def told(job: Job, event: Event) -> PublicEvent:
    found = public_event(job, event)
    assert found is not None
    return found


def test_accepted_job_is_told_alike_before_and_after_the_operator_cancels_it() -> None:
    accepted = Event(1, "job.accepted", "ok", NOW)

    before = told(a_job(warnings=("template_not_allowed",)), accepted)
    after = told(a_job(warnings=("template_not_allowed", "renting_closed")), accepted)

    assert before == after


def test_accepted_job_is_told_with_its_warnings() -> None:
    event = told(a_job(rents=True, warnings=("template_not_allowed",)), Event(1, "job.accepted", "ok", NOW))

    assert event == PublicEvent(
        "rune.job.accepted",
        TENANT,
        Subject(SubjectKind.JOB, JOB_ID),
        1,
        NOW,
        {**OF_JOB, "status": "queued", "rents": True, "warnings": ["template_not_allowed"]},
    )
    assert event.event_id == f"evt_job_{JOB_ID}_1"


@pytest.mark.parametrize("name", ["job.running", "job.succeeded", "job.failed", "job.cancelled"])
def test_events_have_the_callers_name_and_metadata(name: str) -> None:
    found = public_event(an_ended_job(), an_event(name), Particulars("nightly", {"commit": "4f2a91c"}))

    assert found is not None
    assert (found.data["name"], found.data["metadata"]) == ("nightly", {"commit": "4f2a91c"})


def test_running_job_began_when_its_event_was_written() -> None:
    event = told(a_job(), an_event("job.running", 2))

    assert (event.event_type, event.sequence) == ("rune.job.running", 2)
    assert event.data == {**OF_JOB, "status": "running", "started_at": "2026-11-23T12:01:00Z"}


def test_end_of_a_step_is_told_by_its_own_event_alone() -> None:
    event = an_event(
        "backend.warmup",
        status="error",
        error_type="timeout",
        duration_ms=812,
        labels={"step": "warm_up", "try": "2", "reason": "text of a server"},
    )

    found = told(a_waiting_job(), event)

    assert found.event_type == "rune.job.step"
    assert found.data == {
        **OF_JOB,
        "step": "warm_up",
        "try_number": 2,
        "event": "backend.warmup",
        "duration_ms": 812,
        "error_type": "timeout",
    }
    assert told(an_ended_job(), event) == found


@pytest.mark.parametrize(
    "event",
    [
        an_event("worker.lost", labels={"step": "boot", "lost": "1"}),
        an_event("vastai.offer_search"),
        an_event("vastai.instance.create", labels={"step": "rent"}),
        an_event("job.something_new", labels={"step": "rent", "try": "1"}),
    ],
    ids=lambda event: event.name,
)
def test_other_events_of_the_history_are_not_told(event: Event) -> None:
    assert public_event(a_job(), event) is None


def test_succeeded_job_is_told_with_what_it_cost() -> None:
    job = an_ended_job(rents=True, cost_micro_usd=38_900, rental_id=f"{JOB_ID}-1")

    event = told(job, an_event("job.succeeded"))

    assert event.event_type == "rune.job.succeeded"
    assert event.data == {
        **OF_JOB,
        **OF_END,
        "status": "succeeded",
        "cost_usd": 0.0389,
        "rental_id": f"{JOB_ID}-1",
        "rentals_url": f"/v1/rentals?job_id={JOB_ID}",
        "report_url": f"/v1/benchmarks/{JOB_ID}",
    }


def test_only_a_benchmark_has_a_report() -> None:
    event = told(an_ended_job(kind=Kind.AGENTIC_AGENT), an_event("job.succeeded"))

    assert (event.data["kind"], event.data["report_url"]) == ("agentic-agent", None)


def test_failed_job_is_told_with_its_error() -> None:
    event = told(an_ended_job(Status.FAILED), an_event("job.failed", error_type="stream_truncated"))

    assert event.data == {
        **OF_JOB,
        **OF_END,
        "status": "failed",
        "error": "The answer broke off.",
        "error_code": "stream_truncated",
        "error_stage": "measure",
        "error_retryable": True,
    }


def test_job_that_was_cancelled_in_the_queue_never_started() -> None:
    event = told(an_ended_job(Status.CANCELLED, started_at=None), an_event("job.cancelled"))

    assert event.data == {**OF_JOB, **OF_END, "status": "cancelled", "started_at": None}
