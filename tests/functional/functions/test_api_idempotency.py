from __future__ import annotations

import json
from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.builders import FakeClock, an_http_event
from tests.cloud import TABLE
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    FLAT,
    OF_ACME,
    POST,
    SERVER,
    Response,
    a_problem,
    a_refusal,
    ask,
    assert_problem,
    get,
    post,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

KEY = {"idempotency-key": "my-key"}
REPLAYED = "idempotency-replayed"
REUSED = a_problem(422, "idempotency_key_reused", "The Idempotency-Key came before, with another request.")


def job_of(response: Response) -> str:
    assert response.status == 202
    job_id: str = response.document["job_id"]
    return job_id


def keys_kept(cloud: Cloud) -> list[dict[str, object]]:
    return [row for row in cloud.rows() if row["pk"]["S"].startswith("KEY#")]


def change_key(cloud: Cloud, stored: dict[str, str | None]) -> None:
    """Give the row of the one key other fingerprints, or take them away."""
    (row,) = keys_kept(cloud)
    changed = {name: value for name, value in row.items() if name not in stored}
    changed |= {name: {"S": value} for name, value in stored.items() if value is not None}
    cloud.dynamodb.put_item(TableName=TABLE, Item=changed)  # type: ignore[arg-type]  # as it was read


# ---------------------------------------------------------------- the same request


def test_same_request_is_the_same_job_and_sends_no_second_message(api: ModuleType, cloud: Cloud) -> None:
    first = post(api, FLAT, KEY)
    cloud.calls.clear()
    second = post(api, FLAT, KEY)

    assert (second.status, second.document) == (202, first.document)
    assert second.headers["location"] == first.headers["location"]
    assert (first.headers.get(REPLAYED), second.headers.get(REPLAYED)) == (None, "true")
    assert cloud.operations == ["Query", "TransactWriteItems"]
    assert [json.loads(body) for body in cloud.received("inference")] == [{"job_id": job_of(first), "seq": 1}]
    assert len(get(api, "/v1/jobs").document["jobs"]) == 1


def test_requests_without_a_key_are_jobs_of_their_own(api: ModuleType, cloud: Cloud) -> None:
    assert job_of(post(api, FLAT)) != job_of(post(api, FLAT))
    assert keys_kept(cloud) == []


SPELLINGS: dict[str, object] = {
    "members in another order": dict(reversed(FLAT.items())),
    "defaults written out": {**FLAT, "backend_type": "ollama", "timeout_seconds": 600},
    "nulls": {**FLAT, "provisioning": None},
    "whole numbers": {**FLAT, "max_dph": 3},
    "a path that means nothing here": {**FLAT, "kubeconfig": "/home/x/.kube/config"},
    "another spelling of the address": {**FLAT, "backend_url": "HTTP://127.0.0.1:11434/"},
    "white space": json.dumps(FLAT, indent=4),
}


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_request_is_the_same_when_it_means_the_same(body: object, api: ModuleType, cloud: Cloud) -> None:
    first, second = post(api, FLAT, KEY), post(api, body, KEY)

    assert (job_of(second), second.headers.get(REPLAYED)) == (job_of(first), "true")


def test_key_is_the_same_bare_and_quoted(api: ModuleType, cloud: Cloud) -> None:
    keys = ["my-key", '"my-key"', "  my-key  ", ' "my-key" ']

    jobs = {job_of(post(api, FLAT, {"idempotency-key": key})) for key in keys}

    assert len(jobs) == 1


def test_key_is_told_from_another_case(api: ModuleType, cloud: Cloud) -> None:
    jobs = {job_of(post(api, FLAT, {"idempotency-key": key})) for key in ("my-key", "My-Key", "my-key2")}

    assert len(jobs) == 3


def test_key_itself_is_not_stored(api: ModuleType, cloud: Cloud) -> None:
    post(api, FLAT, {"idempotency-key": "perhaps-a-secret"})

    assert len(keys_kept(cloud)) == 1
    assert "perhaps-a-secret" not in str(cloud.rows())


