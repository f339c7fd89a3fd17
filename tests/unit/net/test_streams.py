import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpcore
import pytest

from rune.net.streams import StampedStream, StampingNetwork
from tests.unit.net.certificates import write_certificate

MS = 1_000_000

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[StampedStream]:
    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve_and_close, "127.0.0.1", ssl=context) as listener:
        port = listener.sockets[0].getsockname()[1]
        stream = await StampingNetwork().connect_tcp("127.0.0.1", port, 5.0)
        assert isinstance(stream, StampedStream)
        try:
            yield stream
        finally:
            await stream.aclose()


def run[T](serve: Serve, use: Callable[[StampedStream], Awaitable[T]]) -> T:
    async def go() -> T:
        async with connected(serve) as stream:
            return await use(stream)

    return asyncio.run(go())


def sending(data: bytes) -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return serve


async def stay_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def until_readable(stream: StampedStream) -> None:
    async with asyncio.timeout(5):
        while not stream.get_extra_info("is_readable"):  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.001)


def test_read_returns_when_bytes_came_and_not_when_the_reader_had_time() -> None:
    async def use(stream: StampedStream) -> int:
        await until_readable(stream)
        had_come_ns = time.monotonic_ns()
        time.sleep(0.05)  # noqa: ASYNC251 the loop is busy: that is the case
        await stream.read(100, 5.0)
        return had_come_ns - stream.arrived_ns

    assert run(sending(b"token"), use) >= 0


def test_write_stamps_the_first_bytes_of_each_request() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)

    async def use(stream: StampedStream) -> list[int]:
        sent: list[int] = []
        for part in (b"head", b"body"):
            await stream.write(part, 5.0)
            sent.append(stream.sent_ns)
        await stream.read(100, 5.0)
        await stream.write(b"next", 5.0)
        return [*sent, stream.sent_ns]

    head_ns, body_ns, next_ns = run(echo, use)
    assert head_ns == body_ns < next_ns


def test_read_gives_all_in_order_and_then_nothing_when_much_comes_at_once() -> None:
    sent = bytes(range(256)) * 8192

    async def use(stream: StampedStream) -> bytes:
        received = b""
        while data := await stream.read(1000, 5.0):
            assert len(data) <= 1000
            received += data
        return received

    assert run(sending(sent), use) == sent


def test_read_leaves_what_nobody_reads_to_the_sender() -> None:
    async def send_without_end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async def use(stream: StampedStream) -> int:
        await until_readable(stream)
        await asyncio.sleep(0.05)
        return sum(len(data) for data, _ in stream._inbox.chunks)

    assert run(send_without_end, use) < 1_000_000


def test_read_fails_when_nothing_comes_in_time() -> None:
    async def use(stream: StampedStream) -> None:
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(100, 0.01)

    run(stay_silent, use)


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_read_and_write_fail_when_the_connection_breaks() -> None:
    async def use(stream: StampedStream) -> None:
        with pytest.raises(httpcore.ReadError):
            await stream.read(100, 5.0)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"more", 5.0)

    run(reset, use)


def test_write_fails_when_the_other_side_takes_nothing() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a TCP transport reads too
        await asyncio.sleep(0.1)

    async def use(stream: StampedStream) -> None:
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(bytes(32_000_000), 0.05)

    run(hold, use)


def test_connect_fails_when_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpcore.ConnectError):
            asyncio.run(StampingNetwork().connect_tcp("127.0.0.1", unused.getsockname()[1], 5.0))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem", "model.example")


def test_start_tls_encrypts_and_goes_on_stamping(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def go() -> tuple[bytes, bool]:
        async with connected(sending(b"secret"), context) as plain:
            stream = await plain.start_tls(trusting, "model.example", 5.0)
            assert isinstance(stream, StampedStream)
            began_ns = time.monotonic_ns()
            await stream.write(b"question", 5.0)
            data = await stream.read(100, 5.0)
            return data, began_ns <= stream.sent_ns and 0 < stream.arrived_ns <= time.monotonic_ns()

    assert asyncio.run(go()) == (b"secret", True)


@pytest.mark.parametrize("name", ["other.example", "model.example.evil.example"])
def test_start_tls_fails_when_the_certificate_names_another(certificate: Path, name: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def go() -> None:
        async with connected(stay_silent, context) as plain:
            with pytest.raises(httpcore.ConnectError):
                await plain.start_tls(trusting, name, 5.0)

    asyncio.run(go())


def test_start_tls_fails_when_the_server_says_nothing() -> None:
    async def use(stream: StampedStream) -> None:
        with pytest.raises(httpcore.ConnectTimeout):
            await stream.start_tls(ssl.create_default_context(), "model.example", 0.05)

    run(stay_silent, use)
