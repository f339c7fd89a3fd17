"""Calls that a model writes as text, as small models do (HolmesGPT#1169): one JSON object, fenced or not."""

import json
import re
from collections.abc import Collection, Mapping

from rune.agents.investigation.calls import mend_arguments
from rune.llm.protocol import ToolCall
from rune.llm.tools import make_call_id

_NAMES = ("name", "tool", "tool_name", "function")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_NAMED = re.compile(rf"[\"'](?:{'|'.join(_NAMES)})[\"']\s{{0,20}}:\s{{0,20}}[\"']([\w-]{{1,64}})[\"']")
_REPORT = re.compile(r"[\"']findings[\"']\s{0,20}:")
_MOST_STARTS = 20
"""Braces at which an object is looked for; a text of braces alone would take quadratic time."""


def find_call(text: str, known: Collection[str], report_name: str) -> ToolCall | None:
    """Return the call that a text holds; None where there is none of a known tool.

    A report without the name of its tool is taken for one as well.
    """
    for members in _objects(text):
        name, arguments = _read(members)
        if name in known and arguments is not None:
            return _call(name, arguments)
        if {"status", "findings"} <= members.keys():
            return _call(report_name, members)
    return None


def find_broken_call(text: str, known: Collection[str], report_name: str) -> ToolCall | None:
    """Return the call that a text was to be and whose JSON cannot be read, without arguments; None for other texts.

    It is for a text in which `find_call` finds none.
    """
    begun = text.find("{")
    if begun < 0:
        return None
    named = (match[1] for match in _NAMED.finditer(text, begun) if match[1] in known)
    name = next(named, report_name if _REPORT.search(text, begun) else None)
    return None if name is None else ToolCall(make_call_id(), name, None, "{}")


def _call(name: str, arguments: Mapping[str, object]) -> ToolCall:
    return ToolCall(make_call_id(), name, mend_arguments(arguments), json.dumps(arguments))


def _objects(text: str) -> list[dict[str, object]]:
    decoder = json.JSONDecoder()
    found: list[dict[str, object]] = []
    at = text.find("{")
    for _ in range(_MOST_STARTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        if isinstance(value, dict):
            found.append(value)
        at = text.find("{", end)
    return found


def _read(members: Mapping[str, object]) -> tuple[str, Mapping[str, object] | None]:
    inner = members.get("function")
    if isinstance(inner, dict):
        return _read(inner)
    name = next((value for key in _NAMES if isinstance(value := members.get(key), str)), "")
    for key in _ARGUMENTS:
        value = members.get(key)
        if isinstance(value, str):
            try:
                value = json.loads(value or "{}")
            except ValueError:
                continue
        if isinstance(value, dict):
            return name, value
    # A call without arguments.
    return name, None if any(key in members for key in _ARGUMENTS) else {}