# ---------------------------------------------------------------- another version


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({"fingerprint": "another"}, id="one with other defaults or fields"),
        pytest.param({"sent_fingerprint": "another"}, id="one that spells what was sent in another way"),
        pytest.param({"sent_fingerprint": None}, id="an earlier one, which did not keep what was sent"),
    ],
)
def test_request_is_the_same_when_another_version_took_it_first(
    stored: dict[str, str | None], api: ModuleType, cloud: Cloud
) -> None:
    first = job_of(post(api, FLAT, KEY))
    change_key(cloud, stored)

    second = post(api, dict(reversed(FLAT.items())), KEY)

    assert (job_of(second), second.headers.get(REPLAYED)) == (first, "true")
    assert_problem(post(api, {**FLAT, "question": "another"}, KEY), REUSED)


# ---------------------------------------------------------------- another request


OTHERS: dict[str, object] = {
    "question": {**FLAT, "question": "another"},
    "model": {**FLAT, "model": "llama3.1:70b"},
    "server": {**FLAT, "backend_url": "http://127.0.0.2:11434"},
    "a default": {**FLAT, "backend_warmup": False},
    "fewer": {key: value for key, value in FLAT.items() if key != "template_hash"},
}


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS.keys())
def test_key_is_refused_with_another_request(body: object, api: ModuleType, cloud: Cloud) -> None:
    first = job_of(post(api, FLAT, KEY))
    cloud.received("inference")

    assert_problem(post(api, body, KEY), REUSED)
    assert cloud.received("inference") == []
    assert [job["job_id"] for job in get(api, "/v1/jobs").document["jobs"]] == [first]


def test_request_that_is_refused_does_not_use_up_its_key(api: ModuleType, cloud: Cloud) -> None:
    assert post(api, {**FLAT, "vastai": True}, KEY).status == 422

    assert REPLAYED not in post(api, FLAT, KEY).headers


# ---------------------------------------------------------------- the header's other name


@pytest.mark.parametrize(
    "headers",
    [
        {"x-idempotency-key": "my-key"},
        {"x-idempotency-key": '"my-key"'},
        {**KEY, "x-idempotency-key": "my-key"},
    ],
    ids=["alone", "quoted", "beside its equal"],
)
def test_key_is_the_same_by_the_headers_other_name(
    headers: dict[str, str], api: ModuleType, cloud: Cloud
) -> None:
    assert job_of(post(api, FLAT, headers)) == job_of(post(api, FLAT, KEY))


def test_two_different_keys_are_refused_and_make_no_job(api: ModuleType, cloud: Cloud) -> None:
    response = post(api, FLAT, {**KEY, "x-idempotency-key": "another"})

    sentence = "Idempotency-Key and X-Idempotency-Key are two different keys; send one of them."
    assert_problem(response, a_problem(400, "idempotency_keys_differ", sentence))
    assert cloud.rows() == []


# ---------------------------------------------------------------- scope


def test_key_is_its_tenants_own(api: ModuleType, cloud: Cloud) -> None:
    own = post(api, FLAT, KEY)
    theirs = post(api, {**FLAT, "question": "theirs"}, {**KEY, **OF_ACME}, token=ACMES_TOKEN)

    assert job_of(own) != job_of(theirs)
    assert REPLAYED not in theirs.headers


def test_key_is_of_its_kind_of_job_whatever_the_name_of_the_route(api: ModuleType, cloud: Cloud) -> None:
    agent = {"question": "q", "model": "m", **SERVER}
    jobs = {
        path: job_of(post(api, body, KEY, path))
        for path, body in [
            (POST, FLAT),
            ("/v1/jobs/agentic-agent", agent),
            ("/v1/jobs/llm-instance", SERVER),
            ("/v1/jobs/ollama-instance", SERVER),
        ]
    }

    assert jobs["/v1/jobs/ollama-instance"] == jobs["/v1/jobs/llm-instance"]
    assert len(set(jobs.values())) == 3


# ---------------------------------------------------------------- time


