"""What goes wrong on purpose, and the list of requests that the simulated Bedrock has seen."""

import itertools
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from local.simulators.scripts import Script

REMEMBERED_REQUEST_COUNT = 10_000


class BedrockError(Exception):
    """An error of the service: a status and a code before an answer, a frame within one."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class ConnectionBrokenError(Exception):
    """The connection is to break in the middle of the answer."""


class FaultKind(StrEnum):
    """What can go wrong with one request."""

    REFUSED = "refused"
    """`status` and `code` before the answer."""
    STREAM_ERROR = "stream_error"
    """After `after_chunks` pieces an exception's frame with `code` ends the answer."""
    STOPPED = "stopped"
    """After `after_chunks` pieces the answer ends with `code` as its stop reason."""
    TRUNCATED = "truncated"
    """After `after_chunks` pieces the body ends properly, in the middle of the answer."""
    DISCONNECTED = "disconnected"
    """After `after_chunks` pieces the connection breaks."""
    CORRUPT = "corrupt"
    """After `after_chunks` pieces comes a frame whose checksum is wrong."""
    HANG = "hang"
    """After `after_chunks` pieces nothing more is sent until the client leaves."""
    SILENT = "silent"
    """Not even the head of the answer comes."""
    WRONG_CONTENT = "wrong_content"
    """200 with an HTML page, as from a proxy in between."""
    SLOW = "slow"
    """Everything takes `slow_factor` times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong.

    Attributes
    ----------
    model
        Only requests for this model, as the client writes it; None for all.
    path
        Only requests whose path ends so; None for both Converse calls.
    """

    kind: FaultKind
    model: str | None = None
    path: str | None = None
    code: str = "ThrottlingException"
    status: int = 429
    text: str = "Too many requests, please wait before trying again."
    after_chunks: int = 1
    after_requests: int = 0
    times: int | None = 1
    slow_factor: float = 10.0

    def concerns(self, path: str, model: str | None) -> bool:
        """Return whether a request is one that the fault may spoil."""
        if not (
            path.endswith(("/converse", "/converse-stream"))
            if self.path is None
            else path.endswith(self.path)
        ):
            return False
        return self.model is None or self.model == model


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
    STREAM_ERROR = "stream_error"
    TRUNCATED = "truncated"
    DISCONNECTED = "disconnected"
    """The server broke the connection."""
    CANCELLED = "cancelled"
    """The client left, or the server was stopped."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request as the service saw it; neither prompts nor signatures are kept."""

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

    def describe(self) -> dict[str, Any]:
        """Return the record as the control route shows it; times are RFC 3339."""
        described = asdict(self)
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
        """Return the requests whose path ends so and for that model, oldest first."""
        return [
            record
            for record in self.records
            if (path is None or record.path.endswith(path)) and (model is None or record.model == model)
        ]
