"""Faults and errors of the simulated Bedrock."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, override

from local.simulators.errors import ServiceError
from local.simulators.faults import FaultKind, StreamFault, StreamFaultKind


class BedrockError(ServiceError):
    """An error of the service; `code` names its type, as in `ThrottlingException`."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(status, text)
        self.code = code


class BedrockFaultKind(StrEnum):
    """Faults that only Bedrock has."""

    STOPPED = "stopped"
    """After `after_chunks` chunks the answer ends with `code` as its stop reason."""
    CORRUPT = "corrupt"
    """After `after_chunks` chunks comes a frame with a wrong checksum, and nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockFault(StreamFault):
    """One fault; a model is meant as the client writes it, and `code` belongs to the error or the stop reason."""

    usual_paths: ClassVar[tuple[str, ...]] = ("/converse", "/converse-stream")

    kind: FaultKind | StreamFaultKind | BedrockFaultKind
    status: int = 429
    code: str = "ThrottlingException"

    @override
    def error(self) -> ServiceError:
        text = self.text or "Too many requests, please wait before trying again."
        return BedrockError(self.status, self.code, text)
