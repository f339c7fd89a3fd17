"""One request and its answer on the wire: streaming, error forms, faults, the client's leaving."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from local.simulators.disconnects import run_until_disconnect
from local.simulators.ollama.errors import ConnectionBrokenError, OllamaError
from local.simulators.ollama.faults import Fault, FaultKind, Outcome, RequestRecord
from local.simulators.ollama.models import Json
from local.simulators.ollama.state import SimulatedOllama

JSON_TYPE = "application/json; charset=utf-8"
NDJSON_TYPE = "application/x-ndjson"
HTML_PAGE = b"<html><body><h1>It works!</h1></body></html>"


def dump(content: object) -> bytes:
    """Return compact JSON, as Go writes it."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def dump_line(line: Json) -> bytes:
    """Return one line of NDJSON."""
    return dump(line) + b"\n"


def native_error(error: OllamaError) -> Json:
    """Return the error object of the `/api` routes."""
    return {"error": error.text} | ({"signin_url": error.signin_url} if error.signin_url else {})


@dataclass(frozen=True, slots=True)
class Plain:
    """An answer in one piece; without content the body is empty."""

    content: object = None
    content_type: str = JSON_TYPE


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in lines; whether they are sent one by one or folded into one object is the client's choice.

    Attributes
    ----------
    fold
        Makes the one object; None streams.
    """

    lines: AsyncGenerator[Json]
    fold: Callable[[Sequence[Json]], Json] | None
    encode: Callable[[Json], bytes] = dump_line
    content_type: str = NDJSON_TYPE


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read.

    Attributes
    ----------
    started_seconds
        On the monotonic clock.
    slow_factor
        How many times as long everything takes.
    """

    raw: bytes
    path_params: dict[str, str]
    started_seconds: float
    slow_factor: float = 1.0


type Handler = Callable[[SimulatedOllama, Call], Awaitable[Plain | Stream]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """The ASGI app of one route.

    Attributes
    ----------
    write_error
        Gives the body of an error status.
    write_error_line
        Gives what an error inside a 200 looks like.
    """

    state: SimulatedOllama
    handler: Handler
    write_error: Callable[[OllamaError], Json] = native_error
    write_error_line: Callable[[OllamaError], bytes] = field(
        default=lambda error: dump_line({"error": error.text})
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or stop working on it as soon as its client has left."""
        request = Request(scope, receive)
        timeline = self.state.timeline
        record = self.state.requests.open(request.method, request.url.path, timeline.now())
        started_seconds = timeline.monotonic_seconds()
        try:
            raw = await request.body()
            record.model = _peek_model(raw)
            fault = self.state.faults.take(record.path, record.model)
            record.fault = fault.kind if fault else None
            slow_factor = fault.slow_factor if fault and fault.kind is FaultKind.SLOW else 1.0
            call = Call(raw, request.path_params, started_seconds, slow_factor)
            writer = _Writer(send, record, is_head=request.method == "HEAD")
            await run_until_disconnect(self._answer(call, fault, writer), receive)
        except ClientDisconnect:
            record.outcome = Outcome.CANCELLED
        finally:
            if record.outcome is Outcome.RUNNING:
                record.outcome = Outcome.CANCELLED
            record.ended_at = timeline.now()

    async def _answer(self, call: Call, fault: Fault | None, writer: "_Writer") -> None:
        try:
            if fault is not None:
                self._refuse(fault)
            if fault is not None and fault.kind is FaultKind.WRONG_CONTENT_TYPE:
                await writer.send_whole(200, "text/html", HTML_PAGE)
                return
            reply = await self.handler(self.state, call)
            if isinstance(reply, Plain):
                body = b"" if reply.content is None else dump(reply.content)
                await writer.send_whole(200, reply.content_type, body)
            else:
                await self._send_stream(reply, fault, writer)
        except ConnectionBrokenError:
            # A response left unfinished is what makes uvicorn close the connection in the middle of it.
            writer.record.outcome = Outcome.DISCONNECTED
        except OllamaError as error:
            await self._send_error(error, writer)

    def _refuse(self, fault: Fault) -> None:
        if fault.kind is FaultKind.OUT_OF_MEMORY:
            self.state.runners.evict_idle()
        fault.refuse()

    async def _send_stream(self, reply: Stream, fault: Fault | None, writer: "_Writer") -> None:
        source = reply.lines if fault is None else fault.spoil(reply.lines)
        async with aclosing(source) as lines:
            if reply.fold is not None:
                folded = reply.fold([line async for line in lines])
                await writer.send_whole(200, JSON_TYPE, dump(folded))
                return
            is_last = False
            async for line in lines:
                is_last = line.get("done") is True or line.get("status") == "success"
                data = reply.encode(line)
                if is_last and fault is not None and fault.kind is FaultKind.NO_FINAL_NEWLINE:
                    data = data.rstrip(b"\n")
                await writer.send_chunk(reply.content_type, data)
            await writer.end(Outcome.COMPLETED if is_last else Outcome.TRUNCATED, reply.content_type)

    async def _send_error(self, error: OllamaError, writer: "_Writer") -> None:
        # Until the first byte the status can still tell; afterwards only a line can.
        if not writer.is_started:
            await writer.send_whole(error.status, JSON_TYPE, dump(self.write_error(error)))
            return
        await writer.send_chunk("", self.write_error_line(error))
        await writer.end(Outcome.ERROR_LINE, "")


class _Writer:
    """Sends one response and notes in the record what became of it."""

    def __init__(self, send: Send, record: RequestRecord, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self.record = record

    @property
    def is_started(self) -> bool:
        return self.record.status is not None

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.record.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_whole(self, status: int, content_type: str, body: bytes) -> None:
        length = str(len(body)).encode()
        headers = [(b"content-type", content_type.encode())] if body else []
        await self._start(status, [*headers, (b"content-length", length)])
        # Noted first: whoever has read the answer may look at the record at once.
        self.record.outcome = Outcome.COMPLETED if status < 400 else Outcome.REFUSED  # noqa: PLR2004 # HTTP's first error
        await self._send({"type": "http.response.body", "body": b"" if self._is_head else body})

    async def send_chunk(self, content_type: str, data: bytes) -> None:
        if not self.is_started:
            await self._start(200, [(b"content-type", content_type.encode())])
        self.record.chunk_count += 1
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, outcome: Outcome, content_type: str) -> None:
        if not self.is_started:
            await self._start(200, [(b"content-type", content_type.encode())])
        self.record.outcome = outcome
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _peek_model(raw: bytes) -> str | None:
    """Return the model that a request names, whatever else may be wrong with it."""
    try:
        content = json.loads(raw) if raw else None
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    name = content.get("model") or content.get("name") or content.get("source")
    return name if isinstance(name, str) else None
