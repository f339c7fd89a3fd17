"""Reports of finished benchmarks, and links to their requests."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rune.aws.job_store import LARGEST_ROW_BYTES
from rune.bench.report_markdown import report_to_markdown
from rune.contracts import BenchmarkReport, BenchmarkResult
from rune.jobs.record import Job, Kind, Status
from tests.benchmark_builders import a_report, a_result_json
from tests.builders import (
    JOB_ID,
    FakeClock,
    a_claimed_job,
    a_job,
    a_sample_event,
    a_waiting_job,
    after,
    an_ended_job,
)
from tests.document_strategies import as_later_version_wrote_it
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    BENCHMARK,
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

RECORDS = f"{BENCHMARK}/records"
BUCKET_URL = "https://rune-test.s3.eu-central-1.amazonaws.com"
KEYS = [f"results/{JOB_ID}/records/{run:02d}-4.jsonl" for run in range(3)]


def the_answer(report: BenchmarkReport) -> object:
    return json.loads(report.model_dump_json())


# ---------------------------------------------------------------- the report


def test_report_is_given_whole(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    response = get(api, BENCHMARK)

    assert (response.status, response.document) == (200, the_answer(a_report()))
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "private, no-cache"
    # The report has more than fits into a row.
    assert cloud.operations == ["BatchGetItem", "GetObject"]


def test_report_of_the_sample_event_is_given(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    assert ask(api, a_sample_event("api-get-benchmark")).status == 200


def test_report_is_found_when_the_result_lies_in_the_bucket(api: ModuleType, cloud: Cloud) -> None:
    formulas = {"ttft_ms": "x" * LARGEST_ROW_BYTES}
    put_benchmark(cloud, a_report(formulas=formulas))

    response = get(api, BENCHMARK)

    assert response.document["formulas"] == formulas
    assert cloud.operations == ["BatchGetItem", "GetObject"]


def test_report_is_not_told_again_when_the_tag_matches(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)
    tag = get(api, BENCHMARK).headers["etag"]

    again = get(api, BENCHMARK, {"if-none-match": tag})
    in_another_form = get(api, f"{BENCHMARK}?format=vllm", {"if-none-match": tag})

    assert (again.status, again.document, again.headers["etag"]) == (304, None, tag)
    assert in_another_form.status == 200


NONE: dict[str, tuple[Job, int, str, str]] = {
    "queued": (a_job(), 409, "job_not_finished", "has not ended yet."),
    "running": (a_waiting_job(), 409, "job_not_finished", "has not ended yet."),
    "failed": (an_ended_job(Status.FAILED), 409, "no_report", "has no report: it failed."),
    "cancelled": (an_ended_job(Status.CANCELLED), 409, "no_report", "has no report: it was cancelled."),
    "an agent's": (an_ended_job(kind=Kind.AGENTIC_AGENT), 404, "not_a_benchmark", "is not a benchmark."),
    "an instance": (a_job(kind=Kind.LLM_INSTANCE), 404, "not_a_benchmark", "is not a benchmark."),
}


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("path", [BENCHMARK, RECORDS])
def test_job_without_a_report_says_why(path: str, name: str, api: ModuleType, cloud: Cloud) -> None:
    job, status, code, rest = NONE[name]
    put(cloud, job)

    response = get(api, path)

    problem = a_problem(status, code, f"Job '{JOB_ID}' {rest}")
    if code == "job_not_finished":
        problem["retry_after_seconds"] = int(response.headers["retry-after"])
    assert_problem(response, problem)


def test_job_that_waits_long_says_when_to_come_again(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_waiting_job(due_at=after(90)))

    assert get(api, BENCHMARK).headers["retry-after"] == "30"


def test_report_of_a_later_version_is_shown_without_what_this_one_does_not_know(
    api: ModuleType, cloud: Cloud
) -> None:
    report = a_report()
    stored = as_later_version_wrote_it(report, report.model_dump_json(), {"later": [{"x": 1}]})
    put_result(cloud, json.dumps({"report": json.loads(stored)}))

    assert get(api, BENCHMARK).document == the_answer(report)


UNREADABLE = {
    "of an earlier version": (a_result_json(None), "the version of RUNE that ran it made none"),
    "of another version": (
        json.dumps({"report": {**a_report().model_dump(mode="json"), "runs": None}}),
        "this version of RUNE cannot read the one that is there",
    ),
}


@pytest.mark.parametrize(("result", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_result_without_a_report_says_why(result: str, reason: str, api: ModuleType, cloud: Cloud) -> None:
    put_result(cloud, result)

    sentence = f"Job '{JOB_ID}' has no report: {reason}."
    assert_problem(get(api, BENCHMARK), a_problem(409, "no_report", sentence))


@pytest.mark.parametrize("path", [BENCHMARK, RECORDS, f"{BENCHMARK}?format=vllm"])
def test_another_tenants_report_does_not_exist(path: str, api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, record_keys=KEYS)

    response = get(api, path, OF_ACME, token=ACMES_TOKEN)

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


# ---------------------------------------------------------------- other forms

FORMS: dict[str, dict[str, Any]] = {
    # Of the run that was asked for, in the tool's own names and units.
    "format=vllm&run=1": {"max_concurrency": 4, "duration": a_report().runs[1].duration_s},
    "format=vllm&run=0": {"max_concurrency": 1, "duration": a_report().runs[0].duration_s},
    "format=vllm": {"max_concurrency": 8},
}


@pytest.mark.parametrize(("query", "expected"), FORMS.items())
def test_one_run_is_given_as_vllm_writes_it(
    query: str, expected: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    put_benchmark(cloud)

    document = get(api, f"{BENCHMARK}?{query}").document

    assert {name: document[name] for name in expected} == expected


def test_one_run_is_given_as_aiperf_writes_it(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    document = get(api, f"{BENCHMARK}?format=aiperf&run=1").document

    mean_ttft_ms = a_report().runs[1].ttft_ms
    assert mean_ttft_ms
    assert document["time_to_first_token"]["avg"] == mean_ttft_ms.mean


WRONG: dict[str, dict[str, object]] = {
    "format=vllm&run=3": a_refusal("run_not_found", "/run", "The report has 3 runs, numbered from 0."),
    "run=0": a_refusal(
        "run_without_format",
        "/run",
        "A report in RUNE's own form holds all runs; ask for format=vllm or format=aiperf.",
    ),
    "format=csv": a_wrong_field("/format", "Input should be 'rune', 'vllm', 'aiperf', 'markdown' or 'html'."),
    "format=vllm&run=-1": a_wrong_field("/run", "Input should be greater than or equal to 0."),
}


@pytest.mark.parametrize(("query", "problem"), WRONG.items())
def test_what_cannot_be_given_is_refused(
    query: str, problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    put_benchmark(cloud)

    assert_problem(get(api, f"{BENCHMARK}?{query}"), problem)


@pytest.mark.parametrize(
    ("query", "accept"),
    [("?format=markdown", "application/json"), ("", "text/markdown, application/json;q=0.5")],
)
def test_report_is_given_as_markdown(query: str, accept: str, api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    response = get(api, f"{BENCHMARK}{query}", {"accept": accept})

    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.headers["vary"] == "Accept"
    assert response.document == report_to_markdown(a_report())


# ---------------------------------------------------------------- records


def test_records_are_linked_by_run_for_a_quarter_of_an_hour(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put_benchmark(cloud, record_keys=KEYS[::-1])

    response = get(api, RECORDS)

    links = response.document["records"]
    assert (response.status, response.document["job_id"]) == (200, JOB_ID)
    assert [(link["run"], link["url"].partition("?")[0], link["expires_at"]) for link in links] == [
        (run, f"{BUCKET_URL}/{key}", "2026-11-23T12:15:00Z") for run, key in enumerate(KEYS)
    ]
    assert [parse_qs(urlsplit(link["url"]).query)["X-Amz-Expires"] for link in links] == [["900"]] * 3
    # Of the bucket only the report is read: links are signed without a call.
    assert cloud.operations == ["BatchGetItem", "GetObject"]


def test_records_can_be_read_by_their_link(api: ModuleType, cloud: Cloud) -> None:
    import requests  # noqa: PLC0415  # moto answers for it

    cloud.s3.put_object(Bucket="rune-test", Key=KEYS[0], Body=b'{"number": 0}\n')
    put_benchmark(cloud, record_keys=KEYS[:1])
    url = get(api, RECORDS).document["records"][0]["url"]

    downloaded = requests.get(url, timeout=5)

    assert (downloaded.status_code, downloaded.text) == (200, '{"number": 0}\n')


def test_judgements_are_linked_after_the_runs(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, record_keys=[f"results/{JOB_ID}/records/judgements-5.jsonl", *KEYS])

    links = get(api, RECORDS).document["records"]

    assert [(link["content"], link["run"]) for link in links] == [
        *(("requests", run) for run in range(3)),
        ("judgements", None),
    ]


def test_records_of_blocks_are_linked_in_the_order_in_which_they_were_measured(
    api: ModuleType, cloud: Cloud
) -> None:
    keys = [f"results/{JOB_ID}/records/{name}.jsonl" for name in ("00-9", "00-10", "00-101", "01-102")]
    put_benchmark(cloud, record_keys=[f"results/{JOB_ID}/records/judgements-200.jsonl", *keys[::-1]])

    links = get(api, RECORDS).document["records"]

    told = [(link["run"], link["block"], link["url"].partition("?")[0]) for link in links[:-1]]
    blocks = [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert told == [
        (run, block, f"{BUCKET_URL}/{key}") for (run, block), key in zip(blocks, keys, strict=True)
    ]
    assert (links[-1]["run"], links[-1]["block"]) == (None, None)


def test_benchmark_without_records_has_no_links(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud)

    response = get(api, RECORDS)

    assert (response.status, response.document) == (200, {"job_id": JOB_ID, "records": []})


def test_job_shows_its_result_without_what_rune_keeps_for_itself(api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, record_keys=KEYS)

    response = get(api, f"/v1/jobs/{JOB_ID}")

    assert KEYS[0] not in json.dumps(response.document)
    shown = BenchmarkResult.model_validate_json(json.dumps(response.document["result"]))
    assert shown.metadata == {"backend_type": "ollama"}


FOREIGN = {
    "another job's": f"results/{'f' * 32}/records/00-4.jsonl",
    "a request": f"requests/{JOB_ID}.json",
    "the result": f"results/{JOB_ID}/4.json",
    "a way out": f"results/{JOB_ID}/records/../../{'f' * 32}/records/00-4.jsonl",
    "a longer id": f"results/{JOB_ID}0/records/00-4.jsonl",
    "a line more": f"{KEYS[0]}\n",
}


@pytest.mark.parametrize("key", FOREIGN.values(), ids=FOREIGN.keys())
def test_object_that_is_not_the_jobs_is_never_linked(key: str, api: ModuleType, cloud: Cloud) -> None:
    put_benchmark(cloud, record_keys=[KEYS[0], key])

    response = get(api, RECORDS)

    assert (response.status, response.document["code"]) == (500, "internal_error")
    assert "X-Amz" not in str(response.document)


def test_records_of_a_running_job_are_not_linked(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job())

    assert get(api, RECORDS).document["code"] == "job_not_finished"
