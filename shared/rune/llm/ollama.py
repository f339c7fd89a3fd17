"""Ollama's native API (https://github.com/ollama/ollama/blob/main/docs/api.md, 0.33)."""

import asyncio
import time
from collections.abc import Mapping

from rune.errors import BadResponseError, ModelUnsupportedError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
from rune.llm.fields import as_list, as_object, read_count, read_number, read_text
from rune.llm.first_token import first_token_ms
from rune.llm.lines import Event, NdjsonReader
from rune.llm.names import is_same_model
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    Generation,
    ModelFacts,
    OnChunk,
    OnPull,
    PullRequest,
    ServerFacts,
    ServerTimings,
    WarmUp,
    WarmUpRequest,
)
from rune.llm.pulls import PullStream
from rune.llm.replies import open_stream, parse_event, read_events, read_object
from rune.net.addresses import AddressPolicy, BackendUrl
from rune.net.calls import Reply, ServerConnection
from rune.net.client import open_client
from rune.net.round_trip import measure_round_trip_ms

_LIST_TIMEOUT_SECONDS = 15.0
_NS_PER_MS = 1_000_000
_MEDIA_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/json"})


class OllamaServer:
    """A `ModelServer` that speaks Ollama's native API.

    Token counts are the server's, as `TokenSource.USAGE`. It has no count of cached or reasoning tokens.
    """

    def __init__(self, connection: ServerConnection, policy: AddressPolicy) -> None:
        self._connection = connection
        self._policy = policy

    @classmethod
    def open(cls, url: BackendUrl, policy: AddressPolicy, *, api_key: str | None = None) -> "OllamaServer":
        """Return the server at an address; nothing is sent yet. Raises InvalidRequestError for a bad key."""
        return cls(ServerConnection(url, open_client(policy), api_key=api_key), policy)

    async def list_models(self) -> tuple[str, ...]:
        """Return the names of the models on the server, with their tags, sorted."""
        return await self._list("/api/tags")

    async def list_running(self) -> tuple[str, ...]:
        """Return the names of the models in memory, sorted; one that is still loading may be among them."""
        return await self._list("/api/ps")

    async def has_model(self, model: str) -> bool:
        """Return whether the server has the model; a name without a tag means `:latest`."""
        return any(is_same_model(model, name) for name in await self.list_models())

    async def capabilities(self, model: str) -> Capabilities:  # noqa: ARG002
        """Return what can be asked of the server for this model."""
        return Capabilities()

    async def describe_server(self) -> ServerFacts:
        """Return what the server says of itself."""
        return ServerFacts()

    async def describe_model(self, model: str) -> ModelFacts:  # noqa: ARG002
        """Return what the server says of a model, now."""
        return ModelFacts()

    async def round_trip_ms(self) -> float | None:
        """Return the time of one TCP handshake with the server, in milliseconds; None where there is none."""
        return await measure_round_trip_ms(self._connection.url, self._policy)

    async def unload(self, model: str) -> None:
        """Take the model out of the server's memory."""
        raise ModelUnsupportedError(f"The server cannot be told to unload {model}.")

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        """Let the server download the model; see `ModelServer.pull`.

        Raises
        ------
        ModelNotFoundError
            The registry does not know the model.
        PullStalledError
            No byte came for `stall_seconds`.
        ModelServerError, AddressError
            Any other of them.
        """
        stream = PullStream(request.model, request.stall_seconds, on_progress)
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
                body = await open_stream(reply, model=request.model, media_types=_MEDIA_TYPES)
                await read_events(body, NdjsonReader(), stream.take)
        except TimeoutError:
            return False
        stream.require_complete()
        return True

    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Load the model, then generate one token: loading alone runs no kernel.

        Notes
        -----
        The load call reports no duration (facts 1.7), so it is timed here; a model that was in memory with
        the same context takes milliseconds. The context must be the chat's, or the chat loads again.
        """
        began_s = time.monotonic()
        load_ms = await self._load(request)
        remaining_seconds = request.timeout_seconds - (time.monotonic() - began_s)
        return WarmUp(load_ms, await first_token_ms(self, request, timeout_seconds=remaining_seconds))

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer; see `ModelServer.chat`.

        Raises
        ------
        ContextOverflowError
            The question is too long. Servers older than `truncate` and `shift` drop the oldest messages
            without a word instead, and nothing in their answer proves it.
        ModelServerError, AddressError
            Any other of them.
        """
        async with self._connection.call(
            "POST",
            self._connection.url.url + "/api/chat",
            body=_chat_body(request),
            total_timeout_seconds=request.timeout_seconds,
            idle_timeout_seconds=request.idle_timeout_seconds,
        ) as reply:
            body = await open_stream(reply, model=request.model, media_types=_MEDIA_TYPES)
            stream = _ChatStream(request.model, reply, on_chunk)
            await read_events(body, NdjsonReader(), stream.take)
            return stream.complete()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def _list(self, path: str) -> tuple[str, ...]:
        url = self._connection.url.url + path
        async with self._connection.call("GET", url, total_timeout_seconds=_LIST_TIMEOUT_SECONDS) as reply:
            listing = await read_object(reply)
        if "models" not in listing:
            raise BadResponseError("The server's list of models has no models in it: is it an Ollama server?")
        models = [as_object(model) for model in as_list(listing["models"])]
        names = {read_text(model, "name") or read_text(model, "model") for model in models}
        return tuple(sorted(names - {""}))

    async def _load(self, request: WarmUpRequest) -> float:
        body: dict[str, object] = {"model": request.model, "stream": False}
        if request.context_tokens is not None:
            body["options"] = {"num_ctx": request.context_tokens}
        # The server is silent while it loads, for minutes if need be: only the total timeout counts.
        async with self._connection.call(
            "POST",
            self._connection.url.url + "/api/generate",
            body=body,
            total_timeout_seconds=request.timeout_seconds,
        ) as reply:
            loaded = await read_object(reply, model=request.model)
            if loaded.get("done") is not True:
                raise BadResponseError("The server did not confirm that the model is loaded.")
            return (reply.headers_ns - reply.sent_ns) / _NS_PER_MS


