"""What goes wrong on purpose, and the list of requests that the server has seen."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from local.simulators.ollama.errors import ConnectionBrokenError, OllamaError
from local.simulators.ollama.models import Json, JsonValue
from local.simulators.ollama.names import parse_name
from local.simulators.scripts import Script

OUT_OF_MEMORY_TEXT = "llama-server process has terminated: cudaMalloc failed: out of memory"
# The two spaces are Ollama's.
OVERLOADED_TEXT = "server busy, please try again.  maximum pending requests exceeded"
ERROR_LINE_TEXT = "an error was encountered while running the model: unexpected EOF"

SPOILED_PATHS = ("/api/generate", "/api/chat", "/api/embed", "/api/pull", "/v1/chat/completions")
REMEMBERED_REQUEST_COUNT = 10_000


class FaultKind(StrEnum):
    """What can go wrong with one request."""

    OUT_OF_MEMORY = "out_of_memory"
    """500 before the answer; models in memory that nobody uses are evicted."""
    OVERLOADED = "overloaded"
    """503 before the answer."""
    ERROR_LINE = "error_line"
    """After `after_chunks` pieces an error ends the answer; with none sent it is a plain 500."""
    TRUNCATED = "truncated"
    """After `after_chunks` pieces the body ends properly, without its end marker."""
    DISCONNECTED = "disconnected"
    """After `after_chunks` pieces the connection breaks in the middle of the body."""
    HANG = "hang"
    """After `after_chunks` pieces nothing more is sent until the client leaves."""
    SLOW = "slow"
    """Loading, pulling and generating take `slow_factor` times as long."""
    WRONG_CONTENT_TYPE = "wrong_content_type"
    """200 with an HTML page, as from a proxy in between."""
    NO_FINAL_NEWLINE = "no_final_newline"
    """A whole stream whose last line is not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong.

    Attributes
    ----------
    model
        Only requests for this model, under any spelling of its name; None for all.
    path
        Only requests to this path; None for generate, chat, embed, pull and the OpenAI route's chat.
    after_chunks
        Pieces of the answer, or lines of the pull, that still arrive.
    after_requests
        Requests of this sort that go well first.
    times
        Requests spoiled before the fault is used up; None for all.
    text
        Instead of the kind's own error text.
    """

    kind: FaultKind
    model: str | None = None
    path: str | None = None
    after_chunks: int = 1
    after_requests: int = 0
    times: int | None = 1
    slow_factor: float = 10.0
    text: str | None = None

    def concerns(self, path: str, model: str | None) -> bool:
        """Return whether a request is one that the fault may spoil."""
        if path not in SPOILED_PATHS if self.path is None else path != self.path:
            return False
        return self.model is None or (model is not None and _same_name(self.model, model))

    def refuse(self) -> None:
        """Raise what spoils the request before anything is done for it.

        Raises
        ------
        OllamaError
            The fault is out_of_memory (500) or overloaded (503).
        """
        if self.kind is FaultKind.OUT_OF_MEMORY:
            raise OllamaError(500, self.text or OUT_OF_MEMORY_TEXT)
        if self.kind is FaultKind.OVERLOADED:
            raise OllamaError(503, self.text or OVERLOADED_TEXT)

    async def spoil(self, lines: AsyncGenerator[Json]) -> AsyncGenerator[Json]:
        """Yield `lines` until the fault strikes.

        Raises
        ------
        OllamaError
            The fault is error_line.
        ConnectionBrokenError
            The fault is disconnected.
        """
        async with aclosing(lines) as source:
            sent_count = 0
            async for line in source:
                if sent_count == self.after_chunks:
                    if self.kind is FaultKind.TRUNCATED:
                        return
                    if self.kind is FaultKind.ERROR_LINE:
                        raise OllamaError(500, self.text or ERROR_LINE_TEXT)
                    if self.kind is FaultKind.DISCONNECTED:
                        raise ConnectionBrokenError
                    if self.kind is FaultKind.HANG:
                        await asyncio.Event().wait()
                yield line
                sent_count += 1


def _same_name(one: str, other: str) -> bool:
    try:
        return parse_name(one).key == parse_name(other).key
    except ValueError:
        return one == other


class FaultScript(Script[Fault]):
    """The faults still to come, first come first served."""

    def take(self, path: str, model: str | None) -> Fault | None:
        """Return what is to spoil this request, and count it."""
        return self.take_where(lambda fault: fault.concerns(path, model))


class Outcome(StrEnum):
    """How a request ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    REFUSED = "refused"
    """An error status."""
    ERROR_LINE = "error_line"
    """An error inside a 200."""
    TRUNCATED = "truncated"
    DISCONNECTED = "disconnected"
    """The server broke the connection."""
    CANCELLED = "cancelled"
    """The client left, or the server was stopped."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request as the server saw it; prompts are not kept.

    Attributes
    ----------
    model
        As the client wrote it; None where the request names none.
    chunk_count
        Pieces of a streamed answer sent.
    """

    number: int
    method: str
    path: str
    started_at: datetime
    model: str | None = None
    fault: FaultKind | None = None
    status: int | None = None
    chunk_count: int = 0
    outcome: Outcome = Outcome.RUNNING
    ended_at: datetime | None = None

    def describe(self) -> dict[str, JsonValue]:
        """Return the record as the control route shows it; times are RFC 3339."""
        described: dict[str, JsonValue] = asdict(self)
        described["started_at"] = self.started_at.isoformat()
        described["ended_at"] = self.ended_at.isoformat() if self.ended_at else None
        return described


@dataclass(slots=True)
class RequestLog:
    """The latest ten thousand requests."""

    records: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=REMEMBERED_REQUEST_COUNT))
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def open(self, method: str, path: str, started_at: datetime) -> RequestRecord:
        """Return a new record, listed at once."""
        record = RequestRecord(number=next(self._numbers), method=method, path=path, started_at=started_at)
        self.records.append(record)
        return record

    def select(self, *, path: str | None = None, model: str | None = None) -> list[RequestRecord]:
        """Return the requests to `path` for `model`, under any spelling of its name, oldest first."""
        return [
            record
            for record in self.records
            if (path is None or record.path == path)
            and (model is None or (record.model is not None and _same_name(model, record.model)))
        ]

    def count(self, *, path: str | None = None, model: str | None = None) -> int:
        """Return how many requests `select` finds."""
        return len(self.select(path=path, model=model))
