import asyncio
import logging
import time
import traceback

import pytest

from rune.errors import (
    AddressRefusedError,
    BadResponseError,
    RuneError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamTruncatedError,
)
from rune.net import calls
from rune.net.addresses import AddressPolicy, parse_backend_url
from rune.net.calls import MAX_RETRY_AFTER_SECONDS, Reply, ServerConnection
from rune.net.client import open_client
from tests.unit.llm.scripted_server import (
    Close,
    Hold,
    Pause,
    Reset,
    Script,
    ScriptedServer,
    Step,
    chunked,
    head,
    serve,
    whole,
)

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


def connect(server: ScriptedServer, policy: AddressPolicy = LOOPBACK) -> ServerConnection:
    return ServerConnection(parse_backend_url(server.url, LOOPBACK), open_client(policy))


def call(
    script: Script,
    *,
    total_seconds: float = 5.0,
    idle_seconds: float | None = None,
    policy: AddressPolicy = LOOPBACK,
) -> tuple[Reply, bytes]:
    """Return the reply to one GET, and its body."""

    async def go() -> tuple[Reply, bytes]:
        async with serve(script) as server:
            connection = connect(server, policy)
            try:
                async with connection.call(
                    "GET",
                    server.url,
                    total_timeout_seconds=total_seconds,
                    idle_timeout_seconds=idle_seconds,
                ) as reply:
                    return reply, await reply.body()
            finally:
                await connection.aclose()

    return asyncio.run(go())


def test_call_gives_head_and_body_when_the_server_answers() -> None:
    reply, body = call([whole(503, {"a": 1}, "Retry-After: 7")])

    assert (reply.status, reply.media_type, reply.retry_after_seconds) == (503, "application/json", 7)
    assert (body, reply.sent_ns < reply.headers_ns) == (b'{"a": 1}', True)


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ([Reset()], ServerUnreachableError),
        ([Close()], ServerUnreachableError),
        ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Close()], BadResponseError),
        ([Pause(0.5)], ServerTimeoutError),
        ([head(200), Pause(0.5)], ServerTimeoutError),
        ([head(200, "", "Content-Length: 5") + b"x"], StreamTruncatedError),
        ([head(200, "", "Transfer-Encoding: chunked") + chunked(b"x")], StreamTruncatedError),
        ([head(200), b"x", Pause(0.01), Reset()], StreamTruncatedError),
        ([head(200, "", "Content-Encoding: gzip") + b"x"], BadResponseError),
        ([whole(301, {}, "Location: http://127.0.0.1:9001/")], BadResponseError),
        ([whole(307, {})], BadResponseError),
        ([whole(304, {})], BadResponseError),
    ],
)
def test_call_raises_named_error_when_the_server_misbehaves(
    script: Script, error_type: type[RuneError]
) -> None:
    with pytest.raises(error_type) as raised:
        call(script, idle_seconds=0.1)

    assert type(raised.value) is error_type


def test_call_says_unreachable_when_nobody_listens() -> None:
    async def go() -> None:
        async with serve() as server:
            connection = connect(server)
        async with connection.call("GET", connection.url.url, total_timeout_seconds=1):
            pass

    with pytest.raises(ServerUnreachableError):
        asyncio.run(go())


def test_call_is_refused_when_the_policy_forbids_the_address() -> None:
    with pytest.raises(AddressRefusedError):
        call([], policy=AddressPolicy())


def test_call_ends_in_time_when_the_server_trickles() -> None:
    trickle: list[Step] = [b"x", Pause(0.02)]

    with pytest.raises(ServerTimeoutError, match=r"0\.1 seconds"):
        call([head(200), *trickle * 30], total_seconds=0.1, idle_seconds=5.0)


def test_call_hangs_up_when_its_task_is_cancelled() -> None:
    async def go() -> int:
        async with serve([head(200), b"x", Hold()]) as server:
            connection = connect(server)

            async def read() -> None:
                async with connection.call("GET", server.url, total_timeout_seconds=5) as reply:
                    await reply.body()

            task = asyncio.create_task(read())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.hung_up.wait(), 1)
            await connection.aclose()
            return server.hang_up_count

    assert asyncio.run(go()) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        (["Retry-After: 0"], 0),
        (["Retry-After: 120"], 120),
        (["Retry-After: " + "9" * 5000], MAX_RETRY_AFTER_SECONDS),
        (["Retry-After: -1"], None),
        (["Retry-After: soon"], None),
        (["Retry-After: 1.5"], 2),
        (["Retry-After: 30.5"], 31),
        (["Retry-After: " + "9" * 400 + ".5"], MAX_RETRY_AFTER_SECONDS),
        (["Retry-After: .5"], None),
        (["Retry-After: \u0661"], None),
        (["retry-after-ms: 1200", "Retry-After: 9"], 2),
        (["retry-after-ms: soon", "Retry-After: 9"], 9),
        (["Retry-After: Wed, 21 Oct 2026 07:28:30 GMT"], None),
        (["Date: Wed, 21 Oct 2026 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2026 07:28:30 GMT"], 30),
        (["Date: Wed, 21 Oct 2026 07:29:00 GMT", "Retry-After: Wed, 21 Oct 2026 07:28:30 GMT"], 0),
        (["Date: Wed, 21 Oct 2026 07:29:00 GMT", "Retry-After: Wed, 99 Oct 2026 07:28:30 GMT"], None),
    ],
)
def test_reply_reads_retry_after_in_every_form(headers: list[str], expected: int | None) -> None:
    assert call([whole(200, {}, *headers)])[0].retry_after_seconds == expected


