"""A model's calls, made fit to be kept and sent again."""

import json
from collections.abc import Mapping

from rune.agents.investigation.state import KeptCall
from rune.llm.fields import mend_text
from rune.llm.protocol import ToolCall

LONGEST_ARGUMENTS_CHARS = 16_000
"""Of one call. A report of ten findings has some 5,000."""

_DEEPEST = 16
"""Arguments are nested in a report, three levels deep."""

_LONGEST_NAME_CHARS = 64


def keep_call(call: ToolCall) -> KeptCall:
    """Return the call as it is kept; arguments that are too long or too deep count as unreadable."""
    is_kept = len(call.arguments_text) <= LONGEST_ARGUMENTS_CHARS and _depth(call.arguments) <= _DEEPEST
    arguments = mend_arguments(call.arguments) if is_kept and call.arguments is not None else None
    text = call.arguments_text if is_kept else "{}"
    # Bedrock refuses the whole chat for a name that is no name.
    name = "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in call.name)
    return KeptCall(
        id=call.id, name=name[:_LONGEST_NAME_CHARS] or "unnamed", arguments=arguments, arguments_text=text
    )


def mend_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments with what no JSON can hold replaced, such as half a surrogate pair."""
    mended: dict[str, object] = json.loads(mend_text(json.dumps(dict(arguments), ensure_ascii=False)))
    return mended


def _depth(value: object, level: int = 0) -> int:
    if level > _DEEPEST:
        return level
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return max((_depth(each, level + 1) for each in inner), default=level)
