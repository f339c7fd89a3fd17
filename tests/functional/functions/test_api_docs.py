from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from api import documents, event_streams
from api.openapi import DOCS_PATHS
from api.openapi.examples import ANSWERS, REQUESTS, read_example
from rune.contracts import BenchmarkReport, Comparison, Document, JobEvents, JobLink, PageLink, RecordsLinks
from rune.contracts.schedules import ScheduleList, ScheduleRecord
from rune.contracts.webhooks import DeliveryList, WebhookCreated, WebhookRecord
from rune.jobs.record import StepName
from tests.benchmark_builders import EXAMPLES as EXAMPLES_FOLDER
from tests.benchmark_builders import the_examples
from tests.builders import a_claimed_job, an_http_event
from tests.functional.functions.asking import (
    CONTEXT,
    NO_TOKEN,
    a_problem,
    ask,
    assert_problem,
    get,
)
from tests.functional.functions.loading import loaded

if TYPE_CHECKING:
    from tests.cloud import Cloud

PAGES = [*DOCS_PATHS]


@pytest.fixture(scope="module")
def without_docs(shared_cloud: Cloud) -> Iterator[ModuleType]:
    with loaded("api.handler", {**shared_cloud.environment, "RUNE_API_DOCS": "false"}) as handler:
        yield handler


def references(node: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    if isinstance(node, dict):
        yield from (node["$ref"],) if "$ref" in node else ()
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(inner)


def test_openapi_document_is_given_to_anybody_without_a_call(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, "/openapi.json", token=None)

    assert (response.status, response.document) == (200, api.app.openapi())
    assert response.headers["content-type"] == "application/json"
    assert response.document["openapi"].startswith("3.1.")
    assert cloud.calls == []


def test_openapi_document_names_only_what_it_holds(api: ModuleType) -> None:
    document = api.app.openapi()

    names = {tuple(reference.removeprefix("#/components/").split("/")) for reference in references(document)}
    assert names <= {(part, name) for part, held in document["components"].items() for name in held}
    assert "HTTPValidationError" not in json.dumps(document)


EXAMPLES: dict[str, type[Document]] = {
    "report.json": BenchmarkReport,
    "comparison.json": Comparison,
    "records.json": RecordsLinks,
    "events.json": JobEvents,
    "link.json": JobLink,
    "page_link.json": PageLink,
    "schedule.json": ScheduleRecord,
    "schedules.json": ScheduleList,
    "webhook_created.json": WebhookCreated,
    "webhook.json": WebhookRecord,
    "deliveries.json": DeliveryList,
}


@pytest.mark.parametrize(("file", "kind"), EXAMPLES.items())
def test_example_is_a_document_of_its_kind(file: str, kind: type[Document]) -> None:
    example = read_example(file)

    assert json.loads(kind.model_validate_json(json.dumps(example)).model_dump_json()) == example


@pytest.mark.parametrize(("file", "text"), the_examples().items(), ids=the_examples().keys())
def test_example_is_what_becomes_of_the_reports_example(file: str, text: str) -> None:
    assert (EXAMPLES_FOLDER / file).read_text() == text


def test_example_of_a_stream_is_that_of_the_history() -> None:
    history = JobEvents.model_validate_json(json.dumps(read_example("events.json")))
    job = a_claimed_job(job_id=history.job_id, step=StepName.MEASURE, progress={"chunks": 31})
    progress = documents.job_progress(job)

    stream = event_streams.answer(history.events, progress, position=0, next_seconds=2)

    assert bytes(stream.body).decode() == read_example("events.txt")


def test_every_example_is_shown() -> None:
    shown = {file for files in ANSWERS.values() for file in files.values()}

    assert shown == {each.name for each in EXAMPLES_FOLDER.iterdir()} - {REQUESTS}


def test_example_of_a_webhook_is_the_answer_to_the_request_shown() -> None:
    request = read_example(REQUESTS)["create_webhook"]["ci"]["value"]

    answer = read_example("webhook_created.json")
    assert {name: answer[name] for name in request} == request
    assert set(read_example("webhook.json")) | {"secret"} == set(answer)


def test_page_loads_its_own_scripts_alone(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, "/docs", token=None)

    page = response.document
    assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert re.findall(r"<(?:script|link|img|iframe|a)\b[^>]*(?:src|href)=\"([^\"]*)\"", page) == [
        "openapi.json",
        "docs/scalar.js",
        "docs/start.js",
    ]
    assert not re.search(r"<script>|\bon[a-z]+=|style=", page)
    assert cloud.calls == []


def test_page_may_load_and_ask_nothing_from_elsewhere(api: ModuleType) -> None:
    policy = get(api, "/docs", token=None).headers["content-security-policy"]

    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"


def test_page_keeps_no_token_and_tells_nobody(api: ModuleType) -> None:
    started = get(api, "/docs/start.js", token=None)

    assert started.headers["content-type"] == "text/javascript; charset=utf-8"
    for choice in ("persistAuth: false", "telemetry: false", "withDefaultFonts: false"):
        assert choice in started.document
    assert "MIT License" in get(api, "/docs/notice.txt", token=None).document


def test_bundle_is_sent_packed_and_once(
    api: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "scalar.js.gz"
    bundle.write_bytes(gzip.compress(b"let scalar = 1;"))
    api.app.openapi()
    monkeypatch.setattr("api.routes.docs.BUNDLE", bundle)

    response = api.handle(an_http_event("GET", "/docs/scalar.js", None), CONTEXT)

    assert (response["statusCode"], response["isBase64Encoded"]) == (200, True)
    assert response["headers"]["content-encoding"] == "gzip"
    assert gzip.decompress(base64.b64decode(response["body"])) == b"let scalar = 1;"
    known = {"if-none-match": response["headers"]["etag"]}
    assert get(api, "/docs/scalar.js", token=None, headers=known).status == 304


@pytest.mark.parametrize("path", PAGES)
def test_documentation_that_is_off_is_not_there(path: str, without_docs: ModuleType, cloud: Cloud) -> None:
    assert_problem(get(without_docs, path), a_problem(404, "not_found", f"There is nothing at {path}."))


@pytest.mark.parametrize("path", PAGES)
def test_documentation_that_is_off_looks_to_strangers_like_everything_else(
    path: str, without_docs: ModuleType, cloud: Cloud, address: str
) -> None:
    response = get(without_docs, path, token=None, address=address)

    assert_problem(response, a_problem(401, "unauthorized", NO_TOKEN))


def test_health_is_told_when_documentation_is_off(without_docs: ModuleType, cloud: Cloud) -> None:
    assert get(without_docs, "/healthz", token=None).status == 200


@pytest.mark.parametrize("path", PAGES)
def test_documentation_is_only_read(path: str, api: ModuleType, cloud: Cloud) -> None:
    response = ask(api, an_http_event("POST", path, {}))

    assert_problem(response, a_problem(405, "method_not_allowed", f"{path} takes GET and not POST."))
    assert response.headers["allow"] == "GET"
