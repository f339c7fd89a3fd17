"""Routes of the simulated Ollama: its JSON, its lines and its errors."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import override

from local.simulators.errors import ServiceError
from local.simulators.ollama.errors import SignInError
from local.simulators.ollama.faults import OllamaFault, OllamaFaultKind, OllamaRequest
from local.simulators.ollama.models import Json
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.route import Call, Reply, SimulatedRoute, Stream, Whole

JSON_TYPE = "application/json; charset=utf-8"
NDJSON_TYPE = "application/x-ndjson"

type OllamaCall = Call[OllamaFault]
type Handler = Callable[[SimulatedOllama, OllamaCall], Awaitable[Reply]]


def dump(content: object) -> bytes:
    """Return compact JSON, as Go writes it."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def dump_line(line: Json) -> bytes:
    """Return one line of NDJSON."""
    return dump(line) + b"\n"


def whole(content: object, status: int = 200) -> Whole:
    """Return an answer in one JSON object."""
    return Whole(dump(content), JSON_TYPE, status)


def streamed(lines: AsyncGenerator[Json], fold: Callable[[Sequence[Json]], Json] | None) -> Stream[Json]:
    """Return an answer in lines; `fold` makes one object of them, None streams."""
    folded = None if fold is None else (lambda kept: whole(fold(kept)))
    return Stream(lines, dump_line, NDJSON_TYPE, folded)


def is_last(line: Json) -> bool:
    """Return whether a line ends its stream."""
    return line.get("done") is True or line.get("status") == "success"


class NativeRoute(SimulatedRoute[OllamaFault, OllamaRequest]):
    """A route below `/api`."""

    def __init__(self, state: SimulatedOllama, handler: Handler) -> None:
        super().__init__(state)
        self._state = state
        self._handler = handler

    @override
    async def reply(self, call: OllamaCall) -> Reply:
        reply = await self._handler(self._state, call)
        fault = call.fault
        if fault is None or fault.kind is not OllamaFaultKind.NO_FINAL_NEWLINE or isinstance(reply, Whole):
            return reply
        encode = reply.encode
        return replace(
            reply, encode=lambda line: encode(line).rstrip(b"\n") if is_last(line) else encode(line)
        )

    @override
    def begin_fault(self, fault: OllamaFault) -> None:
        if fault.kind is OllamaFaultKind.OUT_OF_MEMORY:
            self._state.runners.evict_idle()
        super().begin_fault(fault)

    @override
    def write_error(self, error: ServiceError) -> Whole:
        page = {"signin_url": error.signin_url} if isinstance(error, SignInError) else {}
        return whole({"error": error.text} | page, error.status)

    @override
    def write_error_chunk(self, error: ServiceError) -> bytes:
        return dump_line({"error": error.text})
