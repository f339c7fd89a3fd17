"""Faults that a simulator is told to have: how one is described, matched, counted and listed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from local.simulators.errors import ServiceError
from local.simulators.request_log import ServerRequest

HTML_PAGE = "<html><body><h1>It works!</h1></body></html>"
"""The answer of `not_json`, as a proxy in front of the service may give it."""


class FaultKind(StrEnum):
    """Faults that every simulator can have."""

    REFUSED = "refused"
    """An error instead of an answer."""
    NOT_JSON = "not_json"
    """200 with an HTML page."""
    DISCONNECTED = "disconnected"
    """The connection breaks."""
    HANG = "hang"
    """Nothing more is sent until the client leaves."""


class StreamFaultKind(StrEnum):
    """Further faults of servers that stream their answers."""

    STREAM_ERROR = "stream_error"
    """After `after_chunks` chunks an error ends the answer; before the answer's head it is an error status."""
    TRUNCATED = "truncated"
    """After `after_chunks` chunks the body ends in good order, without its end marker."""
    SLOW = "slow"
    """Loading, pulling and generating take `slow_factor` times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, as its JSON on `/_sim/faults` describes it.

    Attributes
    ----------
    after_requests
        Matching requests that go well first.
    times
        Matching requests that have the fault before it is used up; None for all.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: StrEnum
    after_requests: int = 0
    times: int | None = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFault(Fault):
    """A fault of a model server or an agent.

    Attributes
    ----------
    model
        Only requests for this model; None for all.
    path
        Only requests whose path ends with this; None for those of `usual_paths`.
    status, text
        Of the error that the fault sends; without a text, the kind's own.
    after_chunks
        Chunks with content that are sent before a stream breaks, ends, fails or hangs. With 0, `hang` sends
        nothing at all and `disconnected` the head alone. A whole answer breaks in the middle of its body.
    """

    usual_paths: ClassVar[tuple[str, ...]] = ("",)

    model: str | None = None
    path: str | None = None
    status: int = 500
    text: str | None = None
    after_chunks: int = 1

    def concerns(self, record: ServerRequest) -> bool:
        """Return whether a request is one that may have the fault."""
        paths = self.usual_paths if self.path is None else (self.path,)
        is_path = any(record.matches("path", path) for path in paths)
        return is_path and (self.model is None or record.matches("model", self.model))

    def error(self) -> ServiceError:
        """Return the error that the fault sends."""
        return ServiceError(self.status, self.text or "simulated failure")

    @property
    def is_refusal(self) -> bool:
        """Whether the error comes instead of an answer."""
        return self.kind is FaultKind.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFault(ServerFault):
    """A fault of a server that streams; `slow_factor` belongs to `slow`."""

    slow_factor: float = 10.0


class FaultQueue[F: Fault]:
    """The faults to come; the first that matches a request is taken."""

    def __init__(self, faults: Iterable[F] = ()) -> None:
        self._pending: list[tuple[F, list[int]]] = []
        self.add(*faults)

    def add(self, *faults: F) -> None:
        """Append faults."""
        self._pending.extend((fault, [0]) for fault in faults)

    def clear(self) -> None:
        """Remove every fault."""
        self._pending.clear()

    def pending(self) -> tuple[F, ...]:
        """Return the faults that are not used up, in order."""
        return tuple(fault for fault, _ in self._pending)

    def take(self, concerns: Callable[[F], bool]) -> F | None:
        """Return the first fault that is due for a request which it concerns, and count the request."""
        for entry in self._pending:
            fault, seen = entry
            if not concerns(fault):
                continue
            seen[0] += 1
            if seen[0] <= fault.after_requests:
                continue
            if fault.times is not None and seen[0] >= fault.after_requests + fault.times:
                self._pending.remove(entry)
            return fault
        return None
