"""Servers with OpenAI's chat completions: vLLM, llama-server, TGI, LM Studio and others."""

import asyncio
import time
from dataclasses import replace
from typing import override

from rune.errors import BadResponseError, ModelUnsupportedError, RequestRejectedError
from rune.llm.first_token import first_token_ms
from rune.llm.flavours.flavour import Flavour
from rune.llm.flavours.recognition import recognise
from rune.llm.flavours.routes import Entry, Routes, find_entry, ids_of
from rune.llm.framing import AnswerReader
from rune.llm.metrics import read_metrics
from rune.llm.openai_chat import ChatStream, write_chat
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    Generation,
    ModelFacts,
    ModelServer,
    OnChunk,
    OnPull,
    PullRequest,
    ServerFacts,
    ServerMetrics,
    WarmUp,
    WarmUpRequest,
)
from rune.llm.replies import bound_silence, open_answer, read_frames
from rune.net.addresses import AddressPolicy, BackendUrl
from rune.net.calls import ServerConnection
from rune.net.client import open_client
from rune.net.round_trip import measure_round_trip_ms

_MS_PER_SECOND = 1000.0


class OpenAiServer(ModelServer):
    """A server that speaks OpenAI's API.

    Its address may be given with or without `/v1` at its end. Which software it is, its flavour, is found out once,
    when it is first needed.
    """

    def __init__(self, connection: ServerConnection, policy: AddressPolicy) -> None:
        self._connection = connection
        self._policy = policy
        self._routes = Routes(connection)
        self._recognising = asyncio.Lock()
        self._recognised: Flavour | None = None

    @classmethod
    def open(cls, url: BackendUrl, policy: AddressPolicy, *, api_key: str | None = None) -> "OpenAiServer":
        """Return the server at an address; nothing is sent yet.

        Raises
        ------
        InvalidRequestError
            The key cannot be a header.
        """
        return cls(ServerConnection(url, open_client(policy), api_key=api_key), policy)

    @override
    async def list_models(self) -> tuple[str, ...]:
        return ids_of(await self._routes.list_models())

    @override
    async def list_running(self) -> tuple[str, ...]:
        return await (await self._flavour()).list_running()

    @override
    async def has_model(self, model: str) -> bool:
        # By the list, in the exact spelling. llama-server with one model ignores the name in a chat and answers
        # with the model that it has (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md), and
        # a benchmark must not name a model that did not run.
        return find_entry(await self._routes.list_models(), model) is not None

    @override
    async def capabilities(self, model: str) -> Capabilities:
        return await (await self._flavour()).capabilities(model)

    @override
    async def describe_server(self) -> ServerFacts:
        return await (await self._flavour()).describe_server()

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        return await (await self._flavour()).describe_model(model)

    @override
    async def round_trip_ms(self) -> float | None:
        return await measure_round_trip_ms(self._connection.url, self._policy)

    @override
    async def read_metrics(self, model: str) -> ServerMetrics | None:
        return await read_metrics(self._routes.get, model)

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        """Refuse, since OpenAI's API has no route for it.

        Raises
        ------
        ModelUnsupportedError
            Always.
        """
        raise ModelUnsupportedError("Servers with OpenAI's API cannot be told to download a model.")

    @override
    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Load the model where the server can be told to, then generate one token.

        Where it cannot, `load_ms` is 0, and `first_token_ms` includes a load that the server makes by itself.

        Raises
        ------
        ModelServerError, AddressError
            As `ModelServer.chat`.
        """
        began_s = time.monotonic()
        flavour = await self._flavour()
        load_s = 0.0
        if flavour.loads:
            load_began_s = time.monotonic()
            await flavour.load(request)
            load_s = time.monotonic() - load_began_s
        remaining_seconds = request.timeout_seconds - (time.monotonic() - began_s)
        first_ms = await first_token_ms(self, request, timeout_seconds=remaining_seconds)
        return WarmUp(load_s * _MS_PER_SECOND, first_ms)

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer; see `ModelServer.chat`. `context_tokens` has no counterpart and is not sent.

        Raises
        ------
        ModelUnsupportedError
            A tool must be called, which the server cannot be told; nothing was sent. Or the model cannot chat so.
        ModelServerError, AddressError
            Any other of them.
        """
        async with self._connection.call(
            "POST",
            self._routes.chat_url,
            body=await self._write_chat(request),
            total_timeout_seconds=request.timeout_seconds,
            idle_timeout_seconds=request.first_timeout_seconds or request.idle_timeout_seconds,
        ) as reply:
            body = await open_answer(reply, model=request.model)
            stream = ChatStream(request.model, reply, bound_silence(body, request, on_chunk))
            await read_frames(body, AnswerReader(), stream.take)
            return replace(stream.complete(), resent_count=reply.resent_count)

    @override
    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _write_chat(self, request: ChatRequest) -> dict[str, object]:
        must_call = bool(request.tools) and request.tool_choice == "required"
        if not (request.ignore_eos or must_call):
            return write_chat(request)
        flavour = await self._flavour()
        if must_call and not flavour.requires_tools:
            raise ModelUnsupportedError("The model server cannot be told that a tool must be called.")
        return write_chat(request, ignores_eos=flavour.ignores_eos)

    async def _flavour(self) -> Flavour:
        # Of many chats at a time the first asks, and the others wait for the answer.
        async with self._recognising:
            if self._recognised is None:
                self._recognised = await recognise(await self._entries(), self._routes)
            return self._recognised

    async def _entries(self) -> tuple[Entry, ...]:
        try:
            return await self._routes.list_models()
        except (BadResponseError, RequestRejectedError):
            # A server without such a list. Other errors are raised: a server that is down may have one.
            return ()
