"""The routes of a simulated driver server."""

import json
from typing import override

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from local.simulators.control import fault_route, request_route
from local.simulators.driver.state import (
    ACTIONS_PATH,
    Action,
    DriverFault,
    DriverFaultKind,
    SimulatedDriver,
)
from local.simulators.errors import ConnectionCutError, ServiceError
from local.simulators.request_log import ServerRequest
from local.simulators.route import Call, SimulatedRoute, Whole


def _whole(content: object, status: int = 200) -> Whole:
    return Whole(json.dumps(content).encode(), status=status)


class _DriverRoute(SimulatedRoute[DriverFault, ServerRequest]):
    def __init__(self, state: SimulatedDriver) -> None:
        super().__init__(state)
        self._state = state

    @override
    def check_access(self, request: Request) -> None:
        token = self._state.settings.token
        if token is None:
            return
        shown = {request.headers.get("authorization", ""), request.headers.get("x-api-key", "")}
        if shown != {f"Bearer {token}", token}:
            raise ServiceError(401, "Unauthorized")
        if not request.headers.get("x-tenant-id"):
            raise ServiceError(401, "X-Tenant-ID is missing")

    @override
    def write_error(self, error: ServiceError) -> Whole:
        return _whole({"error": error.text}, error.status)


class _Actions(_DriverRoute):
    @override
    async def reply(self, call: Call[DriverFault]) -> Whole:
        params = _params(call.raw)
        question, model = params.get("question"), params.get("model")
        if not isinstance(question, str) or not isinstance(model, str):
            raise ServiceError(400, "params need question and model")
        fault = call.fault
        action = self._state.take(call.request.headers.get("idempotency-key", ""), question, model, fault)
        if fault is not None and fault.kind is DriverFaultKind.LOST_SUBMIT:
            raise ConnectionCutError
        if fault is not None and fault.kind is DriverFaultKind.NO_JOB_ID:
            return _whole({}, 202)
        return _whole({"job_id": action.job_id}, 202)


class _Jobs(_DriverRoute):
    @override
    async def reply(self, call: Call[DriverFault]) -> Whole:
        action = self._state.actions.get(call.request.path_params["job_id"])
        if action is None:
            raise ServiceError(404, "job not found")
        if call.request.method == "DELETE":
            if not self._state.settings.cancels:
                raise ServiceError(405, "Method Not Allowed")
            action.is_cancelled = True
            return _whole({"status": "cancelled", "job_id": action.job_id})
        return _whole(self._describe(action))

    def _describe(self, action: Action) -> dict[str, object]:
        if action.is_cancelled:
            return {"job_id": action.job_id, "status": "cancelled", "error": "cancelled by the caller"}
        if self._state.timeline.monotonic_seconds() < action.ends_seconds:
            return {"job_id": action.job_id, "status": "running"}
        if action.fault is not None and action.fault.kind is DriverFaultKind.ACTION_FAILS:
            return {
                "job_id": action.job_id,
                "status": "failed",
                "error": action.fault.text or "simulated failure",
            }
        result = {} if _has_no_answer(action) else _result(action)
        return {"job_id": action.job_id, "status": "succeeded", "result": result}


def _has_no_answer(action: Action) -> bool:
    return action.fault is not None and action.fault.kind is DriverFaultKind.NO_ANSWER


def _result(action: Action) -> dict[str, object]:
    words = len(action.question.split())
    return {
        "answer": f"Simulated answer by a driver with {action.model}: a question of {words} words.",
        "result_type": "report",
        "artifacts": [{"type": "log", "name": "steps", "size": 12}],
        "metadata": {"agent_name": "simulated", "steps": 2},
        "telemetry": {
            "tokens": {
                "system_prompt": 1,
                "tool_calls": 2,
                "agent_reasoning": 3,
                "output": 4,
                "total": 10 + words,
            },
            "latency": [{"phase": "look", "ms": 1200}],
            "cost_estimate_usd": 0.002,
        },
    }


def _params(raw: bytes) -> dict[str, object]:
    try:
        body = json.loads(raw)
    except ValueError:
        raise ServiceError(400, "the body is not JSON") from None
    params = body.get("params") if isinstance(body, dict) else None
    if not isinstance(params, dict):
        raise ServiceError(400, "params is missing")
    return params


def create_app(state: SimulatedDriver) -> Starlette:
    """Return the ASGI app that serves one simulated server; apps share nothing."""
    return Starlette(
        debug=True,
        routes=[
            Route(ACTIONS_PATH, _Actions(state), methods=["POST"]),
            Route("/v1/jobs/{job_id}", _Jobs(state), methods=["GET", "DELETE"]),
            fault_route(state.faults, DriverFault),
            request_route(state.requests),
        ],
    )
