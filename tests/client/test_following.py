"""Lists of several pages, and jobs that are followed until they have ended."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rune_client import NetworkError, NotFoundError, UnreadableAnswerError, WaitTimedOutError
from tests.client.scripted import JOB_ID, Script, VirtualTime, a_client, document, problem

UNCHANGED = httpx.Response(304, headers={"ETag": '"j1"', "Retry-After": "3"})
OUTAGE = httpx.ConnectError("refused")


def a_job(status: str = "running", etag: str = '"j1"') -> httpx.Response:
    return document({"job_id": JOB_ID, "status": status}, headers={"ETag": etag, "Retry-After": "3"})


def some_events(*ids: int) -> httpx.Response:
    return document({"job_id": JOB_ID, "events": [{"id": each, "event": f"e{each}"} for each in ids]})


def test_list_goes_on_while_there_is_a_cursor() -> None:
    pages: list[dict[str, Any]] = [
        {"jobs": [{"job_id": "a"}], "next_cursor": "c1"},
        {"jobs": [], "next_cursor": "c2"},
        {"jobs": [{"job_id": "b"}], "next_cursor": None},
    ]
    script = Script(*map(document, pages))

    assert [job["job_id"] for job in a_client(script).jobs()] == ["a", "b"]
    assert [request.url.params.get("cursor") for request in script.requests] == [None, "c1", "c2"]


def test_list_asks_for_the_next_page_only_when_it_is_wanted() -> None:
    script = Script(document({"jobs": [{"job_id": "a"}], "next_cursor": "c1"}))

    next(a_client(script).jobs())

    assert len(script.requests) == 1


def test_list_that_would_never_end_is_an_error() -> None:
    script = Script(document({"jobs": [], "next_cursor": "c1"}))

    with pytest.raises(UnreadableAnswerError, match="same cursor"):
        list(a_client(script).jobs())


def test_following_gives_each_event_once_until_the_end() -> None:
    time = VirtualTime()
    script = Script(a_job(), some_events(1, 2), UNCHANGED, a_job("succeeded", etag='"j2"'), some_events(2, 3))

    updates = list(a_client(script, time).follow(JOB_ID))

    assert [(job["status"], [event["id"] for event in events]) for job, events in updates] == [
        ("running", [1, 2]),
        ("succeeded", [3]),
    ]
    assert time.pauses == [3, 3]
    tags = [request.headers.get("If-None-Match") for request in script.requests]
    assert tags == [None, None, '"j1"', '"j1"', None]
    assert [request.url.params.get("after") for request in script.requests][1::3] == ["0", "2"]


def test_following_begins_after_a_known_event() -> None:
    script = Script(a_job("failed"), some_events(8))

    updates = list(a_client(script).follow(JOB_ID, after=7))

    assert [[event["id"] for event in update.events] for update in updates] == [[8]]
    assert script.requests[1].url.params["after"] == "7"


def test_following_outlives_an_outage() -> None:
    time = VirtualTime()
    script = Script(a_job(), some_events(1), *[OUTAGE] * 12, a_job("succeeded", etag='"j2"'), some_events(2))

    updates = list(a_client(script, time).follow(JOB_ID))

    assert [job["status"] for job, _ in updates] == ["running", "succeeded"]
    assert sum(time.pauses) > 15


def test_following_gives_up_after_its_patience() -> None:
    time = VirtualTime()

    with pytest.raises(NetworkError):
        list(a_client(Script(OUTAGE), time, patience_seconds=60).follow(JOB_ID))

    assert 10 < sum(time.pauses) < 120


def test_following_another_tenants_job_ends_at_once() -> None:
    script = Script(problem(404, "job_not_found"))

    with pytest.raises(NotFoundError):
        list(a_client(script).follow(JOB_ID))

    assert len(script.requests) == 1


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_waiting_returns_the_job_that_has_ended(status: str) -> None:
    script = Script(a_job(), UNCHANGED, a_job(status))

    assert a_client(script).wait(JOB_ID, timeout_seconds=60)["status"] == status


def test_waiting_ends_with_its_time() -> None:
    time = VirtualTime()

    with pytest.raises(WaitTimedOutError) as raised:
        a_client(Script(a_job(), UNCHANGED), time).wait(JOB_ID, timeout_seconds=10)

    assert raised.value.job_id == JOB_ID
    assert sum(time.pauses) == 10


def test_waiting_for_no_time_is_one_look() -> None:
    script = Script(a_job())

    with pytest.raises(WaitTimedOutError):
        a_client(script).wait(JOB_ID, timeout_seconds=0)

    assert len(script.requests) == 1


def test_following_ends_with_its_time_when_one_is_given() -> None:
    time = VirtualTime()
    updates = a_client(Script(a_job(), some_events(1), UNCHANGED), time).follow(JOB_ID, timeout_seconds=10)

    first = next(updates)
    with pytest.raises(WaitTimedOutError):
        next(updates)

    assert first.job["status"] == "running"
    assert sum(time.pauses) == 10
