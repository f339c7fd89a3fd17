from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import timedelta
from itertools import batched
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rune.aws.job_rows import hot_item, listed_item
from rune.jobs.record import Job, Kind, Status
from tests.builders import FakeClock, a_claimed_job, a_job, after, an_ended_job
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    FLAT,
    OF_ACME,
    Response,
    a_refusal,
    a_wrong_field,
    assert_problem,
    get,
    post,
    put,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

LIST = "/v1/jobs"


def an_id(number: int) -> str:
    return f"{number:032x}"


def numbers(response: Response) -> list[int]:
    return [int(job["job_id"], 16) for job in response.document["jobs"]]


OF_NO_REQUEST: dict[str, object] = {
    "name": None,
    "metadata": None,
    "model": None,
    "agent": None,
    "backend": None,
    "cost_usd": None,
    "error_code": None,
    "display": None,
    "submitted_by": None,
}
"""What a list has of jobs of earlier versions."""


def several(count: int, **overrides: object) -> list[Job]:
    """Return jobs that were posted a second apart; the number of each is its id."""
    return [
        a_job(**{"job_id": an_id(number), "created_at": after(number), **overrides})
        for number in range(count)
    ]


def put_rows(cloud: Cloud, jobs: Iterable[Job]) -> None:
    """Store what a list reads; a transaction of moto copies the whole table."""
    rows = [row for job in jobs for row in (hot_item(job), listed_item(job))]
    for some in batched(rows, 25, strict=False):
        requests: Any = {"rune-test": [{"PutRequest": {"Item": row}} for row in some]}
        cloud.dynamodb.batch_write_item(RequestItems=requests)
    cloud.calls.clear()


def test_list_shows_own_jobs_newest_first_in_three_calls(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(job_id=an_id(1)))
    put(cloud, an_ended_job(job_id=an_id(3), created_at=after(3), kind=Kind.LLM_INSTANCE))
    put(cloud, a_claimed_job(job_id=an_id(2), created_at=after(2)))

    response = get(api, LIST)

    assert (response.status, response.document) == (
        200,
        {
            "jobs": [
                {
                    "job_id": an_id(3),
                    "kind": "llm-instance",
                    "status": "succeeded",
                    "message": "Done.",
                    "created_at": "2026-11-23T12:00:03Z",
                    "started_at": "2026-11-23T12:00:00Z",
                    "finished_at": "2026-11-23T12:01:00Z",
                    "duration_ms": 60_000,
                    **OF_NO_REQUEST,
                },
                {
                    "job_id": an_id(2),
                    "kind": "benchmark",
                    "status": "running",
                    "message": "Looking for the model on the server.",
                    "created_at": "2026-11-23T12:00:02Z",
                    "started_at": "2026-11-23T12:00:00Z",
                    "finished_at": None,
                    "duration_ms": None,
                    **OF_NO_REQUEST,
                },
                {
                    "job_id": an_id(1),
                    "kind": "benchmark",
                    "status": "queued",
                    "message": "Waiting for a worker.",
                    "created_at": "2026-11-23T12:00:00Z",
                    "started_at": None,
                    "finished_at": None,
                    "duration_ms": None,
                    **OF_NO_REQUEST,
                },
            ],
            "next_cursor": None,
        },
    )
    assert cloud.operations == ["GetItem", "Query", "BatchGetItem"]


def test_list_is_empty_when_there_is_nothing(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, LIST)

    assert response.document == {"jobs": [], "next_cursor": None}
    assert cloud.operations == ["GetItem", "Query"]


def test_list_shows_what_was_just_posted(api: ModuleType, cloud: Cloud) -> None:
    posted = post(api, FLAT)

    listed = get(api, LIST)

    assert [job["job_id"] for job in listed.document["jobs"]] == [posted.document["job_id"]]


FILTERS = {
    "status": ("status=running", [4, 1]),
    "kind": ("kind=agentic-agent", [5, 4]),
    "both": ("status=running&kind=agentic-agent", [4]),
    "neither": ("status=failed&kind=llm-instance", []),
}


