"""Model servers that take their time and sometimes fail: one that is always there, and those on rented machines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, override
from urllib.parse import urlsplit

from local.simulators.vastai import Traffic
from local.simulators.vastai.machines import finds_key
from rune.errors import (
    ModelNotFoundError,
    ServerAccessError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamTruncatedError,
)
from rune.llm.opener import OpenServer
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    FinishReason,
    Generation,
    ModelFacts,
    ModelServer,
    OnChunk,
    OnPull,
    PullProgress,
    PullRequest,
    ServerFacts,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
    ToolCall,
    WarmUp,
    WarmUpRequest,
)
from tests.simulation.machines import MODEL_BYTES, Disk
from tests.simulation.timing import Sleep

if TYPE_CHECKING:
    from tests.simulation.provider import Account
    from tests.simulation.world import World

STANDING_HOST = "sim.example"
SILENT_HOST = "silent.example"
SILENCE_SECONDS = 15.0
"""Until a client gives up a server that takes connections and says nothing."""

PULL_SLICE_SECONDS = 5.0

CLOSING_SECONDS = 1.0
"""Until a server has noticed that its client has closed the connection."""

CALL_TRAFFIC = Traffic(received_bytes=4_000, sent_bytes=400_000)
"""Of one call of a machine's server; each token of an answer comes in a line of its own of some 200 bytes."""


def open_server(world: World) -> OpenServer:
    """Return what opens the server at an address: the one that always runs, or that of a rented machine."""

    def open_one(_kind: str, url: str, api_key: str | None = None) -> ModelServer:
        host = urlsplit(url).hostname
        if host == SILENT_HOST:
            return SilentServer(world)
        if host == STANDING_HOST or world.account is None:
            return SimulatedServer(world)
        return MachineServer(world, world.account, url, api_key)

    return open_one


class SimulatedServer(ModelServer):
    """A model server that is always there, with the one model on it."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    async def list_models(self) -> tuple[str, ...]:
        await self._work("list_models", 0.1)
        return self._models()

    @override
    async def list_running(self) -> tuple[str, ...]:
        return ()

    @override
    async def has_model(self, model: str) -> bool:
        await self._work("has_model", 0.2)
        return model in self._models()

    @override
    async def capabilities(self, model: str) -> Capabilities:
        await self._work("capabilities", 0.1)
        self._require(model)
        return Capabilities(chats=True)

    @override
    async def describe_server(self) -> ServerFacts:
        await self._work("describe_server", 0.1)
        return ServerFacts(name="simulated")

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        await self._work("describe_model", 0.1)
        self._require(model)
        return ModelFacts(digest="sha256:simulated")

    @override
    async def round_trip_ms(self) -> float | None:
        return 20.0

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        await self._work("pull", 60.0)
        on_progress(PullProgress(4_900_000_000, 4_900_000_000))
        return True

    @override
    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        self._fail_by_chance()
        self._require(request.model)
        began_at = self._world.now
        await self._work("warm_up", 30.0)
        took_ms = (self._world.now - began_at).total_seconds() * 1000
        return WarmUp(load_ms=max(0.0, took_ms - 1_000.0), first_token_ms=1_000.0)

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self._fail_by_chance()
        self._require(request.model)
        await self._work("chat", self._world.random.uniform(*self._world.odds.answer_seconds))
        on_chunk(7)
        if self._world.random.random() < self._world.odds.truncation:
            raise StreamTruncatedError("The answer broke off.")
        stamps = Stamps(0, 1, 2, 10_000_000, 10_000_000, 100_000_000, 101_000_000)
        tokens = TokenCounts(5, 7, None, None, TokenCountSource.SERVER)
        answer = Generation(
            "Simulated.", "", FinishReason.STOP, tokens, stamps, (10_000_000, 100_000_000), ServerTimings()
        )
        return _calling(request, answer) if request.tools else answer

    @override
    async def aclose(self) -> None:
        return None

    def _models(self) -> tuple[str, ...]:
        return ("llama3.1:8b",)

    def _require(self, model: str) -> None:
        if model not in self._models():
            raise ModelNotFoundError(f"The server does not have the model {model!r}.")

    async def _work(self, name: str, seconds: float) -> None:
        """Take a call's time."""
        self._world.model_calls[name] += 1
        self._world.billed.server_seconds[name] += seconds
        await Sleep(seconds)

    def _fail_by_chance(self) -> None:
        if self._world.random.random() < self._world.odds.overload:
            raise ServerOverloadedError("Come later.", retry_after_seconds=30)


