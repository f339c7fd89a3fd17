"""Ollama's native API (https://github.com/ollama/ollama/blob/main/docs/api.md, 0.33)."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal, override

from rune.errors import BadResponseError, ModelNotFoundError, UnknownPathError
from rune.llm.fields import as_list, as_object, read_count, read_text
from rune.llm.first_token import first_token_ms
from rune.llm.framing import AnswerReader
from rune.llm.names import is_same_model
from rune.llm.ollama_chat import ChatStream, write_chat
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
from rune.llm.pulls import PullStream
from rune.llm.replies import bound_silence, open_answer, read_frames, read_object
from rune.net.addresses import AddressPolicy, BackendUrl
from rune.net.calls import ServerConnection
from rune.net.client import open_client
from rune.net.round_trip import measure_round_trip_ms

_LIST_TIMEOUT_SECONDS = 15.0
_NS_PER_MS = 1_000_000
_LOADED_AS = ("size", "size_vram", "context_length")
"""What is the same in `/api/ps` as long as a model stays loaded."""


type _ListPath = Literal["/api/tags", "/api/ps"]


class OllamaServer(ModelServer):
    """A server that speaks Ollama's native API.

    Token counts are the server's, as `TokenCountSource.USAGE`. It counts neither cached nor reasoning tokens.
    Names are compared by Ollama's rules: a name without a tag means `:latest`.
    """

    def __init__(self, connection: ServerConnection, policy: AddressPolicy) -> None:
        self._connection = connection
        self._policy = policy

    @classmethod
    def open(cls, url: BackendUrl, policy: AddressPolicy, *, api_key: str | None = None) -> "OllamaServer":
        """Return the server at an address; nothing is sent yet.

        Raises
        ------
        InvalidRequestError
            The key cannot be a header.
        """
        return cls(ServerConnection(url, open_client(policy), api_key=api_key), policy)

    @override
    async def list_models(self) -> tuple[str, ...]:
        return await self._list("/api/tags")

    @override
    async def list_running(self) -> tuple[str, ...]:
        # A model that is still loading may be among them.
        with suppress(UnknownPathError):
            return await self._list("/api/ps")
        return ()

    @override
    async def has_model(self, model: str) -> bool | None:
        try:
            names = await self.list_models()
        except UnknownPathError:
            return None  # one that speaks Ollama's chats alone
        return any(is_same_model(model, name) for name in names)

    @override
    async def capabilities(self, model: str) -> Capabilities:
        """Return what `/api/show` says of the model.

        `ignores_eos` is False: only `num_predict` bounds an answer, and a model may end it earlier. Emulations
        without that route say nothing.

        Raises
        ------
        ModelNotFoundError
            The server does not have the model.
        ModelServerError, AddressError
            Any other of them.
        """
        try:
            told = (await self._show(model)).get("capabilities")
        except UnknownPathError:
            return Capabilities()
        known = set(map(str, told)) if isinstance(told, list) else None
        return Capabilities(
            chats=None if known is None else "completion" in known,
            calls_tools=None if known is None else "tools" in known,
        )

    @override
    async def describe_server(self) -> ServerFacts:
        url = self._connection.url.url + "/api/version"
        version = ""
        with suppress(UnknownPathError):
            async with self._connection.call(
                "GET", url, total_timeout_seconds=_LIST_TIMEOUT_SECONDS
            ) as reply:
                version = read_text(await read_object(reply), "version")
        return ServerFacts(name="ollama", version=version or None)

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        try:
            shown = await self._show(model)
        except (ModelNotFoundError, UnknownPathError):
            return ModelFacts()
        stored, running = await self._find("/api/tags", model), await self._find("/api/ps", model)
        details = as_object(shown.get("details"))
        return ModelFacts(
            digest=read_text(stored, "digest") or read_text(running, "digest") or None,
            quantization=read_text(details, "quantization_level") or None,
            parameter_size=read_text(details, "parameter_size") or None,
            family=read_text(details, "family") or None,
            context_tokens_trained=_trained_context(as_object(shown.get("model_info"))),
            context_tokens_loaded=read_count(running, "context_length"),
            size_bytes=read_count(running, "size"),
            # Go omits zeros, and zero has a meaning: the whole model is on the CPU.
            size_vram_bytes=(read_count(running, "size_vram") or 0) if running else None,
        )

    @override
    async def round_trip_ms(self) -> float | None:
        return await measure_round_trip_ms(self._connection.url, self._policy)

    @override
    async def read_metrics(self, model: str) -> ServerMetrics | None:
        """Return whether the model is in memory, and how: Ollama tells nothing of its queue."""
        running = await self._find("/api/ps", model)
        told = [read_text(running, "digest"), *(read_count(running, name) for name in _LOADED_AS)]
        return ServerMetrics("ollama", loaded="/".join(map(str, told)) if running else "")

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        """Download the model; see `ModelServer.pull`.

        Raises
        ------
        ModelNotFoundError
            The registry does not know the model.
        PullStalledError
            No byte came for `stall_seconds`.
        ModelServerError, AddressError
            Any other of them.
        """
        stream = PullStream(
            request.model, request.stall_seconds, on_progress, api_key=self._connection.api_key
        )
        try:
            async with (
                asyncio.timeout(request.slice_seconds),
                self._connection.call(
                    "POST",
                    self._connection.url.url + "/api/pull",
                    body={"model": request.model, "stream": True},
                    # Above the slice, so that the end of the slice is never taken for the server's silence.
                    total_timeout_seconds=request.slice_seconds + request.stall_seconds,
                    idle_timeout_seconds=request.stall_seconds,
                ) as reply,
            ):
                body = await open_answer(reply, model=request.model)
                await read_frames(body, AnswerReader(), stream.take)
        except TimeoutError:
            return False
        stream.require_complete()
        return True

    @override
    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Load the model, then generate one token, since loading alone runs no kernel.

        The load call reports no duration, so it is timed here. A model that is in memory with the same context
        takes milliseconds. The context must be the chat's, or the chat loads the model again.

        Raises
        ------
        ModelServerError, AddressError
            As `ModelServer.chat`.
        """
        began_s = time.monotonic()
        load_ms = 0.0
        with suppress(UnknownPathError):  # of an emulation, which then loads with the first chat
            load_ms = await self._load(request)
        remaining_seconds = request.timeout_seconds - (time.monotonic() - began_s)
        return WarmUp(load_ms, await first_token_ms(self, request, timeout_seconds=remaining_seconds))

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer; see `ModelServer.chat`.

        Raises
        ------
        ModelUnsupportedError
            The model does not chat or knows no tools; or a tool must be called, and then nothing was sent.
        ContextOverflowError
            The question is too long. Servers that do not know `truncate` and `shift` drop the oldest messages
            instead, and nothing in their answer shows it.
        ModelServerError, AddressError
            Any other of them.
        """
        async with self._connection.call(
            "POST",
            self._connection.url.url + "/api/chat",
            body=write_chat(request),
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

    async def _list(self, path: _ListPath) -> tuple[str, ...]:
        return tuple(sorted({_name(model) for model in await self._read_list(path)} - {""}))

    async def _find(self, path: _ListPath, model: str) -> Mapping[str, object]:
        """Return a list's entry of a model, under any spelling of its name; empty where there is none."""
        listed = await self._read_list(path)
        return next((one for one in listed if _name(one) and is_same_model(model, _name(one))), {})

    async def _read_list(self, path: _ListPath) -> list[Mapping[str, object]]:
        url = self._connection.url.url + path
        async with self._connection.call("GET", url, total_timeout_seconds=_LIST_TIMEOUT_SECONDS) as reply:
            listing = await read_object(reply)
        if "models" not in listing:
            raise BadResponseError("The server's list of models has no models in it: is it an Ollama server?")
        return [as_object(model) for model in as_list(listing["models"])]

    async def _show(self, model: str) -> Mapping[str, object]:
        url = self._connection.url.url + "/api/show"
        async with self._connection.call(
            "POST", url, body={"model": model}, total_timeout_seconds=_LIST_TIMEOUT_SECONDS
        ) as reply:
            return await read_object(reply, model=model)

    async def _load(self, request: WarmUpRequest) -> float:
        """Load the model by generating nothing ("Load a model" in api.md); return how many milliseconds it took."""
        body: dict[str, object] = {"model": request.model, "stream": False}
        if request.context_tokens is not None:
            body["options"] = {"num_ctx": request.context_tokens}
        # The server is silent while it loads, which may take minutes: only the total timeout counts.
        async with self._connection.call(
            "POST",
            self._connection.url.url + "/api/generate",
            body=body,
            total_timeout_seconds=request.timeout_seconds,
        ) as reply:
            answer = await read_object(reply, model=request.model)
            if answer.get("done") is not True:
                raise BadResponseError("The server did not confirm that it loaded the model.")
            return (reply.headers_ns - reply.sent_ns) / _NS_PER_MS


def _name(model: Mapping[str, object]) -> str:
    return read_text(model, "name") or read_text(model, "model")


def _trained_context(info: Mapping[str, object]) -> int | None:
    """Return the context length, whose key begins with the architecture ("Show Model Information" in api.md)."""
    told = read_count(info, f"{read_text(info, 'general.architecture')}.context_length")
    if told is not None:
        return told
    keys = [key for key in info if key.endswith(".context_length")]
    return read_count(info, keys[0]) if len(keys) == 1 else None
