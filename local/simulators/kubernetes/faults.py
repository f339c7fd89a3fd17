"""Faults of the simulated cluster, and its record of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, override

from local.simulators.faults import FaultKind, ServerFault
from local.simulators.request_log import ServerRequest


class ClusterFaultKind(StrEnum):
    """Faults that only this server has."""

    TOO_MANY = "too_many"
    """429 of priority and fairness: plain text, and Retry-After."""
    UNAUTHORIZED = "unauthorized"
    """401, as for a token whose time is over."""
    EXPIRED = "expired"
    """410 for a request that continues a list."""
    NODE_DEAD = "node_dead"
    """500 for a log, whose node does not answer."""
    HUGE = "huge"
    """A list of at least `size_bytes`: its elements again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFault(ServerFault):
    """One fault; without a path it concerns every request that it can."""

    kind: FaultKind | ClusterFaultKind
    retry_after_seconds: int = 1
    size_bytes: int = 5 * 1024 * 1024

    @override
    def concerns(self, record: ServerRequest) -> bool:
        if not ServerFault.concerns(self, record) or not isinstance(record, ClusterRequest):
            return False
        if self.kind is ClusterFaultKind.EXPIRED:
            return "continue=" in record.query
        if self.kind is ClusterFaultKind.NODE_DEAD:
            return record.path.endswith("/log")
        return True


@dataclass(slots=True, kw_only=True)
class ClusterRequest(ServerRequest):
    """One request.

    Attributes
    ----------
    query
        As it was sent.
    reader
        Who asked: a user's name, or empty.
    credential
        `none`, `bearer` or `certificate`.
    """

    filters: ClassVar[tuple[str, ...]] = ("method", "path", "reader")

    query: str = ""
    accept: str = ""
    user_agent: str = ""
    reader: str = ""
    credential: str = "none"
