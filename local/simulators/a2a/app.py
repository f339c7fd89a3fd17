"""The routes of a simulated A2A server."""

import json
from typing import Any, override

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from local.simulators.a2a.state import (
    CARD_PATH,
    RPC_PATH,
    A2aFault,
    A2aFaultKind,
    SimulatedA2a,
    Task,
)
from local.simulators.control import fault_route, request_route
from local.simulators.errors import ConnectionCutError, ServiceError
from local.simulators.request_log import ServerRequest
from local.simulators.route import Call, SimulatedRoute, Whole

type Json = dict[str, Any]

METHOD_NOT_FOUND, INVALID_PARAMS = -32601, -32602
TASK_NOT_FOUND, NOT_CANCELABLE, VERSION_NOT_SUPPORTED = -32001, -32002, -32009


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _whole(content: object, status: int = 200) -> Whole:
    return Whole(json.dumps(content).encode(), status=status)


class _A2aRoute(SimulatedRoute[A2aFault, ServerRequest]):
    def __init__(self, state: SimulatedA2a) -> None:
        super().__init__(state)
        self._state = state

    @override
    def check_access(self, request: Request) -> None:
        token = self._state.settings.token
        if token is not None and request.headers.get("authorization") != f"Bearer {token}":
            raise ServiceError(401, "Unauthorized")

    @override
    def write_error(self, error: ServiceError) -> Whole:
        return _whole({"error": error.text}, error.status)


class _Card(_A2aRoute):
    @override
    def check_access(self, request: Request) -> None:
        """Let all see it, as servers do."""

    @override
    async def reply(self, call: Call[A2aFault]) -> Whole:
        settings = self._state.settings
        url = settings.rpc_url or str(call.request.base_url).rstrip("/") + RPC_PATH
        card: Json = {"name": "simulated", "description": "A simulated agent", "version": "1", "skills": []}
        if settings.version == "0.3":
            return _whole({**card, "protocolVersion": "0.3.0", "url": url, "preferredTransport": "JSONRPC"})
        return _whole(
            {
                **card,
                "supportedInterfaces": [
                    {"url": url + "/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                    {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                ],
            }
        )


class _Rpc(_A2aRoute):
    @override
    async def reply(self, call: Call[A2aFault]) -> Whole:
        try:
            body = json.loads(call.raw)
        except ValueError:
            return _whole({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
        try:
            result = self._call(call, body.get("method"), body.get("params") or {})
        except _RpcError as error:
            told = {"code": error.code, "message": str(error)}
            return _whole({"jsonrpc": "2.0", "id": body.get("id"), "error": told})
        return _whole({"jsonrpc": "2.0", "id": body.get("id"), "result": result})

    def _call(self, call: Call[A2aFault], method: object, params: Json) -> Json:
        state, fault = self._state, call.fault
        if fault is not None and fault.kind is A2aFaultKind.RPC_ERROR:
            raise _RpcError(fault.rpc_code, fault.text or "simulated failure")
        # A missing header means 0.3.
        if state.settings.version == "1.0" and call.request.headers.get("a2a-version") != "1.0":
            raise _RpcError(VERSION_NOT_SUPPORTED, "A2A version 0.3 is not supported")
        if state.settings.version == "0.3" or method not in {"SendMessage", "GetTask", "CancelTask"}:
            raise _RpcError(METHOD_NOT_FOUND, "Method not found")
        if method == "SendMessage":
            return self._send(params, fault)
        if fault is not None and fault.kind is A2aFaultKind.FORGETS:
            state.tasks.clear()
        task = state.tasks.get(str(params.get("id")))
        if task is None:
            raise _RpcError(TASK_NOT_FOUND, "Task not found")
        if method == "CancelTask":
            if self._state_of(task) != "WORKING":
                raise _RpcError(NOT_CANCELABLE, "Task cannot be canceled")
            task.is_cancelled = True
        return self._describe(task)

    def _send(self, params: Json, fault: A2aFault | None) -> Json:
        message = params.get("message") or {}
        parts = message.get("parts") or []
        if not message.get("messageId") or message.get("role") != "ROLE_USER" or not parts:
            raise _RpcError(INVALID_PARAMS, "Invalid params")
        question = "".join(part.get("text", "") for part in parts)
        if self._state.settings.answers_at_once:
            return {"message": _message(f"Simulated answer: {len(question.split())} words.")}
        task = self._state.make_task(message["messageId"], question)
        if fault is not None and fault.kind is A2aFaultKind.LOST_SUBMIT:
            raise ConnectionCutError
        return {"task": self._describe(task)}

    def _state_of(self, task: Task) -> str:
        if task.is_cancelled:
            return "CANCELED"
        is_over = self._state.timeline.monotonic_seconds() >= task.ends_seconds
        return self._state.settings.ends_as if is_over else "WORKING"

    def _describe(self, task: Task) -> Json:
        state = self._state_of(task)
        described: Json = {
            "id": task.id,
            "contextId": f"context-{task.id}",
            "status": {"state": f"TASK_STATE_{state}"},
        }
        if state == "COMPLETED":
            # In parts, as answers that were streamed into the task come.
            words = len(task.question.split())
            parts = [{"text": f"Simulated answer to {words} words:"}, {"data": {"unhealthy": []}}]
            described["artifacts"] = [{"artifactId": "a1", "name": "answer", "parts": parts}]
        elif state not in {"WORKING", "CANCELED"}:
            described["status"]["message"] = _message(f"Simulated end as {state.lower()}: which namespace?")
        return described


def _message(text: str) -> Json:
    return {"messageId": "m1", "role": "ROLE_AGENT", "parts": [{"text": text}]}


def create_app(state: SimulatedA2a) -> Starlette:
    """Return the ASGI app that serves one simulated server; apps share nothing."""
    return Starlette(
        debug=True,
        routes=[
            Route(CARD_PATH, _Card(state), methods=["GET"]),
            Route(RPC_PATH, _Rpc(state), methods=["POST"]),
            fault_route(state.faults, A2aFault),
            request_route(state.requests),
        ],
    )
