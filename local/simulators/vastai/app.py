"""The simulator over HTTP."""

import asyncio
import json
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.simulators.connections import abort_connection, wait_for_disconnect
from local.simulators.vastai.control import control_routes
from local.simulators.vastai.local_stack import LocalVastai
from local.simulators.vastai.wire import Delivery, VastAnswer, VastRequest

TICK_SECONDS = 0.02
"""How late machines may follow their contracts between requests."""

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
    """No response: the connection is aborted, or stays open until the client leaves."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Return once the connection is closed: uvicorn sends a 500 into one that is open."""
        if self._delivery is Delivery.DISCONNECTED:
            abort_connection(scope["vastai.send"])
        await wait_for_disconnect(receive)


@dataclass(slots=True)
class VastaiApp:
    """The ASGI app: Starlette's, with uvicorn's own `send` in the scope and a task that advances the simulator."""

    local: LocalVastai
    routes: Starlette
    _ticking: asyncio.Task[None] | None = field(default=None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        scope["vastai.send"] = send
        await self.routes(scope, receive, send)

    async def _tick(self) -> None:
        """Start and stop machines when they are due; the end of the loop stops them all."""
        try:
            while True:
                self.local.vastai.advance()
                await asyncio.sleep(TICK_SECONDS)
        finally:
            self.local.host.close()


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
    # Starlette adds a charset to text types alone: the official client requires a bare application/json.
    return Response(content, answer.status, dict(answer.headers), media_type=answer.media_type)
