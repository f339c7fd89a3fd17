"""Jobs that wait for others: what a caller is told of them, and how many there may be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.jobs.places import Share
from rune.jobs.record import DueClass, Job
from tests.builders import TENANT, FakeClock, after, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    POST,
    SERVER,
    Response,
    a_problem,
    a_refusal,
    a_wrong_field,
    ask,
    assert_problem,
    get,
    post,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

PATH = "/rune/queue/tenants"
DOCUMENTS: dict[str, dict[str, object]] = {
    "default": {"max_waiting_jobs": 2, "weight": 2},
    "acme": {"max_runtime_seconds": 600, "max_running_jobs": 1},
}
ONE_AT_A_TIME = {"RUNE_RUNNING_JOBS": "1", "RUNE_TENANTS_PATH": PATH, "RUNE_CAN_RENT": "true"}
LEAST: dict[str, object] = {"question": "q", "model": "llama3.1:8b", **SERVER}
INSTANCE = "/v1/jobs/llm-instance"
AGENT = "/v1/jobs/agentic-agent"


@pytest.fixture(scope="module")
def crowded(shared_cloud: Cloud) -> Iterator[ModuleType]:
    """An API of a deployment where one job runs at a time."""
    for tenant, document in DOCUMENTS.items():
        Ssm.write(f"{PATH}/{tenant}", document)
    with loaded("api.handler", {**shared_cloud.environment, **ONE_AT_A_TIME}) as handler:
        yield handler


@pytest.fixture(autouse=True)
def _fresh_settings(crowded: ModuleType, cloud: Cloud) -> None:
    """Read every tenant's settings at the time of this test: another test's clock may be minutes ahead."""
    for tenant in DOCUMENTS:
        crowded.app.state.services.tenants.of(tenant)
    cloud.calls.clear()


def post_many(crowded: ModuleType, clock: FakeClock, count: int) -> list[str]:
    """Post jobs, a second after each other; return their ids."""
    ids = []
    for _ in range(count):
        response = post(crowded, LEAST)
        assert response.status == 202
        ids.append(response.document["job_id"])
        clock.advance(1)
    return ids


def delete(crowded: ModuleType, job_id: str) -> Response:
    return ask(crowded, an_http_event("DELETE", f"/v1/jobs/{job_id}"))


def read(cloud: Cloud, job_id: str) -> Job:
    job = cloud.store.read(job_id)
    assert job
    return job


def share_of(cloud: Cloud, tenant: str = TENANT) -> Share:
    return cloud.store.read_places().share_of(tenant)


def set_mean_run_seconds(cloud: Cloud, seconds: int) -> None:
    """Let the tenant's earlier jobs have run for so long."""
    cloud.dynamodb.update_item(
        TableName="rune-test",
        Key={"pk": {"S": "PLACES"}, "sk": {"S": f"SHARE#{TENANT}"}},
        UpdateExpression="SET mean_run_seconds = :seconds",
        ExpressionAttributeValues={":seconds": {"N": str(seconds)}},
    )


def told(response: Response) -> tuple[object, ...]:
    """Return what a caller is told of a job's place."""
    return tuple(
        response.document[name] for name in ("status", "queue_position", "queue_wait_seconds", "message")
    )


# ---------------------------------------------------------------- POST


