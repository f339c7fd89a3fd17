"""What is sent, and when it is sent again."""

from __future__ import annotations

import logging

import httpx
import pytest

from rune_client import (
    ApiError,
    BudgetError,
    ConflictError,
    InvalidArgumentError,
    NetworkError,
    NotAuthorizedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RuneClient,
    ServerError,
    UnreadableAnswerError,
)
from tests.client.scripted import JOB_ID, TOKEN, Script, VirtualTime, a_client, document, problem

ACCEPTED = document({"job_id": JOB_ID, "status": "accepted"}, 202)
JOB = document({"job_id": JOB_ID, "status": "running"})
HTML = httpx.Response(503, html="<html>Back soon</html>")


def test_submission_has_a_key_which_stays_while_it_is_sent_again() -> None:
    script = Script(httpx.ReadError("gone"), HTML, ACCEPTED)

    answer = a_client(script).submit("benchmark", {"question": "2 + 2?"})

    assert answer["job_id"] == JOB_ID
    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert len(script.requests) == 3
    assert len(keys) == 1
    assert len(keys.pop().strip('"')) == 32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_number_that_json_does_not_have_is_refused_before_anything_is_sent(value: float) -> None:
    script = Script(ACCEPTED)

    with pytest.raises(
        InvalidArgumentError, match=r"^/workload/concurrency/1 is (nan|inf); it must be a finite"
    ):
        a_client(script).submit("benchmark", {"workload": {"concurrency": [1, value]}})

    assert script.requests == []


def test_each_submission_has_another_key() -> None:
    script = Script(ACCEPTED)
    client = a_client(script)

    for _ in range(2):
        client.submit("benchmark", {})

    assert len({request.headers["Idempotency-Key"] for request in script.requests}) == 2


def test_own_key_is_quoted_as_a_comma_would_part_it() -> None:
    script = Script(ACCEPTED)

    a_client(script).submit("benchmark", {}, idempotency_key="nightly, main")

    assert script.requests[0].headers["Idempotency-Key"] == '"nightly, main"'


@pytest.mark.parametrize("key", ["", " a", 'a"b', "ä", "x" * 256])
def test_what_is_no_key_is_refused_before_anything_is_sent(key: str) -> None:
    script = Script(ACCEPTED)

    with pytest.raises(InvalidArgumentError, match="idempotency key"):
        a_client(script).submit("benchmark", {}, idempotency_key=key)

    assert script.requests == []


def test_lost_submission_tells_its_key() -> None:
    script = Script(httpx.ReadTimeout("slow"))

    with pytest.raises(NetworkError) as raised:
        a_client(script, retries=2).submit("benchmark", {}, idempotency_key="k1")

    assert raised.value.idempotency_key == "k1"
    assert raised.value.may_have_arrived
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "failure",
    [httpx.ReadError("gone"), httpx.ConnectError("refused"), HTML, problem(429, "too_many_submits")],
)
def test_what_has_no_key_is_sent_once(failure: httpx.Response | Exception) -> None:
    script = Script(failure, document({"webhook_id": "w"}, 201))

    with pytest.raises((NetworkError, ServerError, RateLimitedError)):
        a_client(script).create_webhook("https://example.org/hook")

    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_refusal_is_not_sent_again(status: int) -> None:
    script = Script(problem(status, "some_code"))

    with pytest.raises(ApiError):
        a_client(script).job(JOB_ID)

    assert len(script.requests) == 1


def test_pauses_grow() -> None:
    time = VirtualTime()

    with pytest.raises(ServerError):
        a_client(Script(HTML), time, retries=4).job(JOB_ID)

    assert time.pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("headers", "pause_seconds"),
    [
        ({"Retry-After": "7"}, 7.5),
        (
            {
                "Retry-After": "Mon, 30 Nov 2026 21:00:09 GMT",
                "Date": "Mon, 30 Nov 2026 21:00:00 GMT",
            },
            9.5,
        ),
        ({"Retry-After": "Mon, 30 Nov 2020 21:00:09 GMT"}, 0.5),
        ({"Retry-After": "soon"}, 0.5),
        ({"Retry-After": "-3"}, 0.5),
    ],
)
def test_retry_after_is_kept(headers: dict[str, str], pause_seconds: float) -> None:
    time, refused = VirtualTime(), problem(429, "too_many_polls")
    refused.headers.update(headers)

    a_client(Script(refused, JOB), time).job(JOB_ID)

    assert time.pauses == [pause_seconds]


