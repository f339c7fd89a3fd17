"""What browsers are told: which scripts may call, and how an answer is to be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from api.response_headers import CORS_EXPOSED, SECRETIVE
from rune.errors import SettingsError
from tests.builders import TOKEN, a_job, an_http_event
from tests.functional.functions.asking import JOB, POST, ask, get, post, put
from tests.functional.functions.loading import loaded

if TYPE_CHECKING:
    from tests.cloud import Cloud
    from tests.functional.functions.asking import Response

UI, OTHER = "https://ui.example", "https://evil.example"
ALLOWED = "access-control-allow-origin"
SECURITY = {
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@pytest.fixture(scope="module")
def open_api(shared_cloud: Cloud) -> Iterator[ModuleType]:
    environment = {**shared_cloud.environment, "RUNE_CORS_ALLOWED_ORIGINS": f"{UI},http://localhost:3000"}
    with loaded("api.handler", environment) as handler:
        yield handler


def preflight(api: ModuleType, origin: str, wanted: str = "authorization,content-type") -> Response:
    asked = {
        "authorization": "",
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": wanted,
    }
    return ask(api, an_http_event("OPTIONS", POST, None, asked))


def test_scripts_of_an_allowed_origin_may_call(open_api: ModuleType, cloud: Cloud) -> None:
    wanted = "authorization,content-type,idempotency-key,if-match,if-none-match,last-event-id,x-api-key,x-tenant-id"
    allowed = preflight(open_api, UI, wanted)
    answered = post(open_api, {}, {"origin": UI})
    refused = get(open_api, JOB, {"origin": UI}, token=None)

    assert (allowed.status, allowed.headers[ALLOWED]) == (200, UI)
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert [answered.status, refused.status] == [422, 401]
    for response in (answered, refused):
        assert response.headers[ALLOWED] == UI
        assert response.headers["access-control-expose-headers"] == ", ".join(CORS_EXPOSED)
        assert response.headers["vary"].endswith("Origin")
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", [OTHER, "null", f"{UI}.evil.example", "http://ui.example", f"{UI}:8443"])
def test_scripts_of_another_origin_may_not(origin: str, open_api: ModuleType, cloud: Cloud) -> None:
    refused, answered = preflight(open_api, origin), get(open_api, "/v1/jobs", {"origin": origin})

    assert refused.status == 400
    assert answered.status == 200
    assert ALLOWED not in {**refused.headers, **answered.headers}
    assert "Origin" in answered.headers["vary"]


def test_header_that_is_not_taken_is_refused(open_api: ModuleType, cloud: Cloud) -> None:
    assert preflight(open_api, UI, "x-other").status == 400


def test_nobody_is_allowed_where_the_operator_names_no_origin(api: ModuleType, cloud: Cloud) -> None:
    asked, answered = preflight(api, UI), get(api, "/v1/jobs", {"origin": UI})

    assert (asked.status, answered.status) == (204, 200)
    assert not [name for name in {**asked.headers, **answered.headers} if name.startswith("access-control")]
    assert "vary" not in answered.headers


@pytest.mark.parametrize(
    "origins", ["*", "null", "ui.example", f"{UI}/", f"{UI}, {OTHER}", "https://*.example", UI.upper()]
)
def test_start_is_refused_with_what_is_no_origin(origins: str, cloud: Cloud) -> None:
    environment = {**cloud.environment, "RUNE_CORS_ALLOWED_ORIGINS": origins}

    with pytest.raises(SettingsError, match="RUNE_CORS_ALLOWED_ORIGINS"), loaded("api.handler", environment):
        pass


def test_every_answer_has_the_security_headers(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    put(cloud, a_job())
    found = get(api, JOB)
    answers = [
        found,
        get(api, JOB, {"if-none-match": found.headers["etag"]}),
        get(api, "/healthz", token=None),
        get(api, JOB, token=None),
        get(api, "/docs", token=None),
        preflight(api, UI),
        ask(
            api,
            {**an_http_event("GET", JOB), "headers": {"host": "[::1", "authorization": f"Bearer {TOKEN}"}},
        ),
    ]
    monkeypatch.setattr(api.jobs, "find", fail)
    answers.append(get(api, JOB))

    assert [answer.status for answer in answers] == [200, 304, 200, 401, 200, 204, 400, 500]
    for answer in answers:
        assert answer.headers.items() >= SECURITY.items(), answer.status


def test_nobody_keeps_an_answer_with_a_secret(api: ModuleType, cloud: Cloud) -> None:
    """Each of them, an error too, so that no row is needed."""
    for method, path in SECRETIVE:
        ids = dict.fromkeys(("job_id", "rental_id", "webhook_id"), "a" * 32)
        response = ask(api, an_http_event(method, path.format(**ids), {} if method == "POST" else None))

        assert response.headers["cache-control"] == "no-store", path


def test_every_call_that_gives_a_secret_is_named(api: ModuleType) -> None:
    """By a field of its answer."""
    document = api.app.openapi()
    secrets = {
        f"#/components/schemas/{name}"
        for name, schema in document["components"]["schemas"].items()
        if {"secret", "key"} & {*schema.get("properties", {})}
    }

    giving = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if any(f'"{secret}"' in json.dumps(operation["responses"]) for secret in secrets)
    }
    assert giving
    assert giving <= SECRETIVE
