"""One chat over Ollama's native API: what is sent, and how the stream is read."""

from collections.abc import Mapping

from rune.errors import BadResponseError, ModelUnsupportedError, StreamTruncatedError
from rune.llm.answers import AnswerInProgress
from rune.llm.contents import read_content
from rune.llm.fields import as_list, as_object, read_count, read_number, read_text
from rune.llm.framing import Frame
from rune.llm.protocol import ChatRequest, Generation, Message, OnChunk, Role, ServerTimings, ToolCall
from rune.llm.replies import parse_frame
from rune.llm.tools import read_whole_call, write_ollama_call, write_tools
from rune.net.calls import Reply

_NS_PER_MS = 1_000_000


class ChatStream:
    """Reads the frames of one answer."""

    def __init__(self, model: str, reply: Reply, on_chunk: OnChunk) -> None:
        self._model = model
        self._api_key = reply.api_key
        self._answer = AnswerInProgress(sent_ns=reply.sent_ns, headers_ns=reply.headers_ns, on_chunk=on_chunk)
        self._calls: list[ToolCall] = []
        self._final: Mapping[str, object] | None = None
        self._has_messages = False
        self._ended_ns = 0

    def take(self, frame: Frame) -> bool:
        """Take a frame; return whether it was the last."""
        members = parse_frame(frame, model=self._model, api_key=self._api_key)
        self._answer.add_chunk(frame.arrived_ns)
        # The last frame may hold text or a tool call too, so its content is read before `done`.
        message = as_object(members.get("message")) or {"content": members.get("response")}
        self._has_messages |= "message" in members or "response" in members
        calls = as_list(message.get("tool_calls"))
        self._calls += [read_whole_call(call) for call in calls]
        content = read_content(message)
        if content.is_unread:
            self._answer.miss_content()
        self._answer.add_content(
            frame.arrived_ns,
            text=content.text,
            reasoning=content.reasoning,
            has_tool_call=bool(calls),
        )
        if members.get("done") is not True:
            return False
        self._final, self._ended_ns = members, frame.arrived_ns
        if reason := read_text(members, "done_reason"):
            self._answer.finish(reason)
        # Releases before 0.1.40, and emulations, do not say why.
        self._answer.end_unexplained()
        return True

    def complete(self) -> Generation:
        """Return the answer.

        Raises
        ------
        BadResponseError
            The stream was empty, or not in the form of Ollama's chats.
        StreamTruncatedError
            It ended before its end marker.
        """
        if not self._answer.has_begun:
            raise BadResponseError("The server answered 200 with nothing in it.")
        final = self._final
        if final is None and not self._has_messages:
            raise BadResponseError("The server's answer is not in the form of Ollama's chats.")
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
        return self._answer.complete(self._ended_ns, tokens, timings, tuple(self._calls))


def write_chat(request: ChatRequest) -> dict[str, object]:
    """Return the body of a chat; `ignore_eos` has no counterpart.

    Whether a model that can think does so is left to it.

    Raises
    ------
    ModelUnsupportedError
        A tool must be called, which Ollama cannot be told.
    """
    if request.tools and request.tool_choice == "required":
        raise ModelUnsupportedError("Ollama cannot be told that a tool must be called.")
    options = {
        "num_ctx": request.context_tokens,
        "num_predict": request.max_output_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
    }
    body: dict[str, object] = {
        "model": request.model,
        "messages": [_write_message(turn) for turn in request.messages],
        "stream": True,
        # By default the server silently drops the oldest messages of a question that is too long, and the numbers
        # would be about another question. With these it answers 400. See `truncate` and `shift` in
        # https://github.com/ollama/ollama/blob/main/api/types.go.
        "truncate": False,
        "shift": False,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    # There is no `tool_choice`: "none" is expressed by leaving the tools out.
    if request.tools and request.tool_choice != "none":
        body["tools"] = write_tools(request.tools)
    return body


def _write_message(turn: Message) -> dict[str, object]:
    written: dict[str, object] = {"role": turn.role.value, "content": turn.content}
    if turn.tool_calls:
        written["tool_calls"] = [write_ollama_call(call, index) for index, call in enumerate(turn.tool_calls)]
    if turn.role is Role.TOOL:
        # Releases before 0.12 know no ids and match by name.
        named = {"tool_name": turn.tool_name, "tool_call_id": turn.tool_call_id}
        written |= {name: value for name, value in named.items() if value}
    return written


def _read_ms(final: Mapping[str, object], key: str) -> float | None:
    duration_ns = read_number(final, key)
    return None if duration_ns is None else duration_ns / _NS_PER_MS
