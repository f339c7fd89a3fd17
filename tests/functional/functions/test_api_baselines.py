"""Baselines: a report under a name, which outlives its job and which benchmarks are compared with."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.baseline_store import DynamoBaselineStore
from rune.bench.comparison import compare
from rune.errors import UnreadableRowError
from rune.jobs import baselines
from rune.jobs.baselines import Baseline, Stale, TooMany
from rune.services import baselines as service
from tests.benchmark_builders import a_report, a_slower_report
from tests.builders import NOW, TOKEN, a_job, after, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    Response,
    a_problem,
    a_refusal,
    ask,
    assert_problem,
    get,
    put,
    put_benchmark,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

A, B, C = "a" * 32, "b" * 32, "c" * 32
MAIN = "/v1/baselines/main"
NOT_FOUND = a_problem(404, "baseline_not_found", "There is no baseline 'main'.")
CHANGED = a_problem(412, "precondition_failed", "Baseline 'main' is another one than you expect.")


def set_baseline(
    api: ModuleType,
    job_id: str = A,
    headers: dict[str, str] | None = None,
    name: str = "main",
    token: str = TOKEN,
) -> Response:
    event = an_http_event("PUT", f"/v1/baselines/{name}", {"job_id": job_id}, headers or {}, token=token)
    return ask(api, event)


def delete(api: ModuleType, headers: dict[str, str] | None = None, token: str = TOKEN) -> Response:
    return ask(api, an_http_event("DELETE", MAIN, None, headers or {}, token=token))


@pytest.fixture
def _benchmarks(cloud: Cloud) -> None:
    put_benchmark(cloud, a_report(A), job_id=A)
    put_benchmark(cloud, a_slower_report(B, 1.2), job_id=B)


with_benchmarks = pytest.mark.usefixtures("_benchmarks")

# ---------------------------------------------------------------- setting


@with_benchmarks
def test_name_stands_for_a_benchmark_until_it_is_set_again(api: ModuleType) -> None:
    first = set_baseline(api)
    again = set_baseline(api)
    other = set_baseline(api, B)
    shown = get(api, MAIN)

    assert [each.status for each in (first, again, other, shown)] == [201, 200, 200, 200]
    assert first.headers["location"] == MAIN
    assert again.document == first.document
    assert again.headers["etag"] == first.headers["etag"] != other.headers["etag"]
    assert (shown.document, shown.headers["etag"]) == (other.document, other.headers["etag"])
    assert (shown.document["name"], shown.document["job_id"]) == ("main", B)
    assert shown.document["created_at"] == first.document["created_at"]


@with_benchmarks
def test_same_request_again_writes_nothing(api: ModuleType, cloud: Cloud) -> None:
    set_baseline(api)
    cloud.calls.clear()

    again = set_baseline(api, headers={"if-none-match": "*"})

    assert again.status == 200
    assert "TransactWriteItems" not in cloud.operations


@with_benchmarks
def test_baseline_is_written_only_where_it_is_what_the_caller_expects(api: ModuleType) -> None:
    assert_problem(set_baseline(api, headers={"if-match": "*"}), CHANGED)
    tag = set_baseline(api, headers={"if-none-match": "*"}).headers["etag"]

    assert_problem(set_baseline(api, B, {"if-none-match": "*"}), CHANGED)
    assert_problem(set_baseline(api, B, {"if-match": '"other"'}), CHANGED)
    assert set_baseline(api, B, {"if-match": f'"other", {tag}'}).status == 200
    assert_problem(delete(api, {"if-match": tag}), CHANGED)
    assert get(api, MAIN).document["job_id"] == B


@with_benchmarks
def test_baseline_that_its_reader_has_is_not_sent_again(api: ModuleType) -> None:
    tag = set_baseline(api).headers["etag"]

    same = get(api, MAIN, {"if-none-match": f'"other", {tag}'})
    other = get(api, MAIN, {"if-none-match": '"other"'})

    assert (same.status, same.headers["etag"]) == (304, tag)
    assert (other.status, other.headers["etag"]) == (200, tag)


@with_benchmarks
def test_deleted_baseline_is_gone_and_can_be_set_again(api: ModuleType) -> None:
    old = set_baseline(api).headers["etag"]

    assert delete(api, {"if-match": "*"}).status == 204
    assert_problem(get(api, MAIN), NOT_FOUND)
    assert_problem(delete(api), NOT_FOUND)
    assert_problem(get(api, f"/v1/benchmarks/compare?jobs={B}&baseline=main"), NOT_FOUND)
    assert get(api, "/v1/baselines").document == {"baselines": []}
    again = set_baseline(api)
    assert (again.status, again.headers["etag"] == old) == (201, False)


@with_benchmarks
def test_baselines_are_listed_by_name(api: ModuleType) -> None:
    for name in ("main", "Release-1.0", "a.b_c"):
        set_baseline(api, name=name)

    names = [each["name"] for each in get(api, "/v1/baselines").document["baselines"]]
    assert names == ["Release-1.0", "a.b_c", "main"]


@with_benchmarks
def test_tenant_has_a_bounded_number_of_baselines(api: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_BASELINES", 2)
    for name in ("one", "two"):
        assert set_baseline(api, name=name).status == 201
    refused = set_baseline(api)

    sentence = "Your tenant has 2 baselines already; delete one that is no longer needed."
    assert_problem(refused, a_problem(409, "too_many_baselines", sentence))
    assert set_baseline(api, B, name="two").status == 200
    assert ask(api, an_http_event("DELETE", "/v1/baselines/one", None, {})).status == 204
    assert set_baseline(api).status == 201


@with_benchmarks
def test_another_tenants_baseline_is_not_found(api: ModuleType) -> None:
    set_baseline(api)

    assert_problem(get(api, MAIN, OF_ACME, token=ACMES_TOKEN), NOT_FOUND)
    assert_problem(delete(api, OF_ACME, token=ACMES_TOKEN), NOT_FOUND)
    assert get(api, "/v1/baselines", OF_ACME, token=ACMES_TOKEN).document == {"baselines": []}
    theirs = set_baseline(api, headers=OF_ACME, token=ACMES_TOKEN)
    assert_problem(theirs, a_problem(404, "job_not_found", f"There is no job '{A}'."))


@pytest.mark.parametrize("name", ["a b", "-main", "x" * 65, "%C3%A4", "a%2Fb%23"])
def test_odd_name_is_refused(name: str, api: ModuleType) -> None:
    assert set_baseline(api, name=name).status in {404, 422}


def test_benchmark_without_a_report_is_no_baseline(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(job_id=A))

    assert set_baseline(api).document["code"] == "job_not_finished"
    assert_problem(get(api, MAIN), NOT_FOUND)


# ---------------------------------------------------------------- comparing


@with_benchmarks
def test_benchmark_is_compared_with_a_baseline_whose_job_is_gone(api: ModuleType, cloud: Cloud) -> None:
    set_baseline(api)
    for row in cloud.rows():
        if row["pk"]["S"] == f"JOB#{A}":
            cloud.dynamodb.delete_item(TableName="rune-test", Key={"pk": row["pk"], "sk": row["sk"]})
    assert get(api, f"/v1/benchmarks/{A}").status == 404

    response = get(api, f"/v1/benchmarks/compare?jobs={B}&baseline=main&fail_on=ttft_ms.p95:1.10")

    expected = compare([(A, a_report(A)), (B, a_slower_report(B, 1.2))], baseline="main")
    document = json.loads(expected.model_dump_json())
    assert {**response.document, "gate": None, "checks": []} == document
    assert response.document["gate"] == "failed"


@with_benchmarks
@pytest.mark.parametrize("jobs", ["", A, f"{A},{B}", f"{B},{B}", ",".join(f"{n:032x}" for n in range(10))])
def test_baseline_needs_one_to_nine_other_jobs(jobs: str, api: ModuleType) -> None:
    set_baseline(api)

    refused = get(api, f"/v1/benchmarks/compare?jobs={jobs}&baseline=main")

    if jobs == "":
        assert refused.document["code"] in {"jobs_to_compare", "job_not_found"}
        return
    sentence = "Name 1 to 9 different jobs, other than the baseline's, comma separated."
    assert_problem(refused, a_refusal("jobs_to_compare", "/jobs", sentence))


# ---------------------------------------------------------------- the store


@pytest.fixture
def store(cloud: Cloud) -> DynamoBaselineStore:
    return DynamoBaselineStore(cloud.dynamodb, "rune-test")


def a_baseline(before: Baseline | None = None, seconds: int = 0, job_id: str = A) -> Baseline:
    return baselines.put(before, "default", "main", job_id=job_id, model="m", now=after(seconds))


def test_baseline_is_not_written_over_one_that_was_not_read(store: DynamoBaselineStore) -> None:
    first = a_baseline()
    assert store.write(None, first, '{"n": 1}', 50) == first
    second = a_baseline(first, 1, B)
    assert store.write(first, second, '{"n": 2}', 50) == second

    assert store.write(None, a_baseline(), '{"n": 3}', 50) == Stale()
    assert store.write(first, a_baseline(first, 2, C), '{"n": 3}', 50) == Stale()
    assert store.write(first, baselines.delete(first, after(3)), None, 50) == Stale()
    assert (store.read("default", "main"), store.read_report("default", "main")) == (second, (B, '{"n": 2}'))
    assert second.created_at == NOW


def test_count_follows_what_is_there(store: DynamoBaselineStore) -> None:
    first = a_baseline()
    store.write(None, first, "{}", 1)
    gone = baselines.delete(first, after(1))
    assert store.write(first, gone, None, 1) == gone
    assert store.read_report("default", "main") is None
    again = a_baseline(gone, 2)
    assert store.write(gone, again, "{}", 1) == again

    other = baselines.put(None, "default", "other", job_id=A, model="m", now=NOW)
    assert store.write(None, other, "{}", 1) == TooMany()
    assert store.read_all("default") == (again,)


def test_rows_of_a_deleted_baseline_expire(store: DynamoBaselineStore, cloud: Cloud) -> None:
    first = a_baseline()
    store.write(None, first, "{}", 1)
    store.write(first, baselines.delete(first, after(1)), None, 1)

    rows = [row for row in cloud.rows() if "BASELINE" in row["sk"]["S"] and row["sk"]["S"] != "BASELINES"]
    assert [row["expires_at"]["N"] for row in rows] == [str(int(after(1).timestamp()))] * 2


def test_report_that_is_not_understood_is_said_to_be(store: DynamoBaselineStore, cloud: Cloud) -> None:
    store.write(None, a_baseline(), "{}", 1)
    key = {"pk": {"S": "TENANT#default"}, "sk": {"S": "BASELINE-REPORT#main"}}
    cloud.dynamodb.put_item(TableName="rune-test", Item={**key, "job_id": {"S": A}, "body": {"S": "eA=="}})

    with pytest.raises(UnreadableRowError):
        store.read_report("default", "main")