@pytest.mark.parametrize(("query", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_list_is_filtered(query: str, expected: list[int], api: ModuleType, cloud: Cloud) -> None:
    agent = Kind.AGENTIC_AGENT
    put(cloud, a_job(job_id=an_id(0)))
    put(cloud, a_claimed_job(job_id=an_id(1), created_at=after(1)))
    put(cloud, an_ended_job(Status.FAILED, job_id=an_id(2), created_at=after(2)))
    put(cloud, an_ended_job(job_id=an_id(3), created_at=after(3), kind=Kind.LLM_INSTANCE))
    put(cloud, a_claimed_job(job_id=an_id(4), created_at=after(4), kind=agent))
    put(cloud, an_ended_job(job_id=an_id(5), created_at=after(5), kind=agent))

    assert numbers(get(api, f"{LIST}?{query}")) == expected


def test_list_holds_nothing_of_other_tenants(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(job_id=an_id(1)), a_job(job_id=an_id(2), tenant="acme"))

    assert numbers(get(api, LIST)) == [1]
    assert numbers(get(api, LIST, OF_ACME, token=ACMES_TOKEN)) == [2]


def test_list_forgets_a_job_when_its_time_is_over(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    put(cloud, a_job(job_id=an_id(1)), a_job(job_id=an_id(2), expires_at=after(31 * 86400)))
    clock.advance(timedelta(days=30).total_seconds())

    assert numbers(get(api, LIST)) == [2]


# ---------------------------------------------------------------- pages


def test_pages_hold_every_job_once_although_new_ones_come_between(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, *several(7))

    first = get(api, f"{LIST}?limit=3")
    put(cloud, a_job(job_id=an_id(99), created_at=after(99)))
    second = get(api, f"{LIST}?limit=3&cursor={first.document['next_cursor']}")
    third = get(api, f"{LIST}?limit=3&cursor={second.document['next_cursor']}")

    assert [numbers(page) for page in (first, second, third)] == [[6, 5, 4], [3, 2, 1], [0]]
    assert third.document["next_cursor"] is None
    assert numbers(get(api, LIST))[0] == 99


def test_pages_hold_every_job_once_when_all_came_in_one_millisecond(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, *several(5, created_at=after(0)))

    first = get(api, f"{LIST}?limit=2")
    second = get(api, f"{LIST}?limit=2&cursor={first.document['next_cursor']}")
    third = get(api, f"{LIST}?limit=2&cursor={second.document['next_cursor']}")

    assert [numbers(page) for page in (first, second, third)] == [[4, 3], [2, 1], [0]]


def test_page_goes_on_where_the_job_of_its_cursor_is_gone(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, *several(3))
    first = get(api, f"{LIST}?limit=2")
    for row in (hot_item(several(2)[1]), listed_item(several(2)[1])):
        cloud.dynamodb.delete_item(TableName="rune-test", Key={"pk": row["pk"], "sk": row["sk"]})

    assert numbers(get(api, f"{LIST}?limit=2&cursor={first.document['next_cursor']}")) == [0]


def test_cursor_of_another_tenant_leads_to_own_jobs_only(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, *several(3, tenant="acme"))
    put(cloud, a_job(job_id=an_id(9)))
    theirs = get(api, f"{LIST}?limit=1", OF_ACME, token=ACMES_TOKEN).document["next_cursor"]

    assert numbers(get(api, f"{LIST}?cursor={theirs}")) == [9]


@pytest.mark.slow
def test_page_may_be_empty_and_not_the_last_when_a_filter_finds_little(api: ModuleType, cloud: Cloud) -> None:
    rare = an_ended_job(job_id=an_id(0), created_at=after(-1))
    put_rows(cloud, [rare, *several(501)[1:]])

    first = get(api, f"{LIST}?status=succeeded")
    looked = cloud.operations
    second = get(api, f"{LIST}?status=succeeded&cursor={first.document['next_cursor']}")

    assert first.document["jobs"] == []
    assert looked == ["GetItem", *["Query", "BatchGetItem"] * 5]
    assert numbers(second) == [0]
    assert second.document["next_cursor"] is None


@pytest.mark.parametrize(("limit", "count"), [("", 20), ("?limit=1", 1), ("?limit=100", 100)])
def test_page_is_as_long_as_was_asked(limit: str, count: int, api: ModuleType, cloud: Cloud) -> None:
    put_rows(cloud, several(101))

    page = get(api, f"{LIST}{limit}")

    assert numbers(page) == list(range(100, 100 - count, -1))
    assert page.document["next_cursor"] is not None


NOT_OURS = a_refusal("invalid_request", "/cursor", "The cursor is not one that this API gave out.")


def encoded(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


GARBAGE = {
    "nothing": "",
    "text": "next",
    "no base64": "%25%25%25",
    "no ASCII": "%C3%A9",
    "no UTF-8": "%FF%FE",
    "half a cursor": encoded("1795435200000"),
    "an id alone": encoded(an_id(1)),
    "something behind it": encoded(f"1795435200000#{an_id(1)}x"),
    "a line behind it": encoded(f"1795435200000#{an_id(1)}\n"),
    "foreign digits": encoded(f"\u0661795435200000#{an_id(1)}"),
    "a key": encoded("JOB#~"),
}


@pytest.mark.parametrize("cursor", GARBAGE.values(), ids=GARBAGE.keys())
def test_cursor_that_was_never_given_is_refused(cursor: str, api: ModuleType, cloud: Cloud) -> None:
    assert_problem(get(api, f"{LIST}?cursor={cursor}"), NOT_OURS)
    assert cloud.calls == []


STATUSES = "'queued', 'running', 'succeeded', 'failed' or 'cancelled'"
WRONG = {
    "no limit": ("limit=0", "/limit", "Input should be greater than or equal to 1."),
    "limit below": ("limit=-1", "/limit", "Input should be greater than or equal to 1."),
    "limit above": ("limit=101", "/limit", "Input should be less than or equal to 100."),
    "limit that is no number": (
        "limit=ten",
        "/limit",
        "Input should be a valid integer, unable to parse string as an integer.",
    ),
    "limit of 5000 digits": (
        f"limit={'9' * 5000}",
        "/limit",
        "Unable to parse input string as an integer, exceeded maximum size.",
    ),
    "status in capitals": (
        "status=SUCCEEDED",
        "/status",
        f"Input should be {STATUSES}. Did you mean 'succeeded'?",
    ),
    "status": ("status=done", "/status", f"Input should be {STATUSES}."),
    "kind": ("kind=gpu", "/kind", "Input should be 'benchmark', 'agentic-agent' or 'llm-instance'."),
    "cursor too long": (f"cursor={'A' * 129}", "/cursor", "String should have at most 128 characters."),
}


@pytest.mark.parametrize(("query", "pointer", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_list_says_which_parameter_is_wrong(
    query: str, pointer: str, sentence: str, api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(get(api, f"{LIST}?{query}"), a_wrong_field(pointer, sentence))
    assert cloud.calls == []


NAMED: dict[str, dict[str, object]] = {
    "nightly": {"name": "nightly", "metadata": {"team": "search", "note": "a:b ü"}},
    "other team": {"name": "nightly", "metadata": {"team": "ads"}},
    "plain": {},
}

SEARCHES = {
    "name=nightly": ["other team", "nightly"],
    "name=Nightly": [],
    "metadata=team:search": ["nightly"],
    "metadata=team:search&metadata=note:a%3Ab+%C3%BC": ["nightly"],
    "metadata=team:search&name=nightly&status=running": [],
    "metadata=team:": [],
}


@pytest.fixture
def named(api: ModuleType, cloud: Cloud, clock: FakeClock) -> dict[str, str]:
    """Ids of jobs that were posted with these names, and what each is called here."""
    found = {}
    for called, more in NAMED.items():
        found[post(api, {**FLAT, **more}).document["job_id"]] = called
        clock.advance(1)
    return found


@pytest.mark.parametrize("path", [LIST, "/v1/benchmarks"])
def test_lists_are_filtered_by_name_and_metadata(path: str, api: ModuleType, named: dict[str, str]) -> None:
    for query, expected in SEARCHES.items():
        document = get(api, f"{path}?{query}").document

        listed = document.get("jobs", document.get("benchmarks"))
        assert [named[line["job_id"]] for line in listed] == expected, query
        # All have been looked at, so an empty page is the last one.
        assert document["next_cursor"] is None


def test_line_tells_the_job_from_others(api: ModuleType, named: dict[str, str]) -> None:
    (line,) = get(api, "/v1/benchmarks?metadata=team:search").document["benchmarks"]

    said = {"name": "nightly", "metadata": {"team": "search", "note": "a:b ü"}, "report_url": None}
    works = {"model": FLAT["model"], "agent": None, "backend": "ollama", "submitted_by": "token:env-1"}
    assert line.items() >= {**said, **works}.items()


@pytest.mark.parametrize("query", ["metadata=team", "metadata=:x", "metadata=a:1&metadata=a:2"])
def test_filter_that_is_no_entry_is_refused(query: str, api: ModuleType, cloud: Cloud) -> None:
    response = get(api, f"{LIST}?{query}")

    assert (response.status, response.document["code"]) == (422, "metadata_filter_invalid")


def test_job_tells_its_request_and_who_asked(api: ModuleType, named: dict[str, str]) -> None:
    job_id = next(job_id for job_id, called in named.items() if called == "nightly")

    record = get(api, f"{LIST}/{job_id}").document

    assert (record["name"], record["metadata"]) == ("nightly", NAMED["nightly"]["metadata"])
    assert record["request"].items() >= {"question": "q", "model": FLAT["model"], "name": "nightly"}.items()
    assert (record["submitted_by"], record["cancelled_by"]) == ("token:env-1", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "n" * 129),
        ("name", "two\nlines"),
        ("metadata", {f"k{number}": "v" for number in range(17)}),
        ("metadata", {"k" * 41: "v"}),
        ("metadata", {"a key": "v"}),
        ("metadata", {"k": "v" * 129}),
        ("metadata", {"k": 1}),
    ],
)
def test_name_and_metadata_are_short(field: str, value: object, api: ModuleType, cloud: Cloud) -> None:
    response = post(api, {**FLAT, field: value})

    assert response.status == 422
    assert response.document["errors"][0]["pointer"].startswith(f"/{field}")
