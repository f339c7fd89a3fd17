"""One chat over OpenAI's API: what is sent, and how the stream is read.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Mapping

from rune.errors import BadResponseError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
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
        self._timings: Mapping[str, object] = {}
        self._ended_ns: int | None = None

    def take(self, frame: Frame) -> bool:
        """Take a frame; return whether it was the last."""
        if frame.data.strip() == _END_MARKER:
            self._ended_ns = frame.arrived_ns
            return True
        members = parse_frame(frame, model=self._model, api_key=self._api_key)
        self._answer.add_chunk(frame.arrived_ns)
        # Usage and timings may come with every chunk, the last, or one without choices: the latest counts.
        self._usage = as_object(members.get("usage")) or self._usage
        self._timings = as_object(members.get("timings")) or self._timings
        for choice in as_list(members.get("choices")):
            self._take_choice(frame, as_object(choice))
        return False

    def complete(self) -> Generation:
        """Return the answer.

        Raises
        ------
        BadResponseError, StreamTruncatedError
            The stream was empty, or ended before its end marker or without a finish reason.
        """
        if not self._answer.has_begun:
            # llama_cpp.server (https://github.com/abetlen/llama-cpp-python) answers so to a question that is longer
            # than its context.
            raise BadResponseError(
                "The server answered 200 with an empty body, as some do when the question is too long."
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
        return self._answer.complete(self._ended_ns, tokens, server_timings, self._calls.complete())

    def _take_choice(self, frame: Frame, choice: Mapping[str, object]) -> None:
        delta = as_object(choice.get("delta"))
        fragments = _read_fragments(delta)
        for fragment in fragments:
            self._calls.add(fragment)
        self._answer.add_content(
            frame.arrived_ns,
            text=read_text(delta, "content") or _read_parts(delta, "text"),
            # `reasoning` is sent by vLLM and Ollama, `reasoning_content` by llama.cpp and older vLLM. A server that
            # sends both sends the same text twice.
            reasoning=read_text(delta, "reasoning")
            or read_text(delta, "reasoning_content")
            or _read_parts(delta, "thinking"),
            has_tool_call=bool(fragments),
        )
        if reason := read_text(choice, "finish_reason"):
            self._answer.finish(reason)


def write_chat(request: ChatRequest, *, ignores_eos: bool = False) -> dict[str, object]:
    """Return the body of a chat; `context_tokens` has no counterpart.

    Parameters
    ----------
    ignores_eos
        Whether the server takes `ignore_eos`; others refuse or ignore an unknown field.
    """
    body: dict[str, object] = {
        "model": request.model,
        "messages": [_write_message(turn) for turn in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    options: dict[str, object | None] = {
        # Not max_completion_tokens, which Ollama and older servers ignore.
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "ignore_eos": True if request.ignore_eos and ignores_eos else None,
    }
    if request.tools:
        options["tools"] = write_tools(request.tools)
        # Leaving it out means "auto", and needs no support by the server.
        options["tool_choice"] = None if request.tool_choice == "auto" else request.tool_choice
    return body | {name: value for name, value in options.items() if value is not None}


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


def _read_parts(delta: Mapping[str, object], kind: str) -> str:
    """Return the text of all parts of a kind, where `content` is a list of parts (Mistral).

    A part of thinking holds a list of parts with text itself.
    """
    parts = [as_object(part) for part in as_list(delta.get("content"))]
    chosen = [part for part in parts if read_text(part, "type") == kind]
    if kind == "thinking":
        inner = [as_object(each) for part in chosen for each in as_list(part.get("thinking"))]
        return "".join(
            [*(read_text(part, "thinking") for part in chosen), *(read_text(each, "text") for each in inner)]
        )
    return "".join(read_text(part, "text") for part in chosen)


def _read_fragments(delta: Mapping[str, object]) -> list[object]:
    """Return the fragments of calls in a delta: in a list, alone (TGI 2), or in the form before 2024."""
    calls = delta.get("tool_calls")
    alone = as_object(calls)
    legacy = as_object(delta.get("function_call"))
    return [*as_list(calls), *([alone] if alone else []), *([{"function": legacy}] if legacy else [])]


def _prompt_count(usage: Mapping[str, object], timings: Mapping[str, object]) -> int | None:
    counted = read_count(usage, "prompt_tokens")
    evaluated = read_count(timings, "prompt_n")
    if counted is not None or evaluated is None:
        return counted
    return evaluated + (read_count(timings, "cache_n") or 0)


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
