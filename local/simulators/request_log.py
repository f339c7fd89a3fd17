"""The log of the requests that a simulator has seen."""

import itertools
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, override

KEPT_REQUEST_COUNT = 10_000


class Outcome(StrEnum):
    """How a request ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    REFUSED = "refused"
    """An error status."""
    STREAM_ERROR = "stream_error"
    """An error inside a 200."""
    TRUNCATED = "truncated"
    """The stream ended in good order, before its end marker."""
    DISCONNECTED = "disconnected"
    """The server broke the connection."""
    CANCELLED = "cancelled"
    """The client left, or the server was stopped."""


_FIRST_ERROR_STATUS = 400


def outcome_of(status: int) -> Outcome:
    """Return the outcome of a whole answer with this status."""
    return Outcome.REFUSED if status >= _FIRST_ERROR_STATUS else Outcome.COMPLETED


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request as a simulator saw it, without keys, prompts and questions.

    Attributes
    ----------
    number
        Counts from 1.
    fault
        Kind of the fault that the answer had.
    """

    filters: ClassVar[tuple[str, ...]] = ("method", "path")
    """Attributes by which the log can be narrowed."""

    number: int
    method: str
    path: str
    started_at: datetime
    fault: StrEnum | None = None
    status: int | None = None
    outcome: Outcome = Outcome.RUNNING
    ended_at: datetime | None = None

    def matches(self, name: str, wanted: object) -> bool:
        """Return whether the attribute `name` is the wanted one."""
        return bool(getattr(self, name) == wanted)

    def describe(self) -> dict[str, object]:
        """Return the record as the control route shows it; times are RFC 3339."""
        described: dict[str, object] = asdict(self)
        described["started_at"] = self.started_at.isoformat()
        described["ended_at"] = self.ended_at.isoformat() if self.ended_at else None
        return described


@dataclass(slots=True, kw_only=True)
class ServerRequest(RequestRecord):
    """One request to a model server or an agent.

    Attributes
    ----------
    model
        As the client wrote it; None where the request names none.
    chunk_count
        Chunks with content that were sent; 0 for a whole answer.
    """

    filters: ClassVar[tuple[str, ...]] = ("method", "path", "model")

    model: str | None = None
    chunk_count: int = 0

    @override
    def matches(self, name: str, wanted: object) -> bool:
        """Return whether the attribute fits; a path fits where it ends with the wanted one."""
        if name == "path":
            return self.path.endswith(str(wanted))
        return RequestRecord.matches(self, name, wanted)


class RequestLog[R: RequestRecord]:
    """The latest ten thousand requests, oldest first."""

    def __init__(self, record_type: type[R]) -> None:
        self.record_type = record_type
        self.records: deque[R] = deque(maxlen=KEPT_REQUEST_COUNT)
        self._numbers = itertools.count(1)

    def open(self, method: str, path: str, started_at: datetime) -> R:
        """Return a new record, listed at once."""
        record = self.record_type(number=next(self._numbers), method=method, path=path, started_at=started_at)
        self.records.append(record)
        return record

    def select(self, **wanted: object) -> list[R]:
        """Return the records that match every given attribute."""
        return [
            record
            for record in self.records
            if all(record.matches(name, value) for name, value in wanted.items())
        ]
