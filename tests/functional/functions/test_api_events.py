"""A job is followed: its history by tag, and as streams that an EventSource puts together."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

from rune.errors import StoreUnavailableError
from rune.jobs.outcomes import Done, Next
from rune.jobs.record import Job, Status, StepName
from rune.jobs.store import JobHistory
from rune.jobs.transitions import make_transition
from tests.builders import (
    JOB_ID,
    NOW,
    a_claimed_job,
    a_failure,
    a_job,
    after,
    an_ended_job,
    an_event,
    an_http_event,
)
from tests.event_source import EventSource
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    CONTEXT,
    JOB,
    NO_TOKEN,
    OF_ACME,
    a_problem,
    ask,
    assert_problem,
    get,
    put,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud
    from tests.functional.functions.asking import Response

EVENTS = f"{JOB}/events"
STREAM = {"accept": "text/event-stream"}


def commit(cloud: Cloud, job: Job) -> Job:
    """Write a turn of the job, and return the job as it then is."""
    assert cloud.store.commit(job, make_transition(job, Next(StepName.WARM_UP), after(1), 5))
    written = cloud.store.read(job.job_id)
    assert written is not None
    return written


# ---------------------------------------------------------------- JSON: tags


def test_history_has_a_tag_and_says_when_to_come_again(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job())

    headers = get(api, EVENTS).headers

    assert headers["etag"] == '"e1"'
    assert headers["cache-control"] == "private, no-cache"
    assert (headers["vary"], headers["retry-after"]) == ("Accept", "2")


@pytest.mark.parametrize("tag", ['"e1"', 'W/"e1"', '"j7", "e1"', "*"])
@pytest.mark.parametrize("query", ["", "?after=1", "?after=9"])
def test_history_says_nothing_again_when_nothing_has_happened(
    tag: str, query: str, api: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_claimed_job())

    response = get(api, EVENTS + query, {"if-none-match": tag})

    assert (response.status, response.document) == (304, None)
    assert (response.headers["etag"], response.headers["retry-after"]) == ('"e1"', "2")
    assert "content-type" not in response.headers


@pytest.mark.parametrize("tag", ['"e1"', '"e99"', '"j3"', "", '"e1", "e2"', "e3", '"e999999999"'])
def test_history_is_told_whole_when_more_has_happened(tag: str, api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(attempts=2)
    put(cloud, job)
    commit(cloud, job)

    response = get(api, EVENTS, {"if-none-match": tag})

    assert (response.status, response.headers["etag"]) == (200, '"e3"')
    assert [event["id"] for event in response.document["events"]] == [1, 2, 3]


def test_tag_of_the_last_answer_costs_a_read_of_one_row(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(attempts=2)
    put(cloud, job)
    commit(cloud, job)
    cloud.calls.clear()

    assert get(api, EVENTS, {"if-none-match": '"e3"'}).status == 304

    assert cloud.operations == ["GetItem", "Query"]
    keys = cloud.calls[1].arguments["ExpressionAttributeValues"]
    assert {"S": "EVENT#00000004"} in keys.values()


def test_history_of_a_job_that_has_ended_says_no_time_to_come_again(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, an_ended_job(event_count=1))

    for tag in ('"e1"', '"e0"'):
        assert "retry-after" not in get(api, EVENTS, {"if-none-match": tag}).headers


def test_tag_opens_no_history_of_another_tenant(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    response = get(api, EVENTS, {**OF_ACME, "if-none-match": "*"}, token=ACMES_TOKEN)

    assert response.status == 404


def test_event_that_is_not_understood_holds_up_nothing(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = JobHistory(an_ended_job(event_count=3), (an_event(1), an_event(3)))
    monkeypatch.setattr(api.jobs._store, "read_events", lambda *_: partial)
    source = EventSource()

    take(source, get(api, EVENTS, source.headers))

    assert source.ids_of("job.event") == [1, 3]


# ---------------------------------------------------------------- streams


def take(source: EventSource, response: Response, cut: int | None = None) -> None:
    body = (response.document or "").encode()
    source.take(response.status, response.headers.get("content-type", ""), body[:cut])


def test_stream_tells_the_history_and_where_the_job_stands(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job(progress={"chunks": 5}))

    response = get(api, EVENTS, STREAM)

    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["vary"]) == ("no-store", "Accept")
    assert response.document == (
        "retry: 2000\n: 1 new\n\n"
        'id: 1\nevent: job.event\ndata: {"id":1,"event":"job.accepted","status":"ok","duration_ms":null,'
        '"error_type":null,"labels":{},"recorded_at":1795435200.0,"timestamp":"2026-11-23T12:00:00Z"}\n\n'
        f'event: job.progress\ndata: {{"job_id":"{JOB_ID}","status":"running",'
        '"message":"Looking for the model on the server.","queue_position":null,"queue_wait_seconds":null,'
        '"progress":{"step":"check","try":1,"chunks":5},"cost_usd":null,"updated_at":"2026-11-23T12:00:00Z"}\n\n'
    )


def test_stream_takes_two_calls(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_claimed_job())

    get(api, EVENTS, STREAM)

    assert cloud.operations == ["GetItem", "Query"]


def test_waiting_job_streams_its_place(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(waiting_since=NOW, due_at=after(86_400)))
    source = EventSource()

    take(source, get(api, EVENTS, source.headers))

    (progress,) = [each.document for each in source.dispatched if each.event_type == "job.progress"]
    assert (progress["queue_position"], source.retry_ms) == (1, 15_000)


class Followed:
    """A job that goes one commit further at each visit, up to its end."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._job = a_claimed_job()
        put(cloud, self._job)
        self.event_count = 1

    def go_on(self) -> None:
        """Commit the job's next turn."""
        if self.event_count == 4:
            transition = make_transition(self._job, Done("{}"), after(9), 5)
            assert self._cloud.store.commit(self._job, transition)
            self.event_count = 5
        elif self.event_count < 4:
            self.event_count += 1
            held = commit(self._cloud, self._job)
            self._job = replace(held, lease_owner="worker-1", lease_until=after(60))


