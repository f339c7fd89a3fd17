"""Servers with OpenAI's chat completions: vLLM, llama-server, TGI, LM Studio and others."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import override

from rune.errors import (
    BadResponseError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    RequestRejectedError,
    ServerFailedError,
    UnknownPathError,
)
from rune.llm.dialects import Dialect, learn, learn_key_header, merge
from rune.llm.first_token import first_token_ms
from rune.llm.flavours.flavour import Flavour
from rune.llm.flavours.recognition import recognise
from rune.llm.flavours.routes import Entry, Routes, find_entry, ids_of
from rune.llm.framing import AnswerReader
from rune.llm.metrics import read_metrics
from rune.llm.openai_chat import ChatStream, wanted_fields, write_chat
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

_MAX_TRIES = 8
"""Of one chat, with another dialect or path each time."""


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
    async def has_model(self, model: str) -> bool | None:
        # By the list, in the exact spelling. llama-server with one model ignores the name in a chat and answers
        # with the model that it has (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md), and
        # a benchmark must not name a model that did not run. Where a server looks at the name, its list is a hint:
        # gateways route names that it lacks, and some have none.
        entries = await self._entries()
        if find_entry(entries, model) is not None:
            return True
        return False if entries and (await self._flavour(entries)).answers_any_name else None

    @property
    @override
    def dialect(self) -> Dialect:
        return self._routes.dialect

    @override
    def speak(self, dialect: Dialect) -> None:
        self._routes.dialect = merge(self._routes.dialect, dialect)

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
        first_ms = await first_token_ms(self, request, timeout_seconds=max(1.0, remaining_seconds))
        return WarmUp(load_s * _MS_PER_SECOND, first_ms)

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer; see `ModelServer.chat`. `context_tokens` has no counterpart and is not sent.

        A chat of which the server refuses a field, the path or the key's header is asked again without or with
        another one, and what was learnt so counts from then on.

        Raises
        ------
        ModelUnsupportedError
            A tool must be called, which the server cannot be told; nothing was sent. Or the model cannot chat so.
        ModelServerError, AddressError
            Any other of them.
        """
        asked, paths = self._routes.dialect, list(self._routes.api_paths())
        refusal: ModelServerError | None = None
        for _ in range(_MAX_TRIES):
            body = await self._write_chat(request, asked)
            try:
                generation = await self._ask(request, body, asked, paths[0], on_chunk)
            except UnknownPathError as unknown:
                refusal = refusal or unknown
                del paths[0]
                if not paths:
                    raise refusal from None
            except ModelServerError as error:
                learnt = learn(asked, body, error, wanted=wanted_fields(request)) or learn_key_header(
                    asked, error
                )
                if learnt is None or (
                    self._connection.api_key is None and learnt.key_header != asked.key_header
                ):
                    raise
                asked, refusal = learnt, error
            else:
                self._remember(asked, paths[0])
                return generation
        raise refusal or AssertionError("a try ends")

    async def _ask(
        self,
        request: ChatRequest,
        body: Mapping[str, object],
        asked: Dialect,
        api_path: str,
        on_chunk: OnChunk,
    ) -> Generation:
        async with self._connection.call(
            "POST",
            self._routes.chat_url(api_path, request.model),
            body=body,
            total_timeout_seconds=request.timeout_seconds,
            idle_timeout_seconds=request.first_timeout_seconds or request.idle_timeout_seconds,
            key_header=asked.key_header,
        ) as reply:
            answer = await open_answer(reply, model=request.model)
            stream = ChatStream(request.model, reply, bound_silence(answer, request, on_chunk))
            await read_frames(answer, AnswerReader(), stream.take)
            return replace(stream.complete(), resent_count=reply.resent_count)

    def _remember(self, asked: Dialect, api_path: str) -> None:
        """Keep what a chat that was answered has shown; others may have learnt something meanwhile."""
        if api_path != self._routes.api_paths()[0]:
            asked = replace(asked, api_path=api_path)
        if asked is not self._routes.dialect:
            self._routes.dialect = merge(self._routes.dialect, asked)

    @override
    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _write_chat(self, request: ChatRequest, dialect: Dialect) -> dict[str, object]:
        must_call = bool(request.tools) and request.tool_choice == "required"
        if not (request.ignore_eos or must_call):
            return write_chat(request, dialect=dialect)
        flavour = await self._flavour()
        if must_call and not flavour.requires_tools:
            raise ModelUnsupportedError("The model server cannot be told that a tool must be called.")
        return write_chat(request, ignores_eos=flavour.ignores_eos, dialect=dialect)

    async def _flavour(self, entries: tuple[Entry, ...] | None = None) -> Flavour:
        # Of many chats at a time the first asks, and the others wait for the answer.
        async with self._recognising:
            if self._recognised is None:
                self._recognised = await recognise(
                    await self._entries() if entries is None else entries, self._routes
                )
            return self._recognised

    async def _entries(self) -> tuple[Entry, ...]:
        try:
            return await self._routes.list_models()
        except (BadResponseError, ModelNotFoundError, RequestRejectedError, ServerFailedError):
            # A server without such a list, or whose list alone is broken. Other errors are raised: a server that is
            # down, or whose key is wrong, may have one.
            return ()
