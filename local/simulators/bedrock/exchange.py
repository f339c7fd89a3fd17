"""One request to the simulated Bedrock and its answer on the wire: signatures, faults, the client's leaving."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from local.simulators.bedrock.faults import (
    BedrockError,
    ConnectionBrokenError,
    Fault,
    FaultKind,
    Outcome,
    RequestRecord,
)
from local.simulators.bedrock.frames import MEDIA_TYPE, encode_event, encode_exception
from local.simulators.bedrock.state import SimulatedBedrock
from local.simulators.disconnects import run_until_disconnect

HTML_PAGE = b"<html><body><h1>It works!</h1></body></html>"

type Json = dict[str, Any]
type Handler = Callable[[SimulatedBedrock, "Call"], Awaitable[Json | AsyncGenerator[bytes]]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read; `started_seconds` is on the monotonic clock."""

    request: Request
    raw: bytes
    fault: Fault | None
    record: RequestRecord
    started_seconds: float

    def is_struck_by(self, kind: FaultKind) -> bool:
        """Return whether a fault of that kind is due now."""
        fault = self.fault
        return fault is not None and fault.kind is kind and self.record.chunk_count >= fault.after_chunks


@dataclass(frozen=True, slots=True)
class Exchange:
    """The ASGI app of one route."""

    state: SimulatedBedrock
    handler: Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or stop working on it as soon as its client has left."""
        request = Request(scope, receive)
        timeline = self.state.timeline
        record = self.state.requests.open(request.method, request.url.path, timeline.now())
        started_seconds = timeline.monotonic_seconds()
        try:
            raw = await request.body()
            record.model = request.path_params.get("model")
            fault = self.state.faults.take(record.path, record.model)
            record.fault = fault.kind if fault else None
            call = Call(request, raw, fault, record, started_seconds)
            await run_until_disconnect(self._answer(call, send), receive)
        except ClientDisconnect:
            record.outcome = Outcome.CANCELLED
        finally:
            if record.outcome is Outcome.RUNNING:
                record.outcome = Outcome.CANCELLED
            record.ended_at = timeline.now()

    async def _answer(self, call: Call, send: Send) -> None:
        record, fault = call.record, call.fault
        try:
            _check_signature(call.request)
            if fault is not None:
                await _refuse(fault)
            if fault is not None and fault.kind is FaultKind.WRONG_CONTENT:
                await _send_whole(send, record, 200, HTML_PAGE, {"content-type": "text/html"})
                return
            reply = await self.handler(self.state, call)
            if isinstance(reply, dict):
                body = json.dumps(reply).encode()
                await _send_whole(send, record, 200, body, {"content-type": "application/json"})
                return
            await _send_stream(send, call, reply)
        except ConnectionBrokenError:
            # A response left unfinished is what makes uvicorn close the connection in the middle of it.
            record.outcome = Outcome.DISCONNECTED
        except BedrockError as error:
            body = json.dumps({"message": error.message}).encode()
            headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
            await _send_whole(send, record, error.status, body, headers)


async def _refuse(fault: Fault) -> None:
    if fault.kind is FaultKind.SILENT:
        await asyncio.Event().wait()
    if fault.kind is FaultKind.REFUSED:
        raise BedrockError(fault.status, fault.code, fault.text)


def _check_signature(request: Request) -> None:
    """Refuse what no client of AWS would send; the signature itself is not computed."""
    authorization = request.headers.get("authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        raise BedrockError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    if "/bedrock/aws4_request" not in authorization:
        raise BedrockError(
            403, "InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'."
        )


async def _send_whole(
    send: Send, record: RequestRecord, status: int, body: bytes, headers: dict[str, str]
) -> None:
    record.status = status
    # Noted first: whoever has read the answer may look at the record at once.
    record.outcome = Outcome.COMPLETED if status < 400 else Outcome.REFUSED  # noqa: PLR2004  # HTTP's first error
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*encoded, length]})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, call: Call, frames: AsyncGenerator[bytes]) -> None:
    call.record.status = 200
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async with aclosing(_spoiled(call, frames)) as spoiled:
        async for frame in spoiled:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
    if call.record.outcome is Outcome.RUNNING:
        call.record.outcome = Outcome.COMPLETED
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _spoiled(call: Call, frames: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the frames until the call's fault strikes."""
    fault = call.fault
    async for frame in frames:
        yield frame
        if fault is None or call.record.chunk_count < fault.after_chunks:
            continue
        if fault.kind is FaultKind.STREAM_ERROR:
            call.record.outcome = Outcome.STREAM_ERROR
            yield encode_exception(fault.code, fault.text)
            return
        if fault.kind is FaultKind.TRUNCATED:
            call.record.outcome = Outcome.TRUNCATED
            return
        if fault.kind is FaultKind.DISCONNECTED:
            raise ConnectionBrokenError
        if fault.kind is FaultKind.CORRUPT:
            call.record.outcome = Outcome.STREAM_ERROR
            yield encode_event("contentBlockStop", {"contentBlockIndex": 0})[:-1] + b"?"
            return
        if fault.kind is FaultKind.HANG:
            await asyncio.Event().wait()
