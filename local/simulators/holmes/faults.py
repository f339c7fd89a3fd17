"""Faults of the simulated HolmesGPT server, and its record of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from local.simulators.faults import FaultKind, StreamFault, StreamFaultKind
from local.simulators.request_log import ServerRequest

CHAT_PATH = "/api/chat"


class HolmesFaultKind(StrEnum):
    """Faults that only this server has."""

    NO_ANALYSIS = "no_analysis"
    """200 with an empty JSON object."""
    HUGE = "huge"
    """200 with `size_bytes` of analysis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HolmesFault(StreamFault):
    """One fault. The status of a `stream_error` is that of the model's provider: 429 is told as the code 5204."""

    usual_paths: ClassVar[tuple[str, ...]] = (CHAT_PATH,)

    kind: FaultKind | StreamFaultKind | HolmesFaultKind
    size_bytes: int = 32 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class HolmesRequest(ServerRequest):
    """One request.

    Attributes
    ----------
    credential
        `none`, `x-api-key` or `bearer`: how the caller showed its key, right or wrong.
    """

    credential: str = "none"
