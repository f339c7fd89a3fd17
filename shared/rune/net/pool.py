"""A pool of connections whose cost per request does not grow with their number.

httpcore's own pool visits all connections for each request, and for each idle one all of them again (1.0.9,
`_assign_requests_to_connections`). Measured: docs/decisions/2026-11-27-measuring.md.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable

import httpcore


class ConnectionPool:
    """The part of `httpcore.AsyncConnectionPool` that RUNE uses: HTTP/1.1, no proxies, no retries.

    Parameters
    ----------
    max_connections
        In use at a time; further requests wait, at most the request's `pool` timeout.
    keepalive_seconds
        How long an idle connection may be used again.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        max_connections: int,
        keepalive_seconds: float,
        network: httpcore.AsyncNetworkBackend,
    ) -> None:
        self._ssl_context = ssl_context
        self._keepalive_seconds = keepalive_seconds
        self._network = network
        self._places = asyncio.Semaphore(max_connections)
        # The most recently used is taken first: a server closes the longest idle connection first.
        self._idle: defaultdict[_Address, deque[httpcore.AsyncHTTPConnection]] = defaultdict(deque)
        self._open: set[httpcore.AsyncHTTPConnection] = set()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request and return its answer, whose body is still to be read; close it afterwards.

        Raises
        ------
        httpcore.PoolTimeout
            All connections were in use for too long.
        httpcore.TransportError, httpcore.ProtocolError
            The connection's own errors.
        """
        await self._take_place(request)
        try:
            connection = await self._take_connection(request.url.origin)
            try:
                response = await connection.handle_async_request(request)
            except BaseException:
                await self._close(connection)
                raise
        except BaseException:
            self._places.release()
            raise
        return httpcore.Response(
            response.status,
            headers=response.headers,
            content=_Body(response, lambda: self._release(connection, request.url.origin)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        self._idle.clear()
        for connection in tuple(self._open):
            await self._close(connection)

    async def _take_place(self, request: httpcore.Request) -> None:
        timeout_seconds = request.extensions.get("timeout", {}).get("pool")
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise httpcore.PoolTimeout("all connections are in use") from error

    async def _take_connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        idle = self._idle[_address(origin)]
        while idle:
            connection = idle.pop()
            if not connection.has_expired():  # too old, or closed by its server
                return connection
            await self._close(connection)
        connection = httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_seconds,
            network_backend=self._network,
        )
        self._open.add(connection)
        return connection

    async def _release(self, connection: httpcore.AsyncHTTPConnection, origin: httpcore.Origin) -> None:
        self._places.release()
        if connection not in self._open or not connection.is_idle():
            await self._close(connection)
            return
        idle = self._idle[_address(origin)]
        idle.append(connection)
        while idle and idle[0].has_expired():
            await self._close(idle.popleft())

    async def _close(self, connection: httpcore.AsyncHTTPConnection) -> None:
        self._open.discard(connection)
        await connection.aclose()


type _Address = tuple[bytes, bytes, int]


def _address(origin: httpcore.Origin) -> _Address:
    return origin.scheme, origin.host, origin.port


class _Body:
    """An answer's body; closing it returns its connection to the pool."""

    def __init__(self, response: httpcore.Response, release: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._release = release
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._response.aclose()
        finally:
            await self._release()