def test_first_job_begins_and_the_next_one_waits_without_a_message(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    first, second = post_many(crowded, clock, 2)

    assert [json.loads(body)["job_id"] for body in cloud.received("inference")] == [first]
    assert cloud.received("money") == []
    assert [read(cloud, job_id).is_waiting for job_id in (first, second)] == [False, True]
    assert (share_of(cloud).running, share_of(cloud).waiting, share_of(cloud).weight) == (1, 1, 2)
    waiting = read(cloud, second)
    assert (waiting.due_class, waiting.due_at) == (DueClass.WAIT, after(86_401))


def test_waiting_job_takes_one_write(crowded: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    post_many(crowded, clock, 1)
    cloud.calls.clear()

    post_many(crowded, clock, 1)

    # The places are looked at once more after the write: a slot may have become free before it.
    assert cloud.operations == ["Query", "TransactWriteItems", "SendMessage", "Query"]


LANES = {
    "benchmark": (POST, LEAST, "inference"),
    "instance": (INSTANCE, SERVER, "inference"),
    "agent": (AGENT, LEAST, "inference"),
    "benchmark that rents": (POST, {"question": "q", "model": "llama3.1:8b", "vastai": True}, "money"),
    "instance that rents": (INSTANCE, {"vastai": True, "model": "llama3.1:8b"}, "money"),
}


@pytest.mark.parametrize(("path", "body", "lane"), LANES.values(), ids=LANES.keys())
def test_first_message_goes_into_the_lane_of_the_first_step(
    path: str, body: dict[str, object], lane: str, crowded: ModuleType, cloud: Cloud
) -> None:
    job_id = post(crowded, body, path=path).document["job_id"]

    sent = {name: [json.loads(text) for text in cloud.received(name)] for name in ("money", "inference")}
    assert sent == {"money": [], "inference": [], lane: [{"job_id": job_id, "seq": 1}]}


def test_other_tenants_job_waits_too_and_is_number_one(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    post_many(crowded, clock, 3)

    job_id = post(crowded, LEAST, OF_ACME, token=ACMES_TOKEN).document["job_id"]

    response = get(crowded, f"/v1/jobs/{job_id}", OF_ACME, token=ACMES_TOKEN)
    assert told(response)[:2] == ("queued", 1)


# ---------------------------------------------------------------- too many


def test_post_is_refused_when_too_many_jobs_wait(crowded: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    post_many(crowded, clock, 3)
    before = cloud.rows()

    response = post(crowded, LEAST)

    sentence = "2 jobs of your tenant wait already; post this one when some have begun."
    problem = {**a_problem(429, "too_many_waiting_jobs", sentence), "retry_after_seconds": 60}
    assert_problem(response, problem)
    assert response.headers["retry-after"] == "60"
    assert cloud.rows() == before


def test_refused_job_may_be_posted_again_under_its_key(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    *_, last = post_many(crowded, clock, 3)
    key = {"idempotency-key": "once"}
    assert post(crowded, LEAST, key).status == 429

    delete(crowded, last)

    again = post(crowded, LEAST, key)
    assert (again.status, "idempotency-replayed" in again.headers) == (202, False)


def test_replay_is_answered_while_too_many_jobs_wait(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    key = {"idempotency-key": "once"}
    first = post(crowded, LEAST, key).document["job_id"]
    post_many(crowded, clock, 2)

    again = post(crowded, LEAST, key)

    assert (again.status, again.document["job_id"]) == (202, first)
    assert again.headers["idempotency-replayed"] == "true"
    assert share_of(cloud).waiting == 2


@pytest.mark.parametrize("path", [POST, AGENT, INSTANCE])
def test_document_says_that_there_may_be_too_many(path: str, crowded: ModuleType) -> None:
    operation = crowded.app.openapi()["paths"][path]["post"]

    # The second is API Gateway's own.
    kinds = ["application/problem+json", "application/json"]
    assert [*operation["responses"]["429"]["content"]] == kinds


# ---------------------------------------------------------------- GET


def test_waiting_job_tells_its_place(crowded: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    _, second, third = post_many(crowded, clock, 3)
    cloud.calls.clear()

    response = get(crowded, f"/v1/jobs/{third}")

    sentence = "Waiting for a slot, 1 of your jobs before it."
    assert told(response) == ("queued", 2, None, sentence)
    assert response.headers["retry-after"] == "15"
    assert cloud.operations == ["BatchGetItem", "Query", "Query"]
    assert told(get(crowded, f"/v1/jobs/{second}"))[1] == 1


def test_waiting_job_tells_for_about_how_long(crowded: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    _, second, third = post_many(crowded, clock, 3)
    set_mean_run_seconds(cloud, 60)

    sentence = "Waiting for a slot, {} of your jobs before it, for about {}."
    assert told(get(crowded, f"/v1/jobs/{second}")) == (
        "queued",
        1,
        60,
        sentence.format("none", "1 more minute"),
    )
    assert told(get(crowded, f"/v1/jobs/{third}")) == ("queued", 2, 120, sentence.format(1, "2 more minutes"))


def test_job_that_does_not_wait_has_no_place(crowded: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    (first,) = post_many(crowded, clock, 1)
    cloud.calls.clear()

    response = get(crowded, f"/v1/jobs/{first}")

    assert told(response) == ("queued", None, None, "Waiting for a worker.")
    assert cloud.operations == ["BatchGetItem"]


def test_tag_changes_with_the_place(crowded: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    _, second, third = post_many(crowded, clock, 3)
    tags = [get(crowded, f"/v1/jobs/{third}").headers["etag"]]
    version = read(cloud, third).version

    for seconds in (0, 60):
        set_mean_run_seconds(cloud, seconds)
        tags.append(get(crowded, f"/v1/jobs/{third}").headers["etag"])
    delete(crowded, second)
    tags.append(get(crowded, f"/v1/jobs/{third}").headers["etag"])

    assert len(set(tags)) == 4
    assert read(cloud, third).version == version
    assert get(crowded, f"/v1/jobs/{third}", {"if-none-match": tags[2]}).status == 200
    unchanged = get(crowded, f"/v1/jobs/{third}", {"if-none-match": tags[3]})
    assert (unchanged.status, unchanged.headers["retry-after"]) == (304, "15")


# ---------------------------------------------------------------- DELETE


def test_cancel_of_a_waiting_job_makes_room_for_another(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    _, second, _ = post_many(crowded, clock, 3)

    response = delete(crowded, second)

    assert (response.status, *told(response)) == (
        202,
        "cancelled",
        None,
        None,
        "Cancelled, as was asked.",
    )
    assert (share_of(cloud).running, share_of(cloud).waiting) == (1, 1)
    assert post(crowded, LEAST).status == 202
    assert post(crowded, LEAST).status == 429


def test_second_cancel_of_a_waiting_job_counts_nothing(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    _, second = post_many(crowded, clock, 2)
    delete(crowded, second)

    assert delete(crowded, second).status == 409
    assert share_of(cloud).waiting == 0


def test_slot_of_a_cancelled_job_goes_to_the_next(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    first, second, third = post_many(crowded, clock, 3)
    cloud.received("inference")

    delete(crowded, first)

    assert [json.loads(body)["job_id"] for body in cloud.received("inference")] == [second]
    assert [slot.job_id for slot in cloud.store.read_places().slots] == [second]
    assert told(get(crowded, f"/v1/jobs/{third}"))[1] == 1


# ---------------------------------------------------------------- time limits


def test_job_waits_and_runs_for_as_long_as_its_request_says(
    crowded: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    body = {**LEAST, "queue_timeout_seconds": 50, "max_runtime_seconds": 60}

    job = read(cloud, post(crowded, body).document["job_id"])

    assert (job.deadline_at, job.max_runtime_seconds) == (after(50), 60)
    kept = json.loads(cloud.store.read_request(job))
    assert (kept["queue_timeout_seconds"], kept["max_runtime_seconds"]) == (50, 60)


def test_job_waits_and_runs_for_as_long_as_the_deployment_allows(crowded: ModuleType, cloud: Cloud) -> None:
    job = read(cloud, post(crowded, LEAST).document["job_id"])

    assert (job.deadline_at, job.max_runtime_seconds) == (after(86_400), 3600)
    assert job.expires_at == after(timedelta(days=30).total_seconds())


def test_tenants_limit_stands_in_place_of_the_deployments(crowded: ModuleType, cloud: Cloud) -> None:
    job_id = post(crowded, LEAST, OF_ACME, token=ACMES_TOKEN).document["job_id"]

    assert read(cloud, job_id).max_runtime_seconds == 600


TOO_LONG = {
    "queue": ("queue_timeout_seconds", 86_401, 86_400, {}),
    "run": ("max_runtime_seconds", 3601, 3600, {}),
    "run of a tenant": ("max_runtime_seconds", 601, 600, {"headers": OF_ACME, "token": ACMES_TOKEN}),
}


@pytest.mark.parametrize("path", [POST, AGENT, INSTANCE])
@pytest.mark.parametrize("asked", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_more_time_than_is_allowed_is_refused(
    asked: tuple[str, int, int, dict[str, object]], path: str, crowded: ModuleType, cloud: Cloud
) -> None:
    field, seconds, most, caller = asked
    least = SERVER if path == INSTANCE else LEAST
    before = cloud.rows()

    response = post(crowded, {**least, field: seconds}, path=path, **caller)  # type: ignore[arg-type]

    assert_problem(response, a_refusal("time_too_long", f"/{field}", f"{field} may be at most {most} here."))
    assert cloud.rows() == before
    assert post(crowded, {**least, field: most}, path=path, **caller).status == 202  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "seconds", "sentence"),
    [
        ("queue_timeout_seconds", 0, "Input should be greater than or equal to 1; you sent 0."),
        ("queue_timeout_seconds", 604_801, "Input should be less than or equal to 604800; you sent 604801."),
        ("max_runtime_seconds", 59, "Input should be greater than or equal to 60; you sent 59."),
        ("max_runtime_seconds", 86_401, "Input should be less than or equal to 86400; you sent 86401."),
    ],
)
def test_time_that_no_deployment_allows_is_a_wrong_field(
    field: str, seconds: int, sentence: str, crowded: ModuleType, cloud: Cloud
) -> None:
    assert_problem(post(crowded, {**LEAST, field: seconds}), a_wrong_field(f"/{field}", sentence))
