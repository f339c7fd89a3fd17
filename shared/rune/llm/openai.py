"""Servers with OpenAI's chat completions: vLLM, llama-server, TGI, LM Studio and others."""

import re
from collections.abc import Mapping

from rune.errors import BadResponseError, ModelUnsupportedError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
from rune.llm.fields import as_list, as_object, read_count, read_number, read_text
from rune.llm.first_token import first_token_ms
from rune.llm.lines import Event, SseReader
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
from rune.llm.replies import open_stream, parse_event, read_events, read_object
from rune.net.addresses import AddressPolicy, BackendUrl
from rune.net.calls import Reply, ServerConnection
from rune.net.client import open_client
from rune.net.round_trip import measure_round_trip_ms

_LIST_TIMEOUT_SECONDS = 15.0
_MEDIA_TYPES = frozenset({"text/event-stream"})
_END_MARKER = b"[DONE]"


class OpenAiServer:
    """A `ModelServer` that speaks OpenAI's API.

    The server's address may be given with or without `/v1` at its end.
    """

    def __init__(self, connection: ServerConnection, policy: AddressPolicy) -> None:
        self._connection = connection
        self._policy = policy
        url = connection.url.url
        self._base_url = url if re.search(r"/v\d+$", url) else url + "/v1"

    @classmethod
    def open(cls, url: BackendUrl, policy: AddressPolicy, *, api_key: str | None = None) -> "OpenAiServer":
        """Return the server at an address; nothing is sent yet. Raises InvalidRequestError for a bad key."""
        return cls(ServerConnection(url, open_client(policy), api_key=api_key), policy)

    async def list_models(self) -> tuple[str, ...]:
        """Return the ids of the models that the server lists, sorted."""
        url = self._base_url + "/models"
        async with self._connection.call("GET", url, total_timeout_seconds=_LIST_TIMEOUT_SECONDS) as reply:
            listing = await read_object(reply)
        # `data` and nothing else: llama-server adds an Ollama-looking `models` beside it.
        if "data" not in listing:
            raise BadResponseError("The server's list of models has no data: does it speak OpenAI's API?")
        ids = {read_text(as_object(model), "id") for model in as_list(listing["data"])}
        return tuple(sorted(ids - {""}))

    async def list_running(self) -> tuple[str, ...]:
        """Return nothing: the API cannot tell what is in memory."""
        return ()

    async def has_model(self, model: str) -> bool:
        """Return whether the server lists the model, spelled just so.

        llama-server with one model ignores the name and answers with what it has (facts 2.2). The list stays
        the truth all the same: a benchmark must not carry the name of a model that did not run.
        """
        return model in await self.list_models()

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

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:  # noqa: ARG002  # the protocol's
        """Refuse: the API has no word for it."""
        raise ModelUnsupportedError("Servers with OpenAI's API cannot be told to download a model.")

    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Generate one token. The API cannot load: `load_ms` is 0 and a load hides in `first_token_ms`."""
        return WarmUp(0.0, await first_token_ms(self, request, timeout_seconds=request.timeout_seconds))

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer; see `ModelServer.chat`. `context_tokens` has no counterpart and is not sent."""
        async with self._connection.call(
            "POST",
            self._base_url + "/chat/completions",
            body=_chat_body(request),
            total_timeout_seconds=request.timeout_seconds,
            idle_timeout_seconds=request.idle_timeout_seconds,
        ) as reply:
            body = await open_stream(reply, model=request.model, media_types=_MEDIA_TYPES)
            stream = _ChatStream(request.model, reply, on_chunk)
            await read_events(body, SseReader(), stream.take)
            return stream.complete()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()


class _ChatStream:
    """Reads the events of one answer."""

    def __init__(self, model: str, reply: Reply, on_chunk: OnChunk) -> None:
        self._model = model
        self._answer = AnswerInProgress(sent_ns=reply.sent_ns, headers_ns=reply.headers_ns, on_chunk=on_chunk)
        self._usage: Mapping[str, object] = {}
        self._timings: Mapping[str, object] = {}
        self._ended_ns: int | None = None

    def take(self, event: Event) -> bool:
        """Take an event; return whether it was the last."""
        if event.data.strip() == _END_MARKER:
            self._ended_ns = event.arrived_ns
            return True
        members = parse_event(event, model=self._model)
        self._answer.add_event(event.arrived_ns)
        # Usage and timings may ride on every chunk, on the last, or on one without choices: the latest counts.
        self._usage = as_object(members.get("usage")) or self._usage
        self._timings = as_object(members.get("timings")) or self._timings
        for choice in as_list(members.get("choices")):
            self._take_choice(event, as_object(choice))
        return False

    def complete(self) -> Generation:
        if not self._answer.has_begun:
            # llama_cpp.server answers so to a question longer than its context (facts 2.5).
            raise BadResponseError(
                "The server answered 200 with nothing in it; some do so when the question is too long."
            )
        if self._ended_ns is None:
            raise StreamTruncatedError("The server's answer ended without its end marker.")
        usage, timings = self._usage, self._timings
        tokens = self._answer.count_tokens(
            prompt_count=_prompt_count(usage, timings),
            cached_count=_first(
                read_count(as_object(usage.get("prompt_tokens_details")), "cached_tokens"),
                read_count(timings, "cache_n"),
            ),
            reasoning_count=read_count(as_object(usage.get("completion_tokens_details")), "reasoning_tokens"),
            usage_count=read_count(usage, "completion_tokens"),
            server_count=read_count(timings, "predicted_n"),
        )
        server_timings = ServerTimings(
            prompt_eval_ms=read_number(timings, "prompt_ms"), eval_ms=read_number(timings, "predicted_ms")
        )
        return self._answer.complete(self._ended_ns, tokens, server_timings)

    def _take_choice(self, event: Event, choice: Mapping[str, object]) -> None:
        delta = as_object(choice.get("delta"))
        self._answer.add_piece(
            event.arrived_ns,
            text=read_text(delta, "content"),
            # `reasoning`: vLLM now and Ollama; `reasoning_content`: llama.cpp and vLLM before. Never both:
            # a server that sends both sends the same twice.
            reasoning=read_text(delta, "reasoning") or read_text(delta, "reasoning_content"),
            has_tool_call=bool(as_list(delta.get("tool_calls")))
            or bool(as_object(delta.get("function_call"))),
        )
        if reason := read_text(choice, "finish_reason"):
            self._answer.finish(reason)


def _chat_body(request: ChatRequest) -> dict[str, object]:
    body: dict[str, object] = {
        "model": request.model,
        "messages": [{"role": turn.role.value, "content": turn.content} for turn in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    # Not max_completion_tokens: Ollama and older servers read only this one.
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return body


def _prompt_count(usage: Mapping[str, object], timings: Mapping[str, object]) -> int | None:
    counted = read_count(usage, "prompt_tokens")
    evaluated = read_count(timings, "prompt_n")
    if counted is not None or evaluated is None:
        return counted
    return evaluated + (read_count(timings, "cache_n") or 0)


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
