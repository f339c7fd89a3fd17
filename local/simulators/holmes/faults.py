"""What goes wrong on purpose, and the list of requests that the server has seen."""

import itertools
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from local.simulators.scripts import Script

REMEMBERED_REQUEST_COUNT = 10_000
CHAT_PATH = "/api/chat"


class FaultKind(StrEnum):
    """What can go wrong with one request."""

    STATUS = "status"
    """`status` with `text` as FastAPI's detail, instead of an answer."""
    HANG = "hang"
    """Nothing is sent until the client leaves."""
    DISCONNECTED = "disconnected"
    """The connection breaks in the middle of the answer."""
    NOT_JSON = "not_json"
    """200 with an HTML page, as from a proxy in between."""
    NO_ANALYSIS = "no_analysis"
    """200 with an empty JSON object."""
    HUGE = "huge"
    """200 with `size_bytes` of analysis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong.

    Attributes
    ----------
    path
        Only requests to this path.
    after_requests
        Requests to it that go well first.
    times
        Requests spoiled before the fault is used up; None for all.
    """

    kind: FaultKind
    path: str = CHAT_PATH
    after_requests: int = 0
    times: int | None = 1
    status: int = 500
    text: str = "simulated failure"
    size_bytes: int = 32 * 1024 * 1024


class FaultScript(Script[Fault]):
    """The faults still to come, first come first served."""

    def take(self, path: str) -> Fault | None:
        """Return what is to spoil this request, and count it."""
        return self.take_where(lambda fault: fault.path == path)


class Outcome(StrEnum):
    """How a request ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    REFUSED = "refused"
    """An error status."""
    DISCONNECTED = "disconnected"
    """The server broke the connection."""
    CANCELLED = "cancelled"
    """The client left, or the server was stopped."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request as the server saw it; neither questions nor keys are kept.

    Attributes
    ----------
    credential
        `none`, `x-api-key` or `bearer`: how the caller showed its key, right or wrong.
    model
        As the client wrote it; None where the request names none.
    """

    number: int
    method: str
    path: str
    started_at: datetime
    credential: str = "none"
    model: str | None = None
    fault: FaultKind | None = None
    status: int | None = None
    outcome: Outcome = Outcome.RUNNING
    ended_at: datetime | None = None

    def describe(self) -> dict[str, object]:
        """Return the record as the control route shows it; times are RFC 3339."""
        described: dict[str, object] = asdict(self)
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

    def select(self, *, path: str | None = None) -> list[RequestRecord]:
        """Return the requests to `path`, oldest first."""
        return [record for record in self.records if path is None or record.path == path]
