"""Faults of the simulated Ollama, and its record of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, override

from local.simulators.errors import ServiceError
from local.simulators.faults import FaultKind, StreamFault, StreamFaultKind
from local.simulators.ollama.errors import OVERLOADED_TEXT
from local.simulators.ollama.names import parse_name
from local.simulators.request_log import ServerRequest

OUT_OF_MEMORY_TEXT = "llama-server process has terminated: cudaMalloc failed: out of memory"
STREAM_ERROR_TEXT = "an error was encountered while running the model: unexpected EOF"


class OllamaFaultKind(StrEnum):
    """Faults that only Ollama has."""

    OUT_OF_MEMORY = "out_of_memory"
    """500 before the answer; idle models are evicted."""
    OVERLOADED = "overloaded"
    """503 before the answer."""
    NO_FINAL_NEWLINE = "no_final_newline"
    """A whole stream whose last line has no newline."""


_ERRORS = {
    OllamaFaultKind.OUT_OF_MEMORY: (500, OUT_OF_MEMORY_TEXT),
    OllamaFaultKind.OVERLOADED: (503, OVERLOADED_TEXT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaFault(StreamFault):
    """One fault; a model is meant under any spelling of its name."""

    usual_paths: ClassVar[tuple[str, ...]] = (
        "/api/generate",
        "/api/chat",
        "/api/pull",
        "/v1/chat/completions",
    )

    kind: FaultKind | StreamFaultKind | OllamaFaultKind

    @override
    def error(self) -> ServiceError:
        kind = self.kind
        status, text = (self.status, STREAM_ERROR_TEXT)
        if isinstance(kind, OllamaFaultKind):
            status, text = _ERRORS[kind]
        return ServiceError(status, self.text or text)

    @property
    @override
    def is_refusal(self) -> bool:
        return self.kind is FaultKind.REFUSED or self.kind in _ERRORS


@dataclass(slots=True, kw_only=True)
class OllamaRequest(ServerRequest):
    """One request; it matches a model under any spelling of its name."""

    @override
    def matches(self, name: str, wanted: object) -> bool:
        if name == "model" and self.model is not None:
            return _key(self.model) == _key(str(wanted))
        return ServerRequest.matches(self, name, wanted)


def _key(model: str) -> str:
    try:
        return parse_name(model).key
    except ValueError:
        return model