def test_key_stands_a_day_longer_than_its_job_and_is_then_taken_anew(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    first = job_of(post(api, FLAT, KEY))
    clock.advance(31 * 86400)
    late = post(api, FLAT, KEY)
    clock.advance(1)
    anew = post(api, {**FLAT, "question": "another"}, KEY)

    assert (job_of(late), late.headers.get(REPLAYED)) == (first, "true")
    assert get(api, f"/v1/jobs/{first}").status == 404
    assert job_of(anew) != first
    assert REPLAYED not in anew.headers
    assert job_of(post(api, {**FLAT, "question": "another"}, KEY)) == job_of(anew)


def test_key_leaves_the_table_by_itself(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    post(api, FLAT, KEY)

    (row,) = keys_kept(cloud)
    assert row["expires_at"] == {"N": str(int(clock.now().timestamp()) + 31 * 86400)}


# ---------------------------------------------------------------- what a key may be


TAKEN = {
    "one character": "k",
    "longest": "k" * 255,
    "longest, quoted": f'"{"k" * 255}"',
    "a blank inside": "my key",
    "every printable character": "".join(chr(code) for code in range(0x21, 0x7F) if code not in {0x22, 0x2C}),
    "every printable character, quoted": f'"{"".join(chr(code) for code in range(0x21, 0x7F) if code != 0x22)}"',
    "a UUID": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}


@pytest.mark.parametrize("key", TAKEN.values(), ids=TAKEN.keys())
def test_key_is_taken(key: str, api: ModuleType, cloud: Cloud) -> None:
    assert job_of(post(api, FLAT, {"idempotency-key": key}))
    assert len(keys_kept(cloud)) == 1


NOT_TAKEN = {
    "nothing": "",
    "blank": "   ",
    "nothing quoted": '""',
    "too long": "k" * 256,
    "too long, quoted": f'"{"k" * 256}"',
    "very long": "k" * 8000,
    "a quote inside": 'my"key',
    "half quoted": '"my-key',
    "a tab inside": "my\tkey",
    "a line inside": "my\nkey",
    "a null": "my\0key",
    "delete": "my\x7fkey",
    "no ASCII": "schlüssel",
}


@pytest.mark.parametrize("key", NOT_TAKEN.values(), ids=NOT_TAKEN.keys())
def test_key_is_refused(key: str, api: ModuleType, cloud: Cloud) -> None:
    event = an_http_event("POST", POST, FLAT)
    event["headers"] = {**event["headers"], "idempotency-key": key}  # type: ignore[dict-item]  # a dict

    response = ask(api, event)

    sentence = "Idempotency-Key must be 1 to 255 printable ASCII characters."
    assert_problem(response, a_refusal("invalid_idempotency_key", "/header/Idempotency-Key", sentence))
    assert cloud.calls == []


# ---------------------------------------------------------------- at once


def test_hundred_equal_requests_at_once_are_one_job(api: ModuleType, cloud: Cloud) -> None:
    from tests.functional.functions.burst import ask_at_once  # noqa: PLC0415  # loads moto

    responses = ask_at_once(api, [an_http_event("POST", POST, FLAT, KEY) for _ in range(100)])

    assert Counter(response.status for response in responses) == {202: 100}
    assert len({response.document["job_id"] for response in responses}) == 1
    assert Counter(response.headers.get(REPLAYED) for response in responses) == {"true": 99, None: 1}
    assert len(cloud.received("inference")) == 1
    assert len(get(api, "/v1/jobs").document["jobs"]) == 1


def test_of_two_requests_at_once_under_one_key_the_other_is_refused(api: ModuleType, cloud: Cloud) -> None:
    from tests.functional.functions.burst import ask_at_once  # noqa: PLC0415  # loads moto

    bodies = [{**FLAT, "question": f"question {number % 2}"} for number in range(40)]
    responses = ask_at_once(api, [an_http_event("POST", POST, body, KEY) for body in bodies])

    assert Counter(response.status for response in responses) == {202: 20, 422: 20}
    assert len({response.document["job_id"] for response in responses if response.status == 202}) == 1
    assert len(cloud.received("inference")) == 1


@pytest.mark.parametrize("sent", ["one,two", "one, two", '"one","two"', '"one", "two"'])
def test_header_that_came_twice_with_two_keys_is_refused(sent: str, api: ModuleType, cloud: Cloud) -> None:
    cloud.calls.clear()
    refused = post(api, FLAT, {"idempotency-key": sent})

    assert (refused.status, refused.document["code"]) == (400, "idempotency_keys_differ")
    assert cloud.calls == []


@pytest.mark.parametrize("sent", ["one, one", '"one","one"'])
def test_header_that_came_twice_with_the_same_key_is_one(sent: str, api: ModuleType, cloud: Cloud) -> None:
    first = post(api, FLAT, {"idempotency-key": "one"})

    assert post(api, FLAT, {"idempotency-key": sent}).document == first.document


def test_quoted_key_may_hold_a_comma(api: ModuleType, cloud: Cloud) -> None:
    first = post(api, FLAT, {"idempotency-key": '"one,two"'})

    assert first.status == 202
    assert post(api, FLAT, {"idempotency-key": '"one,two"'}).document == first.document
