"""From chunks of a stream to events: newline-delimited JSON and server-sent events.

Pure and push-driven: bytes go in as they come, complete events come out, each with the stamp of its arrival.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.fields import parse_json
from rune.net.bodies import MAX_LINE_BYTES, Chunk, Line, LineSplitter


@dataclass(frozen=True, slots=True)
class Event:
    """One message of a stream, not yet parsed.

    Attributes
    ----------
    arrived_ns
        When its last byte came, on the clock of the chunk.
    terminated
        False if the stream ended within it; it may still be whole.
    is_error
        The stream itself calls it an error.
    """

    data: bytes
    arrived_ns: int
    terminated: bool = True
    is_error: bool = False

    def parse(self) -> Mapping[str, object]:
        """Return the event's JSON object.

        Raises
        ------
        StreamTruncatedError
            The stream ended within the event.
        BadResponseError
            The event is something other than a JSON object.
        """
        try:
            value = parse_json(self.data)
        except ValueError as error:
            if not self.terminated:
                raise StreamTruncatedError("The server's answer broke off within a line.") from error
            raise BadResponseError("The server sent a line that is not JSON.") from error
        if not isinstance(value, dict):
            raise BadResponseError("The server sent JSON that is not an object.")
        return value


class EventReader(Protocol):
    """Turns chunks into events."""

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that the chunk completes; raises BadResponseError on one over the limit."""
        ...

    def finish(self) -> list[Event]:
        """Return what is left when the stream has ended."""
        ...


class NdjsonReader:
    """Newline-delimited JSON: a line is an event, the last one also without its newline."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._splitter = LineSplitter(max_line_bytes=max_line_bytes)

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that the chunk completes; raises BadResponseError on one over the limit."""
        return _non_blank(self._splitter.feed(chunk))

    def finish(self) -> list[Event]:
        """Return what is left when the stream has ended."""
        return _non_blank(self._splitter.finish())


class SseReader:
    """Server-sent events (WHATWG HTML, section 9.2), read more leniently where model servers need it.

    The last event counts also without the blank line after it. `event: error`, and the field `error:` of
    llama.cpp before 2024, mark an error.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._splitter = LineSplitter(max_line_bytes=max_line_bytes)
        self._max_event_bytes = max_line_bytes
        self._is_first_line = True
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._last_line: Line | None = None
        self._is_error = False

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that the chunk completes; raises BadResponseError on one over the limit."""
        return self._take(self._splitter.feed(chunk))

    def finish(self) -> list[Event]:
        """Return what is left when the stream has ended."""
        return [*self._take(self._splitter.finish()), *self._end_event()]

    def _take(self, lines: list[Line]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            data = line.data.removeprefix(b"\xef\xbb\xbf") if self._is_first_line else line.data
            self._is_first_line = False
            if data:
                self._take_field(data, line)
            else:
                events += self._end_event()
        return events

    def _take_field(self, data: bytes, line: Line) -> None:
        name, _, value = data.partition(b":")  # a comment is a field without a name
        value = value.removeprefix(b" ")
        if name in {b"data", b"error"}:
            self._size_bytes += len(value) + 1
            if self._size_bytes > self._max_event_bytes:
                raise BadResponseError(f"The server sent an event over {self._max_event_bytes} bytes.")
            self._parts.append(value)
            self._last_line = line
        self._is_error |= name == b"error" or (name == b"event" and value == b"error")

    def _end_event(self) -> list[Event]:
        events: list[Event] = []
        if self._last_line is not None:
            data, line = b"\n".join(self._parts), self._last_line
            events.append(Event(data, line.arrived_ns, line.terminated, self._is_error))
        self._parts, self._size_bytes, self._last_line, self._is_error = [], 0, None, False
        return events


def _non_blank(lines: list[Line]) -> list[Event]:
    return [Event(line.data, line.arrived_ns, line.terminated) for line in lines if line.data.strip()]
