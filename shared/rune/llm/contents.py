"""Text and reasoning in what servers with OpenAI's API call `content`, whichever shape they give it.

Seen: a string; a list of parts with a `type` (Mistral's reasoning models, hosted GLM); one part as an object; parts
of parts; strings in a list; `refusal` beside an empty content; `reasoning_details` of gateways.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rune.llm.fields import as_list

_TEXT_KEYS = (
    "text",
    "content",
    "parts",
    "value",
    "output_text",
    "refusal",
    "summary",
    "thinking",
    "reasoning",
)
"""Where a part may keep its text, in this order; the first that is there counts."""

_REASONING_KEYS = ("reasoning", "reasoning_content", "thinking", "reasoning_text", "thought")
"""Of a delta; a server that sends several of them sends the same text each time."""

_THOUGHTS = ("think", "thought", "reason")
_HIDDEN = ("encrypted", "redacted")
_PLAIN = {"role", "content"}
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Content:
    """What a delta holds.

    Attributes
    ----------
    is_hidden
        Whether it holds reasoning that is sent encrypted.
    is_unread
        Whether it holds something that is neither text nor nothing.
    """

    text: str = ""
    reasoning: str = ""
    is_hidden: bool = False
    is_unread: bool = False

    def __add__(self, other: "Content") -> "Content":
        return Content(
            self.text + other.text,
            self.reasoning + other.reasoning,
            self.is_hidden or other.is_hidden,
            self.is_unread or other.is_unread,
        )


def read_content(holder: Mapping[str, object]) -> Content:
    """Return the text and the reasoning of a delta or a message."""
    if holder.keys() <= _PLAIN and isinstance(plain := holder.get("content"), str):
        return Content(plain)  # nearly every chunk, while others wait for their stamps
    content = _read(holder.get("content"), as_reasoning=False, depth=0)
    if not content.text and (refusal := holder.get("refusal")):
        content += _read(refusal, as_reasoning=False, depth=0)
    for key in _REASONING_KEYS:
        if told := holder.get(key):
            return content + _read(told, as_reasoning=True, depth=0)
    return content + _read(as_list(holder.get("reasoning_details")), as_reasoning=True, depth=0)


def _read(value: object, *, as_reasoning: bool, depth: int) -> Content:
    match value:
        case None:
            return Content()
        case str():
            return Content(reasoning=value) if as_reasoning else Content(text=value)
        case list() if depth < _MAX_DEPTH:
            parts = (_read(each, as_reasoning=as_reasoning, depth=depth + 1) for each in value)
            return sum(parts, Content())
        case dict() if depth < _MAX_DEPTH:
            return _read_part(value, as_reasoning=as_reasoning, depth=depth)
    return Content(is_unread=True)


def _read_part(part: Mapping[str, object], *, as_reasoning: bool, depth: int) -> Content:
    kind = str(part.get("type", "")).lower()
    if any(word in kind for word in _HIDDEN):
        return Content(is_hidden=True)
    key = next((key for key in _TEXT_KEYS if isinstance(part.get(key), (str, list, dict))), None)
    if key is None:
        return Content(is_unread=bool(part))
    is_thought = (
        key in _REASONING_KEYS or any(word in kind for word in _THOUGHTS) or part.get("thought") is True
    )
    return _read(part[key], as_reasoning=as_reasoning or is_thought, depth=depth + 1)
