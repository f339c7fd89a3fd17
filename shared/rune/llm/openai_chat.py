"""One chat over OpenAI's API: what is sent, and how the stream is read.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Mapping

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
from rune.llm.contents import Content, read_content
from rune.llm.counts import ToldCounts, read_usage
from rune.llm.dialects import LENGTH_FIELD, STANDARD, Dialect
from rune.llm.fields import as_list, as_object, read_count, read_number, read_text
from rune.llm.framing import Frame
from rune.llm.protocol import ChatRequest, Generation, Message, OnChunk, Role, ServerTimings
from rune.llm.replies import parse_frame
from rune.llm.tools import ToolCallsInProgress, write_openai_call, write_tools
from rune.net.calls import Reply

_END_MARKER = b"[DONE]"


class ChatStream:
    """Reads the frames of one answer."""

    def __init__(self, model: str, reply: Reply, on_chunk: OnChunk) -> None:
        self._model = model
        self._api_key = reply.api_key
        self._answer = AnswerInProgress(sent_ns=reply.sent_ns, headers_ns=reply.headers_ns, on_chunk=on_chunk)
        self._calls = ToolCallsInProgress()
        self._usage: Mapping[str, object] = {}
        self._has_choices = False
        self._last_ns = 0
        self._timings: Mapping[str, object] = {}
        self._ended_ns: int | None = None

    def take(self, frame: Frame) -> bool:
        """Take a frame; return whether it was the last."""
        if frame.data.strip() == _END_MARKER:
            self._ended_ns = frame.arrived_ns
            return True
        members = parse_frame(frame, model=self._model, api_key=self._api_key)
        self._answer.add_chunk(frame.arrived_ns)
        self._last_ns = frame.arrived_ns
        # Usage and timings may come with every chunk, the last, or one without choices: the latest counts.
        self._usage = _find_usage(members) or self._usage
        self._timings = as_object(members.get("timings")) or self._timings
        choices = as_list(members.get("choices"))
        self._has_choices |= bool(choices)
        for choice in map(as_object, choices):
            # One answer is asked for. What a server sends of another one is no part of it.
            if not choice.get("index"):
                self._take_choice(frame, choice)
        return False

    def complete(self) -> Generation:
        """Return the answer.

        Raises
        ------
        BadResponseError
            The stream was empty, or not in the form of OpenAI's chat completions.
        StreamTruncatedError
            It ended without a finish reason. The end marker is not asked for: not all servers send it, and one
            that broke off has no finish reason either.
        """
        if not self._answer.has_begun:
            # llama_cpp.server (https://github.com/abetlen/llama-cpp-python) answers so to a question that is longer
            # than its context.
            raise BadResponseError(
                "The server answered 200 with an empty body, as some do when the question is too long."
            )
        if not self._has_choices:
            raise BadResponseError("The server's answer is not in the form of OpenAI's chat completions.")
        if self._ended_ns is None and not self._answer.has_ended:
            raise StreamTruncatedError("The server's answer ended without its end marker.")
        told, timings = read_usage(self._usage), self._timings
        told = ToldCounts(
            prompt_count=_first(told.prompt_count, _evaluated_count(timings)),
            output_count=told.output_count,
            cached_count=_first(told.cached_count, read_count(timings, "cache_n")),
            reasoning_count=told.reasoning_count,
        )
        tokens = self._answer.counts_of(told, read_count(timings, "predicted_n"))
        server_timings = ServerTimings(
            prompt_eval_ms=read_number(timings, "prompt_ms"), eval_ms=read_number(timings, "predicted_ms")
        )
        ended_ns = self._last_ns if self._ended_ns is None else self._ended_ns
        return self._answer.complete(ended_ns, tokens, server_timings, self._calls.complete())

    def _take_choice(self, frame: Frame, choice: Mapping[str, object]) -> None:
        delta, is_whole = _find_delta(choice)
        fragments = _read_fragments(delta)
        for fragment in fragments:
            self._calls.add(fragment)
        content = read_content(delta)
        if is_whole:
            content = self._without_repetition(content)
        if content.is_unread:
            self._answer.miss_content()
        if content.is_hidden:
            self._answer.hide_reasoning()
        self._answer.add_content(
            frame.arrived_ns,
            text=content.text,
            reasoning=content.reasoning,
            has_tool_call=bool(fragments),
        )
        if reason := read_text(choice, "finish_reason"):
            self._answer.finish(reason)

    def _without_repetition(self, content: Content) -> Content:
        """Return what a `message` adds: some servers send the whole answer so far with each, or with the last."""
        before = self._answer.text
        if not before or not content.text.startswith(before):
            return content
        return Content(text=content.text[len(before) :])


def write_chat(
    request: ChatRequest, *, ignores_eos: bool = False, dialect: Dialect = STANDARD
) -> dict[str, object]:
    """Return the body of a chat; `context_tokens` has no counterpart.

    Parameters
    ----------
    dialect
        Of the server. What the caller chose is sent all the same, so that he sees its refusal.
    ignores_eos
        Whether the server takes `ignore_eos`; others refuse or ignore an unknown field.
    """
    body: dict[str, object] = {
        "model": request.model,
        "messages": [_write_message(turn) for turn in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    has_length = dialect.takes_own_length or not request.is_free
    options: dict[str, object | None] = {
        # Not max_completion_tokens at first, which Ollama and older servers ignore.
        dialect.length_field: request.max_output_tokens if has_length else None,
        "temperature": request.temperature,
        "seed": request.seed,
        "ignore_eos": True if request.ignore_eos and ignores_eos else None,
    }
    if request.tools:
        options["tools"] = write_tools(request.tools)
        # Leaving it out means "auto", and needs no support by the server.
        options["tool_choice"] = None if request.tool_choice == "auto" else request.tool_choice
    body |= {name: value for name, value in options.items() if value is not None}
    left_out = {*dialect.left_out} - {*wanted_fields(request)}
    if "stream" in left_out:
        left_out.add("stream_options")
    return {name: value for name, value in body.items() if name not in left_out}


def wanted_fields(request: ChatRequest) -> tuple[str, ...]:
    """Return the fields of a chat that its caller chose, under their first names."""
    return () if request.is_free else (LENGTH_FIELD, "temperature", "seed")


def _write_message(turn: Message) -> dict[str, object]:
    if turn.role is Role.TOOL:
        return {"role": turn.role.value, "tool_call_id": turn.tool_call_id or "", "content": turn.content}
    if not turn.tool_calls:
        return {"role": turn.role.value, "content": turn.content}
    return {
        "role": turn.role.value,
        # TGI takes a turn with any text for one without calls.
        "content": turn.content or None,
        "tool_calls": [write_openai_call(call) for call in turn.tool_calls],
    }


def _find_usage(members: Mapping[str, object]) -> Mapping[str, object]:
    """Return a chunk's usage: beside its choices, within one (Moonshot), or among a vendor's own (Groq)."""
    choices = [as_object(choice) for choice in as_list(members.get("choices"))]
    holders = [members, *choices, as_object(members.get("x_groq"))]
    return next((usage for holder in holders if (usage := as_object(holder.get("usage")))), {})


def _find_delta(choice: Mapping[str, object]) -> tuple[Mapping[str, object], bool]:
    """Return what a choice adds to the answer, and whether it may be the whole answer so far.

    Servers that do not stream, or pretend to, send a `message`; those before chat completions a `text`.
    """
    if delta := as_object(choice.get("delta")):
        return delta, False
    if message := as_object(choice.get("message")):
        return message, True
    text = read_text(choice, "text")
    return ({"content": text} if text else {}), False


def _read_fragments(delta: Mapping[str, object]) -> list[object]:
    """Return the fragments of calls in a delta: in a list, alone (TGI 2), or in the form before 2024."""
    calls = delta.get("tool_calls")
    alone = as_object(calls)
    legacy = as_object(delta.get("function_call"))
    return [*as_list(calls), *([alone] if alone else []), *([{"function": legacy}] if legacy else [])]


def _evaluated_count(timings: Mapping[str, object]) -> int | None:
    evaluated = read_count(timings, "prompt_n")
    return None if evaluated is None else evaluated + (read_count(timings, "cache_n") or 0) or None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
