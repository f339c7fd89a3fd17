"""What a function and the processes that put its load tell each other.

Both ends are RUNE's own code, of one version, on one machine. So messages are pickled: they hold stamps and
answers, and nothing that others sent is unpickled as such.
"""

import asyncio
import pickle
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from rune.bench.load_runner import RequestOutcome
from rune.bench.records import Point
from rune.bench.tasks import Task
from rune.errors import RuneError
from rune.llm.dialects import STANDARD, Dialect
from rune.llm.opener import OpenServer
from rune.llm.protocol import ModelServer

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """How another process opens the server that is measured, and what is known of its dialect.

    Attributes
    ----------
    open_server
        Can be pickled.
    """

    open_server: OpenServer
    kind: str
    url: str
    api_key: str | None = field(default=None, repr=False)
    dialect: Dialect = STANDARD

    def open(self) -> ModelServer:
        """Return the server; see `OpenServer`."""
        server = self.open_server(self.kind, self.url, self.api_key)
        server.speak(self.dialect)
        return server


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to a process: what it does.

    Attributes
    ----------
    task
        With the process's own share of the warm-up.
    point
        With its own share of the slots.
    first_warmup_number
        Above those of other processes.
    max_chunks
        With so many the load ends.
    """

    access: ServerAccess
    task: Task
    point: Point
    first_warmup_number: int
    warm_up_seconds: float
    connect_seconds: float
    request_timeout_seconds: float
    max_chunks: int


@dataclass(frozen=True, slots=True)
class WarmedUp:
    """Its answer: the process has warmed up; see `WarmUpStats`."""

    request_count: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Connect:
    """To a process: open the connections, once all have warmed up."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Its answer."""


@dataclass(frozen=True, slots=True)
class Begin:
    """To a process: begin, and end by a time.

    Attributes
    ----------
    begins_ns, deadline_seconds
        On CLOCK_MONOTONIC, which all processes of a machine share.
    """

    begins_ns: int
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class EndLoad:
    """To a process: end the load now, since another one has had to."""


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """Of a process while it puts its load: requests ended and chunks so far."""

    request_count: int
    chunk_count: int


@dataclass(frozen=True, slots=True)
class LoadEnded:
    """Of a process: its load is over, and outcomes follow.

    Attributes
    ----------
    loop_lag_p99_ms, processor_ratio, first_errors
        As in `MeasuredPoint`, of this process alone.
    is_full
        Whether it ended because of `max_chunks`.
    """

    loop_lag_p99_ms: float | None
    processor_ratio: float | None
    is_full: bool
    first_errors: Mapping[str, RuneError]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of a process: how some of its requests ended; the last of these messages has none."""

    outcomes: tuple[RequestOutcome, ...]


type Message = Setup | WarmedUp | Connect | Connected | Begin | EndLoad | LoadProgress | LoadEnded | Outcomes


class Channel:
    """One end of the way between a function and a process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Return the channel over one end of a pair of sockets, which it closes."""
        return cls(*await asyncio.open_connection(sock=end))

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises
        ------
        ConnectionError
            The other end is gone.
        """
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES) + data)
        await self._writer.drain()

    async def receive(self) -> Message | None:
        """Return the next message; None where the other end is gone."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        message: Message = pickle.loads(data)  # noqa: S301 from our own process
        return message

    def close(self) -> None:
        """Close this end at once."""
        self._writer.transport.abort()
