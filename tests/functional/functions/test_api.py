from __future__ import annotations

import base64
import json
import logging
import os
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from rune.errors import SettingsError
from rune.jobs.outcomes import Done, Next
from rune.jobs.record import DueClass, Job, Status, StepName
from rune.jobs.transitions import make_transition
from tests.builders import (
    JOB_ID,
    TOKEN,
    FakeClock,
    a_claimed_job,
    a_failure,
    a_job,
    a_sample_event,
    a_waiting_job,
    after,
    an_ended_job,
    an_http_event,
)
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    FLAT,
    JOB,
    KEPT,
    NO_TOKEN,
    NO_VASTAI,
    OF_ACME,
    POST,
    SERVER,
    UNAUTHORIZED,
    a_posted_job,
    a_problem,
    a_record,
    a_refusal,
    a_wrong_field,
    ask,
    assert_problem,
    post,
    put,
)
from tests.functional.functions.loading import loaded
from tests.parameters import a_hash

if TYPE_CHECKING:
    from tests.cloud import Cloud

# ---------------------------------------------------------------- health


def test_health_is_told_to_anybody_without_a_call(api: ModuleType, cloud: Cloud) -> None:
    response = ask(api, a_sample_event("api-get-healthz"))

    assert (response.status, response.document, cloud.calls) == (200, {"status": "ok"}, [])


# ---------------------------------------------------------------- POST


def test_post_accepts_the_job_in_four_calls(api: ModuleType, cloud: Cloud) -> None:
    response = ask(api, a_sample_event("api-post-benchmark"))

    job_id = response.document["job_id"]
    assert response.status == 202
    assert response.document == {"job_id": job_id, "status": "accepted"}
    assert response.headers["location"] == f"/v1/jobs/{job_id}"
    # The last two: the notice of its first event, and the message for its first turn.
    assert cloud.operations == ["Query", "TransactWriteItems", "SendMessage", "SendMessage"]
    assert cloud.store.read(job_id) == a_posted_job(job_id=job_id)
    assert [json.loads(body) for body in cloud.received("notice")] == [{"subject": f"job:{job_id}"}]
    assert [json.loads(body) for body in cloud.received("inference")] == [{"job_id": job_id, "seq": 1}]


TERMS = {key: FLAT[key] for key in ("template_hash", "min_dph", "max_dph", "reliability")}
ACCEPTED: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "least": ({"question": "q", "model": "llama3.1:8b", **SERVER}, KEPT),
    "flat": (FLAT, {**KEPT, **TERMS, "backend_warmup_timeout": 90}),
    "nested without a rental": (
        {"question": "q", "model": "llama3.1:8b", "provisioning": None, **SERVER},
        KEPT,
    ),
    "with everything that means nothing here": (
        {
            **FLAT,
            "backend_type": "openai",
            "kubeconfig": "/home/x/.kube/config",
            "attestation_required": False,
        },
        {**KEPT, **TERMS, "backend_warmup_timeout": 90, "backend_type": "openai"},
    ),
    "nulls": (
        {"question": "q", "model": "llama3.1:8b", "kubeconfig": None, "min_dph": None, **SERVER},
        KEPT,
    ),
    "whole numbers for prices": (
        {"question": "q", "model": "llama3.1:8b", "min_dph": 2, **SERVER},
        {**KEPT, "min_dph": 2.0},
    ),
}


