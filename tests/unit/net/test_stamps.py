import asyncio
import time

from rune.net.addresses import AddressPolicy, parse_backend_url
from rune.net.calls import ServerConnection
from rune.net.client import open_client
from tests.unit.llm.scripted_server import Pause, chunked, serve

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def be_busy(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 nothing else runs on the loop: that is the case


def test_call_stamps_what_has_come_before_others_let_it_look() -> None:
    async def go() -> tuple[int, list[tuple[bytes, int]]]:
        async with serve([HEAD, Pause(0.02), chunked(b"one"), chunked(b"two"), chunked(b"")]) as server:
            url = parse_backend_url(server.url, LOOPBACK)
            connection = ServerConnection(url, open_client(LOOPBACK))
            async with connection.call("GET", server.url, total_timeout_seconds=5.0) as reply:
                reader, reads = reply.reader(), []
                await asyncio.sleep(0.04)
                had_come_ns = time.monotonic_ns()
                await be_busy(0.02)
                while (received := await reader.read()) is not None:
                    reads.append(received)
            await connection.aclose()
            return had_come_ns - reply.headers_ns, [(r.data, had_come_ns - r.arrived_ns) for r in reads]

    since_head_ns, reads = asyncio.run(go())

    assert [data for data, _ in reads] == [b"one", b"two"]
    assert all(0 < age_ns < since_head_ns for _, age_ns in reads)


def test_call_counts_from_sending_and_not_from_connecting() -> None:
    async def go() -> bool:
        async with serve([HEAD + chunked(b"")]) as server:
            url = parse_backend_url(server.url, LOOPBACK)
            connection = ServerConnection(url, open_client(LOOPBACK))
            before_ns = time.monotonic_ns()
            asyncio.get_running_loop().call_soon(time.sleep, 0.03)
            async with connection.call("GET", server.url, total_timeout_seconds=5.0) as reply:
                sent_after_ms = (reply.sent_ns - before_ns) / 1e6
            await connection.aclose()
            return sent_after_ms >= 30

    assert asyncio.run(go())
