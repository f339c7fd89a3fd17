"""Reports as pages: who gets one, how it is sent, and what it reads."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.bench.records_file import record_lines
from rune.jobs.record import Status
from rune.pages.style import HEADERS
from rune.services.jobs import Caller
from rune.services.reports import PARTS_OF_A_FILE
from tests.benchmark_builders import a_report
from tests.builders import JOB_ID, TENANT, an_ended_job
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    BENCHMARK,
    OF_ACME,
    a_problem,
    a_refusal,
    assert_problem,
    get,
    put,
    put_benchmark,
)
from tests.html_pages import assert_self_contained, read_page
from tests.measured_builders import a_completed

if TYPE_CHECKING:
    from tests.cloud import Cloud

KEYS = [f"results/{JOB_ID}/records/{run:02d}-4.jsonl" for run in range(3)]
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


def put_records(cloud: Cloud, key: str, count: int) -> None:
    lines = record_lines(0, [a_completed(number, sent_ms=number * 10) for number in range(count)])
    cloud.s3.put_object(Bucket="rune-test", Key=key, Body=lines.encode())
    cloud.calls.clear()


# ---------------------------------------------------------------- who gets a page

WITH_A_PAGE = [
    (BENCHMARK, BROWSER),
    (BENCHMARK, {"accept": "text/html"}),
    (f"{BENCHMARK}?format=html", {}),
    (f"{BENCHMARK}?format=html", {"accept": "application/json"}),
]
WITHOUT_A_PAGE = [
    (BENCHMARK, {}),
    (BENCHMARK, {"accept": "*/*"}),
    (BENCHMARK, {"accept": "text/html;q=0.5, application/json"}),
    (BENCHMARK, {"accept": "text/html, application/json"}),
    (f"{BENCHMARK}?format=rune", BROWSER),
    (f"{BENCHMARK}?format=vllm", BROWSER),
    (f"{BENCHMARK}?format=aiperf&run=1", BROWSER),
]


@pytest.mark.parametrize(("path", "headers"), WITH_A_PAGE)
def test_page_is_given_to_who_wants_one(
    path: str, headers: dict[str, str], api: ModuleType, cloud: Cloud
) -> None:
    put_benchmark(cloud)

    response = get(api, path, headers)

    assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert_self_contained(response.document)
    assert {name: response.headers[name.lower()] for name in HEADERS} == HEADERS
    assert "etag" not in response.headers


@pytest.mark.parametrize(("path", "headers"), WITHOUT_A_PAGE)
def test_json_is_given_to_everybody_else(
    path: str, headers: dict[str, str], api: ModuleType, cloud: Cloud
) -> None:
    put_benchmark(cloud)

    response = get(api, path, headers)

    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["vary"] == "Accept"


def test_page_has_no_single_run(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    assert_problem(
        get(api, f"{BENCHMARK}?format=html&run=1", BROWSER),
        a_refusal(
            "run_without_format",
            "/run",
            "A report in RUNE's own form holds all runs; ask for format=vllm or format=aiperf.",
        ),
    )


def test_job_without_a_report_is_a_problem_for_browsers_too(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, an_ended_job(Status.FAILED))

    assert_problem(
        get(api, BENCHMARK, BROWSER), a_problem(409, "no_report", f"Job '{JOB_ID}' has no report: it failed.")
    )


def test_another_tenants_page_does_not_exist(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    response = get(api, BENCHMARK, {**BROWSER, **OF_ACME}, token=ACMES_TOKEN)

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


COMPARE = f"/v1/benchmarks/compare?jobs={JOB_ID},{'b' * 32}"
COMPARED: list[tuple[str, dict[str, str], str]] = [
    (COMPARE, BROWSER, "text/html; charset=utf-8"),
    (f"{COMPARE}&format=html", {}, "text/html; charset=utf-8"),
    (f"{COMPARE}&format=json", BROWSER, "application/json"),
    (f"{COMPARE}&format=markdown", BROWSER, "text/markdown; charset=utf-8"),
    (COMPARE, {"accept": "text/markdown, text/html;q=0.9"}, "text/markdown; charset=utf-8"),
    (COMPARE, {"accept": "*/*"}, "application/json"),
]


@pytest.mark.parametrize(("path", "headers", "media_type"), COMPARED)
def test_comparison_has_the_form_that_is_wanted(
    path: str, headers: dict[str, str], media_type: str, api: ModuleType, cloud: Cloud
) -> None:
    put_benchmark(cloud)
    put_benchmark(cloud, a_report("b" * 32), job_id="b" * 32)

    response = get(api, path, headers)

    assert (response.status, response.headers["content-type"]) == (200, media_type)
    assert response.headers["vary"] == "Accept"
    if "html" in media_type:
        assert_self_contained(response.document)
        assert {name: response.headers[name.lower()] for name in HEADERS} == HEADERS


# ---------------------------------------------------------------- what it reads


def test_page_shows_each_request_of_the_files(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, record_keys=[*KEYS, f"results/{JOB_ID}/records/judgements-5.jsonl"])
    for key in KEYS:
        put_records(cloud, key, 7)

    page = read_page(get(api, BENCHMARK, BROWSER).document)

    assert [node.text for node in page.all_of("td")].count("7") == 6
    # The job with its report, the three files of requests, and the receipt.
    assert cloud.operations == ["BatchGetItem", *["GetObject"] * 4, "BatchGetItem", "BatchGetItem"]


def test_page_is_there_when_a_file_is_not(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, record_keys=KEYS[:2])
    put_records(cloud, KEYS[1], 3)

    response = get(api, BENCHMARK, BROWSER)

    assert response.status == 200
    assert "could not be read of: 1 at a time; 8 at a time." in response.document


def test_of_a_large_file_parts_are_read_that_are_spread_over_it(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = api.find_report_service()
    put_benchmark(cloud, record_keys=KEYS[:1])
    put_records(cloud, KEYS[0], 400)
    found = reports.find(Caller(TENANT), JOB_ID)
    cloud.calls.clear()

    lines = reports.read_records(found, most_bytes=40_000)[0]

    assert cloud.operations == ["GetObject"] * PARTS_OF_A_FILE
    assert lines.is_whole is False
    assert sum(len(text) for text in lines.texts) <= 40_000
    sent_ms = [
        int(text.partition('"sent_ms":')[2].partition(".")[0]) for text in lines.texts if _is_whole(text)
    ]
    quarters = {int(each / 1000) for each in sent_ms}
    assert quarters == {0, 1, 2, 3}
    assert sent_ms == sorted(set(sent_ms))


def _is_whole(text: str) -> bool:
    return text.startswith("{") and text.endswith("}")
