"""The routes of a simulated HolmesGPT server, with the errors that FastAPI gives it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.simulators.disconnects import run_until_disconnect
from local.simulators.holmes.answers import write_answer
from local.simulators.holmes.faults import CHAT_PATH, Fault, FaultKind, Outcome, RequestRecord
from local.simulators.holmes.state import SimulatedHolmes
from local.simulators.scripts import fault_route

HTML_PAGE = "<html><body><h1>It works!</h1></body></html>"

_OPEN_PATHS = {"/healthz", "/readyz"}
_FAULTS = TypeAdapter(list[Fault])
_FIRST_ERROR_STATUS = 400


class ChatBody(BaseModel):
    """The body of `/api/chat`, as far as it is simulated; unknown fields are ignored, as in the real server."""

    ask: str
    model: str | None = None
    conversation_history: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _check_first_role(self) -> "ChatBody":
        if self.conversation_history and self.conversation_history[0].get("role") != "system":
            raise ValueError("The first item in conversation_history must contain 'role': 'system'")
        return self


type Handler = Callable[[SimulatedHolmes, bytes], Awaitable[Response]]


async def _chat(state: SimulatedHolmes, raw: bytes) -> Response:
    try:
        body = ChatBody.model_validate(json.loads(raw))
    except ValueError as error:
        if not isinstance(error, ValidationError):
            problem = {"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error", "input": {}}
            return JSONResponse({"detail": [problem]}, 422)
        details = error.errors(include_url=False, include_context=False)
        return JSONResponse({"detail": [{**item, "loc": ["body", *item["loc"]]} for item in details]}, 422)
    await state.timeline.sleep(state.settings.delay_seconds)
    return JSONResponse(write_answer(state.settings, body.ask, body.model, body.conversation_history or []))


async def _list_models(state: SimulatedHolmes, _raw: bytes) -> Response:
    names = list(state.settings.models)
    return JSONResponse({"model_name": json.dumps(names) if state.settings.models_as_text else names})


async def _healthz(_state: SimulatedHolmes, _raw: bytes) -> Response:
    return JSONResponse({"status": "healthy"})


async def _readyz(state: SimulatedHolmes, _raw: bytes) -> Response:
    return JSONResponse({"status": "ready", "models": list(state.settings.models)})


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", CHAT_PATH, _chat),
    ("GET", "/api/model", _list_models),
    ("GET", "/healthz", _healthz),
    ("GET", "/readyz", _readyz),
)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """The ASGI app of one route: one request, its record and its answer."""

    state: SimulatedHolmes
    handler: Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or stop working on it as soon as its client has left."""
        request = Request(scope, receive)
        record = self.state.requests.open(request.method, scope["path"], self.state.timeline.now())
        try:
            record.credential, key = _credential(request)
            raw = await request.body()
            record.model = _peek_model(raw)

            async def work() -> None:
                response = await self._answer(record, key, raw)
                await response(scope, receive, send)

            await run_until_disconnect(work(), receive)
        except ClientDisconnect:
            pass
        finally:
            if record.outcome is Outcome.RUNNING:
                record.outcome = Outcome.CANCELLED
            record.ended_at = self.state.timeline.now()

    async def _answer(self, record: RequestRecord, key: str, raw: bytes) -> Response:
        if self.state.settings.api_key not in {None, key} and record.path not in _OPEN_PATHS:
            response: Response = JSONResponse({"detail": "Invalid or missing API key"}, 401)
        elif (fault := self.state.faults.take(record.path)) is not None:
            record.fault = fault.kind
            response = await _spoiled(fault)
        else:
            response = await self.handler(self.state, raw)
        record.status = response.status_code
        # Noted before it is sent: whoever has read the answer may look at the record at once.
        if record.fault is FaultKind.DISCONNECTED:
            record.outcome = Outcome.DISCONNECTED
        else:
            is_refusal = response.status_code >= _FIRST_ERROR_STATUS
            record.outcome = Outcome.REFUSED if is_refusal else Outcome.COMPLETED
        return response


class _BrokenResponse(Response):
    """A response left unfinished, which makes uvicorn close the connection in the middle of it."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"analysis"', "more_body": True})


async def _spoiled(fault: Fault) -> Response:
    match fault.kind:
        case FaultKind.HANG:
            await asyncio.Event().wait()
        case FaultKind.STATUS:
            return JSONResponse({"detail": fault.text}, fault.status)
        case FaultKind.DISCONNECTED:
            return _BrokenResponse()
        case FaultKind.NOT_JSON:
            return Response(HTML_PAGE, media_type="text/html")
        case FaultKind.HUGE:
            return JSONResponse({"analysis": "x" * fault.size_bytes})
    return JSONResponse({})


def _credential(request: Request) -> tuple[str, str]:
    """Return how a key was shown, and the key: `X-API-Key` before `Authorization`, as in the real server."""
    if key := request.headers.get("x-api-key", ""):
        return "x-api-key", key
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return ("bearer", key.strip()) if scheme.lower() == "bearer" else ("none", "")


def _peek_model(raw: bytes) -> str | None:
    try:
        content = json.loads(raw) if raw else None
    except ValueError:
        return None
    model = content.get("model") if isinstance(content, dict) else None
    return model if isinstance(model, str) else None


def _control_routes(state: SimulatedHolmes) -> list[Route]:
    """Return the control of the simulator itself.

    `/_sim/faults`: POST adds a JSON list of faults (the fields of `Fault`), GET lists those to come, DELETE clears.
    `/_sim/requests`: GET lists what was asked, narrowed by the query's `path`, DELETE forgets.
    """

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            state.requests.records.clear()
        wanted = state.requests.select(path=request.query_params.get("path"))
        return JSONResponse({"requests": [record.describe() for record in wanted]})

    return [
        fault_route(state.faults, _FAULTS),
        Route("/_sim/requests", requests, methods=["GET", "DELETE"]),
    ]


async def _say_not_found(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "Not Found"}, 404)


async def _say_wrong_method(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "Method Not Allowed"}, 405)


def create_app(state: SimulatedHolmes) -> Starlette:
    """Return the ASGI app that serves one simulated server; apps share nothing."""
    exchange = partial(_Exchange, state)
    return Starlette(
        # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
        debug=True,
        routes=[
            *(Route(path, exchange(handler), methods=[method]) for method, path, handler in _ROUTES),
            *_control_routes(state),
        ],
        exception_handlers={404: _say_not_found, 405: _say_wrong_method},
    )
