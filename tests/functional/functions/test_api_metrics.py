from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.jobs.metrics import tally
from rune.jobs.outcomes import Done, Failed, Next, Outcome
from rune.jobs.record import Job, StepName
from rune.jobs.transitions import make_transition
from tests.builders import JOB_ID, NOW, FakeClock, a_claimed_job
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    a_problem,
    a_wrong_field,
    assert_problem,
    get,
    put,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

SUMMARY = "/v1/metrics/summary"


def carry_on(cloud: Cloud, job: Job, outcome: Outcome, duration_ms: int) -> None:
    """Store a claimed job, and how its step ended, with its tallies if the job ended too."""
    put(cloud, job)
    transition = make_transition(job, outcome, NOW, duration_ms)
    cloud.store.commit(job, transition, tally(transition.events) if transition.send is None else None)
    cloud.calls.clear()


def a_row(event: str, *durations_ms: int, errors: int = 0) -> dict[str, object]:
    total = len(durations_ms)
    return {
        "event": event,
        "total": total,
        "ok": total - errors,
        "error": errors,
        "avg_ms": round(sum(durations_ms) / total, 3),
        "min_ms": min(durations_ms),
        "max_ms": max(durations_ms),
    }


def test_summary_is_empty_when_nothing_has_ended(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, SUMMARY)

    assert (response.status, response.document) == (200, {"events": []})


def test_summary_adds_up_own_jobs_that_have_ended_sorted_by_name(api: ModuleType, cloud: Cloud) -> None:
    asking = {"step": StepName.MEASURE}
    carry_on(cloud, a_claimed_job(job_id="a", **asking), Done("{}"), 100)
    carry_on(cloud, a_claimed_job(job_id="b", **asking), Done("{}"), 201)
    refused = Failed("model_not_found", "There is none.", retryable=False)
    carry_on(cloud, a_claimed_job(job_id="c", **asking), refused, 7)
    carry_on(cloud, a_claimed_job(job_id="d"), refused, 3)
    carry_on(cloud, a_claimed_job(job_id="runs"), Next(StepName.WARM_UP), 5000)
    carry_on(cloud, a_claimed_job(job_id="theirs", tenant="acme", **asking), Done("{}"), 9000)

    response = get(api, SUMMARY)

    assert response.document == {
        "events": [
            a_row("backend.list_models", 3, errors=1),
            a_row("benchmark.measure", 100, 201, 7, errors=1),
            a_row("job.failed", 0, 0, errors=2),
            a_row("job.succeeded", 0, 0),
        ]
    }
    assert response.document["events"][1]["avg_ms"] == 102.667
    assert cloud.operations == ["GetItem", "Query"]


def test_summary_of_one_job_holds_it_even_while_it_runs(api: ModuleType, cloud: Cloud) -> None:
    carry_on(cloud, a_claimed_job(), Next(StepName.WARM_UP), 120)
    carry_on(cloud, a_claimed_job(job_id="another", step=StepName.MEASURE), Done("{}"), 100)

    response = get(api, f"{SUMMARY}?job_id={JOB_ID}")

    assert response.document == {"events": [a_row("backend.list_models", 120)]}
    assert cloud.operations == ["GetItem", "Query"]


@pytest.mark.parametrize("headers", [{}, OF_ACME], ids=["own tenant", "another tenant"])
def test_summary_of_a_job_that_is_not_ones_own_is_not_found(
    headers: dict[str, str], api: ModuleType, cloud: Cloud
) -> None:
    carry_on(cloud, a_claimed_job(tenant="third"), Done("{}"), 5)
    token = {"token": ACMES_TOKEN} if headers else {}

    response = get(api, f"{SUMMARY}?job_id={JOB_ID}", headers, **token)

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


@pytest.mark.parametrize("job_id", ["", "a%20b", "..", "%00", "é"])
def test_summary_of_what_is_no_id_is_not_found(job_id: str, api: ModuleType, cloud: Cloud) -> None:
    response = get(api, f"{SUMMARY}?job_id={job_id}")

    assert (response.status, response.document["code"]) == (404, "job_not_found")
    assert cloud.operations == ["GetItem"]


def test_summary_of_an_id_that_is_too_long_is_refused(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, f"{SUMMARY}?job_id={'a' * 65}")

    assert_problem(response, a_wrong_field("/job_id", "String should have at most 64 characters."))


def test_summary_of_one_job_is_gone_with_it(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    carry_on(cloud, a_claimed_job(), Done("{}"), 5)
    clock.advance(30 * 86400)

    assert get(api, f"{SUMMARY}?job_id={JOB_ID}").status == 404


def test_summary_forgets_jobs_when_their_time_is_over(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    carry_on(cloud, a_claimed_job(), Done("{}"), 5)
    clock.advance(30 * 86400)

    assert get(api, SUMMARY).document == {"events": []}
