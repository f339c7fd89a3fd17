"""A job's history as server-sent events: one finite stream an answer, for which EventSource comes again and again.

API Gateway buffers whole bodies, and no function waits. So a stream holds what is new, and ends. An EventSource
then asks for the rest by itself, after the stream's `retry` and with the last id that it has seen. Any status but
200 ends it for good, and 204 is how it is told to stop
(https://html.spec.whatwg.org/multipage/server-sent-events.html).

==============  ======  =========================================================================================
event           id      data
==============  ======  =========================================================================================
`job.event`     yes     one line of the history, as `JobEvent`
`job.progress`  no      where the job stands at the end of each stream, as `JobProgress`
==============  ======  =========================================================================================
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from fastapi import Request, Response

from api.media_types import prefers
from rune.contracts import Document, JobEvent, JobProgress
from rune.errors import (
    RateLimitedError,
    RuneError,
    StoreUnavailableError,
    TooManyRequestsError,
    UnreadableRowError,
)

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "Vary": "Accept"}

LAST_SECONDS = 1
"""After the stream with a job's end. Who comes again then gets 204."""

FAILED_SECONDS = 10
"""How long one waits who comes while RUNE's table cannot be read."""

_PATH = re.compile(r"/v1/jobs/[^/]+/events")
_LINE_END = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"[0-9]{1,8}")


def is_asked_for(request: Request) -> bool:
    """Return whether the request asks for a job's history as a stream."""
    return (
        request.method == "GET"
        and _PATH.fullmatch(request.url.path) is not None
        and prefers(request.headers.get("accept"), MEDIA_TYPE, over="application/json")
    )


def position_of(request: Request, after: int) -> int:
    """Return after which event the stream goes on: `Last-Event-ID`, or else what the address says.

    An EventSource repeats its address and sends the id only after its first event. What is no id of ours came from
    elsewhere; it is ignored, as a refusal would end the EventSource.
    """
    last = request.headers.get("last-event-id", "")
    return int(last) if _NUMBER.fullmatch(last) else after


def answer(
    events: Sequence[JobEvent], progress: JobProgress, *, position: int, next_seconds: int | None
) -> Response:
    """Return a stream with the events after the position, or 204 once the caller has seen the job's end.

    Parameters
    ----------
    next_seconds
        When to come again; None for a job that has ended.
    """
    if next_seconds is None and position and not events:
        return Response(status_code=204, headers=HEADERS)
    lines = (
        *_message("retry", (next_seconds or LAST_SECONDS) * 1000),
        # So that no stream is empty: what a proxy sees is alive.
        f": {len(events)} new\n\n",
        *(part for event in events for part in _event("job.event", event, event.id)),
        *_event("job.progress", progress),
    )
    return _stream(lines)


def pause(error: RuneError) -> Response | None:
    """Return a stream that only asks its reader to come again later; None where waiting does not help."""
    if isinstance(error, (RateLimitedError, TooManyRequestsError)):
        seconds = error.retry_after_seconds
    elif isinstance(error, (StoreUnavailableError, UnreadableRowError)):
        seconds = FAILED_SECONDS
    else:
        return None
    return _stream((*_message("retry", seconds * 1000), f": {error.code}\n\n"))


def _stream(parts: Iterable[str]) -> Response:
    return Response("".join(parts), headers=HEADERS, media_type=MEDIA_TYPE)


def _event(name: str, document: Document, number: int | None = None) -> Iterator[str]:
    """Yield the parts of one event. Its id comes first and counts only with the empty line at its end."""
    if number is not None:
        yield f"id: {number}\n"
    yield f"event: {name}\n"
    # JSON has no line end outside of its strings, and none inside of them. A reader would take one for a new field.
    for line in _LINE_END.split(document.model_dump_json()):
        yield f"data: {line}\n"
    yield "\n"


def _message(field: str, value: int) -> Iterator[str]:
    yield f"{field}: {value}\n"
