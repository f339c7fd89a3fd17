"""What pollers send and get: tags, 304, when to come again, and only the new events."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.job_store import LARGEST_ROW_BYTES
from rune.jobs.lifecycle import request_cancel
from rune.jobs.outcomes import Done, Next
from rune.jobs.record import Job, Status, StepName
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from tests.builders import (
    JOB_ID,
    NOW,
    a_claimed_job,
    a_job,
    a_sample_event,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
    an_http_event,
)
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    JOB,
    OF_ACME,
    a_problem,
    a_record,
    a_wrong_field,
    ask,
    assert_problem,
    get,
    put,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud


# ---------------------------------------------------------------- ETag


def test_get_gives_a_tag_that_no_cache_may_use_unasked(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(version=7))

    headers = get(api, JOB).headers

    assert (headers["etag"], headers["cache-control"]) == ('"j7"', "private, no-cache")


MATCHING = ['"j7"', 'W/"j7"', "*", '"j1", "j7"', 'W/"j1",W/"j7"', ' "j7" ']


@pytest.mark.parametrize("tag", MATCHING)
@pytest.mark.parametrize("job", [a_job(version=7), an_ended_job(version=7)], ids=["active", "ended"])
def test_get_says_nothing_again_when_nothing_has_changed(
    tag: str, job: Job, api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, job)

    response = get(api, JOB, {"if-none-match": tag})

    assert (response.status, response.document) == (304, None)
    assert response.headers["etag"] == '"j7"'
    assert response.headers["cache-control"] == "private, no-cache"
    assert not {"content-type", "content-length"} & response.headers.keys()
    assert cloud.operations == ["BatchGetItem"]


LARGE_RESULT = f'{{"answer": "{"x" * LARGEST_ROW_BYTES}"}}'


def end_with_a_large_result(cloud: Cloud) -> Job:
    """Store a job that has ended, its result in the bucket; return it."""
    put(cloud, a_claimed_job())
    assert cloud.store.commit(a_claimed_job(), make_transition(a_claimed_job(), Done(LARGE_RESULT), NOW, 5))
    job = cloud.store.read(JOB_ID)
    cloud.calls.clear()
    assert job
    return job


def test_get_reads_the_bucket_when_its_answer_holds_a_large_result(api: ModuleType, cloud: Cloud) -> None:
    end_with_a_large_result(cloud)

    response = get(api, JOB)

    assert (response.status, response.document["result"]) == (200, json.loads(LARGE_RESULT))
    assert cloud.operations == ["BatchGetItem", "GetObject"]


def test_get_reads_no_bucket_when_nothing_has_changed(api: ModuleType, cloud: Cloud) -> None:
    job = end_with_a_large_result(cloud)

    response = get(api, JOB, {"if-none-match": f'"j{job.version}"'})

    assert (response.status, cloud.operations) == (304, ["BatchGetItem"])


def test_get_reads_no_bucket_when_the_result_is_a_draft(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(rents=True, step=StepName.MEASURE)
    put(cloud, job)
    assert cloud.store.commit(job, make_transition(job, Done(LARGE_RESULT), NOW, 5))
    cloud.calls.clear()

    response = get(api, JOB)

    assert (response.status, response.document["result"]) == (200, None)
    # The query looks for what keeps the machine from being given back.
    assert cloud.operations == ["BatchGetItem", "Query"]


def test_get_reads_no_bucket_when_the_job_is_another_tenants(api: ModuleType, cloud: Cloud) -> None:
    end_with_a_large_result(cloud)

    assert get(api, JOB, OF_ACME, token=ACMES_TOKEN).status == 404
    assert "GetObject" not in cloud.operations


@pytest.mark.parametrize("tag", ['"j6"', '"j77"', "j7", '"J7"', "", '"*"'])
def test_get_tells_all_when_the_tag_is_another(tag: str, api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(version=7))

    response = get(api, JOB, {"if-none-match": tag})

    assert (response.status, response.document) == (200, a_record())


def test_tag_changes_with_every_write(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job()
    put(cloud, job)
    tags = [get(api, JOB).headers["etag"]]

    cloud.store.update(JOB_ID, request_cancel(job, NOW))
    tags.append(get(api, JOB).headers["etag"])
    cloud.store.commit(job, make_transition(job, Next(StepName.WARM_UP), after(1), 5))
    tags.append(get(api, JOB).headers["etag"])

    assert len(set(tags)) == 3
    assert get(api, JOB, {"if-none-match": tags[1]}).status == 200
    assert get(api, JOB, {"if-none-match": tags[2]}).status == 304


def test_tag_of_another_tenants_job_opens_nothing(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    response = get(api, JOB, {**OF_ACME, "if-none-match": '"j1"'}, token=ACMES_TOKEN)

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


def test_any_tag_matches_no_job_that_is_not_there(api: ModuleType, cloud: Cloud) -> None:
    assert get(api, JOB, {"if-none-match": "*"}).status == 404


# ---------------------------------------------------------------- Retry-After


WAITS = {
    "queued": (a_job(), "1"),
    "held by a worker": (a_claimed_job(), "2"),
    "waiting for its turn": (a_waiting_job(), "1"),
    "waiting 30 s to try again": (a_waiting_job(due_at=after(90)), "30"),
    "waiting 15 minutes": (a_waiting_job(due_at=after(960)), "60"),
    "late": (a_job(due_at=after(-600)), "1"),
}


@pytest.mark.parametrize(("job", "seconds"), WAITS.values(), ids=WAITS.keys())
@pytest.mark.parametrize("tag", ["", "*"], ids=["200", "304"])
def test_get_says_when_to_come_again_while_the_job_is_active(
    job: Job, seconds: str, tag: str, api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, job)

    assert get(api, JOB, {"if-none-match": tag}).headers["retry-after"] == seconds


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize("tag", ["", "*"], ids=["200", "304"])
def test_get_says_no_time_to_come_again_when_the_job_has_ended(
    status: Status, tag: str, api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, an_ended_job(status))

    assert "retry-after" not in get(api, JOB, {"if-none-match": tag}).headers


# ---------------------------------------------------------------- events?after=


@pytest.mark.parametrize(
    ("after_id", "ids"),
    [(0, [1, 2, 3, 4]), (1, [2, 3, 4]), (3, [4]), (4, []), (99_999_998, []), (99_999_999, [])],
)
def test_events_go_on_after_the_last_one_seen(
    after_id: int, ids: list[int], api: ModuleType, cloud: Cloud
) -> None:
    job = a_claimed_job()
    put(cloud, job)
    transition = make_transition(job, Next(StepName.WARM_UP), NOW, 5)
    cloud.store.commit(job, replace(transition, events=tuple(an_event(number) for number in (2, 3, 4))))

    response = get(api, f"{JOB}/events?after={after_id}")

    assert (response.status, response.document["job_id"]) == (200, JOB_ID)
    assert [event["id"] for event in response.document["events"]] == ids


def test_events_of_the_sample_event_begin_after_it(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert ask(api, a_sample_event("api-get-events-after")).document == {"job_id": JOB_ID, "events": []}


def test_events_after_an_id_are_those_of_an_own_job(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    response = get(api, f"{JOB}/events?after=1", OF_ACME, token=ACMES_TOKEN)

    assert response.status == 404


NO_NUMBER = "Input should be a valid integer, unable to parse string as an integer."
WRONG = {
    "-1": "Input should be greater than or equal to 0.",
    "100000000": "Input should be less than or equal to 99999999.",
    "9" * 5000: "Unable to parse input string as an integer, exceeded maximum size.",
    "last": NO_NUMBER,
    "1.5": NO_NUMBER,
    "": NO_NUMBER,
}


@pytest.mark.parametrize(("after_id", "sentence"), WRONG.items(), ids=lambda value: value[:20])
def test_events_after_no_number_are_refused(
    after_id: str, sentence: str, api: ModuleType, cloud: Cloud
) -> None:
    response = ask(api, an_http_event("GET", f"{JOB}/events?after={after_id}"))

    assert_problem(response, a_wrong_field("/after", sentence))
    assert cloud.calls == []


# ---------------------------------------------------------------- why a machine is not given back yet


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"step": "release", "detail": "There is no key for Vast.ai."},
            "Giving the machine back. Not yet possible: There is no key for Vast.ai.",
        ),
        ({"step": "measure", "detail": "There is no key for Vast.ai."}, "Giving the machine back."),
    ],
    ids=["told", "of another step"],
)
def test_get_says_why_a_machine_is_not_given_back_yet(
    api: ModuleType, cloud: Cloud, labels: dict[str, str], message: str
) -> None:
    job = a_job(step=StepName.RELEASE, status=Status.RUNNING, rents=True, ends_as=Status.FAILED)
    hindered = replace(an_event(), labels=labels, status="error", error_type="provider_key")
    cloud.store.submit(Submission(job, "{}", hindered))

    assert get(api, JOB).document["message"] == message
