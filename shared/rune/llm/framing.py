"""From the bytes of a stream to its frames: the lines of newline-delimited JSON, or server-sent events.

Pure and push-driven: bytes go in as they arrive, complete frames come out, each with the stamp of its arrival. What
a frame holds of an answer is a chunk (`rune.llm.answers`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, override

from rune.errors import BadResponseError, StreamTruncatedError, UnknownPathError
from rune.llm.fields import parse_json
from rune.net.bodies import MAX_LINE_BYTES, Line, LineSplitter, ReceivedBytes

_HEARTBEATS = frozenset({b"ping", b"heartbeat", b"keepalive", b"keep-alive"})
"""Names of events that only show that the connection is alive."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Frame:
    """One JSON line or one server-sent event, not yet parsed.

    Attributes
    ----------
    arrived_ns
        When its last byte arrived, on the clock of the bytes.
    terminated
        False if the stream ended within it; its JSON may be complete all the same.
    is_error
        Whether the framing itself marks it as an error.
    name
        Of the event, as `event:` gives it; empty without one.
    """

    data: bytes
    arrived_ns: int
    terminated: bool = True
    is_error: bool = False
    name: str = field(default="", compare=False)

    def parse(self) -> Mapping[str, object]:
        """Return the frame's JSON object.

        Raises
        ------
        StreamTruncatedError
            The stream ended within the frame.
        BadResponseError
            The frame is not a JSON object.
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


class FrameReader(Protocol):
    """Turns the bytes of a stream into frames."""

    def feed(self, received: ReceivedBytes) -> list[Frame]:
        """Return the frames that the bytes complete.

        Raises
        ------
        BadResponseError
            A frame is longer than the limit, complete or not.
        """
        ...

    def finish(self) -> list[Frame]:
        """Return what is left when the stream has ended."""
        ...


class NdjsonReader(FrameReader):
    """Newline-delimited JSON: each line is a frame, the last one also without its newline."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._splitter = LineSplitter(max_line_bytes=max_line_bytes)

    @override
    def feed(self, received: ReceivedBytes) -> list[Frame]:
        return _non_blank(self._splitter.feed(received))

    @override
    def finish(self) -> list[Frame]:
        return _non_blank(self._splitter.finish())


class SseReader(FrameReader):
    """Server-sent events (WHATWG HTML, section 9.2), read more leniently where model servers need it.

    The last event counts also without the blank line after it. `event: error` marks an error, and so does the field
    `error:` of llama.cpp before 2024. Heartbeats are no frames: events without data, and those that are named so.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._splitter = LineSplitter(max_line_bytes=max_line_bytes)
        self._max_event_bytes = max_line_bytes
        self._is_first_line = True
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._last_line: Line | None = None
        self._is_error = False
        self._is_heartbeat = False
        self._name = ""

    @override
    def feed(self, received: ReceivedBytes) -> list[Frame]:
        return self._take(self._splitter.feed(received))

    @override
    def finish(self) -> list[Frame]:
        return [*self._take(self._splitter.finish()), *self._end_event()]

    def _take(self, lines: list[Line]) -> list[Frame]:
        frames: list[Frame] = []
        for line in lines:
            data = line.data.removeprefix(_BOM) if self._is_first_line else line.data
            self._is_first_line = False
            if data:
                self._take_field(data, line)
            else:
                frames += self._end_event()
        return frames

    def _take_field(self, data: bytes, line: Line) -> None:
        name, _, value = data.partition(b":")  # a comment is a field without a name
        value = value.removeprefix(b" ")
        if name in {b"data", b"error"}:
            self._size_bytes += len(value) + 1
            if self._size_bytes > self._max_event_bytes:
                raise BadResponseError(f"The server sent an event over {self._max_event_bytes} bytes.")
            self._parts.append(value)
            self._last_line = line
        if name == b"event":
            self._name = value.decode("utf-8", "replace").strip()
        self._is_error |= name == b"error" or (name == b"event" and value == b"error")
        self._is_heartbeat |= name == b"event" and value.strip().lower() in _HEARTBEATS

    def _end_event(self) -> list[Frame]:
        frames: list[Frame] = []
        if self._last_line is not None:
            data, line = b"\n".join(self._parts), self._last_line
            if self._is_error or (data.strip() and not self._is_heartbeat):
                frames.append(Frame(data, line.arrived_ns, line.terminated, self._is_error, self._name))
        self._parts, self._size_bytes, self._last_line, self._name = [], 0, None, ""
        self._is_error = self._is_heartbeat = False
        return frames


class AnswerReader(FrameReader):
    """Server-sent events, lines of JSON or one JSON document, told apart by what comes.

    Servers and proxies in between name the wrong media type, and a server that cannot stream answers at once. A
    document over several lines is one frame, which comes at its end.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_line_bytes
        self._blank = b""
        self._reader: FrameReader | None = None
        self._has_lines = False
        self._document: list[Frame] = []
        self._document_bytes = 0

    @override
    def feed(self, received: ReceivedBytes) -> list[Frame]:
        if self._reader is None:
            data = self._blank + received.data
            if not data.strip() or data == _BOM[: len(data)]:
                self._blank = data[: len(_BOM)]
                return []
            self._reader = self._reader_of(data.lstrip())
            received = ReceivedBytes(data, received.arrived_ns)
        return self._take(self._reader.feed(received))

    @override
    def finish(self) -> list[Frame]:
        frames = [] if self._reader is None else self._take(self._reader.finish())
        if self._document:
            last = self._document[-1]
            data = b"".join(line.data + b"\n" for line in self._document)
            frames.append(Frame(data, last.arrived_ns, last.terminated))
        return frames

    def _reader_of(self, data: bytes) -> FrameReader:
        if data.startswith(b"<"):
            raise UnknownPathError("The server answered with a page instead of an answer.")
        if data.startswith((b"{", b"[")):
            return NdjsonReader(max_line_bytes=self._max_bytes)
        return SseReader(max_line_bytes=self._max_bytes)

    def _take(self, frames: list[Frame]) -> list[Frame]:
        if not frames or self._has_lines or isinstance(self._reader, SseReader):
            return frames
        # Of a document over several lines, the first one is not JSON.
        if not self._document and _is_json(frames[0].data):
            self._has_lines = True
            return frames
        self._document += frames
        self._document_bytes += sum(len(frame.data) for frame in frames)
        if self._document_bytes > self._max_bytes:
            raise BadResponseError(f"The server's answer is longer than {self._max_bytes} bytes.")
        return []


def _is_json(data: bytes) -> bool:
    try:
        parse_json(data)
    except ValueError:
        return False
    return True


def _non_blank(lines: list[Line]) -> list[Frame]:
    return [Frame(line.data, line.arrived_ns, line.terminated) for line in lines if line.data.strip()]