def test_retry_after_beyond_the_deadline_is_told_at_once() -> None:
    time, refused = VirtualTime(), problem(429, "too_many_waiting_jobs")
    refused.headers["Retry-After"] = "600"

    with pytest.raises(RateLimitedError) as raised:
        a_client(Script(refused), time).submit("benchmark", {})

    assert raised.value.retry_after_seconds == 600
    assert time.pauses == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(400, "invalid_json"), RefusedError),
        (problem(401, "unauthorized"), NotAuthorizedError),
        (problem(402, "budget_exhausted"), BudgetError),
        (problem(403, "insufficient_scope"), NotAuthorizedError),
        (problem(404, "job_not_found"), NotFoundError),
        (problem(409, "stopped"), ConflictError),
        (problem(412, "precondition_failed"), ConflictError),
        (problem(422, "cost_cap_too_low"), BudgetError),
        (problem(422, "invalid_request"), RefusedError),
        (problem(429, "too_many_polls"), RateLimitedError),
        (problem(500, "internal_error"), ServerError),
        (problem(503, "store_unavailable"), ServerError),
        (document([]), UnreadableAnswerError),
        (httpx.Response(200, html="<html>Sign in to the hotel's network</html>"), UnreadableAnswerError),
        (httpx.Response(200), UnreadableAnswerError),
        (httpx.Response(302, headers={"Location": "https://elsewhere.test/"}), UnreadableAnswerError),
    ],
)
def test_error_has_the_class_of_its_code(answer: httpx.Response, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as raised:
        a_client(Script(answer), retries=0).job(JOB_ID)

    assert type(raised.value) is kind


def test_error_tells_all_that_the_problem_tells() -> None:
    wrong = [{"pointer": "/model", "detail": "is missing"}]
    script = Script(problem(422, "invalid_request", "`model` is missing.", errors=wrong))

    with pytest.raises(RefusedError) as raised:
        a_client(script).submit("benchmark", {})

    error = raised.value
    assert str(error) == "`model` is missing. (422 invalid_request, request r-1)"
    assert (error.code, error.pointer, error.errors, error.request_id) == (
        "invalid_request",
        "/model",
        wrong,
        "r-1",
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (document({"message": "Service Unavailable"}, 503), "Service Unavailable (503)"),
        (HTML, f"The answer to GET /v1/jobs/{JOB_ID} was 503 Service Unavailable. (503)"),
        (httpx.Response(599), f"The answer to GET /v1/jobs/{JOB_ID} was 599. (599)"),
    ],
)
def test_error_that_is_not_runes_is_a_sentence_too(answer: httpx.Response, sentence: str) -> None:
    with pytest.raises(ServerError) as raised:
        a_client(Script(answer), retries=0).job(JOB_ID)

    assert str(raised.value) == sentence
    assert raised.value.code is None


def test_token_is_sent_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = Script(httpx.ReadError("gone"))
    client = a_client(script, tenant="acme", retries=1)

    with pytest.raises(NetworkError) as raised:
        client.submit("benchmark", {})

    sent = script.requests[0].headers
    assert (sent["Authorization"], sent["X-Tenant-ID"]) == (f"Bearer {TOKEN}", "acme")
    shown = f"{client!r} {client._http!r} {raised.value!r} {raised.value} {raised.value.__cause__!r} {caplog.text}"
    assert TOKEN not in shown


@pytest.mark.parametrize("token", ["", "qq zz", "qqézz", "qqzz\n"])
def test_token_that_makes_no_header_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        RuneClient("https://rune.test", token)

    assert "qq" not in str(raised.value)


@pytest.mark.parametrize(
    "base_url",
    ["rune.test", "ftp://rune.test", "https://", "https://u:p@rune.test", "https://rune.test/?a=b"],
)
def test_base_url_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="base URL"):
        RuneClient(base_url, TOKEN)


@pytest.mark.parametrize("job_id", ["", " ", ".", ".."])
def test_id_that_leads_elsewhere_is_refused(job_id: str) -> None:
    with pytest.raises(InvalidArgumentError, match="id of the job"):
        a_client(Script(JOB)).cancel(job_id)


def test_id_stays_one_part_of_the_path() -> None:
    script = Script(JOB)

    RuneClient("https://rune.test/prod/", TOKEN, transport=script).job("a/../b")

    assert script.requests[0].url.raw_path == b"/prod/v1/jobs/a%2F..%2Fb"


def test_raw_request_returns_errors_too() -> None:
    script = Script(problem(404, "not_found"))

    response = a_client(script).request("get", "v1/unknown?a=1")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert str(script.requests[0].url) == "https://rune.test/v1/unknown?a=1"


@pytest.mark.parametrize(("headers", "count"), [({}, 1), ({"idempotency-key": "k"}, 3)])
def test_raw_post_is_sent_again_with_a_key_alone(headers: dict[str, str], count: int) -> None:
    script = Script(HTML)

    response = a_client(script, retries=2).request("POST", "/v1/jobs/benchmark", json={}, headers=headers)

    assert response.status_code == 503
    assert len(script.requests) == count


def test_query_has_what_was_given_and_nothing_else() -> None:
    script = Script(document({"jobs": [], "next_cursor": None}))

    assert list(a_client(script).jobs(status="failed", metadata={"team": "a", "run": "b"})) == []

    assert script.requests[0].url.query == b"status=failed&metadata=team%3Aa&metadata=run%3Ab"
