"""Reading untrusted bodies: bounded in bytes, stamped on arrival, never decompressed."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx

from rune.errors import BadResponseError, ServerTimeoutError
from rune.net.streams import stamped_stream

type MonotonicNs = Callable[[], int]
"""Nanoseconds of a monotonic clock, such as `time.monotonic_ns`."""

MAX_LINE_BYTES = 1024 * 1024
"""Longest line of a stream. A line holds one token or one tool call; real ones stay under 100 KB."""

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Longest stream: 128 Ki tokens at 300 bytes per server-sent event are 38 MiB."""

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Longest body read at once, such as a list of models."""

# A line ends with LF, CRLF or CR (WHATWG, server-sent events). JSON escapes both within strings, so that the same
# rule holds for NDJSON.
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ReceivedBytes:
    """What one read of the connection gave, and when it arrived, on a monotonic clock."""

    data: bytes
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end.

    Attributes
    ----------
    arrived_ns
        When its last byte arrived.
    terminated
        False for bytes after the last line end, when the stream is over.
    """

    data: bytes
    arrived_ns: int
    terminated: bool = True


class BodyReader:
    """The body of one answer, read as it arrives.

    Parameters
    ----------
    max_bytes
        After which reading fails, so that no server can fill the memory.
    now_ns
        Clock for a connection that does not stamp.

    Raises
    ------
    BadResponseError
        The body is compressed although RUNE asked for `identity`.
    """

    def __init__(
        self, response: httpx.Response, *, max_bytes: int, now_ns: MonotonicNs = time.monotonic_ns
    ) -> None:
        if not _is_identity(response):
            raise BadResponseError("The server sent a compressed body, for which RUNE did not ask.")
        self._raw_body = response.aiter_raw()
        self._stream = stamped_stream(response)
        self._max_bytes = max_bytes
        self._read_bytes = 0
        self._now_ns = now_ns
        self._idle_seconds: float | None = None
        self._silent_at: float | None = None

    def limit_silence(self, seconds: float) -> None:
        """Allow so many seconds from now until this is called again, however many bytes come in between.

        Call it with each sign of progress: a server may send comments for ever while nothing is generated.
        """
        self._idle_seconds = seconds
        self._silent_at = asyncio.get_running_loop().time() + seconds

    async def read(self) -> ReceivedBytes | None:
        """Return the next bytes, stamped in the event loop's callback; None at the end.

        Raises
        ------
        BadResponseError
            The body passed its limit.
        ServerTimeoutError
            The time that `limit_silence` allows is over.
        httpx.TransportError
            The connection broke or stayed silent.
        """
        try:
            async with asyncio.timeout_at(self._silent_at):
                data = await anext(self._raw_body, None)
        except TimeoutError as error:
            raise ServerTimeoutError(f"The answer stood still for {self._idle_seconds:g} seconds.") from error
        if data is None:
            return None
        arrived_ns = self._stream.arrived_ns if self._stream else self._now_ns()
        self._read_bytes += len(data)
        if self._read_bytes > self._max_bytes:
            raise BadResponseError(f"The server's answer is longer than {self._max_bytes} bytes.")
        return ReceivedBytes(data, arrived_ns)


async def read_body(response: httpx.Response, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the whole body.

    Raises
    ------
    BadResponseError
        It is compressed, or longer than the limit.
    httpx.TransportError
        The connection broke or stayed silent.
    """
    reader = BodyReader(response, max_bytes=max_bytes)
    body = bytearray()
    while (received := await reader.read()) is not None:
        body += received.data
    return bytes(body)


async def read_body_head(response: httpx.Response, *, max_bytes: int = 16 * 1024) -> bytes:
    """Return the beginning of the body of an error, which is read only for its message.

    Empty for a compressed body; what had arrived if the connection broke. The status already tells the error, and a
    failure to read the body must not replace it.
    """
    if not _is_identity(response):
        return b""
    reader = BodyReader(response, max_bytes=MAX_BODY_BYTES)
    head = bytearray()
    with suppress(httpx.TransportError):
        while len(head) < max_bytes and (received := await reader.read()) is not None:
            head += received.data
    return bytes(head[:max_bytes])


class LineSplitter:
    """Cuts a stream into lines, however the network has cut it into reads."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._pending = bytearray()
        self._pending_ns = 0
        self._after_cr = False

    def feed(self, received: ReceivedBytes) -> list[Line]:
        """Return the lines that the bytes complete.

        Raises
        ------
        BadResponseError
            A line is longer than the limit, complete or not.
        """
        data = received.data
        if not data:
            return []
        # The CR before has already ended the line; this LF belongs to it.
        begin = 1 if self._after_cr and data.startswith(b"\n") else 0
        self._after_cr = data.endswith(b"\r")
        *ended, rest = _LINE_END.split(data[begin:])
        lines = [self._complete(part, received.arrived_ns) for part in ended]
        self._extend(rest)
        self._pending_ns = received.arrived_ns
        return lines

    def finish(self) -> list[Line]:
        """Return what came after the last line end, as one unterminated line."""
        if not self._pending:
            return []
        line = Line(bytes(self._pending), self._pending_ns, terminated=False)
        self._pending.clear()
        return [line]

    def _complete(self, part: bytes, arrived_ns: int) -> Line:
        self._extend(part)
        line = Line(bytes(self._pending), arrived_ns)
        self._pending.clear()
        return line

    def _extend(self, part: bytes) -> None:
        self._pending += part
        if len(self._pending) > self._max_line_bytes:
            raise BadResponseError(f"The server sent a line longer than {self._max_line_bytes} bytes.")


def _is_identity(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
