"""What the logs tell of a request: who asked for what, what came of it, and who changed what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.builders import JOB_ID, TOKEN, a_job, a_sample_event, an_http_event
from tests.functional.functions.asking import FLAT, JOB, POST, ask, get, post, put
from tests.log_lines import Log, logged

if TYPE_CHECKING:
    from tests.cloud import Cloud

REQUEST = {"request_id": "JKJaXmPLvHcESHA=", "invocation_id": "invocation-1"}
"""What every line of the sample events' request carries."""

CALLER = {"tenant": "default", "token_name": "env-1"}


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def test_answer_is_told_with_its_caller_route_and_job(api: ModuleType, cloud: Cloud, log: Log) -> None:
    put(cloud, a_job())

    get(api, JOB)

    assert log.lines() == [
        {
            "event": "request.answered",
            "method": "GET",
            "route": "/v1/jobs/{job_id}",
            "status": 200,
            "job_id": JOB_ID,
            **CALLER,
            **REQUEST,
        }
    ]


def test_accepted_job_is_told_and_audited_once(api: ModuleType, cloud: Cloud, log: Log) -> None:
    answers = [post(api, FLAT, {"idempotency-key": "k"}) for _ in range(2)]

    job_id = answers[0].document["job_id"]
    told = {"method": "POST", "route": POST, "status": 202, "job_id": job_id, **CALLER, **REQUEST}
    assert log.lines("request.answered") == [{"event": "request.answered", **told}] * 2
    assert log.lines("audit") == [{"event": "audit", "action": "submit_benchmark", **told}]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/jobs", None),
        ("POST", POST, {**FLAT, "dry_run": True}),
        ("POST", "/v1/estimates", {"local_hardware": True, "local_tdp_watts": 350.0}),
        ("POST", "/v1/finops/simulate", {}),
        ("POST", POST, {}),
        ("DELETE", f"{JOB}0", None),
    ],
    ids=["read", "plan", "estimate", "simulation", "refused", "not found"],
)
def test_nothing_is_audited_where_nothing_changed(  # noqa: PLR0917  # a row, and what it is tried on
    method: str, path: str, body: object, api: ModuleType, cloud: Cloud, log: Log
) -> None:
    ask(api, an_http_event(method, path, body))

    assert len(log.lines("request.answered")) == 1
    assert log.lines("audit") == []


def test_refused_caller_is_told_of_without_its_words(api: ModuleType, cloud: Cloud, log: Log) -> None:
    get(api, "/v1/jobs/planted-in-the.path?planted=too", {"x-tenant-id": "planted"}, token="planted-token")

    assert log.lines() == [{"event": "request.answered", "method": "GET", "status": 401, **REQUEST}]


def test_crash_is_told_under_the_id_that_its_caller_gets(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    def crash(*_arguments: object) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(api.app.state.services.jobs, "find", crash)

    # `ask` holds that the header and the document have the request's id.
    assert ask(api, a_sample_event("api-get-job")).status == 500

    assert [(line["event"], line["request_id"]) for line in log.lines()[:2]] == [
        ("request.answered", REQUEST["request_id"]),
        ("request.crashed", REQUEST["request_id"]),
    ]
    assert log.lines("request.answered")[0]["status"] == 500
    assert "planted" not in log.text


def test_request_that_cannot_be_read_has_its_id_too(api: ModuleType, cloud: Cloud, log: Log) -> None:
    assert get(api, JOB, {"host": "[::1"}).status == 400

    (line,) = log.lines("request.unreadable")
    assert line.items() >= REQUEST.items()


def test_no_line_has_a_token(api: ModuleType, cloud: Cloud, log: Log) -> None:
    post(api, {**FLAT, "question": "planted", "backend_url": "http://127.0.0.1:1/?key=planted"})
    post(api, {**FLAT, "question": "planted"}, {"idempotency-key": "planted"})

    assert log.lines("request.answered")
    assert TOKEN not in log.text
    assert "planted" not in json.dumps(log.text)