@pytest.mark.parametrize(("body", "kept"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_post_keeps_the_request_as_clients_in_the_field_send_it(
    body: dict[str, object], kept: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    response = post(api, body)

    assert response.status == 202
    assert json.loads(cloud.store.read_request(a_job(job_id=response.document["job_id"]))) == kept


def test_post_takes_a_body_in_base64(api: ModuleType, cloud: Cloud) -> None:
    event = an_http_event("POST", POST, base64.b64encode(json.dumps(FLAT).encode()).decode())

    assert ask(api, {**event, "isBase64Encoded": True}).status == 202


def test_post_accepts_the_job_when_the_queue_is_away(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    cloud.sqs.delete_queue(QueueUrl=cloud.queue_urls["inference"])

    response = post(api, FLAT)

    assert response.status == 202
    clock.advance(60)
    assert cloud.store.find_late(DueClass.MESSAGE, clock.now(), 10) == (response.document["job_id"],)


NO_DICTIONARY = "This is to be a JSON object, in braces; you sent {}."
NO_SERVER = "Name a running model server in backend_url."
NO_PROOF = "No machine here can prove what it is, so attestation_required cannot be honoured."
LEAST = {"question": "q", "model": "llama3.1:8b"}
LISTED = "The API's page, /docs, lists the fields."
TWICE = "Vast.ai's terms are given twice: flat and under provisioning."


REFUSED: dict[str, tuple[object, dict[str, object]]] = {
    "not JSON": (
        "{",
        a_problem(
            400,
            "invalid_json",
            "The body is not JSON at character 2: Expecting property name enclosed in double quotes.",
        ),
    ),
    "nested deeper than can be read": (
        "[" * 100_000,
        a_problem(400, "invalid_json", "The body is nested too deeply."),
    ),
    "a number longer than can be read": (
        '{"min_dph": 1' + "0" * 5000 + "}",
        a_problem(400, "invalid_json", "The body holds a number of too many digits."),
    ),
    "a member twice": (
        '{"question": "q", "model": "m", "max_cost_usd": 1, "max_cost_usd": 100}',
        a_problem(400, "invalid_json", "The body has 'max_cost_usd' twice in one object."),
    ),
    "a member twice, deeper": (
        '{"question": "q", "model": "m", "provisioning": {"vastai": {"max_dph": 1, "max_dph": 9}}}',
        a_problem(400, "invalid_json", "The body has 'max_dph' twice in one object."),
    ),
    "empty": ("", a_wrong_field("", "A JSON object is needed as the body.")),
    "null": ("null", a_wrong_field("", NO_DICTIONARY.format("null"))),
    "list": ([], a_wrong_field("", NO_DICTIONARY.format("a list"))),
    "text": ('"question"', a_wrong_field("", NO_DICTIONARY.format("a text"))),
    "nothing in it": (
        {},
        a_problem(
            422,
            "invalid_request",
            "/question: This field is needed. /model: This field is needed.",
            ("/question", "This field is needed."),
            ("/model", "This field is needed."),
        ),
    ),
    "unknown field": (
        {**FLAT, "modle": "x"},
        a_wrong_field("/modle", "There is no such field. Did you mean 'model'?"),
    ),
    "unknown field with a slash": (
        {**FLAT, "a/b~c": 1},
        a_wrong_field("/a~1b~0c", f"There is no such field. {LISTED}"),
    ),
    "unknown nested field": (
        {**KEPT, "provisioning": {"aws": {}}},
        a_wrong_field("/provisioning/aws", "There is no such field. There are: vastai."),
    ),
    "NaN": (
        '{"question": "q", "model": "m", "min_dph": NaN}',
        a_wrong_field("/min_dph", "Input should be a finite number; you sent nan."),
    ),
    "infinity": (
        '{"question": "q", "model": "m", "min_dph": 1e999}',
        a_wrong_field("/min_dph", "Input should be a finite number; you sent inf."),
    ),
    "half a character": (
        '{"question": "\\ud800", "model": "m"}',
        a_wrong_field(
            "/question", "Input should be a valid string, unable to parse raw data as a unicode string."
        ),
    ),
    "text for a flag": (
        {**FLAT, "vastai": "true"},
        a_wrong_field(
            "/vastai",
            "Input should be a valid boolean; you sent a text. Write true or false, without quotes.",
        ),
    ),
    "text for a number": (
        {**FLAT, "backend_warmup_timeout": "90"},
        a_wrong_field(
            "/backend_warmup_timeout",
            "Input should be a valid integer; you sent a text. Write the number without quotes.",
        ),
    ),
    "number for a text": (
        {**FLAT, "model": 8},
        a_wrong_field("/model", "Input should be a valid string; you sent the number 8."),
    ),
    "flag for a number": (
        {**FLAT, "min_dph": True},
        a_wrong_field("/min_dph", "Input should be a valid number; you sent true."),
    ),
    "object for a text": (
        '{"model": "m", "question": ' + '{"a":' * 100 + "1" + "}" * 101,
        a_wrong_field("/question", "Input should be a valid string; you sent an object."),
    ),
    "unknown kind of server": (
        {**FLAT, "backend_type": "vllm"},
        a_wrong_field("/backend_type", "Input should be 'ollama', 'openai' or 'bedrock'."),
    ),
    "warm-up too short": (
        {**FLAT, "backend_warmup_timeout": -1},
        a_wrong_field("/backend_warmup_timeout", "Input should be greater than or equal to 30; you sent -1."),
    ),
    "terms twice": (
        {**FLAT, "provisioning": {"vastai": {"max_dph": 3.0}}},
        a_wrong_field("", TWICE),
    ),
    "prices crossed": (
        {**FLAT, "min_dph": 4.0},
        a_wrong_field("", "min_dph (4) is above max_dph (3)."),
    ),
    "rental, flat": ({**FLAT, "vastai": True}, a_refusal("vastai_not_available", "/vastai", NO_VASTAI)),
    "rental, nested": (
        {**LEAST, "provisioning": {"vastai": {"min_dph": 2.3, "stop_instance": True}}},
        a_refusal("vastai_not_available", "/provisioning/vastai", NO_VASTAI),
    ),
    "no server": (
        {"question": "q", "model": "m"},
        a_refusal("backend_url_missing", "/backend_url", NO_SERVER),
    ),
    "proof wanted": (
        {**FLAT, "attestation_required": True},
        a_refusal("attestation_not_available", "/attestation_required", NO_PROOF),
    ),
    "private address": (
        {**FLAT, "backend_url": "http://10.0.0.1:11434"},
        a_refusal(
            "address_refused",
            "/backend_url",
            "'10.0.0.1' is in a network to which RUNE does not connect.",
        ),
    ),
    "metadata address": (
        {**FLAT, "backend_url": "http://169.254.169.254/"},
        a_refusal(
            "address_refused",
            "/backend_url",
            "'169.254.169.254' is in a network to which RUNE does not connect.",
        ),
    ),
}


@pytest.mark.parametrize(("body", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_post_says_what_is_wrong_and_touches_nothing(
    body: object, problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    response = post(api, body)

    assert_problem(response, problem)
    assert cloud.calls == []


def test_post_refuses_loopback_when_the_operator_does_not_allow_it(cloud: Cloud) -> None:
    closed = {**cloud.environment, "RUNE_ALLOWED_NETWORKS": ""}

    with loaded("api.handler", closed) as handler:
        response = post(handler, FLAT)

    assert (response.status, response.document["code"]) == (422, "address_refused")


def test_post_refuses_a_body_that_is_no_utf8(api: ModuleType, cloud: Cloud) -> None:
    event = an_http_event("POST", POST, base64.b64encode(b'{"question": "\xff"}').decode())

    response = ask(api, {**event, "isBase64Encoded": True})

    assert_problem(response, a_problem(400, "invalid_json", "The body is not UTF-8: byte 15 is none of its."))


def test_post_refuses_a_body_that_is_no_base64(api: ModuleType, cloud: Cloud) -> None:
    event = an_http_event("POST", POST, "a")

    response = ask(api, {**event, "isBase64Encoded": True})

    assert (response.status, response.document["code"]) == (400, "bad_request")


@pytest.mark.parametrize(("announced", "status"), [(5 * 2**20, 202), (5 * 2**20 + 1, 413)])
def test_post_refuses_a_body_that_is_too_large(
    announced: int, status: int, api: ModuleType, cloud: Cloud
) -> None:
    response = post(api, FLAT, {"content-length": str(announced)})

    assert response.status == status
    if status == 413:
        assert_problem(response, a_problem(413, "body_too_large", "The body is larger than 5120 KiB."))
        assert cloud.calls == []


# ---------------------------------------------------------------- who calls


ADMITTED: dict[str, dict[str, str]] = {
    "bearer": {"authorization": f"Bearer {TOKEN}"},
    "bearer in lower case": {"authorization": f"bearer {TOKEN}"},
    "key": {"x-api-key": TOKEN},
    "both": {"authorization": f"Bearer {TOKEN}", "x-api-key": TOKEN},
    "both with the tenant": {
        "authorization": f"Bearer {TOKEN}",
        "x-api-key": TOKEN,
        "x-tenant-id": "default",
    },
}
HOW = "Send Authorization: Bearer <token>, or X-API-Key: <token>."
NOT_BEARER = f"Authorization does not begin with `Bearer`. {HOW}"
TWO_TOKENS = "Authorization and X-API-Key hold different tokens. Send one of them, or the same in both."
NAMED = "The token is not one of the tenant that X-Tenant-ID names."
NO_NAME = (
    "X-Tenant-ID is no tenant's name: 1 to 64 letters, digits, `_`, `.` and `-`, "
    "of which the first is a letter or a digit."
)
SHORT = f"{UNAUTHORIZED} It has fewer than 32 characters; tokens have more."
HASHED = f"{UNAUTHORIZED} What was sent looks like a token's hash; send the token itself."

TURNED_AWAY: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, NO_TOKEN),
    "scheme alone": ({"authorization": "Bearer"}, NO_TOKEN),
    "an empty key": ({"x-api-key": ""}, NO_TOKEN),
    "nothing for a tenant that cannot exist": ({"x-tenant-id": "../default"}, NO_TOKEN),
    "wrong scheme": ({"authorization": f"Basic {TOKEN}"}, NOT_BEARER),
    "no scheme": ({"authorization": TOKEN}, NOT_BEARER),
    "two tokens": ({"authorization": f"Bearer {TOKEN}", "x-api-key": ACMES_TOKEN}, TWO_TOKENS),
    "a tenant that cannot exist": (
        {"authorization": f"Bearer {TOKEN}", "x-tenant-id": "../default"},
        NO_NAME,
    ),
}
TRIED_IN_VAIN: dict[str, tuple[dict[str, str], str]] = {
    "wrong token": ({"authorization": f"Bearer {TOKEN}x"}, UNAUTHORIZED),
    "beginning of the token": ({"authorization": f"Bearer {TOKEN[:-1]}"}, UNAUTHORIZED),
    "another tenant's token": ({"authorization": f"Bearer {ACMES_TOKEN}"}, UNAUTHORIZED),
    "a token that is no ASCII": ({"authorization": "Bearer " + "é" * 40}, UNAUTHORIZED),
    "a short token": ({"x-api-key": "t" * 31}, SHORT),
    "a hash": ({"x-api-key": a_hash(TOKEN)}, HASHED),
    "a bare hash": ({"x-api-key": a_hash(TOKEN).removeprefix("sha256:")}, HASHED),
    "another tenant's name": ({"authorization": f"Bearer {TOKEN}", **OF_ACME}, NAMED),
    # The same words as for one that does.
    "a tenant that does not exist": ({"authorization": f"Bearer {TOKEN}", "x-tenant-id": "nobody"}, NAMED),
}
CALLS = {
    "post": ("POST", POST, FLAT),
    "get": ("GET", JOB, None),
    "events": ("GET", f"{JOB}/events", None),
    "delete": ("DELETE", JOB, None),
}


@pytest.mark.parametrize("headers", ADMITTED.values(), ids=ADMITTED.keys())
def test_caller_is_admitted_when_the_token_is_the_tenants(
    headers: dict[str, str], api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_job())

    assert ask(api, an_http_event("GET", JOB, None, headers, token=None)).status == 200


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("offered", TURNED_AWAY.values(), ids=TURNED_AWAY.keys())
def test_caller_is_told_what_is_missing_and_costs_nothing_when_there_is_nothing_to_compare(
    offered: tuple[dict[str, str], str],
    call: tuple[str, str, object],
    api: ModuleType,
    cloud: Cloud,
    address: str,
) -> None:
    put(cloud, a_job())
    method, path, body = call
    headers, sentence = offered

    response = ask(api, an_http_event(method, path, body, headers, token=None, address=address))

    assert_problem(response, a_problem(401, "unauthorized", sentence))
    assert response.headers["www-authenticate"] == 'Bearer realm="rune"'
    assert cloud.operations == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("offered", TRIED_IN_VAIN.values(), ids=TRIED_IN_VAIN.keys())
def test_caller_is_turned_away_for_one_write_when_the_token_is_not_the_tenants(
    offered: tuple[dict[str, str], str],
    call: tuple[str, str, object],
    api: ModuleType,
    cloud: Cloud,
    address: str,
) -> None:
    put(cloud, a_job())
    method, path, body = call
    headers, sentence = offered

    response = ask(api, an_http_event(method, path, body, headers, token=None, address=address))

    assert_problem(response, a_problem(401, "unauthorized", sentence))
    assert response.headers["www-authenticate"] == 'Bearer realm="rune"'
    assert cloud.operations == ["PutItem"]
    assert cloud.calls[0].arguments["Item"]["pk"] == {"S": f"LIMIT#{address}"}


@pytest.mark.parametrize("body", [{}, {"nonsense": 1}, "null", "{", "[" * 100_000])
def test_caller_is_turned_away_before_the_body_is_judged(
    body: object, api: ModuleType, cloud: Cloud, address: str
) -> None:
    response = ask(api, an_http_event("POST", POST, body, token=None, address=address))

    assert_problem(response, a_problem(401, "unauthorized", NO_TOKEN))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/nothing"), ("GET", f"{JOB}/x"), ("PUT", JOB)]
)
def test_stranger_does_not_learn_which_paths_there_are(
    method: str, path: str, api: ModuleType, cloud: Cloud, address: str
) -> None:
    response = ask(api, an_http_event(method, path, token=None, address=address))

    assert_problem(response, a_problem(401, "unauthorized", NO_TOKEN))


def test_anybody_is_admitted_when_the_operator_says_so(cloud: Cloud) -> None:
    environment = {**cloud.environment, "RUNE_API_TOKENS": "", "RUNE_API_AUTH_DISABLED": "true"}

    with loaded("api.handler", environment) as handler:
        response = ask(handler, an_http_event("POST", POST, FLAT, OF_ACME, token=None))
        no_tenants = ask(handler, an_http_event("POST", POST, FLAT, {"x-tenant-id": "../a"}, token=None))

    assert_problem(no_tenants, a_problem(401, "unauthorized", NO_NAME))
    assert response.status == 202
    stored = cloud.store.read(response.document["job_id"])
    assert stored
    assert stored.tenant == "acme"


@pytest.mark.parametrize(("method", "path"), [("GET", JOB), ("GET", f"{JOB}/events"), ("DELETE", JOB)])
@pytest.mark.parametrize(
    "job", [a_job(), a_waiting_job(), an_ended_job()], ids=["queued", "running", "ended"]
)
def test_another_tenants_job_does_not_exist(
    job: Job, method: str, path: str, api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, job)

    response = ask(api, an_http_event(method, path, None, OF_ACME, token=ACMES_TOKEN))

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))
    assert cloud.store.read(JOB_ID) == job
    assert cloud.received("inference") == []


# ---------------------------------------------------------------- GET


RECORDS: dict[str, tuple[Job, dict[str, object]]] = {
    "queued": (a_job(), a_record()),
    "answering": (
        a_claimed_job(step=StepName.MEASURE, failures=1, progress={"chunks": 7}, updated_at=after(2.5)),
        a_record(
            status="running",
            message="The model is being measured.",
            progress={"step": "measure", "try": 2, "chunks": 7},
            started_at="2026-11-23T12:00:00Z",
            updated_at="2026-11-23T12:00:02.500000Z",
        ),
    ),
    "failed": (
        an_ended_job(Status.FAILED, failure=a_failure()),
        a_record(
            status="failed",
            message="The answer broke off.",
            progress={"step": "measure", "try": 1},
            started_at="2026-11-23T12:00:00Z",
            finished_at="2026-11-23T12:01:00Z",
            error="The answer broke off.",
            error_code="stream_truncated",
            error_stage="measure",
            error_retryable=True,
        ),
    ),
}


@pytest.mark.parametrize(("job", "record"), RECORDS.values(), ids=RECORDS.keys())
def test_get_returns_where_the_job_stands_in_one_call(
    job: Job, record: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, job)

    response = ask(api, a_sample_event("api-get-job"))

    assert (response.status, response.document) == (200, record)
    assert cloud.operations == ["BatchGetItem"]
    (keys,) = [batch["Keys"] for batch in cloud.calls[0].arguments["RequestItems"].values()]
    assert [key["sk"]["S"] for key in keys] == ["JOB", "RESULT", "REQUEST", "LIMIT"]


@pytest.mark.parametrize(
    ("answer", "calls"),
    [("Two pods crash.", ["BatchGetItem"]), ("é" * 400_000, ["BatchGetItem", "GetObject"])],
    ids=["small", "large"],
)
def test_get_returns_the_result_in_at_most_two_calls(
    answer: str, calls: list[str], api: ModuleType, cloud: Cloud
) -> None:
    job = a_claimed_job(step=StepName.MEASURE)
    put(cloud, job)
    cloud.store.commit(job, make_transition(job, Done(json.dumps({"answer": answer})), after(9), 5))
    cloud.calls.clear()

    response = ask(api, a_sample_event("api-get-job"))

    assert response.document == a_record(
        status="succeeded",
        message="Done.",
        progress={"step": "measure", "try": 1},
        updated_at="2026-11-23T12:00:09Z",
        started_at="2026-11-23T12:00:00Z",
        finished_at="2026-11-23T12:00:09Z",
        result={"answer": answer},
    )
    assert cloud.operations == calls


def test_get_events_returns_the_history_in_two_calls(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(attempts=2)
    put(cloud, job)
    cloud.store.commit(job, make_transition(job, Next(StepName.WARM_UP), after(0.25), 120))
    cloud.calls.clear()

    response = ask(api, a_sample_event("api-get-events"))

    quiet: dict[str, object] = {"status": "ok", "duration_ms": None, "error_type": None, "labels": {}}
    lost = {"status": "error", "duration_ms": None, "error_type": "worker_lost"}
    assert (response.status, cloud.operations) == (200, ["GetItem", "Query"])
    assert response.document == {
        "job_id": JOB_ID,
        "events": [
            {
                "id": 1,
                "event": "job.accepted",
                **quiet,
                "recorded_at": 1795435200.0,
                "timestamp": "2026-11-23T12:00:00Z",
            },
            {
                "id": 2,
                "event": "worker.lost",
                **lost,
                "labels": {"step": "check", "lost": "1"},
                "recorded_at": 1795435200.25,
                "timestamp": "2026-11-23T12:00:00.250000Z",
            },
            {
                "id": 3,
                "event": "backend.list_models",
                **quiet,
                "duration_ms": 120,
                "labels": {"step": "check", "try": "1"},
                "recorded_at": 1795435200.25,
                "timestamp": "2026-11-23T12:00:00.250000Z",
            },
        ],
    }


@pytest.mark.parametrize(("method", "path"), [("GET", JOB), ("GET", f"{JOB}/events"), ("DELETE", JOB)])
def test_job_does_not_exist_when_its_time_is_over(
    method: str, path: str, api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put(cloud, a_job())
    clock.advance(30 * 86400)

    response = ask(api, an_http_event(method, path))

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


# ---------------------------------------------------------------- DELETE


def test_delete_cancels_at_once_when_nobody_has_begun(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    response = ask(api, a_sample_event("api-delete-job"))

    assert (response.status, response.document) == (
        202,
        a_record(
            status="cancelled",
            message="Cancelled, as was asked.",
            finished_at="2026-11-23T12:00:00Z",
            display="The job was cancelled: nothing was rented.",
            request=None,
            cancelled_by="token:env-1",
        ),
    )
    assert cloud.received("inference") == []


def test_delete_asks_to_stop_when_the_job_has_begun(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_waiting_job())

    response = ask(api, a_sample_event("api-delete-job"))

    assert cloud.operations == ["GetItem", "BatchGetItem", "UpdateItem", "SendMessage"]
    assert (response.status, response.document) == (
        202,
        a_record(
            status="running",
            message="Stopping, as was asked.",
            request=None,
            cancelled_by="token:env-1",
            progress={"step": "warm_up", "try": 1},
            started_at="2026-11-23T12:00:00Z",
        ),
    )
    assert [json.loads(body) for body in cloud.received("money")] == [{"job_id": JOB_ID, "seq": 2}]


def test_second_delete_sends_no_second_message(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_waiting_job())
    first = ask(api, a_sample_event("api-delete-job"))
    cloud.calls.clear()

    again = ask(api, a_sample_event("api-delete-job"))

    assert (again.status, again.document) == (202, first.document)
    assert cloud.operations == ["GetItem", "BatchGetItem"]


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_delete_is_refused_when_the_job_has_ended(status: Status, api: ModuleType, cloud: Cloud) -> None:
    put(cloud, an_ended_job(status))

    response = ask(api, a_sample_event("api-delete-job"))

    assert_problem(response, a_problem(409, "job_finished", f"Job '{JOB_ID}' has already ended: {status}."))
    assert cloud.store.read(JOB_ID) == an_ended_job(status)


# ---------------------------------------------------------------- everything else that may arrive


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{JOB}/events", "GET"),
        ("DELETE", f"{JOB}/events", "GET"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_method_is_refused_with_those_that_are_allowed(
    method: str, path: str, allowed: str, api: ModuleType
) -> None:
    # Without it a POST counts as one with a body, whose type is then missing.
    response = ask(api, an_http_event(method, path, None, {"content-length": "0"}))

    assert_problem(
        response, a_problem(405, "method_not_allowed", f"{path} takes {allowed} and not {method}.")
    )
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/", None),
        ("/nothing", None),
        ("/v1", None),
        ("/v1/jobs/", "/v1/jobs"),
        ("/V1/jobs", "/v1/jobs"),
        ("/v1//jobs", "/v1/jobs"),
        ("/healthz/", "/healthz"),
        (f"{JOB}/", "/v1/jobs/{job_id}"),
        (f"{JOB}/x", None),
        (f"{JOB}/evnts", "/v1/jobs/{job_id}/events"),
    ],
)
def test_unknown_path_is_a_problem_and_no_redirect(path: str, nearest: str | None, api: ModuleType) -> None:
    response = ask(api, an_http_event("GET", path))

    hint = f" Did you mean {nearest}?" if nearest else ""
    assert_problem(response, a_problem(404, "not_found", f"There is nothing at {path}.{hint}"))


ODD_HEADERS = [
    {"host": "[::1]"},
    {"host": "[::1]:8080"},
    {"host": "a:b"},
    {"host": "a:"},
    {"x-forwarded-port": "https"},
    {"x-forwarded-port": "443,80"},
    {"host": "\ud800"},
]


@pytest.mark.parametrize("headers", ODD_HEADERS, ids=repr)
def test_odd_headers_are_a_problem_and_no_crash(headers: dict[str, str], api: ModuleType) -> None:
    response = ask(api, an_http_event("GET", "/healthz", None, headers))

    assert_problem(response, a_problem(400, "bad_request", "The request's headers cannot be read."))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_outage_of_the_store_asks_to_come_again(
    call: tuple[str, str, object], api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(BaseClient, "_make_api_call", fail)

    response = ask(api, an_http_event(*call))

    assert_problem(response, a_problem(503, "store_unavailable", "The table cannot be reached now."))
    assert response.headers["retry-after"] == "1"


def test_unforeseen_error_says_nothing_of_itself(
    api: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_arguments: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(api.app.state.services.jobs, "find", crash)

    response = ask(api, a_sample_event("api-get-job"))

    sentence = "RUNE failed; the log has the details."
    assert_problem(response, a_problem(500, "internal_error", sentence))
    assert "request.crashed" in [record.msg for record in caplog.records]
    assert logging.getLogger("api.problems").isEnabledFor(logging.INFO)


# ---------------------------------------------------------------- start


def test_start_takes_the_tokens_out_of_the_environment(cloud: Cloud) -> None:
    with loaded("api.handler", cloud.environment):
        assert "RUNE_API_TOKENS" not in os.environ


@pytest.mark.parametrize(
    "missing",
    [
        "RUNE_STAGE",
        "RUNE_TABLE",
        "RUNE_BUCKET",
        "RUNE_MONEY_QUEUE_URL",
        "RUNE_RETENTION_DAYS",
        "RUNE_INFERENCE_QUEUE_URL",
        "RUNE_NOTICE_QUEUE_URL",
        "RUNE_QUEUE_TIMEOUT_SECONDS",
        "RUNE_MAX_RUNTIME_SECONDS",
        "RUNE_MAX_COST_USD",
        "RUNE_SPENDING_LIMITS",
        "RUNE_RUNNING_JOBS",
        "RUNE_TENANT_POLLS_PER_SECOND",
        "RUNE_TENANT_SUBMITS_PER_SECOND",
        "RUNE_API_TOKENS",
    ],
)
def test_start_is_refused_when_a_setting_is_missing(missing: str, cloud: Cloud) -> None:
    environment = {**cloud.environment, missing: ""}

    with pytest.raises(SettingsError, match=missing), loaded("api.handler", environment):
        pass
