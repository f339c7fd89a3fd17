"""Where the visible answer begins in a text that a model thinks aloud in.

Servers without a parser for reasoning send it as text, between tags that the model was trained with: `<think>`
(DeepSeek-R1, Qwen 3, QwQ), `[THINK]` (Magistral), `<thinking>` and others. Some chat templates open the tag
themselves, so that only its end is in the answer.
"""

import re

_TAGS = ("think", "thinking", "thought", "reasoning")
_PAIRS = {
    **{f"<{tag}>": f"</{tag}>" for tag in _TAGS},
    "[think]": "[/think]",
}
_END = "</think>"
_SPACE = re.compile(r"\s*")


def visible_from(text: str) -> int:
    """Return the index at which the visible answer begins; the text's length where the thought has no end.

    Only what a text begins with is a thought: an answer may speak of such tags later.
    """
    # Not casefold(), which may change the length.
    lowered = text.lower() if len(text.lower()) == len(text) else text
    begin = 0
    while (opening := _opening_at(lowered, begin)) is not None:
        end = lowered.find(_PAIRS[opening], begin)
        if end < 0:
            return len(text)
        begin = _after_space(lowered, end + len(_PAIRS[opening]))
    if begin == 0:
        end = lowered.find(_END)
        if end >= 0 and "<think>" not in lowered[:end]:
            begin = _after_space(lowered, end + len(_END))
    return begin


def _opening_at(text: str, begin: int) -> str | None:
    begin = _after_space(text, begin)
    return next((opening for opening in _PAIRS if text.startswith(opening, begin)), None)


def _after_space(text: str, begin: int) -> int:
    found = _SPACE.match(text, begin)
    return begin if found is None else found.end()
