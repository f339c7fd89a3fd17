"""Suites: cases under a name, of which a job keeps the version that it runs."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rune.aws.suite_store import DynamoSuiteStore
from rune.errors import UnreadableRowError
from rune.jobs import suites
from rune.jobs.suites import KEPT_FOR, Stale, Suite, TooMany
from rune.services import suites as service
from rune.services.admission import suites as admission
from tests.builders import NOW, TENANT, TOKEN, after, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    Response,
    a_problem,
    a_refusal,
    ask,
    assert_problem,
    get,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

pytestmark = pytest.mark.usefixtures("cloud")

MINE = "/v1/suites/mine"
CLASSICS = "kubernetes-classics"
NOT_FOUND = a_problem(404, "suite_not_found", "There is no suite 'mine'.")


def a_case(case_id: str = "a", **overrides: object) -> dict[str, Any]:
    case = {
        "id": case_id,
        "base": "shop-3-nodes",
        "now": "2026-11-29T14:21:00Z",
        "ask": "What is unhealthy?",
        "expect": {"status": "healthy"},
    }
    return {**case, **overrides}


def set_suite(
    api: ModuleType, *cases: dict[str, Any], name: str = "mine", token: str = TOKEN, **headers: str
) -> Response:
    body = {"cases": list(cases or (a_case(),))}
    return ask(api, an_http_event("PUT", f"/v1/suites/{name}", body, headers, token=token))


def delete(api: ModuleType) -> Response:
    return ask(api, an_http_event("DELETE", MINE, None, {}, token=TOKEN))


def submit(api: ModuleType, **overrides: object) -> Response:
    body = {"model": "m", "backend_url": "http://127.0.0.1:11434", "suite": "mine", **overrides}
    return ask(api, an_http_event("POST", "/v1/jobs/benchmark", body, {}, token=TOKEN))


def row_of(cloud: Cloud, suite: Suite) -> dict[str, Any]:
    """Return the row of a version's cases."""
    rows = [row for row in cloud.rows() if row["sk"]["S"] == f"SUITE-CASES#mine#{suite.digest}"]
    assert len(rows) == 1
    return rows[0]


# ---------------------------------------------------------------- setting


def test_name_stands_for_cases_until_it_is_set_again(api: ModuleType) -> None:
    first = set_suite(api)
    again = set_suite(api)
    other = set_suite(api, a_case("b"), a_case("c"))
    shown = get(api, MINE)

    assert [each.status for each in (first, again, other, shown)] == [201, 200, 200, 200]
    assert first.headers["location"] == MINE
    assert (again.document, again.headers["etag"]) == (first.document, first.headers["etag"])
    assert other.headers["etag"] != first.headers["etag"]
    assert shown.document == {**other.document, "cases": [a_case("b"), a_case("c")]}
    assert (shown.document["case_ids"], shown.document["is_own"]) == (["b", "c"], True)


def test_same_cases_again_write_nothing(api: ModuleType, cloud: Cloud) -> None:
    set_suite(api)
    cloud.calls.clear()

    set_suite(api)

    assert "TransactWriteItems" not in cloud.operations


def test_suite_that_its_reader_has_is_not_sent_again(api: ModuleType) -> None:
    tag = set_suite(api).headers["etag"]

    assert get(api, MINE, {"if-none-match": tag}).status == 304


def test_faults_of_cases_are_told_with_their_places(api: ModuleType) -> None:
    response = set_suite(api, a_case(), a_case("b", base="none", nonsense=1), a_case())

    assert response.status == 422
    pointers = [each["pointer"] for each in response.document["errors"]]
    assert pointers == ["/cases/1/nonsense", "/cases/2/id"]


def test_value_that_json_cannot_hold_is_refused(api: ModuleType) -> None:
    # json.dumps writes it with a backslash, so that it comes in as JSON.
    event = an_http_event("PUT", MINE, {"cases": [a_case(ask="\ud800")]}, {}, token=TOKEN)

    assert_problem(
        ask(api, event), a_refusal("invalid_request", "/cases", "A case has a value that JSON cannot hold.")
    )


