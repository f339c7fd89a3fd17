"""The conversation as the model gets it, and how it is kept short without losing evidence."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from rune.agents.investigation import prompt, reporting
from rune.agents.investigation.limits import Limits
from rune.agents.investigation.state import Entry, KeptResult, State
from rune.bench.token_bounds import most_prompt_tokens
from rune.llm.protocol import Message, Role, ToolSpec

_BYTES_PER_TOKEN = 3
"""Of tables and JSON: between prose and numbers (`rune.bench.token_bounds`)."""

SMALLEST_TRANSCRIPT_BYTES = 8 * 1024


def messages_of(state: State, limits: Limits) -> tuple[Message, ...]:
    """Return the whole conversation; results beyond the room for them are a line each, the oldest first."""
    shown = shown_entries(state, limits)
    results = state.by_id
    turns = [
        Message(Role.SYSTEM, prompt.system_prompt(state.nonce, reporting.NAME)),
        Message(Role.USER, state.question),
    ]
    for index, entry in enumerate(state.entries):
        if entry.role == "assistant":
            turns.append(Message(Role.ASSISTANT, entry.text, tuple(call.as_call() for call in entry.calls)))
        elif entry.role == "user":
            turns.append(Message(Role.USER, entry.text))
        else:
            text = _tool_text(entry, results.get(entry.result_id), state.nonce, is_whole=index in shown)
            turns.append(Message(Role.TOOL, text, tool_call_id=entry.call_id, tool_name=entry.tool))
    return tuple(turns)


def whole_transcript(state: State, mask: Callable[[str], str]) -> str:
    """Return the conversation with all results, one JSON document a line; for people, not for a model.

    Parameters
    ----------
    mask
        Returns a text without secrets. What tools returned has none; what people and models wrote may.
    """
    everything = replace(Limits(), transcript_bytes=sys.maxsize)
    free = state.model_copy(update={"context_tokens": None, "transcript_bytes": None})
    lines = []
    for message in messages_of(free, everything):
        told: dict[str, object] = {"role": message.role.value, "content": mask(message.content)}
        if message.tool_calls:
            told["tool_calls"] = [
                {"id": call.id, "name": call.name, "arguments": mask(call.arguments_text)}
                for call in message.tool_calls
            ]
        if message.role is Role.TOOL:
            told |= {"tool_call_id": message.tool_call_id, "tool_name": message.tool_name}
        lines.append(json.dumps(told, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def shown_entries(state: State, limits: Limits) -> frozenset[int]:
    """Return which messages show their result whole: the newest that fit, and the newest of all in any case."""
    results = state.by_id
    left = room_bytes(state, limits)
    shown: set[int] = set()
    for index in reversed(range(len(state.entries))):
        entry = state.entries[index]
        if not (entry.shows and entry.result_id in results):
            continue
        left -= len(results[entry.result_id].text.encode())
        if left < 0 and shown:
            break
        shown.add(index)
    return frozenset(shown)


def room_bytes(state: State, limits: Limits) -> int:
    """Return how many bytes of results the transcript may hold: half of the context at most."""
    rooms = [limits.transcript_bytes]
    if state.context_tokens is not None:
        rooms.append(state.context_tokens * _BYTES_PER_TOKEN // 2)
    if state.transcript_bytes is not None:
        rooms.append(state.transcript_bytes)
    return min(rooms)


def scope_of(result: KeptResult) -> str:
    """Return what a result is about, from its header; without one, what was asked."""
    try:
        header = json.loads(result.text.partition("\n")[0])
    except ValueError:
        header = None
    scope = header.get("scope") if isinstance(header, dict) else None
    return f"{result.tool} {json.dumps(scope or result.arguments, ensure_ascii=False)[:200]}"


def size_bytes(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
    """Return how long a prompt is, definitions included: a token a byte is the most that it can be."""
    return most_prompt_tokens(messages, tools)


def shares(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[float, float]:
    """Return which shares of a prompt are instructions with definitions, and calls with results; by characters."""
    definitions = sum(len(json.dumps([tool.name, tool.description, dict(tool.parameters)])) for tool in tools)
    system = sum(len(each.content) for each in messages if each.role is Role.SYSTEM) + definitions
    called = sum(len(call.arguments_text) for each in messages for call in each.tool_calls)
    tool = sum(len(each.content) for each in messages if each.role is Role.TOOL) + called
    whole = definitions + called + sum(len(each.content) for each in messages)
    return system / whole, tool / whole


def _tool_text(entry: Entry, result: KeptResult | None, nonce: str, *, is_whole: bool) -> str:
    if result is None or not entry.shows:
        return entry.text
    if not is_whole:
        return prompt.left_out_line(result.id, prompt.fenced(scope_of(result), nonce), result.digest)
    text = prompt.fenced(result.text, nonce)
    return f"{text}\n{entry.text}" if entry.text else text