def test_call_carries_the_key_to_its_server_and_to_nobody_else() -> None:
    async def go() -> list[str | None]:
        async with serve([whole(200, 1)], [whole(200, 2)]) as server, serve([whole(200, 3)]) as stranger:
            url = parse_backend_url(server.url + "/v1", LOOPBACK)
            connection = ServerConnection(url, open_client(LOOPBACK), api_key="sk-1")
            for called in (server.url + "/v1/models", server.url + "/version", stranger.url):
                async with connection.call("GET", called, total_timeout_seconds=5) as reply:
                    await reply.body()
            await connection.aclose()
            return [request.headers.get("authorization") for request in server.requests + stranger.requests]

    assert asyncio.run(go()) == ["Bearer sk-1", "Bearer sk-1", None]


def test_call_carries_no_key_when_there_is_none() -> None:
    async def go() -> bool:
        async with serve([whole(200, 1)]) as server:
            connection = connect(server)
            async with connection.call("GET", server.url, total_timeout_seconds=5) as reply:
                await reply.body()
            await connection.aclose()
            return "authorization" in server.requests[0].headers

    assert not asyncio.run(go())


@pytest.mark.parametrize(
    "script", [[whole(302, None, "Location: /x")], [Reset()], [b"SSH-2.0\r\n\r\n", Close()]]
)
def test_key_is_in_no_log_and_no_error_when_the_call_fails(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> str:
        async with serve(script) as server:
            url = parse_backend_url(server.url, LOOPBACK)
            connection = ServerConnection(url, open_client(LOOPBACK), api_key="sk-hidden")
            try:
                async with connection.call("GET", server.url, total_timeout_seconds=5):
                    pass
            except RuneError:
                return traceback.format_exc() + repr(vars(connection))
            finally:
                await connection.aclose()
        return ""

    with caplog.at_level(logging.DEBUG):
        shown = asyncio.run(go())

    assert shown
    assert "sk-hidden" not in shown + caplog.text


def call_one_after_another(*scripts: Script) -> tuple[list[int], ScriptedServer]:
    """Return the statuses of two calls over one connection, and the server."""

    async def go() -> tuple[list[int], ScriptedServer]:
        async with serve(*scripts) as server:
            connection = connect(server)
            statuses: list[int] = []
            try:
                for _ in range(2):
                    async with connection.call("POST", server.url, body={}, total_timeout_seconds=5) as reply:
                        await reply.body()
                        statuses.append(reply.status)
            finally:
                await connection.aclose()
            return statuses, server

    return asyncio.run(go())


@pytest.mark.parametrize("end", [Close(), Reset()])
def test_call_is_sent_again_when_the_kept_connection_was_closed_meanwhile(end: Step) -> None:
    statuses, server = call_one_after_another([whole(200, 1)], [end], [whole(200, 2)])

    assert (statuses, server.connection_count) == ([200, 200], 2)


def test_reply_tells_how_often_its_call_was_sent_again() -> None:
    async def go() -> list[int]:
        async with serve([whole(200, 1)], [Close()], [whole(200, 2)]) as server:
            connection, counts = connect(server), []
            for _ in range(2):
                async with connection.call("GET", server.url, total_timeout_seconds=5) as reply:
                    await reply.body()
                    counts.append(reply.resent_count)
            await connection.aclose()
            return counts

    assert asyncio.run(go()) == [0, 1]


def test_call_counts_from_when_it_was_sent_again() -> None:
    async def go() -> float:
        async with serve([whole(200, 1)], [Pause(0.1), Close()], [whole(200, 2)]) as server:
            connection = connect(server)
            for _ in range(2):
                called_ns = time.monotonic_ns()
                async with connection.call("GET", server.url, total_timeout_seconds=5) as reply:
                    await reply.body()
            await connection.aclose()
            return (reply.sent_ns - called_ns) / 1e6

    assert asyncio.run(go()) > 90


@pytest.mark.parametrize(
    "scripts",
    [
        # A server that takes the question and dies of it is not asked again.
        [[whole(200, 1)], [Pause(0.1), Close()], [whole(200, 2)]],
        [[whole(200, 1)], [b"SSH-2.0\r\n\r\n", Close()], [whole(200, 2)]],
        [[Close()], [whole(200, 2)]],
    ],
)
def test_call_is_sent_once_when_it_was_not_the_connection(
    scripts: list[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_STALE_SECONDS", 0.05)

    with pytest.raises((ServerUnreachableError, BadResponseError)):
        call_one_after_another(*scripts)
