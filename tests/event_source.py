"""An EventSource as browsers have one, for tests: what it makes of bytes, and what it sends when it comes again.

https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing" and "Interpreting an event stream".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(r"(.*?)(?:\r\n|\n|\r)", re.DOTALL)


@dataclass(frozen=True)
class Dispatched:
    """One event as a listener gets it."""

    event_type: str
    data: str
    last_event_id: str

    @property
    def document(self) -> dict[str, Any]:
        """The data as JSON."""
        document: dict[str, Any] = json.loads(self.data)
        return document


@dataclass
class EventSource:
    """The client's state over all its connections.

    Attributes
    ----------
    last_event_id
        Sent as `Last-Event-ID` unless it is empty.
    is_closed
        Whether it never comes again.
    """

    last_event_id: str = ""
    retry_ms: int = 3000
    is_closed: bool = False
    dispatched: list[Dispatched] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        """What it sends."""
        sent = {"accept": "text/event-stream", "cache-control": "no-store"}
        return {**sent, "last-event-id": self.last_event_id} if self.last_event_id else sent

    def take(self, status: int, content_type: str, body: bytes) -> None:
        """Read one answer, which may have been cut off anywhere: what has no empty line after it is lost."""
        if status != 200 or content_type.partition(";")[0].strip() != "text/event-stream":
            self.is_closed = True
            return
        event_type, data, id_buffer = "", "", self.last_event_id
        for line in _LINE.findall(body.decode("utf-8", errors="replace").removeprefix("\ufeff")):
            if not line:
                self.last_event_id = id_buffer
                if data:
                    event = Dispatched(event_type or "message", data.removesuffix("\n"), id_buffer)
                    self.dispatched.append(event)
                event_type, data = "", ""
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments.append(value)
                case "event":
                    event_type = value
                case "data":
                    data += value + "\n"
                case "id" if "\0" not in value:
                    id_buffer = value
                case "retry" if re.fullmatch("[0-9]+", value):
                    self.retry_ms = int(value)
                case _:
                    raise AssertionError(f"no field of a stream: {line!r}")

    def ids_of(self, event_type: str) -> list[int]:
        """Return the ids inside the data of the events of a type, in the order in which they came."""
        return [event.document["id"] for event in self.dispatched if event.event_type == event_type]
