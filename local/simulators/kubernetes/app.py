"""The one route of a simulated cluster: who asks, which fault, and what the API server says."""

import json
from typing import override

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.connections import peer_name
from local.simulators.control import explain_refusal, fault_route, request_route
from local.simulators.errors import ServiceError
from local.simulators.kubernetes.faults import ClusterFault, ClusterFaultKind, ClusterRequest
from local.simulators.kubernetes.state import SimulatedCluster, find_case
from local.simulators.route import Call, SimulatedRoute, Whole
from rune.kubernetes.access import ClusterAnswer
from rune.kubernetes.recorded.cluster import write_refusal
from rune.kubernetes.recorded.loading import parse_case
from rune.kubernetes.recorded.paths import Target
from rune.kubernetes.recorded.problems import InvalidCaseError
from rune.kubernetes.recorded.readers import Reader
from rune.kubernetes.recorded.statuses import (
    RefusedError,
    expired,
    forbidden,
    forbidden_path,
    no_such_path,
    server_failed,
    status_of,
)

_PEER = "rune.peer"
_OPEN = {"/livez", "/readyz", "/healthz", "/version"}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_TOO_MANY, _UNAUTHORIZED = 429, 401
_PRIORITY = {
    "x-kubernetes-pf-flowschema-uid": "7a1c6d1e-3f55-4c0b-9f0e-2d7a4f0f6c11",
    "x-kubernetes-pf-prioritylevel-uid": "b0b6b1c7-1f57-4b8b-8d0c-1f4e2a9b7d22",
}
_USUAL = {
    "cache-control": "no-cache, private",
    "audit-id": "5c9a0e0c-6c1d-4c55-8a7e-0d6e3f1b2a90",
    **_PRIORITY,
}


class ClusterRoute(SimulatedRoute[ClusterFault, ClusterRequest]):
    """Everything below the cluster's prefix."""

    def __init__(self, state: SimulatedCluster) -> None:
        super().__init__(state)
        self._state = state

    @override
    def fill_record(self, record: ClusterRequest, request: Request, raw: bytes) -> None:
        record.query = request.url.query
        record.accept = request.headers.get("accept", "")
        record.user_agent = request.headers.get("user-agent", "")
        credential, reader = self._identify(request)
        record.credential = credential
        record.reader = reader.user if reader else ""

    @override
    def check_access(self, request: Request) -> None:
        if self._path_of(request) not in _OPEN and self._identify(request)[1] is None:
            raise ServiceError(_UNAUTHORIZED, "Unauthorized")

    @override
    def begin_fault(self, fault: ClusterFault) -> None:
        if fault.kind is ClusterFaultKind.UNAUTHORIZED:
            raise ServiceError(_UNAUTHORIZED, "Unauthorized")
        super().begin_fault(fault)

    @override
    async def reply(self, call: Call[ClusterFault]) -> Whole:
        fault, request = call.fault, call.request
        path = self._path_of(request)
        reader = self._identify(request)[1] or Reader("system:anonymous")
        if fault is not None and fault.kind is ClusterFaultKind.TOO_MANY:
            return _too_many(fault.retry_after_seconds)
        try:
            if fault is not None:
                _refuse_for(fault, path)
            if path is None:
                raise no_such_path()
            if request.method not in {"GET", "HEAD"}:
                raise _refuse_change(reader, request.method, path)
        except RefusedError as refusal:
            return _whole(write_refusal(refusal))
        accept = request.headers.get("accept", "*/*")
        answer = self._state.server.answer(path, dict(request.query_params), accept=accept, reader=reader)
        whole = _whole(answer)
        if fault is not None and fault.kind is ClusterFaultKind.HUGE:
            return Whole(
                _enlarge(whole.body, fault.size_bytes), whole.content_type, whole.status, whole.headers
            )
        return whole

    @override
    def write_error(self, error: ServiceError) -> Whole:
        reason = {
            _UNAUTHORIZED: "Unauthorized",
            500: "InternalError",
            503: "ServiceUnavailable",
            504: "Timeout",
        }
        if error.status == _TOO_MANY:
            return _too_many(1)
        return _whole(write_refusal(status_of(error.status, reason.get(error.status, ""), error.text)))

    def _path_of(self, request: Request) -> str | None:
        """Return the path below the prefix, encoded; None where it is not below."""
        raw = request.scope.get("raw_path") or request.url.path.encode()
        path = str(raw.decode("ascii", "replace")).partition("?")[0]
        prefix = self._state.settings.prefix
        if prefix and not path.startswith(f"{prefix}/"):
            return None
        return path.removeprefix(prefix)

    def _identify(self, request: Request) -> tuple[str, Reader | None]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if token:
            reader = self._state.settings.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
            return "bearer", reader
        peer = request.scope.get(_PEER)
        if peer is not None:
            return "certificate", self._state.settings.users.get(peer)
        return "none", None


