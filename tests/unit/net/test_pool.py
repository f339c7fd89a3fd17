import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpcore
import pytest

from rune.net.pool import ConnectionPool
from rune.net.streams import StampingNetwork
from tests.unit.llm.scripted_server import Close, Hold, Script, ScriptedServer, serve, whole

OK = [whole(200, {})]


@dataclass
class World:
    pool: ConnectionPool
    server: ScriptedServer

    async def begin(self, *, pool_timeout_seconds: float = 5.0) -> httpcore.Response:
        """Return an answer of which the body is still on the wire."""
        timeouts = {"pool": pool_timeout_seconds, "connect": 5.0, "read": 5.0, "write": 5.0}
        url = self.server.url.encode()
        headers = [(b"Host", b"model.example")]
        request = httpcore.Request("GET", url, headers=headers, extensions={"timeout": timeouts})
        return await self.pool.handle_async_request(request)

    async def ask(self) -> None:
        response = await self.begin()
        await response.aread()
        await response.aclose()


def run[T](
    scripts: list[Script],
    use: Callable[[World], Awaitable[T]],
    *,
    max_connections: int = 8,
    keepalive_seconds: float = 60.0,
) -> tuple[T, int]:
    """Return what `use` gives, and how many connections the server saw."""

    async def go() -> tuple[T, int]:
        async with serve(*scripts) as server:
            pool = ConnectionPool(
                ssl_context=ssl.create_default_context(),
                max_connections=max_connections,
                keepalive_seconds=keepalive_seconds,
                network=StampingNetwork(),
            )
            try:
                async with asyncio.timeout(5):
                    return await use(World(pool, server)), server.connection_count
            finally:
                await pool.aclose()

    return asyncio.run(go())


async def ask_twice(world: World) -> None:
    await world.ask()
    await world.ask()


def test_pool_uses_a_connection_again_when_it_is_idle() -> None:
    assert run([OK, OK], ask_twice)[1] == 1


def test_pool_opens_another_when_the_idle_one_is_too_old() -> None:
    assert run([OK, OK], ask_twice, keepalive_seconds=-1.0)[1] == 2


def test_pool_opens_another_when_the_server_has_closed_the_idle_one() -> None:
    async def use(world: World) -> None:
        await world.ask()
        await asyncio.sleep(0.05)
        await world.ask()

    assert run([[*OK, Close()], OK], use)[1] == 2


def test_pool_opens_as_many_as_are_in_use_at_once() -> None:
    async def use(world: World) -> None:
        await asyncio.gather(*(world.ask() for _ in range(8)))
        await asyncio.gather(*(world.ask() for _ in range(8)))

    assert run([OK] * 16, use)[1] == 8


def test_pool_lets_wait_who_finds_no_connection() -> None:
    async def use(world: World) -> None:
        first = await world.begin()
        with pytest.raises(httpcore.PoolTimeout):
            await world.begin(pool_timeout_seconds=0.02)
        second = asyncio.create_task(world.ask())
        await asyncio.sleep(0.02)
        assert not second.done()
        await first.aread()
        await first.aclose()
        await second

    assert run([OK, OK], use, max_connections=1)[1] == 1


def test_pool_closes_the_connection_of_an_answer_that_is_not_read() -> None:
    async def use(world: World) -> None:
        response = await world.begin()
        await response.aclose()
        await world.server.hung_up.wait()
        await world.ask()

    half = whole(200, {"long": "answer"})[:-5]
    assert run([[half, Hold()], OK], use, max_connections=1)[1] == 2


def test_pool_closes_the_connection_of_a_request_that_is_cancelled() -> None:
    async def use(world: World) -> None:
        asking = asyncio.create_task(world.ask())
        await asyncio.sleep(0.05)
        asking.cancel()
        await world.server.hung_up.wait()
        await world.ask()

    assert run([[Hold()], OK], use, max_connections=1)[1] == 2


def test_pool_gives_the_place_back_when_no_connection_can_be_made() -> None:
    async def use(world: World) -> None:
        url, world.server.url = world.server.url, "http://127.0.0.1:9"
        for _ in range(3):
            with pytest.raises(httpcore.ConnectError):
                await world.begin()
        world.server.url = url
        await world.ask()

    assert run([OK], use, max_connections=1)[1] == 1


def test_pool_closes_what_is_in_use_when_it_is_closed() -> None:
    async def use(world: World) -> int:
        await world.begin()
        await world.pool.aclose()
        await world.server.hung_up.wait()
        return world.server.hang_up_count

    assert run([[whole(200, {"long": "answer"})[:-5], Hold()]], use) == (1, 1)


def test_pool_keeps_only_as_many_connections_as_are_needed() -> None:
    async def use(world: World) -> int:
        await asyncio.gather(world.ask(), world.ask())
        for _ in range(5):
            await asyncio.sleep(0.06)
            await world.ask()
        return len(world.pool._open)

    # The one that was used last is used again, so that the other becomes too old: in turns, neither would.
    assert run([OK] * 7, use, keepalive_seconds=0.2) == (1, 2)