def _calling(request: ChatRequest, answer: Generation) -> Generation:
    """Return the answer of one who investigates: it looks once, and finds all well."""
    # The overview reads many lists beside each other, in an event loop, which there is none of here.
    name, arguments = "list_resources", '{"kind": "pods", "namespace": "*"}'
    if any(message.tool_call_id for message in request.messages):
        name, arguments = (
            "report_findings",
            '{"status": "healthy", "summary": "All is well.", "findings": []}',
        )
    call = ToolCall("c1", name, json.loads(arguments), arguments)
    return replace(answer, text="", finish_reason=FinishReason.TOOL_CALLS, tool_calls=(call,))


class SilentServer(SimulatedServer):
    """A server that takes connections and says nothing."""

    @override
    async def has_model(self, model: str) -> bool:
        await Sleep(SILENCE_SECONDS)
        raise ServerTimeoutError("The server says nothing.")


class MachineServer(SimulatedServer):
    """The server at a rented machine's address, as long as that machine runs there."""

    def __init__(self, world: World, account: Account, url: str, key: str | None = None) -> None:
        super().__init__(world)
        self._key = key
        self._park = account.park
        self._find: Callable[[], Disk | None] = account.park.finder(account.vastai, url)

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        """Bring the model piece by piece.

        Where the client closes its connection, some more comes until the server has noticed. Where it is silent, as
        a frozen or lost worker is, the piece comes to its end.
        """
        if request.model not in MODEL_BYTES:
            raise ModelNotFoundError(f"The registry does not know the model {request.model!r}.")
        total_bytes = MODEL_BYTES[request.model]
        left_seconds = request.slice_seconds
        while True:
            disk = self._reach()
            self._park.cut_flow(disk)
            missing_bytes = total_bytes - disk.come.get(request.model, 0)
            bytes_per_second = disk.machine.download_bytes_per_second
            seconds = min(PULL_SLICE_SECONDS, left_seconds, missing_bytes / bytes_per_second)
            piece_bytes = min(missing_bytes, round(seconds * bytes_per_second))
            self._park.begin_flow(disk, request.model, piece_bytes)
            try:
                await self._work("pull", seconds)
            except asyncio.CancelledError:
                self._park.cut_flow(disk, after_seconds=CLOSING_SECONDS)
                raise
            # Clocks count in floats, and every byte has come.
            self._park.cut_flow(disk, after_seconds=1.0)
            on_progress(PullProgress(total_bytes - missing_bytes + piece_bytes, total_bytes))
            left_seconds -= seconds
            if piece_bytes == missing_bytes or left_seconds <= 0:
                return piece_bytes == missing_bytes

    @override
    def _models(self) -> tuple[str, ...]:
        disk = self._reach()
        return tuple(model for model in MODEL_BYTES if disk.has(model))

    @override
    async def _work(self, name: str, seconds: float) -> None:
        """Take a call's time, or find out that the machine is gone."""
        disk = self._reach()
        if self._world.time_of_call is not None:
            seconds = self._world.time_of_call(name, seconds, disk)
        await super()._work(name, seconds)
        self._park.count(disk, CALL_TRAFFIC)
        if self._find() is None:
            raise StreamTruncatedError("Simulated: the machine is gone.")

    def _reach(self) -> Disk:
        disk = self._find()
        if disk is None:
            raise ServerUnreachableError("Simulated: connection refused.")
        digest = disk.machine.key_digest
        if digest is not None and not finds_key(digest, self._key):
            raise ServerAccessError("Simulated: the key is missing or wrong.")
        return disk
