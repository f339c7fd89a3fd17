"""A server over real sockets that sends exact bytes at exact moments."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True)
class Pause:
    """Send nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Send nothing until the client hangs up."""


@dataclass(frozen=True)
class Close:
    """Close the connection in good order."""


@dataclass(frozen=True)
class Reset:
    """Drop the connection with a TCP reset."""


type Step = bytes | Pause | Hold | Close | Reset
type Script = Sequence[Step]


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, object]


@dataclass
class ScriptedServer:
    """Plays one script per request, in order.

    `hang_up_count` counts clients that hung up during a `Hold`; `connection_count` all TCP connections.
    """

    scripts: list[Script]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connection_count: int = 0
    hang_up_count: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                script = self._next_script(request)
                for step in script:
                    await self._play(step, reader, writer)
                if b"Connection: close" in b"".join(step for step in script if isinstance(step, bytes)):
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _next_script(self, request: Request) -> Script:
        """Return what is played for a request."""
        return self.scripts.pop(0)

    async def _play(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Hold():
                await reader.read()
                self.hang_up_count += 1
                self.hung_up.set()
                raise ConnectionError
            case Close():
                raise ConnectionError
            case Reset():
                # Lingering for no time makes closing a reset.
                peer: socket.socket = writer.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                raise ConnectionError


@dataclass
class RoutedServer(ScriptedServer):
    """Plays the scripts of a route, such as `GET /v1/models`, in order, the last of them again; else 404."""

    routes: dict[str, list[Script]] = field(default_factory=dict)

    @property
    def asked(self) -> list[str]:
        """Every request in order, as its route."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def _next_script(self, request: Request) -> Script:
        scripts = self.routes.get(f"{request.method} {request.path}")
        if not scripts:
            return [whole(404, {"detail": "Not Found"})]
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]


def serve(*scripts: Script) -> AbstractAsyncContextManager[ScriptedServer]:
    """Listen on a free port of loopback."""
    return listening(ScriptedServer(list(scripts)))


@asynccontextmanager
async def listening[T: ScriptedServer](server: T) -> AsyncIterator[T]:
    """Let the server listen on a free port of loopback."""
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        listener.close_clients()
        await listener.wait_closed()


def head(status: int = 200, content_type: str = "", *more: str) -> bytes:
    """Return an answer's head; its body ends with the connection."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    return "\r\n".join([*lines, *more, "", ""]).encode()


def whole(status: int, body: object, *more: str) -> bytes:
    """Return a complete answer with a JSON body, after which the connection stays open."""
    data = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json; charset=utf-8",
    ]
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", *more, "", ""]).encode() + data


def ndjson(*objects: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in objects)


def sse(*objects: object, done: bool = True) -> bytes:
    events = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in objects)
    return events + b"data: [DONE]\n\n" * done


def chunked(data: bytes) -> bytes:
    """Return one chunk of a body with `Transfer-Encoding: chunked`; the empty one ends it."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode().strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(body) if body else {})
