"""Tools in a chat, in the forms of Ollama and of OpenAI's API.

Ollama sends each call whole, with its arguments as an object; older releases give no id. OpenAI's API streams calls
in fragments, with their arguments as text. Above this module both are a `ToolCall`. Sources:
https://github.com/ollama/ollama/blob/main/docs/api.md, https://platform.openai.com/docs/api-reference/chat/streaming.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

from rune.llm.fields import as_object, mend_text, parse_json, read_count, read_text
from rune.llm.protocol import ToolCall, ToolSpec

type MakeId = Callable[[], str]
"""Makes an id for a call whose server gives none."""


def make_call_id() -> str:
    """Return a new id of nine letters and digits, the only form that Mistral's templates take."""
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
    """Return a call to be sent to Ollama again; unreadable arguments become an empty object."""
    arguments = dict(call.arguments or {})
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def write_openai_call(call: ToolCall) -> dict[str, object]:
    """Return a call to be sent to OpenAI's API again.

    Arguments that a limit cut off become `{}`: vLLM and llama-server parse them for the template and would refuse
    the whole chat. The call's result can say what was wrong with them.
    """
    arguments = call.arguments_text if call.arguments else "{}"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def read_whole_call(value: object, make_id: MakeId = make_call_id) -> ToolCall:
    """Return a call that came whole, as Ollama sends it; older releases give no id."""
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

        Its index tells which call it belongs to. A fragment without an index belongs to the call before, unless it
        has another id. Servers that give every call index 0 begin the next call with an id and a name when the one
        before is whole. An id alone does not begin a call: older vLLM makes one per fragment.
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
        """Return the calls in the order in which they began, each with a unique id."""
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
    """Return arguments as text; some servers send an object."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def _parse(text: str) -> Mapping[str, object] | None:
    """Return the arguments as an object, or None if they are not one. An empty text is a call without arguments."""
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
