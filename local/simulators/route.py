"""One request to a simulated server and its answer: the log, the fault, the stream, and a client that leaves."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from local.simulators.connections import run_until_disconnect
from local.simulators.errors import ConnectionCutError, ServiceError
from local.simulators.faults import (
    HTML_PAGE,
    FaultKind,
    FaultQueue,
    ServerFault,
    StreamFault,
    StreamFaultKind,
)
from local.simulators.request_log import Outcome, RequestLog, ServerRequest, outcome_of
from local.simulators.timing import RealTimeline, Timeline

JSON_TYPE = "application/json"


class SimulatedServer[F: ServerFault, R: ServerRequest]:
    """What every simulated server has; each server belongs to the event loop that serves it.

    Attributes
    ----------
    faults
        Faults to come; they can be added at any time.
    requests
        The log.
    """

    def __init__(self, faults: Iterable[F], record_type: type[R], timeline: Timeline | None) -> None:
        self.timeline = timeline or RealTimeline()
        self.faults = FaultQueue(faults)
        self.requests = RequestLog(record_type)


@dataclass(frozen=True, slots=True)
class Call[F: ServerFault]:
    """One request, read.

    Attributes
    ----------
    started_seconds
        On the monotonic clock.
    """

    request: Request
    raw: bytes
    started_seconds: float
    fault: F | None = None

    @property
    def slow_factor(self) -> float:
        """How many times as long everything takes."""
        fault = self.fault
        is_slow = isinstance(fault, StreamFault) and fault.kind is StreamFaultKind.SLOW
        return fault.slow_factor if isinstance(fault, StreamFault) and is_slow else 1.0


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece."""

    body: bytes
    content_type: str = JSON_TYPE
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream[T]:
    """An answer in chunks.

    Attributes
    ----------
    encode
        Returns the bytes of a chunk.
    fold
        Makes one answer of all chunks; None sends each by itself.
    has_content
        Whether a chunk counts among those of `after_chunks`.
    """

    chunks: AsyncGenerator[T]
    encode: Callable[[T], bytes]
    content_type: str
    fold: Callable[[Sequence[T]], Whole] | None = None
    has_content: Callable[[T], bool] = lambda _chunk: True


type Reply = Whole | Stream[Any]


