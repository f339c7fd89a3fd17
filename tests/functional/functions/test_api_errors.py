"""Whatever arrives, the answer is a 4xx problem with `code` and `error`, and never `detail` alone."""

from __future__ import annotations

import base64
import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from api.body_limit import largest_of
from tests.benchmark_builders import a_result_json
from tests.builders import a_benchmark_request, an_http_event
from tests.functional.functions.asking import (
    BENCHMARK,
    FLAT,
    JOB,
    POST,
    RENTAL,
    SERVER,
    Response,
    a_problem,
    ask,
    assert_problem,
    get,
    post,
    put_result,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

IN_ORDER: dict[str, dict[str, object]] = {
    POST: FLAT,
    "/v1/jobs/agentic-agent": {"question": "q", "model": "m", **SERVER},
    "/v1/jobs/llm-instance": dict(SERVER),
    "/v1/jobs/ollama-instance": dict(SERVER),
    "/v1/estimates": {"vastai": True, "model": "llama3.1:8b"},
    f"{RENTAL}/extend": {"keep_seconds": 60},
    f"{JOB}/links": {"what": "events", "lifetime_seconds": 60},
    f"{BENCHMARK}/links": {"lifetime_seconds": 60},
}
"""A body that is taken, by route."""

A_NUMBER = dict.fromkeys(IN_ORDER, "min_dph") | {
    "/v1/jobs/agentic-agent": "timeout_seconds",
    f"{RENTAL}/extend": "keep_seconds",
    f"{JOB}/links": "lifetime_seconds",
    f"{BENCHMARK}/links": "lifetime_seconds",
}
every_post = pytest.mark.parametrize("path", IN_ORDER)


def assert_is_a_problem(response: Response, *statuses: int) -> None:
    """Hold the form of every error, whatever its words."""
    assert response.status in statuses
    assert response.headers["content-type"] == "application/problem+json"
    members = {"type", "title", "status", "code", "detail", "error"}
    assert members <= response.document.keys() <= members | {"errors", "retry_after_seconds"}
    assert response.document["status"] == response.status
    assert response.document["error"] == response.document["detail"] != ""
    for wrong in response.document.get("errors", []):
        assert wrong.keys() == {"pointer", "detail"}


def with_member(path: str, name: str, value: str) -> str:
    """Return a body in order, with one more member as it stands."""
    body = {key: member for key, member in IN_ORDER[path].items() if key != name}
    return json.dumps(body)[:-1] + f', "{name}": {value}}}'


# ---------------------------------------------------------------- bodies


BODIES = {
    "empty": "",
    "blank": " ",
    "a word": "nothing",
    "half a document": '{"question": ',
    "two documents": "{} {}",
    "a comma too many": '{"question": "q",}',
    "quotes of another kind": "{'question': 'q'}",
    "100,000 brackets": "[" * 100_000,
    "100,000 brackets, closed": "[" * 100_000 + "]" * 100_000,
    "40,000 objects": '{"a":' * 40_000,
    "list": "[]",
    "null": "null",
    "number": "1",
    "text": '"question"',
    "NaN": "NaN",
    "5000 digits": "1" * 5000,
    "half a character": '"\\ud800"',
    "a null byte": '{"question": "\0"}',
}


WITHOUT_NEED_OF_A_BODY = "/v1/benchmarks/"
"""Every member of a page link's request has a default."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(path, body, id=f"{name}-{path}")
        for path in IN_ORDER
        for name, body in BODIES.items()
        if not (path.startswith(WITHOUT_NEED_OF_A_BODY) and body in {"", "null"})
    ],
)
def test_body_that_is_no_document_is_a_problem(body: str, path: str, api: ModuleType, cloud: Cloud) -> None:
    assert_is_a_problem(post(api, body, path=path), 400, 422)
    assert cloud.calls == []


UNREADABLE = ["half a document", "100,000 brackets", "40,000 objects", "5000 digits"]


@every_post
@pytest.mark.parametrize("body", [BODIES[name] for name in UNREADABLE], ids=UNREADABLE)
def test_body_that_cannot_be_parsed_is_no_json(body: str, path: str, api: ModuleType) -> None:
    assert post(api, body, path=path).document["code"] == "invalid_json"


NUMBERS = {
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "larger than a float": "1e999",
    "larger than a float, negative": "-1e999",
    "5000 digits": "1" + "0" * 5000,
    "400 digits": "1" + "0" * 400,
    "a text": '"1"',
    "a flag": "true",
    "an object": "{}",
    "a list": "[1]",
    "negative": "-1",
    "huge": "1e300",
}


@every_post
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS.keys())
def test_number_that_is_none_is_a_problem(number: str, path: str, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, with_member(path, A_NUMBER[path], number), path=path)

    assert_is_a_problem(response, 400, 422)
    assert cloud.calls == []


@every_post
@pytest.mark.parametrize("name", ["modle", "Model", "", " model", "model\u200b", "__class__", "é", "a/b~c"])
def test_unknown_field_is_refused_by_its_name(name: str, path: str, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, {**IN_ORDER[path], name: 1}, path=path)

    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert_is_a_problem(response, 422)
    (wrong,) = response.document["errors"]
    assert wrong["pointer"] == pointer
    assert wrong["detail"].startswith("There is no such field. ")
    assert cloud.calls == []


@every_post
def test_every_wrong_field_is_named(path: str, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, {**IN_ORDER[path], "model": 1, "x": 1, "y": 2}, path=path)

    assert_is_a_problem(response, 422)
    assert {"/x", "/y"} <= {wrong["pointer"] for wrong in response.document["errors"]}


@every_post
def test_body_that_is_no_utf8_is_a_problem(path: str, api: ModuleType, cloud: Cloud) -> None:
    body = json.dumps(IN_ORDER[path]).encode().replace(b"{", b'{"\xff": 1, ', 1)
    event = an_http_event("POST", path, base64.b64encode(body).decode())

    assert_is_a_problem(ask(api, {**event, "isBase64Encoded": True}), 400)


def test_what_was_sent_is_never_repeated(api: ModuleType, cloud: Cloud) -> None:
    response = post(api, a_benchmark_request(model=["a-secret"], question={"a-secret": 1}, vastai="a-secret"))

    assert_is_a_problem(response, 422)
    assert "a-secret" not in str(response.document)


# ---------------------------------------------------------------- type and length


TYPES = [
    "",
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/octet-stream",
    "application/jsonx",
    "json",
    "application/xml",
    ";application/json",
]


@every_post
@pytest.mark.parametrize("media_type", TYPES)
def test_body_of_another_type_is_refused(media_type: str, path: str, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, IN_ORDER[path], {"content-type": media_type}, path)

    sentence = "The body must come as Content-Type: application/json."
    assert_problem(response, a_problem(415, "unsupported_media_type", sentence))
    assert cloud.calls == []


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.rune+json"],
)
def test_body_of_json_is_taken(media_type: str, api: ModuleType, cloud: Cloud) -> None:
    assert post(api, FLAT, {"content-type": media_type}).status == 202


@pytest.mark.parametrize("media_type", ["", "text/plain"])
def test_body_of_another_type_is_refused_when_its_length_was_not_announced(
    media_type: str, api: ModuleType, cloud: Cloud
) -> None:
    assert post(api, FLAT, {"content-type": media_type, "content-length": ""}).status == 415


TOO_LARGE: dict[str, object] = {}
"""413, with the limit of the path."""
NO_NUMBER = a_problem(400, "bad_request", "Content-Length is not a number.")
LENGTHS = {
    "5 MiB and a byte": (str(5 * 2**20 + 1), TOO_LARGE),
    "with zeros before it": ("000" + str(5 * 2**20 + 1), TOO_LARGE),
    "20 digits": ("9" * 20, TOO_LARGE),
    "21 digits": ("1" + "0" * 20, TOO_LARGE),
    "5000 digits": ("9" * 5000, TOO_LARGE),
    "negative": ("-1", NO_NUMBER),
    "a sign": ("+1", NO_NUMBER),
    "a fraction": ("1.5", NO_NUMBER),
    "an exponent": ("1e3", NO_NUMBER),
    "a word": ("chunked", NO_NUMBER),
    "two": ("5, 5", NO_NUMBER),
    "hexadecimal": ("0x10", NO_NUMBER),
    "foreign digits": ("\u0665", NO_NUMBER),
    "underscores": ("1_0", NO_NUMBER),
}


@every_post
@pytest.mark.parametrize(("length", "problem"), LENGTHS.values(), ids=LENGTHS.keys())
def test_length_that_is_no_bodys_is_refused(
    length: str, problem: dict[str, object], path: str, api: ModuleType, cloud: Cloud
) -> None:
    if problem is TOO_LARGE:
        kib = largest_of(path) // 1024
        problem = a_problem(413, "body_too_large", f"The body is larger than {kib} KiB.")

    assert_problem(post(api, IN_ORDER[path], {"content-length": length}, path), problem)


@pytest.mark.parametrize(
    ("path", "most"),
    [("/v1/jobs/benchmark", 5 * 2**20), ("/v1/jobs/llm-instance", 2**20), ("/v1/estimates", 2**18)],
)
def test_body_may_be_as_long_as_its_route_needs(path: str, most: int) -> None:
    assert largest_of(path) == most


def test_body_without_an_announced_length_has_the_length_that_it_has(api: ModuleType, cloud: Cloud) -> None:
    body = '{"region": "' + "a" * 2**18 + '"}'

    assert post(api, body, {"content-length": ""}, "/v1/estimates").status == 413


def test_refusal_of_very_many_mistakes_counts_them(api: ModuleType, cloud: Cloud) -> None:
    refused = post(api, {**FLAT, **{f"unknown{number}": 1 for number in range(100_000)}})

    sentence = "There are 100,000 mistakes in the document, too many to name."
    assert_problem(refused, a_problem(422, "invalid_request", sentence, ("", sentence)))


def test_refusal_names_fifty_mistakes_at_most(api: ModuleType, cloud: Cloud) -> None:
    refused = post(api, {**FLAT, **{f"unknown{number}": 1 for number in range(900)}})

    assert (refused.status, len(refused.document["errors"])) == (422, 50)


def test_length_of_5000_zeros_is_no_length(api: ModuleType, cloud: Cloud) -> None:
    assert get(api, "/healthz", {"content-length": "0" * 5000}).status == 200


# ---------------------------------------------------------------- hosts, paths and methods


HOSTS = ["evil.example", "[", "", "a" * 5000, "localhost:99999", "127.0.0.1", "a.example:443", "xn--nxasmq6b"]


@pytest.mark.parametrize("host", HOSTS)
def test_host_that_the_caller_chose_is_nowhere_in_the_answer(
    host: str, api: ModuleType, cloud: Cloud
) -> None:
    response = post(api, FLAT, {"host": host})

    assert response.status == 202
    assert response.headers["location"] == f"/v1/jobs/{response.document['job_id']}"


@pytest.mark.parametrize("host", ["[::1]", "a:b", "a:", ":", "a:1:2", "\ud800", "a:\u0661x"])
@pytest.mark.parametrize("path", ["/healthz", JOB, "/v1/jobs", "/nothing"])
def test_host_that_cannot_be_read_is_a_problem(host: str, path: str, api: ModuleType, cloud: Cloud) -> None:
    assert_is_a_problem(get(api, path, {"host": host}), 400)
    assert cloud.calls == []


ODD_IDS = ["\0", "..", "a b", "é", "a" * 65, "a" * 5000, "'", "%00", "job\n", "\u202e", "$(id)", "{}"]


@pytest.mark.parametrize("job_id", ODD_IDS, ids=lambda value: repr(value[:20]))
@pytest.mark.parametrize("tail", ["", "/events"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_id_that_cannot_be_one_is_a_problem(
    job_id: str, tail: str, method: str, api: ModuleType, cloud: Cloud
) -> None:
    response = ask(api, an_http_event(method, f"/v1/jobs/{job_id}{tail}"))

    assert_is_a_problem(response, 404, 405)
    assert len(response.document["error"]) < 300


def operations(api: ModuleType) -> dict[str, set[str]]:
    paths = api.app.openapi()["paths"].items()
    return {path: {method.upper() for method in methods} for path, methods in paths}


class AnyId(dict[str, str]):
    """Fills each parameter of a path."""

    def __missing__(self, name: str) -> str:
        return "a"


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"]


@pytest.mark.parametrize("method", METHODS)
def test_every_other_method_is_refused(method: str, api: ModuleType, cloud: Cloud) -> None:
    for path, allowed in operations(api).items():
        # To other methods the last name is an id.
        ids = [("/v1/jobs/", {"GET", "DELETE"}), ("/v1/webhooks/callback-secret", {"PATCH", "DELETE"})]
        if method in allowed or any(path.startswith(start) and method in of for start, of in ids):
            continue
        response = ask(api, an_http_event(method, path.format_map(AnyId()), {}))

        assert_is_a_problem(response, 405)
        assert response.document["code"] == "method_not_allowed"
        assert response.headers["allow"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs", {"GET"}),
        ("/v1/jobs/a/events", {"GET"}),
        ("/v1/estimates", {"POST"}),
        ("/v1/llm/models", {"GET"}),
        ("/v1/metrics/summary", {"GET"}),
        ("/v1/jobs/a", {"GET", "DELETE"}),
        (POST, {"POST"}),
        ("/v1/jobs/ollama-instance", {"POST"}),
        ("/v1/rentals", {"GET"}),
        ("/v1/rentals/a", {"GET", "DELETE"}),
        ("/v1/rentals/a/extend", {"POST"}),
        ("/v1/rentals/a/key", {"POST"}),
        ("/healthz", {"GET"}),
    ],
)
def test_refused_method_names_all_that_are_allowed(
    path: str, allowed: set[str], api: ModuleType, cloud: Cloud
) -> None:
    response = ask(api, an_http_event("PUT", path, {}))

    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("answer", ["\0" * 500_000, "\U0001f600" * 500_000, '"' * 500_000])
def test_longest_answer_that_is_kept_may_leave(answer: str, api: ModuleType, cloud: Cloud) -> None:
    put_result(cloud, json.dumps({**json.loads(a_result_json(None)), "answer": answer}))

    assert get(api, JOB).document["result"]["answer"] == answer


def test_no_answer_leaves_that_lambda_would_refuse(api: ModuleType, cloud: Cloud) -> None:
    put_result(cloud, json.dumps({**json.loads(a_result_json(None)), "answer": "a" * 5 * 2**20}))

    refused = get(api, JOB)

    assert (refused.status, refused.document["code"]) == (422, "answer_too_large")
