"""A stream is read by an EventSource, however it is cut."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.requests import Request
from starlette.responses import Response

from api import documents, event_streams
from api.event_streams import answer, pause, position_of
from rune.errors import (
    JobNotFoundError,
    RateLimitedError,
    RuneError,
    SettingsUnavailableError,
    StoreUnavailableError,
    TenantSuspendedError,
    UnauthorizedError,
    UnreadableRowError,
)
from rune.jobs.record import Event
from tests.builders import a_job, an_ended_job, an_event
from tests.event_source import EventSource

AWKWARD = "a\nb\r\nc\rd\u2028e\u0085f\n\ndata: x\nid: 99\n\u00e9\U0001f600\0\ufeff"
"""Text that would be lines, fields and an end of the event, if it were not escaped."""

HISTORY = tuple(an_event(number, labels={"detail": AWKWARD}) for number in range(1, 4))


def stream(*, shown: int, position: int, has_ended: bool, history: tuple[Event, ...] = HISTORY) -> Response:
    """Return the answer to who has seen `position` events when `shown` have happened."""
    events = [documents.job_event(event) for event in history[:shown] if event.number > position]
    progress = documents.job_progress(an_ended_job() if has_ended else a_job())
    return answer(events, progress, position=position, next_seconds=None if has_ended else 2)


LONGEST_BYTES = len(bytes(stream(shown=3, position=0, has_ended=True).body))


def take(source: EventSource, response: Response, cut: int | None = None) -> None:
    source.take(response.status_code, response.headers.get("content-type", ""), bytes(response.body)[:cut])


def test_stream_is_what_an_event_source_reads() -> None:
    source = EventSource()

    take(source, stream(shown=2, position=0, has_ended=False))

    assert [(each.event_type, each.last_event_id) for each in source.dispatched] == [
        ("job.event", "1"),
        ("job.event", "2"),
        ("job.progress", "2"),
    ]
    assert source.dispatched[0].document["labels"] == {"detail": AWKWARD}
    assert source.dispatched[2].document == {
        "job_id": a_job().job_id,
        "status": "queued",
        "message": "Waiting for a worker.",
        "queue_position": None,
        "queue_wait_seconds": None,
        "progress": {"step": "check", "try": 1},
        "cost_usd": None,
        "updated_at": "2026-11-23T12:00:00Z",
    }
    assert (source.retry_ms, source.comments, source.is_closed) == (2000, ["2 new"], False)


def follow(cuts: Mapping[int, int]) -> EventSource:
    """Follow a job that has one more event at each visit, and return the client once it was told to stop.

    Parameters
    ----------
    cuts
        After how many bytes an answer is cut off, by the number of the visit.
    """
    source = EventSource()
    for visit in range(1, 30):
        shown = min(visit, len(HISTORY))
        position = int(source.last_event_id or 0)
        response = stream(shown=shown, position=position, has_ended=shown == len(HISTORY))
        take(source, response, cuts.get(visit))
        if source.is_closed:
            break
    return source


@pytest.mark.parametrize("cut_visit", range(1, 5))
def test_stream_cut_at_any_byte_goes_on_without_loss_or_doubling(cut_visit: int) -> None:
    for cut in range(LONGEST_BYTES):
        source = follow({cut_visit: cut})

        assert source.is_closed
        assert source.ids_of("job.event") == [1, 2, 3]


def test_stream_that_is_cut_at_each_visit_goes_on_as_soon_as_one_event_is_whole() -> None:
    source = follow(dict.fromkeys(range(1, 12), LONGEST_BYTES // 3))

    assert source.ids_of("job.event") == [1, 2, 3]


def test_reader_is_told_to_stop_only_when_it_has_seen_the_end() -> None:
    first = stream(shown=3, position=0, has_ended=True)
    almost = stream(shown=3, position=2, has_ended=True)
    seen = stream(shown=3, position=3, has_ended=True)

    assert [first.status_code, almost.status_code, seen.status_code] == [200, 200, 204]
    assert bytes(seen.body) == b""
    assert "content-type" not in seen.headers


def test_nothing_new_is_a_stream_with_a_sign_of_life() -> None:
    source = EventSource(last_event_id="3")

    take(source, stream(shown=3, position=3, has_ended=False))

    assert (source.comments, source.ids_of("job.event"), source.last_event_id) == (["0 new"], [], "3")
    assert [each.event_type for each in source.dispatched] == ["job.progress"]


@pytest.mark.parametrize(
    "response", [stream(shown=1, position=0, has_ended=False), pause(RateLimitedError(7))]
)
def test_stream_is_text_that_nobody_keeps(response: Response) -> None:
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("error", "retry_ms"),
    [
        (RateLimitedError(42), 42_000),
        (StoreUnavailableError("."), 10_000),
        (SettingsUnavailableError("."), 10_000),
        (UnreadableRowError("."), 10_000),
    ],
)
def test_what_passes_by_itself_is_a_longer_pause_that_keeps_the_place(
    error: RuneError, retry_ms: int
) -> None:
    paused, source = pause(error), EventSource(last_event_id="3")
    assert paused is not None

    take(source, paused)

    assert (source.retry_ms, source.last_event_id, source.is_closed) == (retry_ms, "3", False)
    assert (source.dispatched, source.comments) == ([], [error.code])


@pytest.mark.parametrize("error", [UnauthorizedError("."), TenantSuspendedError(), JobNotFoundError("a")])
def test_what_does_not_pass_is_no_pause(error: RuneError) -> None:
    assert pause(error) is None


def a_request(method: str = "GET", path: str = "/v1/jobs/a/events", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    server = ("localhost", 80)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": raw,
        "server": server,
    }
    return Request(scope)


@pytest.mark.parametrize(
    ("last", "position"),
    [("", 3), ("5", 5), ("0", 0), ("007", 7), ("99999999", 99_999_999), ("100000000", 3)]
    + [(other, 3) for other in ("x", "-1", "1.5", " 5", "5,6", "٣")],
)
def test_last_id_counts_more_than_the_address_and_any_other_text_nothing(last: str, position: int) -> None:
    assert position_of(a_request(last_event_id=last), 3) == position


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        ("text/event-stream", True),
        ("text/event-stream, */*", False),
        ("text/*", True),
        ("application/json, text/event-stream;q=0.9", False),
        ("*/*", False),
        ("text/html", False),
        ("text/event-stream;q=0", False),
        ("", False),
    ],
)
def test_stream_is_for_who_prefers_one(accept: str, is_stream: bool) -> None:
    assert event_streams.is_asked_for(a_request(accept=accept)) is is_stream


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/v1/jobs/a/events"),
        ("POST", "/v1/jobs/a/events"),
        ("GET", "/v1/jobs/a"),
        ("GET", "/v1/jobs/a/b/events"),
    ],
)
def test_stream_is_of_a_jobs_history_alone(method: str, path: str) -> None:
    assert not event_streams.is_asked_for(a_request(method, path, accept="text/event-stream"))