class SimulatedRoute[F: ServerFault, R: ServerRequest](ABC):
    """The ASGI app of one route of a simulated server."""

    def __init__(self, server: SimulatedServer[F, R]) -> None:
        self._server = server

    @abstractmethod
    async def reply(self, call: Call[F]) -> Reply:
        """Return the answer to a request; a ServiceError refuses it."""

    @abstractmethod
    def write_error(self, error: ServiceError) -> Whole:
        """Return the answer with an error status."""

    def write_error_chunk(self, error: ServiceError) -> bytes:
        """Return the chunk of an error inside a stream."""
        return self.write_error(error).body

    def fill_record(self, record: R, request: Request, raw: bytes) -> None:
        """Note the model, and what else the log keeps of a request."""
        del request
        record.model = read_model(raw)

    def check_access(self, request: Request) -> None:
        """Raise a ServiceError (401 or 403) when the request may not be answered."""
        del request

    def begin_fault(self, fault: F) -> None:
        """Raise the error of a fault that comes instead of an answer."""
        if fault.is_refusal:
            raise fault.error()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or stop working on it as soon as its client has left."""
        request = Request(scope, receive)
        timeline = self._server.timeline
        record = self._server.requests.open(request.method, request.url.path, timeline.now())
        started_seconds = timeline.monotonic_seconds()
        writer = _Writer(send, record, is_head=request.method == "HEAD")
        try:
            raw = await request.body()
            self.fill_record(record, request, raw)
            call: Call[F] = Call(request, raw, started_seconds)
            await run_until_disconnect(self._answer(call, record, writer), receive)
        except ClientDisconnect:
            pass
        finally:
            if record.outcome is Outcome.RUNNING:
                record.outcome = Outcome.CANCELLED
            record.ended_at = timeline.now()

    async def _answer(self, call: Call[F], record: R, writer: "_Writer") -> None:
        try:
            self.check_access(call.request)
            fault = self._server.faults.take(lambda fault: fault.concerns(record))
            if fault is not None:
                record.fault = fault.kind
                self.begin_fault(fault)
                if fault.kind is FaultKind.HANG and fault.after_chunks == 0:
                    await _hang()
                if fault.kind is FaultKind.NOT_JSON:
                    await writer.send_whole(Whole(HTML_PAGE.encode(), "text/html"))
                    return
            reply = await self.reply(replace(call, fault=fault))
            if isinstance(reply, Whole):
                await _send_whole(reply, fault, writer)
            else:
                await _send_stream(reply, fault, writer)
        except ConnectionCutError:
            await writer.cut()
        except ServiceError as error:
            # Until the first byte the status can still tell; afterwards only a chunk can.
            if not writer.is_started:
                await writer.send_whole(self.write_error(error))
                return
            await writer.send_chunk(self.write_error_chunk(error))
            await writer.end(Outcome.STREAM_ERROR)


async def _send_whole(reply: Whole, fault: ServerFault | None, writer: "_Writer") -> None:
    if fault is not None and fault.kind is FaultKind.HANG:
        await _hang()
    if fault is not None and fault.kind is FaultKind.DISCONNECTED:
        await writer.start(reply, reply.body[: len(reply.body) // 2])
        raise ConnectionCutError
    await writer.send_whole(reply)


async def _send_stream(reply: Stream[Any], fault: ServerFault | None, writer: "_Writer") -> None:
    kept: list[Any] = []
    content_count = 0
    outcome = Outcome.COMPLETED
    async with aclosing(reply.chunks) as chunks:
        async for chunk in chunks:
            has_content = reply.has_content(chunk)
            if fault is not None and has_content and content_count == fault.after_chunks:
                await _break_stream(fault)
                if fault.kind is StreamFaultKind.TRUNCATED:
                    outcome = Outcome.TRUNCATED
                    break
            content_count += has_content
            if reply.fold is not None:
                kept.append(chunk)
                continue
            await writer.start_stream(reply.content_type)
            writer.record.chunk_count += has_content
            await writer.send_chunk(reply.encode(chunk))
    if reply.fold is not None:
        await writer.send_whole(reply.fold(kept))
        return
    await writer.start_stream(reply.content_type)
    await writer.end(outcome)


async def _break_stream(fault: ServerFault) -> None:
    if fault.kind is StreamFaultKind.STREAM_ERROR:
        raise fault.error()
    if fault.kind is FaultKind.DISCONNECTED:
        raise ConnectionCutError
    if fault.kind is FaultKind.HANG:
        await _hang()


async def _hang() -> None:
    await asyncio.Event().wait()


class _Writer:
    """Sends one answer and notes in the record how it ends."""

    def __init__(self, send: Send, record: ServerRequest, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self.record = record

    @property
    def is_started(self) -> bool:
        return self.record.status is not None

    async def start(self, whole: Whole, sent: bytes) -> None:
        """Send the head of a whole answer and the given part of its body."""
        headers = {
            "content-type": whole.content_type,
            **whole.headers,
            "content-length": str(len(whole.body)),
        }
        await self._start(whole.status, headers)
        await self._send({"type": "http.response.body", "body": sent, "more_body": True})

    async def send_whole(self, whole: Whole) -> None:
        # Noted first: a client that has read the answer may look at the record at once.
        self.record.outcome = outcome_of(whole.status)
        await self.start(whole, b"" if self._is_head else whole.body)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def start_stream(self, content_type: str) -> None:
        if not self.is_started:
            await self._start(200, {"content-type": content_type})

    async def send_chunk(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, outcome: Outcome) -> None:
        self.record.outcome = outcome
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def cut(self) -> None:
        """Leave the answer unfinished, which makes uvicorn close the connection."""
        self.record.outcome = Outcome.DISCONNECTED
        await self.start_stream(JSON_TYPE)

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.record.status = status
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})


def read_model(raw: bytes) -> str | None:
    """Return the model that a JSON body names under `model` or `name`; None where it names none."""
    try:
        content = json.loads(raw) if raw else None
    except ValueError:
        return None
    name = content.get("model") or content.get("name") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None
