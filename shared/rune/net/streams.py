"""Connections that stamp bytes in the event loop's own callback.

A stamp taken by the reader of an answer is late by everything that the loop does before the reader runs. So bytes
are stamped when the loop receives them, and are kept with their stamp. Measured:
docs/decisions/2026-11-27-measuring.md.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import httpcore
import httpx

# Above it the kernel buffers what arrives, and the sender slows down.
_MAX_WAITING_BYTES = 256 * 1024


class StampingNetwork(httpcore.AsyncNetworkBackend):
    """Makes connections with stamps; asyncio only."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to an address.

        Raises
        ------
        httpcore.ConnectError, httpcore.ConnectTimeout
            The address does not accept it.
        """
        inbox = _Inbox(self._now_ns)
        local = None if local_address is None else (local_address, 0)
        try:
            async with asyncio.timeout(timeout):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    lambda: inbox, host, port, local_addr=local
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        for option in socket_options or ():
            transport.get_extra_info("socket").setsockopt(*option)
        return StampedStream(transport, inbox)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class StampedStream(httpcore.AsyncNetworkStream):
    """One connection.

    Attributes
    ----------
    sent_ns
        When the first bytes after the last read were given to the kernel: with HTTP/1.1, when the current request
        began to be sent. 0 before that.
    arrived_ns
        When the bytes that were read last had arrived.
    """

    def __init__(self, transport: asyncio.Transport, inbox: "_Inbox") -> None:
        self._transport = transport
        self._inbox = inbox
        self._is_sending = False
        self.sent_ns = 0
        self.arrived_ns = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 as above
        """Return at most `max_bytes` bytes that arrived together; none at the end.

        Raises
        ------
        httpcore.ReadTimeout, httpcore.ReadError
            Nothing arrived, or the connection broke.
        """
        inbox = self._inbox
        self._is_sending = False
        if not inbox.is_readable:
            try:
                async with asyncio.timeout(timeout):
                    await inbox.wait_readable()
            except TimeoutError as error:
                raise httpcore.ReadTimeout("silence") from error
        if not inbox.chunks:
            if inbox.error is not None:
                raise httpcore.ReadError(str(inbox.error)) from inbox.error
            return b""
        data, self.arrived_ns = inbox.take(max_bytes)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 as above
        """Send bytes.

        Raises
        ------
        httpcore.WriteTimeout, httpcore.WriteError
            The server does not read, or the connection broke.
        """
        if not buffer:
            return
        inbox = self._inbox
        if inbox.is_lost or self._transport.is_closing():
            raise httpcore.WriteError("The connection is closed.")
        if not self._is_sending:
            self._is_sending, self.sent_ns = True, inbox.now_ns()
        self._transport.write(buffer)
        if not inbox.is_write_paused:
            return
        try:
            async with asyncio.timeout(timeout):
                await inbox.wait_writable()
        except TimeoutError as error:
            raise httpcore.WriteTimeout("the server does not read") from error
        if inbox.is_lost:
            raise httpcore.WriteError("The connection broke.")

    async def aclose(self) -> None:
        """Close at once; unsent bytes are dropped, since the request has been given up."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 as above
    ) -> httpcore.AsyncNetworkStream:
        """Return the same connection, encrypted.

        Raises
        ------
        httpcore.ConnectError, httpcore.ConnectTimeout
            The handshake failed.
        """
        try:
            async with asyncio.timeout(timeout):
                transport = await asyncio.get_running_loop().start_tls(
                    self._transport, self._inbox, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._transport.abort()
            raise httpcore.ConnectTimeout("no TLS handshake") from error
        except (OSError, ssl.SSLError) as error:
            self._transport.abort()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            self._transport.abort()
            raise
        if transport is None:
            raise httpcore.ConnectError("The connection broke in the TLS handshake.")
        return StampedStream(transport, self._inbox)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 the signature is httpcore's
        """Return what httpcore asks for; an idle connection that is readable was closed by its server."""
        if info == "is_readable":
            return self._inbox.is_readable or self._transport.is_closing()
        names = {"server_addr": "peername", "client_addr": "sockname"}
        return self._transport.get_extra_info(names.get(info, info))


def stamped_stream(response: httpx.Response) -> StampedStream | None:
    """Return the connection of an answer; None for one that does not stamp, as in tests."""
    stream = response.extensions.get("network_stream")
    return stream if isinstance(stream, StampedStream) else None


class _Inbox(asyncio.Protocol):
    """Bytes that have arrived and were not read."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.chunks: deque[tuple[bytes, int]] = deque()
        self.error: Exception | None = None
        self.is_lost = False
        self.is_write_paused = False
        self._has_ended = False
        self._waiting_bytes = 0
        self._is_read_paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def is_readable(self) -> bool:
        """Whether reading returns at once."""
        return bool(self.chunks) or self._has_ended or self.is_lost

    def take(self, max_bytes: int) -> tuple[bytes, int]:
        """Return bytes that arrived together, and when."""
        data, arrived_ns = self.chunks.popleft()
        if len(data) > max_bytes:
            self.chunks.appendleft((data[max_bytes:], arrived_ns))
            data = data[:max_bytes]
        self._waiting_bytes -= len(data)
        if self._is_read_paused and self._waiting_bytes < _MAX_WAITING_BYTES and self._transport:
            self._is_read_paused = False
            self._transport.resume_reading()
        return data, arrived_ns

    async def wait_readable(self) -> None:
        self._readable = asyncio.get_running_loop().create_future()
        try:
            await self._readable
        finally:
            self._readable = None

    async def wait_writable(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    def data_received(self, data: bytes) -> None:
        self.chunks.append((data, self.now_ns()))
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _MAX_WAITING_BYTES and self._transport and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()
        _wake(self._readable)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a TCP connection's reads and writes

    def eof_received(self) -> bool:
        self._has_ended = True
        _wake(self._readable)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost, self.error = True, exc
        _wake(self._readable)
        _wake(self._writable)

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        _wake(self._writable)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