def test_name_of_a_suite_that_rune_brings_is_taken(api: ModuleType) -> None:
    sentence = f"RUNE brings the suite '{CLASSICS}'; choose another name."

    assert_problem(set_suite(api, name=CLASSICS), a_refusal("suite_name_taken", "/name", sentence))


def test_suite_that_rune_brings_cannot_be_deleted(api: ModuleType) -> None:
    refused = ask(api, an_http_event("DELETE", f"/v1/suites/{CLASSICS}", None, {}, token=TOKEN))

    sentence = f"RUNE brings the suite '{CLASSICS}'; only your own can be deleted."
    assert_problem(refused, a_refusal("suite_name_taken", "/name", sentence))


def test_tenant_may_have_a_bounded_number_of_suites(api: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_SUITES", 1)
    set_suite(api)

    refused = set_suite(api, name="other")

    sentence = "Your tenant has 1 suites already; delete one that is no longer needed."
    assert_problem(refused, a_problem(409, "too_many_suites", sentence))
    delete(api)
    assert set_suite(api, name="other").status == 201


# ---------------------------------------------------------------- reading


def test_suites_that_rune_brings_come_first_in_the_list(api: ModuleType) -> None:
    set_suite(api, name="b")
    set_suite(api, a_case(), a_case("b"), name="a")

    found = get(api, "/v1/suites").document["suites"]

    assert [(each["name"], each["is_own"]) for each in found] == [(CLASSICS, False), ("a", True), ("b", True)]
    assert [each["case_count"] for each in found[1:]] == [2, 1]


def test_suite_that_rune_brings_can_be_read_as_an_example(api: ModuleType) -> None:
    found = get(api, f"/v1/suites/{CLASSICS}").document

    assert (found["is_own"], found["created_at"]) == (False, None)
    assert [case["id"] for case in found["cases"]] == found["case_ids"]


def test_suite_of_another_tenant_is_not_found(api: ModuleType) -> None:
    set_suite(api)

    assert_problem(get(api, MINE, OF_ACME, token=ACMES_TOKEN), NOT_FOUND)


def test_deleted_suite_is_gone_and_can_be_set_again(api: ModuleType) -> None:
    set_suite(api)

    assert delete(api).status == 204
    assert_problem(delete(api), NOT_FOUND)
    assert_problem(get(api, MINE), NOT_FOUND)
    assert set_suite(api).status == 201
    assert get(api, MINE).status == 200


# ---------------------------------------------------------------- the store


def test_cases_stay_for_jobs_that_are_to_run_them(cloud: Cloud) -> None:
    store = DynamoSuiteStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])
    old = suites.put(None, TENANT, "mine", cases_json="[1]", case_count=1, now=NOW)
    new = suites.put(old, TENANT, "mine", cases_json="[2]", case_count=1, now=after(1))
    store.write(None, old, "[1]", 5)
    store.write(old, new, "[2]", 5)
    store.write(new, suites.delete(new, after(2)), None, 5)

    for suite, text, since in ((old, "[1]", after(1)), (new, "[2]", after(2))):
        assert suite.digest is not None
        assert store.read_cases(TENANT, "mine", suite.digest) == text
        row = row_of(cloud, suite)
        assert int(row["expires_at"]["N"]) == int((since + KEPT_FOR).timestamp())


def test_cases_that_come_back_no_longer_expire(cloud: Cloud) -> None:
    store = DynamoSuiteStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])
    before: Suite | None = None
    for text in ("[1]", "[2]", "[1]"):
        suite = suites.put(before, TENANT, "mine", cases_json=text, case_count=1, now=NOW)
        store.write(before, suite, text, 5)
        before = suite

    assert before is not None
    assert "expires_at" not in row_of(cloud, before)


def test_suite_that_was_written_meanwhile_is_not_overwritten(cloud: Cloud) -> None:
    store = DynamoSuiteStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])
    suite = suites.put(None, TENANT, "mine", cases_json="[1]", case_count=1, now=NOW)
    store.write(None, suite, "[1]", 1)

    assert isinstance(store.write(None, suite, "[1]", 1), Stale)
    other = suites.put(None, TENANT, "other", cases_json="[1]", case_count=1, now=NOW)
    assert isinstance(store.write(None, other, "[1]", 1), TooMany)
    assert store.read(TENANT, "other") is None


