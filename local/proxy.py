"""The address that clients use: requests go to the emulator's HTTP API unchanged, and answers come back unchanged.

httpcore is used instead of httpx because it sends target and headers byte for byte; httpx normalises paths, adds
headers and decodes bodies.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

import httpcore
import uvicorn
from starlette.types import Message, Receive, Scope, Send

# API Gateway's limit for an HTTP API's payload.
MAX_BODY_BYTES = 10_000_000
# An HTTP API times out after 30 s. The emulator applies that limit, so the proxy waits longer.
TIMEOUT_SECONDS = 60.0
_START_LIMIT_SECONDS = 10.0
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te")
) | frozenset((b"trailer", b"transfer-encoding", b"upgrade", b"expect"))

type Headers = list[tuple[bytes, bytes]]


class ReverseProxy:
    """An ASGI application that forwards each request below one address.

    Parameters
    ----------
    upstream
        Address and path before each request's own path.
    concurrency
        Requests in flight at once; others wait. The emulator starts a process for each.
    """

    def __init__(self, upstream: str, *, concurrency: int) -> None:
        parts = urlsplit(upstream)
        self._host = (parts.hostname or "").encode()
        self._port = parts.port
        self._prefix = parts.path.rstrip("/").encode()
        self._turns = asyncio.Semaphore(concurrency)
        self._pool = httpcore.AsyncConnectionPool(max_connections=concurrency, retries=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request; close the connections when the server stops."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = await _read_body(receive)
        if body is None:
            await _answer(send, 413, b'{"message":"Request Entity Too Large"}')
            return
        try:
            async with self._turns:
                response = await self._forward(scope, body)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            await _answer(send, 503, b'{"message":"Service Unavailable"}')
            return
        headers = [(name.lower(), value) for name, value in response.headers]
        await _answer(send, response.status, response.content, headers=_end_to_end(headers))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _forward(self, scope: Scope, body: bytes) -> httpcore.Response:
        target = self._prefix + scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_SECONDS)
        return await self._pool.request(
            method=scope["method"],
            url=httpcore.URL(scheme=b"http", host=self._host, port=self._port, target=target),
            headers=_as_the_gateway(scope, body),
            content=body or None,
            extensions={"timeout": limits},
        )


def _as_the_gateway(scope: Scope, body: bytes) -> Headers:
    """Return the request's headers with those that API Gateway adds."""
    headers = _end_to_end(scope["headers"])
    client, server = scope.get("client"), scope.get("server")
    came_from = [value for name, value in headers if name == b"x-forwarded-for"]
    headers = [(name, value) for name, value in headers if not name.startswith(b"x-forwarded-")]
    came_from.append((client[0] if client else "").encode())
    headers.append((b"x-forwarded-for", b", ".join(came_from)))
    headers.append((b"x-forwarded-proto", b"http"))
    headers.append((b"x-forwarded-port", str(server[1] if server else "").encode()))
    if body and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(body)).encode()))
    return headers


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    named = {
        word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")
    }
    return [(name, value) for name, value in headers if name not in _HOP_BY_HOP and name not in named]


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body, or None when it is larger than the gateway's limit."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message: Message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks) if size <= MAX_BODY_BYTES else None


async def _answer(send: Send, status: int, body: bytes, *, headers: Headers | None = None) -> None:
    if headers is None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(app: ReverseProxy, listeners: Sequence[socket.socket]) -> Iterator[None]:
    """Serve the application on listening sockets, in a thread, until the block ends.

    Raises
    ------
    RuntimeError
        It did not start.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            ws="none",
            access_log=False,
            log_level="warning",
            # The emulator sends these two headers.
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": list(listeners)}, name="proxy", daemon=True
    )
    thread.start()
    try:
        deadline = time.monotonic() + _START_LIMIT_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the proxy did not start")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=_START_LIMIT_SECONDS)
