"""The simulator over HTTP."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.simulators.vastai.control import control_routes
from local.simulators.vastai.local_stack import LocalVastai
from local.simulators.vastai.wire import Delivery, VastAnswer, VastRequest

TICK_SECONDS = 0.02
"""How late the machines may follow their contracts when nobody asks anything."""

_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]


def create_app(local: LocalVastai) -> "VastaiApp":
    """Return the ASGI app of one simulated Vast.ai and of its control; apps share nothing."""

    async def answer(request: Request) -> Response:
        try:
            asked = await _read(request)
        except ClientDisconnect:
            return Response()
        return _respond(local.vastai.answer(asked))

    routes = [*control_routes(local), Route("/{path:path}", answer, methods=_METHODS)]
    # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
    return VastaiApp(local, Starlette(debug=True, routes=routes))


class _UndeliveredResponse(Response):
    """No response at all: the connection is broken, or stays open until the client leaves."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Return once the connection is gone, for uvicorn would send a 500 into one that is not."""
        if self._delivery is Delivery.LOST:
            scope["vastai.break"]()
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass(slots=True)
class VastaiApp:
    """The ASGI app: Starlette's, with a way to break connections and with a task that lets time pass."""

    local: LocalVastai
    routes: Starlette
    _ticking: asyncio.Task[None] | None = field(default=None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        scope["vastai.break"] = _breaker(send)
        await self.routes(scope, receive, send)

    async def _tick(self) -> None:
        """Let machines start and stop when they are due; the loop's end stops them all."""
        try:
            while True:
                self.local.vastai.advance()
                await asyncio.sleep(TICK_SECONDS)
        finally:
            self.local.host.close()


def _breaker(send: Send) -> Callable[[], None]:
    """Return what breaks the connection of a request without a byte of an answer.

    ASGI has no word for that, so this reaches for uvicorn's transport, whose `send` is a method of the object that
    holds it.
    """

    def abort() -> None:
        cycle = getattr(send, "__self__", None)
        transport: asyncio.WriteTransport | None = getattr(cycle, "transport", None)
        if transport is None:
            raise RuntimeError("Only uvicorn's connections can be broken.")
        transport.abort()

    return abort


async def _read(request: Request) -> VastRequest:
    raw = await request.body()
    try:
        body: object = json.loads(raw) if raw else None
    except ValueError:
        body = None
    return VastRequest(
        method=request.method,
        path=request.url.path,
        query=dict(request.query_params),
        body=body,
        authorization=request.headers.get("authorization"),
        address=request.client.host if request.client else "127.0.0.1",
        base_url=str(request.base_url).rstrip("/"),
    )


def _respond(answer: VastAnswer) -> Response:
    if answer.delivery is not Delivery.NORMAL:
        return _UndeliveredResponse(answer.delivery)
    content = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    # Starlette adds a charset to text alone: the official client insists on a bare application/json.
    return Response(content, answer.status, dict(answer.headers), media_type=answer.media_type)
