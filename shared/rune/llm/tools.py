"""Tools in a chat, in the forms of Ollama and of OpenAI's API (llm-backends facts, section 4).

The two differ little and in places that hurt: arguments are an object here and text there, calls come whole or
in fragments, with ids or without. Above this file a call is a `ToolCall`, whoever made it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

from rune.llm.fields import as_object, mend_text, parse_json, read_count, read_text
from rune.llm.protocol import ToolCall, ToolSpec

type MakeId = Callable[[], str]
"""Gives an id for a call whose server gives none."""


def make_call_id() -> str:
    """Return a new id: nine letters and digits, which is all that Mistral's templates take."""
    return uuid4().hex[:9]


def write_tools(tools: Sequence[ToolSpec]) -> list[dict[str, object]]:
    """Return the declaration of tools, the same for Ollama and for OpenAI's API."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in tools
    ]


def write_ollama_call(call: ToolCall, index: int) -> dict[str, object]:
    """Return a call to be replayed to Ollama; arguments that were none become none given."""
    arguments = dict(call.arguments or {})
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def write_openai_call(call: ToolCall) -> dict[str, object]:
    """Return a call to be replayed to OpenAI's API.

    Arguments that a limit cut off become `{}`: vLLM and llama-server parse them for the template and would refuse
    the whole chat. What was wrong with them is for the call's result to say.
    """
    arguments = call.arguments_text if call.arguments else "{}"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def read_whole_call(value: object, make_id: MakeId = make_call_id) -> ToolCall:
    """Return a call that came in one piece, as Ollama sends it; older releases give no id."""
    call = as_object(value)
    function = as_object(call.get("function"))
    return _make_call(
        read_text(call, "id") or make_id(), read_text(function, "name"), _as_text(function.get("arguments"))
    )


class ToolCallsInProgress:
    """Puts the calls of one answer together from the fragments in which OpenAI's API streams them."""

    def __init__(self, make_id: MakeId = make_call_id) -> None:
        self._make_id = make_id
        self._calls: list[_CallInProgress] = []
        self._open: dict[int, _CallInProgress] = {}

    def add(self, value: object) -> None:
        """Take a fragment.

        Its index tells which call it belongs to. Servers that leave the index out mean the call before, unless the
        fragment has an id of its own; servers that give every call index 0 begin the next with an id and a name
        when the one before is whole. An id alone proves nothing: older vLLM invents one per fragment.
        """
        fragment = as_object(value)
        function = as_object(fragment.get("function"))
        call_id, name = read_text(fragment, "id"), read_text(function, "name")
        text = _as_text(function.get("arguments"))
        index = read_count(fragment, "index")
        call = self._find(index, call_id)
        if call is not None and call.is_followed_by(call_id, name, text):
            call = None
        if call is None:
            call = _CallInProgress()
            self._calls.append(call)
            self._open[0 if index is None else index] = call
        call.id = call.id or call_id
        call.name = call.name or name
        call.parts.append(text)

    def complete(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order in which they began; each has an id that no other of them has."""
        taken: set[str] = set()
        calls: list[ToolCall] = []
        for call in self._calls:
            # TGI gives every call the id "0".
            call_id = call.id if call.id and call.id not in taken else self._make_id()
            taken.add(call_id)
            calls.append(_make_call(call_id, call.name, call.text))
        return tuple(calls)

    def _find(self, index: int | None, call_id: str) -> "_CallInProgress | None":
        if index is not None:
            return self._open.get(index)
        last = self._calls[-1] if self._calls else None
        is_new = last is not None and bool(call_id) and bool(last.id) and call_id != last.id
        return None if is_new else last


class _CallInProgress:
    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def is_followed_by(self, call_id: str, name: str, text: str) -> bool:
        """Return whether a fragment with the same index begins another call."""
        begins = bool(call_id) and call_id != self.id and bool(name) and bool(text.strip())
        return begins and bool(self.text.strip()) and _parse(self.text) is not None


def _make_call(call_id: str, name: str, text: str) -> ToolCall:
    mended = mend_text(text)
    return ToolCall(mend_text(call_id), mend_text(name), _parse(mended), mended)


def _as_text(arguments: object) -> str:
    """Return arguments as text; some servers send an object where the other form belongs."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def _parse(text: str) -> Mapping[str, object] | None:
    """Return the object that arguments are, or None. No text at all is a call without arguments."""
    if not text.strip():
        return {}
    try:
        value = parse_json(text.encode("utf-8", "replace"))
    except ValueError:
        return None
    # "null" is how some templates write a call without arguments.
    if value is None:
        return {}
    return value if isinstance(value, dict) else None
