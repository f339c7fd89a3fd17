"""From the bytes of a stream to its frames: the lines of newline-delimited JSON, or server-sent events.

Pure and push-driven: bytes go in as they arrive, complete frames come out, each with the stamp of its arrival. What
a frame holds of an answer is a chunk (`rune.llm.answers`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, override

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.fields import parse_json
from rune.net.bodies import MAX_LINE_BYTES, Line, LineSplitter, ReceivedBytes


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
    """

    data: bytes
    arrived_ns: int
    terminated: bool = True
    is_error: bool = False

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
    `error:` of llama.cpp before 2024.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._splitter = LineSplitter(max_line_bytes=max_line_bytes)
        self._max_event_bytes = max_line_bytes
        self._is_first_line = True
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._last_line: Line | None = None
        self._is_error = False

    @override
    def feed(self, received: ReceivedBytes) -> list[Frame]:
        return self._take(self._splitter.feed(received))

    @override
    def finish(self) -> list[Frame]:
        return [*self._take(self._splitter.finish()), *self._end_event()]

    def _take(self, lines: list[Line]) -> list[Frame]:
        frames: list[Frame] = []
        for line in lines:
            data = line.data.removeprefix(b"\xef\xbb\xbf") if self._is_first_line else line.data
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
        self._is_error |= name == b"error" or (name == b"event" and value == b"error")

    def _end_event(self) -> list[Frame]:
        frames: list[Frame] = []
        if self._last_line is not None:
            data, line = b"\n".join(self._parts), self._last_line
            frames.append(Frame(data, line.arrived_ns, line.terminated, self._is_error))
        self._parts, self._size_bytes, self._last_line, self._is_error = [], 0, None, False
        return frames


def _non_blank(lines: list[Line]) -> list[Frame]:
    return [Frame(line.data, line.arrived_ns, line.terminated) for line in lines if line.data.strip()]