def test_cases_that_cannot_be_read_are_told(cloud: Cloud) -> None:
    store = DynamoSuiteStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])
    suite = suites.put(None, TENANT, "mine", cases_json="[1]", case_count=1, now=NOW)
    store.write(None, suite, "[1]", 1)
    key = {"pk": {"S": f"TENANT#{TENANT}"}, "sk": {"S": f"SUITE-CASES#mine#{suite.digest}"}}
    cloud.dynamodb.put_item(
        TableName=cloud.environment["RUNE_TABLE"],
        Item={**key, "format": {"N": "1"}, "body": {"B": b"nonsense"}},
    )

    assert suite.digest is not None
    with pytest.raises(UnreadableRowError):
        store.read_cases(TENANT, "mine", suite.digest)
    assert store.read_cases(TENANT, "mine", "0" * 64) is None


# ---------------------------------------------------------------- jobs


def test_job_keeps_the_version_that_it_is_to_run(api: ModuleType) -> None:
    version = set_suite(api, a_case(), a_case("b")).document["version"]

    job_id = submit(api, cases=["b"], runs=2).document["job_id"]
    set_suite(api)
    request = get(api, f"/v1/jobs/{job_id}").document["request"]

    assert (request["suite_version"], request["cases"], request["runs"]) == (version, ["b"], 2)
    assert (request["max_turns"], request["max_tool_calls"], request["max_tokens"]) == (20, 40, 200_000)


def test_plan_of_a_suite_counts_its_runs(api: ModuleType) -> None:
    set_suite(api, a_case(), a_case("b"))

    plan = submit(api, dry_run=True, timeout_seconds=100).document

    assert (plan["point_count"], plan["longest_measuring_seconds"]) == (6, 600)


@pytest.mark.parametrize(
    ("given", "pointer", "code", "sentence"),
    [
        ({"suite": "none"}, "/suite", "suite_unknown", "There is no suite 'none'."),
        (
            {"question": "Why?"},
            "/question",
            "suite_contradicted",
            "question cannot go together with suite: its cases bring what is asked.",
        ),
        (
            {"workload": {"prompts": ["Why?"]}},
            "/workload",
            "suite_contradicted",
            "workload cannot go together with suite: its cases bring what is asked, and what is right.",
        ),
        (
            {"expected": {"contains": ["x"]}},
            "/expected",
            "suite_contradicted",
            "expected cannot go together with suite: its cases bring what is asked, and what is right.",
        ),
        ({"cases": ["a", "x"]}, "/cases/1", "suite_case_unknown", "The suite 'mine' has no case 'x'."),
        ({"cases": ["a", "a"]}, "/cases/1", "invalid_request", "The case 'a' is named twice."),
        (
            {"suite": None, "question": "Why?", "runs": 2},
            "/runs",
            "suite_missing",
            "runs is of a suite: name one in suite.",
        ),
    ],
)
def test_what_cannot_go_together_with_a_suite_is_refused_by_name(
    api: ModuleType, given: dict[str, object], pointer: str, code: str, sentence: str
) -> None:
    set_suite(api)

    assert_problem(submit(api, **given), a_refusal(code, pointer, sentence))


def test_job_for_another_version_is_refused(api: ModuleType) -> None:
    version = set_suite(api).document["version"]

    refused = submit(api, suite_version="0" * 64)

    sentence = f"The suite 'mine' has version {version} by now."
    assert_problem(refused, a_refusal("suite_changed", "/suite_version", sentence))
    assert submit(api, suite_version=version).status == 202


def test_job_has_a_bounded_number_of_runs(api: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_RUNS", 19)
    set_suite(api, a_case(), a_case("b"))

    refused = submit(api, runs=10)

    sentence = "2 cases, each run 10 times, are 20 runs; a job may have 19."
    assert_problem(refused, a_refusal("suite_too_large", "/runs", sentence))