class _ChatStream:
    """Reads the events of one answer."""

    def __init__(self, model: str, reply: Reply, on_chunk: OnChunk) -> None:
        self._model = model
        self._answer = AnswerInProgress(sent_ns=reply.sent_ns, headers_ns=reply.headers_ns, on_chunk=on_chunk)
        self._final: Mapping[str, object] | None = None
        self._ended_ns = 0

    def take(self, event: Event) -> bool:
        """Take an event; return whether it was the last."""
        members = parse_event(event, model=self._model)
        self._answer.add_event(event.arrived_ns)
        # Before `done` is looked at: the last object may carry text or a tool call itself.
        message = as_object(members.get("message"))
        self._answer.add_piece(
            event.arrived_ns,
            text=read_text(message, "content"),
            reasoning=read_text(message, "thinking"),
            has_tool_call=bool(as_list(message.get("tool_calls"))),
        )
        if members.get("done") is not True:
            return False
        self._final, self._ended_ns = members, event.arrived_ns
        if reason := read_text(members, "done_reason"):
            self._answer.finish(reason)
        return True

    def complete(self) -> Generation:
        if not self._answer.has_begun:
            raise BadResponseError("The server answered 200 with nothing in it.")
        final = self._final
        if final is None:
            # Also how Ollama gives up on a model that repeats one token: no error, just no last object.
            raise StreamTruncatedError("The server's answer ended without its end marker.")
        tokens = self._answer.count_tokens(
            prompt_count=read_count(final, "prompt_eval_count"),
            # Go leaves zeros out.
            usage_count=read_count(final, "eval_count") or 0,
        )
        timings = ServerTimings(
            total_ms=_read_ms(final, "total_duration"),
            load_ms=_read_ms(final, "load_duration"),
            prompt_eval_ms=_read_ms(final, "prompt_eval_duration"),
            eval_ms=_read_ms(final, "eval_duration"),
        )
        return self._answer.complete(self._ended_ns, tokens, timings)


def _chat_body(request: ChatRequest) -> dict[str, object]:
    options = {
        "num_ctx": request.context_tokens,
        "num_predict": request.max_output_tokens,
        "temperature": request.temperature,
    }
    return {
        "model": request.model,
        "messages": [{"role": turn.role.value, "content": turn.content} for turn in request.messages],
        "stream": True,
        # Without these two the server silently drops the oldest messages of a question that is too long
        # (facts 5.2), and the numbers of the answer are about another question. With them it says 400.
        "truncate": False,
        "shift": False,
        "options": {name: value for name, value in options.items() if value is not None},
    }


def _read_ms(final: Mapping[str, object], key: str) -> float | None:
    duration_ns = read_number(final, key)
    return None if duration_ns is None else duration_ns / _NS_PER_MS
