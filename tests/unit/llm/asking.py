"""Builders and one-line questions for the tests of model servers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from rune.llm.opener import ServerOpener
from rune.llm.protocol import ChatRequest, Generation, Message, ModelServer, Role
from rune.net.addresses import AddressPolicy
from tests.unit.llm.scripted_server import (
    RoutedServer,
    Script,
    ScriptedServer,
    Step,
    listening,
    serve,
    whole,
)

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
QUESTION = ChatRequest(
    model="m", messages=(Message(Role.USER, "Why?"),), timeout_seconds=5.0, idle_timeout_seconds=5.0
)


def ask[T](
    kind: str, scripts: list[Script], question: Callable[[ModelServer], Awaitable[T]], *, path: str = ""
) -> tuple[T, ScriptedServer]:
    """Return what the question gives, and the server that was asked."""

    async def go() -> tuple[T, ScriptedServer]:
        async with serve(*scripts) as scripted:
            server = ServerOpener(LOOPBACK)(kind, scripted.url + path)
            try:
                return await question(server), scripted
            finally:
                await server.aclose()

    return asyncio.run(go())


def chat(kind: str, *script: Step, request: ChatRequest = QUESTION) -> Generation:
    """Return the answer that a script gives to the question."""
    return ask(kind, [script], lambda server: server.chat(request, lambda _: None))[0]


def ask_routes[T](
    kind: str,
    routes: Mapping[str, object],
    question: Callable[[ModelServer], Awaitable[T]],
    *,
    path: str = "",
) -> tuple[T, list[str]]:
    """Return what the question gives of a server with these routes, and which of them it took."""
    answer, server = ask_routed(kind, routes, question, path=path)
    return answer, server.asked


def ask_routed[T](
    kind: str,
    routes: Mapping[str, object],
    question: Callable[[ModelServer], Awaitable[T]],
    *,
    path: str = "",
) -> tuple[T, RoutedServer]:
    """Return what the question gives of a server with these routes, and the server.

    A route answers with a JSON body, or with scripts where it is a list.
    """
    scripts: dict[str, list[Script]] = {
        route: list(answer) if isinstance(answer, list) else [[whole(200, answer)]]
        for route, answer in routes.items()
    }

    async def go() -> tuple[T, RoutedServer]:
        async with listening(RoutedServer([], routes=scripts)) as routed:
            server = ServerOpener(LOOPBACK)(kind, routed.url + path)
            try:
                return await question(server), routed
            finally:
                await server.aclose()

    return asyncio.run(go())