def follow(api: ModuleType, cloud: Cloud, cut: int, cut_visit: int, headers: dict[str, str]) -> EventSource:
    """Return an EventSource that has followed a job to its end, with one answer cut off after so many bytes."""
    job, source = Followed(cloud), EventSource()
    for visit in range(1, 20):
        take(source, get(api, EVENTS, {**source.headers, **headers}), cut if visit == cut_visit else None)
        if source.is_closed:
            break
        job.go_on()
    return source


@pytest.mark.parametrize("cut", [0, 14, 40, 200, 400])
@pytest.mark.parametrize("cut_visit", [1, 3, 5, 6])
def test_event_source_that_is_cut_off_goes_on_without_loss_or_doubling(
    cut: int, cut_visit: int, api: ModuleType, cloud: Cloud
) -> None:
    source = follow(api, cloud, cut, cut_visit, {})

    assert source.is_closed
    assert source.ids_of("job.event") == [1, 2, 3, 4, 5, 6]


def test_event_source_sees_the_end_and_then_stops(api: ModuleType, cloud: Cloud) -> None:
    source = follow(api, cloud, 0, 0, {})

    assert source.dispatched[-1].document["status"] == "succeeded"
    assert [each.document["event"] for each in source.dispatched if each.event_type == "job.event"][-1] == (
        "job.succeeded"
    )
    stopped = get(api, EVENTS, source.headers)
    assert (stopped.status, stopped.document) == (204, None)
    assert "content-type" not in stopped.headers


def test_last_id_counts_more_than_the_address(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(attempts=2)
    put(cloud, job)
    commit(cloud, job)
    source = EventSource(last_event_id="2")

    take(source, get(api, f"{EVENTS}?after=1", source.headers))

    assert source.ids_of("job.event") == [3]


def test_stream_begins_where_the_address_says(api: ModuleType, cloud: Cloud) -> None:
    job = a_claimed_job(attempts=2)
    put(cloud, job)
    commit(cloud, job)
    source = EventSource()

    take(source, get(api, f"{EVENTS}?after=2", source.headers))

    assert (source.ids_of("job.event"), source.last_event_id) == ([3], "3")


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_late_reader_gets_all_of_a_job_that_has_ended(status: Status, api: ModuleType, cloud: Cloud) -> None:
    put(cloud, an_ended_job(status, event_count=1, failure=a_failure()))
    source = EventSource()

    take(source, get(api, EVENTS, source.headers))
    assert (source.ids_of("job.event"), source.is_closed, source.retry_ms) == ([1], False, 1000)
    take(source, get(api, EVENTS, source.headers))

    assert source.is_closed


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", "image/png, text/html;q=0.5"])
def test_who_names_neither_form_gets_the_default(accept: str, api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    assert get(api, EVENTS, {"accept": accept}).headers["content-type"] == "application/json"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
def test_stream_is_only_got(method: str, api: ModuleType, cloud: Cloud) -> None:
    response = ask(api, an_http_event(method, EVENTS, {}, STREAM))

    assert_problem(response, a_problem(405, "method_not_allowed", f"{EVENTS} takes GET and not {method}."))
    assert response.headers["allow"] == "GET"


# ---------------------------------------------------------------- what would end an EventSource


def test_stream_pauses_while_its_address_is_blocked(api: ModuleType, cloud: Cloud, address: str) -> None:
    put(cloud, a_job())
    for _ in range(10):
        get(api, EVENTS, token="wrong", address=address)
    source = EventSource(last_event_id="1")

    take(source, get(api, EVENTS, source.headers, address=address))

    assert (source.is_closed, source.retry_ms, source.dispatched) == (False, 60_000, [])
    assert source.last_event_id == "1"


def test_stream_pauses_where_the_block_is_learnt_from_the_table(
    api: ModuleType, cloud: Cloud, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cloud, a_job())
    monkeypatch.setattr(api.limiter, "read", lambda _: 17)

    response = get(api, EVENTS, STREAM, address=address)

    assert (response.status, response.document) == (200, "retry: 17000\n: rate_limit_exceeded\n\n")


def test_stream_pauses_while_the_table_is_away(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("The table cannot be reached now.")

    monkeypatch.setattr(api.jobs._store, "read_events", fail)

    assert get(api, EVENTS, STREAM).document == "retry: 10000\n: store_unavailable\n\n"
    assert get(api, EVENTS).status == 503


def test_stream_is_refused_where_coming_again_does_not_help(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    put(cloud, a_job())

    stranger = get(api, EVENTS, {**STREAM, **OF_ACME}, token=ACMES_TOKEN)
    without = get(api, EVENTS, STREAM, token=None, address=address)

    assert_problem(stranger, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))
    assert_problem(without, a_problem(401, "unauthorized", NO_TOKEN))


def test_stream_is_sent_as_text(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())

    answer = cast("dict[str, Any]", api.handle(an_http_event("GET", EVENTS, None, STREAM), CONTEXT))

    assert answer["isBase64Encoded"] is False
    assert json.dumps(answer)