def _refuse_for(fault: ClusterFault, path: str | None) -> None:
    if fault.kind is ClusterFaultKind.EXPIRED:
        raise expired("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiIn0")
    if fault.kind is ClusterFaultKind.NODE_DEAD:
        where = (path or "").removeprefix("/api/v1/namespaces/").replace("/pods/", "/").removesuffix("/log")
        address = "10.0.2.26:10250"
        raise server_failed(
            f'Get "https://{address}/containerLogs/{where}/app": dial tcp {address}: i/o timeout'
        )


def _refuse_change(reader: Reader, method: str, path: str) -> RefusedError:
    """Return the refusal of a request that would change something: nobody may."""
    target = Target.read(path.strip("/").split("/"))
    return (
        forbidden(reader, target.attempt(_VERBS.get(method, method.lower())))
        if target
        else forbidden_path(reader, path)
    )


def _too_many(retry_after_seconds: int) -> Whole:
    body = b"Too many requests, please try again later.\n"
    headers = {**_PRIORITY, "retry-after": str(retry_after_seconds), "x-content-type-options": "nosniff"}
    return Whole(body, "text/plain; charset=utf-8", _TOO_MANY, headers)


def _whole(answer: ClusterAnswer) -> Whole:
    return Whole(answer.body, answer.content_type, answer.status, _USUAL)


def _enlarge(body: bytes, size_bytes: int) -> bytes:
    """Return a list whose elements repeat until it has the size; other bodies as they are."""
    document = json.loads(body)
    member = next((each for each in ("items", "rows") if document.get(each)), None)
    if member is None:
        return body
    elements = document[member]
    document[member] = elements * (size_bytes // max(1, len(json.dumps(elements))) + 1)
    return json.dumps(document).encode()


def _case_route(state: SimulatedCluster) -> Route:
    """Return `/_sim/case`: GET tells case and answer, PUT plays `{"case": id or document, "seed": 0}`."""
    adapter = TypeAdapter(dict[str, object])

    async def answer(request: Request) -> Response:
        if request.method == "PUT":
            try:
                wanted = adapter.validate_json(await request.body())
                case, seed = wanted.get("case"), wanted.get("seed", 0)
                state.play(find_case(case) if isinstance(case, str) else parse_case(case), int(str(seed)))
            except ValidationError as error:
                return explain_refusal(error)
            except InvalidCaseError as error:
                return JSONResponse({"error": [str(each) for each in error.problems]}, 422)
            except (LookupError, ValueError):
                return JSONResponse({"error": "there is no such case, or the seed is no number"}, 422)
        expected = state.stage.expected
        findings = [{"cause": each.cause, "entities": each.entities} for each in expected.findings]
        told = {"case": state.case.id, "seed": state.seed, "ask": state.stage.ask, "status": expected.status}
        return JSONResponse({**told, "findings": findings})

    return Route("/_sim/case", answer, methods=["GET", "PUT"])


def create_app(state: SimulatedCluster) -> ASGIApp:
    """Return the ASGI app that serves one simulated cluster; apps share nothing."""
    app = Starlette(
        # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
        debug=True,
        routes=[
            fault_route(state.faults, ClusterFault),
            request_route(state.requests),
            _case_route(state),
            Route("/{path:path}", ClusterRoute(state)),
        ],
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        # Out here, where `send` is still uvicorn's own.
        await app({**scope, _PEER: peer_name(send)}, receive, send)

    return serve
