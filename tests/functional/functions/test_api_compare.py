"""Benchmarks side by side: which may be compared, and in which form."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from api.media_types import prefers
from rune.aws.job_store import LARGEST_ROW_BYTES
from rune.bench.comparison import compare
from rune.bench.gates import read_limits, with_gate
from rune.bench.junit import to_junit
from rune.bench.markdown import to_markdown
from rune.contracts import Comparison
from rune.jobs.record import Kind, Status
from tests.benchmark_builders import a_report, a_result_json, a_slower_report
from tests.builders import a_job, a_sample_event, an_ended_job
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    a_problem,
    a_refusal,
    a_wrong_field,
    ask,
    assert_problem,
    get,
    put,
    put_benchmark,
    put_result,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

COMPARE = "/v1/benchmarks/compare"
A, B, C = "a" * 32, "b" * 32, "c" * 32
PATH = f"{COMPARE}?jobs={A},{B}"
TO_COMPARE = a_refusal("jobs_to_compare", "/jobs", "Name 2 to 10 different jobs, comma separated.")
MARKDOWN = {"accept": "text/markdown"}


def put_two(cloud: Cloud) -> None:
    put_benchmark(cloud, a_report(A), job_id=A)
    put_benchmark(cloud, a_slower_report(B, 1.2), job_id=B)


def the_comparison(*, threshold_ratio: float = 0.05) -> Comparison:
    return compare([(A, a_report(A)), (B, a_slower_report(B, 1.2))], threshold_ratio=threshold_ratio)


# ---------------------------------------------------------------- comparing


def test_two_benchmarks_are_compared(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    response = get(api, PATH)

    assert (response.status, response.document) == (200, json.loads(the_comparison().model_dump_json()))
    assert response.headers["content-type"] == "application/json"
    assert (response.headers["vary"], response.headers["cache-control"]) == ("Accept", "private, no-cache")
    # The rows in one call; a report has more than fits into a row.
    assert cloud.operations == ["BatchGetItem", *["GetObject"] * 2]


def test_benchmarks_of_the_sample_event_are_compared(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    assert ask(api, a_sample_event("api-get-compare")).status == 200


def test_the_first_is_what_the_others_are_held_against(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    document = get(api, f"{COMPARE}?jobs={B},%20{A}").document

    assert [job["job_id"] for job in document["jobs"]] == [B, A]


def test_equal_runs_do_not_differ_and_a_slower_one_is_flagged(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)
    put_benchmark(cloud, a_report(C), job_id=C)

    document = get(api, f"{PATH},{C}").document

    metrics = {metric["name"]: metric["values"] for metric in document["points"][0]["metrics"]}
    verdicts = [value["verdict"] for value in metrics["ttft_ms"]]
    assert verdicts == [None, "worse", "no difference"]


def test_threshold_swallows_what_is_below_it(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    response = get(api, f"{PATH}&threshold=0.5")

    assert response.document == json.loads(the_comparison(threshold_ratio=0.5).model_dump_json())
    verdicts = {
        value["verdict"]
        for point in response.document["points"]
        for metric in point["metrics"]
        for value in metric["values"]
    }
    assert "worse" not in verdicts


def test_results_in_the_bucket_are_compared_too(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)
    put_benchmark(cloud, a_report(C, formulas={"ttft_ms": "x" * LARGEST_ROW_BYTES}), job_id=C)

    response = get(api, f"{PATH},{C}")

    assert [job["job_id"] for job in response.document["jobs"]] == [A, B, C]
    assert cloud.operations == ["BatchGetItem", *["GetObject"] * 3]


def test_ten_benchmarks_are_compared(api: ModuleType, cloud: Cloud) -> None:
    job_ids = [f"{number:032x}" for number in range(10)]
    for job_id in job_ids:
        put_benchmark(cloud, a_report(job_id), job_id=job_id)

    response = get(api, f"{COMPARE}?jobs={','.join(job_ids)}")

    assert [job["job_id"] for job in response.document["jobs"]] == job_ids
    assert cloud.operations == ["BatchGetItem", *["GetObject"] * 10]


# ---------------------------------------------------------------- the form


def test_comparison_is_given_as_markdown_to_who_asks_for_it(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    response = get(api, PATH, MARKDOWN)

    assert (response.status, response.document) == (200, to_markdown(the_comparison()))
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.headers["vary"] == "Accept"


def test_problem_is_a_problem_to_who_asks_for_markdown(api: ModuleType, cloud: Cloud) -> None:
    assert_problem(get(api, f"{COMPARE}?jobs={A}", MARKDOWN), TO_COMPARE)


ACCEPTED: dict[str | None, bool] = {
    None: False,
    "": False,
    "*/*": False,
    "application/json": False,
    "text/markdown": True,
    "TEXT/Markdown": True,
    "text/markdown; variant=GFM": True,
    "text/*": True,
    "image/png": False,
    "text/html, */*;q=0.8": False,
    "application/json, text/markdown": False,
    "text/markdown, application/json": False,
    "text/markdown, application/json;q=0.9": True,
    "text/markdown;q=0.9, application/json": False,
    "text/markdown;q=0.5, */*;q=0.1": True,
    "text/markdown;q=0.1, */*;q=0.5": False,
    "text/markdown;q=0, text/*": False,
    "text/*;q=0.3, application/*;q=0.2": True,
    "application/json;q=0, */*": True,
    "application/json;q=0": False,
    "text/markdown;q=2": False,
    "text/markdown;q=": False,
    "text/markdown ; Q=1.000 , application/json;q=0.999": True,
    ",,text/markdown,;q=1,": True,
}


@pytest.mark.parametrize(("accept", "is_markdown"), ACCEPTED.items())
def test_markdown_is_preferred_only_where_it_is_wanted_more(accept: str | None, is_markdown: object) -> None:
    assert prefers(accept, "text/markdown", over="application/json") is is_markdown


# ---------------------------------------------------------------- limits

LIMITS = ["ttft_ms.p95:1.10", "good_ratio:0.5"]
GATED = f"{PATH}&fail_on={','.join(LIMITS)}"
XML = "application/xml; charset=utf-8"


def the_gated_comparison() -> Comparison:
    benchmarks = [(A, a_report(A)), (B, a_slower_report(B, 1.2))]
    return with_gate(compare(benchmarks), benchmarks, read_limits(LIMITS))


@pytest.mark.parametrize("query", [",".join(LIMITS), "&fail_on=".join(LIMITS)], ids=["listed", "repeated"])
def test_limits_are_checked(query: str, api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    response = get(api, f"{PATH}&fail_on={query}")

    assert response.document == json.loads(the_gated_comparison().model_dump_json())
    assert response.document["gate"] == "failed"


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("&format=junit", "*/*", XML),
        ("", "application/xml", XML),
        ("", "text/xml", XML),
        ("&format=json", "application/xml", "application/json"),
        ("&format=markdown", "application/json", "text/markdown; charset=utf-8"),
        ("", "text/markdown", "text/markdown; charset=utf-8"),
        ("", "*/*", "application/json"),
    ],
)
def test_checks_are_given_in_the_form_that_is_asked_for(
    query: str, accept: str, content_type: str, api: ModuleType, cloud: Cloud
) -> None:
    put_two(cloud)

    response = get(api, f"{GATED}{query}", {"accept": accept})

    expected = {
        XML: to_junit(the_gated_comparison()),
        "text/markdown; charset=utf-8": to_markdown(the_gated_comparison()),
        "application/json": json.loads(the_gated_comparison().model_dump_json()),
    }
    assert (response.status, response.headers["content-type"]) == (200, content_type)
    assert response.document == expected[content_type]


def test_undecided_checks_may_count_as_failures(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    response = get(api, f"{PATH}&fail_on=ttft_ms.p99:1.1&format=junit&undecided=failure")

    assert 'failures="3" errors="0" skipped="0"' in str(response.document)


def test_without_limits_xml_is_refused_where_it_was_asked_for_by_name(api: ModuleType, cloud: Cloud) -> None:
    put_two(cloud)

    refused = get(api, f"{PATH}&format=junit")
    by_header = get(api, PATH, {"accept": "application/xml"})

    sentence = "JUnit XML shows checks: name at least one limit with fail_on."
    assert_problem(refused, a_refusal("gate_missing", "/fail_on", sentence))
    assert by_header.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("fail_on", "code"), [("ttft:1.1", "gate_metric_unknown"), ("ttft_ms", "gate_limit_invalid")]
)
def test_wrong_limit_is_refused_before_anything_is_read(
    fail_on: str, code: str, api: ModuleType, cloud: Cloud
) -> None:
    response = get(api, f"{PATH}&fail_on={fail_on}")

    assert (response.status, response.document["code"]) == (422, code)
    assert cloud.calls == []


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "jobs",
    ["", A, f"{A},{A}", f"{A}, {A}", f"{A},", f"{A},,{B}", ",".join(f"{n:032x}" for n in range(11))],
    ids=["none", "one", "the same", "the same with a blank", "one and a comma", "two commas", "eleven"],
)
def test_comparison_needs_two_to_ten_different_jobs(jobs: str, api: ModuleType, cloud: Cloud) -> None:
    assert_problem(get(api, f"{COMPARE}?jobs={jobs}"), TO_COMPARE)
    assert cloud.calls == []


WRONG = {
    "": a_wrong_field("/jobs", "This field is needed."),
    f"jobs={'a' * 1001}": a_wrong_field("/jobs", "String should have at most 1000 characters."),
    f"jobs={A},{B}&threshold=1.1": a_wrong_field("/threshold", "Input should be less than or equal to 1."),
    f"jobs={A},{B}&threshold=-0.1": a_wrong_field(
        "/threshold", "Input should be greater than or equal to 0."
    ),
    f"jobs={A},{B}&threshold=nan": a_wrong_field("/threshold", "Input should be a finite number."),
}


@pytest.mark.parametrize(("query", "problem"), WRONG.items(), ids=lambda value: str(value)[:40])
def test_wrong_query_is_refused(
    query: str, problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(get(api, f"{COMPARE}?{query}"), problem)
    assert cloud.calls == []


@pytest.mark.parametrize("jobs", [f"{A},{B}", f"{B},{A}"])
def test_comparison_with_another_tenants_job_finds_none(jobs: str, api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, a_report(A), job_id=A, tenant="acme")
    put_benchmark(cloud, a_report(B), job_id=B)

    ours = get(api, f"{COMPARE}?jobs={jobs}")
    theirs = get(api, f"{COMPARE}?jobs={jobs}", OF_ACME, token=ACMES_TOKEN)

    assert_problem(ours, a_problem(404, "job_not_found", f"There is no job '{A}'."))
    assert_problem(theirs, a_problem(404, "job_not_found", f"There is no job '{B}'."))


@pytest.mark.parametrize("member", ["failon=ttft_ms:1.1", "fail-on=ttft_ms:1.1", "Format=junit", "x"])
def test_member_of_the_query_that_is_none_is_refused(member: str, api: ModuleType, cloud: Cloud) -> None:
    """A misspelt limit gave no gate, and the pipeline went on."""
    response = get(api, f"{PATH}&{member}")

    assert (response.status, response.document["code"]) == (422, "query_member_unknown")
    assert "fail_on" in response.document["error"]
    assert cloud.calls == []


@pytest.mark.parametrize("job_id", ["..", "a%2Fb", "%F0%9F%99%82"])
def test_comparison_finds_nothing_under_what_is_no_id(job_id: str, api: ModuleType, cloud: Cloud) -> None:
    response = get(api, f"{COMPARE}?jobs={A},{job_id}")

    assert (response.status, response.document["code"]) == (404, "job_not_found")
    assert cloud.calls == []


UNCOMPARED = {
    "running": (a_job(job_id=B), 409, "job_not_finished"),
    "failed": (an_ended_job(Status.FAILED, job_id=B), 409, "no_report"),
    "an agent's": (an_ended_job(job_id=B, kind=Kind.AGENTIC_AGENT), 404, "not_a_benchmark"),
}


@pytest.mark.parametrize("name", UNCOMPARED)
def test_job_without_a_report_is_not_compared(name: str, api: ModuleType, cloud: Cloud) -> None:
    job, status, code = UNCOMPARED[name]
    put_benchmark(cloud, a_report(A), job_id=A)
    put(cloud, job)

    response = get(api, PATH)

    assert (response.status, response.document["code"]) == (status, code)
    assert B in response.document["error"]


def test_benchmark_without_a_report_is_not_compared(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, a_report(A), job_id=A)
    put_result(cloud, a_result_json(None), job_id=B)

    assert get(api, PATH).document["code"] == "no_report"
