"""A chat over Bedrock's Converse API: what is sent, and how its chunks are read.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rune.errors import ContextOverflowError, StreamFailedError
from rune.llm.answers import AnswerInProgress
from rune.llm.fields import as_object, read_count, read_number, read_text
from rune.llm.protocol import (
    ChatRequest,
    Generation,
    Message,
    Role,
    ServerTimings,
    ToolSpec,
)
from rune.llm.tools import ToolCallsInProgress

type Block = dict[str, Any]
"""A content block: a union, of which exactly one key is given."""

NO_OUTPUT = "(no output)"
"""Sent for a tool's empty result, since Bedrock refuses a blank text."""

# From Bedrock's stop reasons to those that `AnswerInProgress` knows.
_FINISH_WORDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}
_FILTERED = frozenset({"guardrail_intervened", "content_filtered"})
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
_WINDOW_FULL = "model_context_window_exceeded"


def converse_arguments(request: ChatRequest) -> dict[str, Any]:
    """Return what boto3's `converse_stream` takes.

    `context_tokens`, `seed` and `ignore_eos` have no counterpart and are not sent.
    """
    arguments: dict[str, Any] = {"modelId": request.model, "messages": _messages(request.messages)}
    system = [
        {"text": turn.content}
        for turn in request.messages
        if turn.role is Role.SYSTEM and turn.content.strip()
    ]
    if system:
        arguments["system"] = system
    limits: dict[str, Any] = {"maxTokens": request.max_output_tokens, "temperature": request.temperature}
    given = {name: value for name, value in limits.items() if value is not None}
    if given:
        arguments["inferenceConfig"] = given
    if tools := _tool_config(request):
        arguments["toolConfig"] = tools
    return arguments


def _messages(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the turns with alternating roles: all results of one turn, and what follows them, are one message."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role is Role.SYSTEM:
            continue
        role = "assistant" if turn.role is Role.ASSISTANT else "user"
        blocks = _blocks(turn)
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def _blocks(turn: Message) -> list[Block]:
    if turn.role is Role.TOOL:
        content = [{"text": turn.content if turn.content.strip() else NO_OUTPUT}]
        return [{"toolResult": {"toolUseId": turn.tool_call_id or "", "content": content}}]
    text: list[Block] = [{"text": turn.content}] if turn.content.strip() else []
    return text + [
        # Bedrock takes only objects; arguments that are not one become empty.
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": dict(call.arguments or {})}}
        for call in turn.tool_calls
    ]


def _tool_config(request: ChatRequest) -> dict[str, Any]:
    """Return `toolConfig`, or nothing; Bedrock refuses a history with tool blocks without one."""
    replayed = {call.name for turn in request.messages for call in turn.tool_calls}
    results = {turn.tool_name for turn in request.messages if turn.role is Role.TOOL and turn.tool_name}
    has_history = bool(replayed or results)
    if not has_history and (not request.tools or request.tool_choice == "none"):
        return {}
    missing = (replayed | results) - {tool.name for tool in request.tools}
    tools = [*request.tools, *(ToolSpec(name, name, {"type": "object"}) for name in sorted(missing))]
    config: dict[str, Any] = {"tools": [_tool(tool) for tool in tools]}
    # Bedrock has no choice "none". "auto" is its default, which models without tool choice have too.
    if request.tool_choice == "required" and request.tools:
        config["toolChoice"] = {"any": {}}
    return config


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "toolSpec": {
            "name": tool.name,
            "description": tool.description or tool.name,
            "inputSchema": {"json": dict(tool.parameters)},
        }
    }


class ConverseAnswer:
    """Adds up the chunks of one answer, which AWS calls events: mappings with one key each."""

    def __init__(self, model: str, answer: AnswerInProgress) -> None:
        self._model = model
        self._answer = answer
        self._calls = ToolCallsInProgress()
        self._usage: Mapping[str, object] = {}
        self._total_ms: float | None = None
        self._stop_reason = ""
        self._has_content = False

    def take(self, chunk: Mapping[str, object], arrived_ns: int) -> None:
        """Take a chunk; an unknown one has no content."""
        self._answer.add_chunk(arrived_ns)
        start = as_object(chunk.get("contentBlockStart"))
        if tool := as_object(as_object(start.get("start")).get("toolUse")):
            self._calls.add(
                {
                    "index": _index(start),
                    "id": read_text(tool, "toolUseId"),
                    "function": {"name": read_text(tool, "name")},
                }
            )
            self._add(arrived_ns, has_tool_call=True)
        block = as_object(chunk.get("contentBlockDelta"))
        if delta := as_object(block.get("delta")):
            self._take_delta(_index(block), delta, arrived_ns)
        if stop := as_object(chunk.get("messageStop")):
            self._stop_reason = read_text(stop, "stopReason")
        if metadata := as_object(chunk.get("metadata")):
            self._usage = as_object(metadata.get("usage"))
            self._total_ms = read_number(as_object(metadata.get("metrics")), "latencyMs")

    def complete(self, ended_ns: int) -> Generation:
        """Return the finished answer.

        Raises
        ------
        StreamTruncatedError
            It ended without a stop reason.
        StreamFailedError
            Bedrock could not parse the model's output.
        ContextOverflowError
            The context was full before the answer began.
        """
        self._finish()
        usage = self._usage
        cached_count = read_count(usage, "cacheReadInputTokens")
        tokens = self._answer.count_tokens(
            prompt_count=_prompt_count(usage),
            cached_count=cached_count,
            usage_count=read_count(usage, "outputTokens"),
        )
        timings = ServerTimings(total_ms=self._total_ms)
        return self._answer.complete(ended_ns, tokens, timings, self._calls.complete())

    def _take_delta(self, index: int, delta: Mapping[str, object], arrived_ns: int) -> None:
        arguments = read_text(as_object(delta.get("toolUse")), "input")
        if arguments:
            self._calls.add({"index": index, "function": {"arguments": arguments}})
        if "redactedContent" in as_object(delta.get("reasoningContent")):
            self._answer.hide_reasoning()
        self._add(
            arrived_ns,
            text=read_text(delta, "text"),
            reasoning=read_text(as_object(delta.get("reasoningContent")), "text"),
            has_tool_call=bool(arguments),
        )

    def _add(
        self, arrived_ns: int, *, text: str = "", reasoning: str = "", has_tool_call: bool = False
    ) -> None:
        self._has_content |= bool(text or reasoning or has_tool_call)
        self._answer.add_content(arrived_ns, text=text, reasoning=reasoning, has_tool_call=has_tool_call)

    def _finish(self) -> None:
        reason = self._stop_reason
        if reason in _MALFORMED:
            raise StreamFailedError("Bedrock could not parse the model's output.")
        if reason == _WINDOW_FULL:
            if not self._has_content:
                raise ContextOverflowError(
                    f"The question fills the whole context of the model {self._model!r}."
                )
            # The context ended the answer, like any other limit.
            reason = "max_tokens"
        if reason in _FILTERED:
            reason = "content_filter"
        if reason:
            self._answer.finish(_FINISH_WORDS.get(reason, reason))


def _index(holder: Mapping[str, object]) -> int:
    return read_count(holder, "contentBlockIndex") or 0


def _prompt_count(usage: Mapping[str, object]) -> int | None:
    """Return all tokens of the prompt: `inputTokens` excludes those read from or written to a cache."""
    input_count = read_count(usage, "inputTokens")
    if input_count is None:
        return None
    cached = (read_count(usage, name) or 0 for name in ("cacheReadInputTokens", "cacheWriteInputTokens"))
    return input_count + sum(cached)
