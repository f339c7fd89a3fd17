"""The routes of a simulated HolmesGPT server, with FastAPI's errors."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus
from typing import Any, override

from pydantic import BaseModel, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.control import fault_route, request_route
from local.simulators.errors import ServiceError
from local.simulators.holmes.answers import write_answer, write_events
from local.simulators.holmes.faults import CHAT_PATH, HolmesFault, HolmesFaultKind, HolmesRequest
from local.simulators.holmes.state import SimulatedHolmes
from local.simulators.route import Call, Reply, SimulatedRoute, Stream, Whole

_OPEN_PATHS = {"/healthz", "/readyz"}


class ChatBody(BaseModel):
    """The simulated fields of the body of `/api/chat`; as in the real server, others are ignored."""

    ask: str
    model: str | None = None
    stream: bool = False
    conversation_history: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _check_first_role(self) -> "ChatBody":
        if self.conversation_history and self.conversation_history[0].get("role") != "system":
            raise ValueError("The first item in conversation_history must contain 'role': 'system'")
        return self


class HolmesRoute(SimulatedRoute[HolmesFault, HolmesRequest]):
    """A route with the server's key check and FastAPI's errors."""

    def __init__(self, state: SimulatedHolmes, handler: "Handler") -> None:
        super().__init__(state)
        self._state = state
        self._handler = handler

    @override
    async def reply(self, call: Call[HolmesFault]) -> Reply:
        fault = call.fault
        if fault is not None and fault.kind is HolmesFaultKind.NO_ANALYSIS:
            return _whole({})
        if fault is not None and fault.kind is HolmesFaultKind.HUGE:
            return _whole({"analysis": "x" * fault.size_bytes})
        return await self._handler(self._state, call)

    @override
    def write_error_chunk(self, error: ServiceError) -> bytes:
        code = 5204 if error.status == HTTPStatus.TOO_MANY_REQUESTS else 5000
        told = {"description": error.text, "error_code": code, "msg": error.text, "success": False}
        return _encode(("error", told))

    @override
    def fill_record(self, record: HolmesRequest, request: Request, raw: bytes) -> None:
        super().fill_record(record, request, raw)
        record.credential, _ = _credential(request)

    @override
    def check_access(self, request: Request) -> None:
        _, key = _credential(request)
        if self._state.settings.api_key not in {None, key} and request.url.path not in _OPEN_PATHS:
            raise ServiceError(401, "Invalid or missing API key")

    @override
    def write_error(self, error: ServiceError) -> Whole:
        return _whole({"detail": error.text}, error.status)


def _whole(content: object, status: int = 200) -> Whole:
    return Whole(json.dumps(content, separators=(",", ":")).encode(), status=status)


def _credential(request: Request) -> tuple[str, str]:
    """Return how a key was shown, and the key: `X-API-Key` before `Authorization`, as in the real server."""
    if key := request.headers.get("x-api-key", ""):
        return "x-api-key", key
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return ("bearer", key.strip()) if scheme.lower() == "bearer" else ("none", "")


async def _chat(state: SimulatedHolmes, call: Call[HolmesFault]) -> Reply:
    try:
        body = ChatBody.model_validate(json.loads(call.raw))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return _whole({"detail": [{**item, "loc": ["body", *item["loc"]]} for item in details]}, 422)
    except ValueError:
        problem = {"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error", "input": {}}
        return _whole({"detail": [problem]}, 422)
    settings = state.settings
    if body.stream and not settings.streams and not settings.takes_unknown_fields:
        problem = {
            "type": "extra_forbidden",
            "loc": ["body", "stream"],
            "msg": "Extra inputs are not permitted",
        }
        return _whole({"detail": [problem]}, 422)
    answer = write_answer(settings, body.ask, body.model, body.conversation_history or [])
    delay_seconds = settings.delay_seconds * call.slow_factor
    if body.stream and settings.streams:
        return Stream(_events(state, answer, delay_seconds), _encode, "text/event-stream")
    await state.timeline.sleep(delay_seconds)
    return _whole(answer)


async def _events(
    state: SimulatedHolmes, answer: dict[str, Any], delay_seconds: float
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    events = write_events(answer)
    for event in events:
        # Silence comes before each, as within a call of the model or a tool.
        await state.timeline.sleep(delay_seconds / len(events))
        yield event


def _encode(event: tuple[str, dict[str, Any]]) -> bytes:
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def _list_models(state: SimulatedHolmes, _call: Call[HolmesFault]) -> Whole:
    names = list(state.settings.models)
    return _whole({"model_name": json.dumps(names) if state.settings.models_as_text else names})


async def _healthz(_state: SimulatedHolmes, _call: Call[HolmesFault]) -> Whole:
    return _whole({"status": "healthy"})


async def _readyz(state: SimulatedHolmes, _call: Call[HolmesFault]) -> Whole:
    return _whole({"status": "ready", "models": list(state.settings.models)})


type Handler = Callable[[SimulatedHolmes, Call[HolmesFault]], Awaitable[Reply]]

_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", CHAT_PATH, _chat),
    ("GET", "/api/model", _list_models),
    ("GET", "/healthz", _healthz),
    ("GET", "/readyz", _readyz),
)


async def _say_not_found(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "Not Found"}, 404)


async def _say_wrong_method(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "Method Not Allowed"}, 405)


def create_app(state: SimulatedHolmes) -> Starlette:
    """Return the ASGI app that serves one simulated server; apps share nothing."""
    routes = (Route(path, HolmesRoute(state, handler), methods=[method]) for method, path, handler in _ROUTES)
    return Starlette(
        # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
        debug=True,
        routes=[*routes, fault_route(state.faults, HolmesFault), request_route(state.requests)],
        exception_handlers={404: _say_not_found, 405: _say_wrong_method},
    )
