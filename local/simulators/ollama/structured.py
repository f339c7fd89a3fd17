"""Structured answers: JSON for `format`, and tool calls."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from local.simulators.ollama.answers import PREFACE
from local.simulators.ollama.models import JsonValue

_PLACEHOLDERS: Mapping[str, JsonValue] = {"integer": 1, "number": 1.0, "boolean": True, "null": None}


def fill_schema(schema: Mapping[str, Any]) -> JsonValue:
    """Return a value that fits a JSON schema: first choices, required properties only."""
    if "const" in schema or "enum" in schema:
        chosen: JsonValue = schema.get("const", next(iter(schema.get("enum", ())), None))
        return chosen
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {name: fill_schema(properties.get(name, {})) for name in schema.get("required", ())}
    if kind == "array":
        return [fill_schema(schema.get("items", {}))]
    if isinstance(kind, str) and kind in _PLACEHOLDERS:
        return _PLACEHOLDERS[kind]
    return "simulated"


def compose_json(form: str | Mapping[str, Any]) -> str:
    """Return the text of an answer with a `format`: `json`, or a JSON schema."""
    if isinstance(form, str):
        return json.dumps({"answer": f"{PREFACE} this is valid JSON."})
    return json.dumps(fill_schema(form))


def compose_tool_call(tools: Sequence[Mapping[str, Any]], prompt: str) -> dict[str, JsonValue] | None:
    """Return a call of the first tool with its required arguments; None without tools."""
    functions = [tool.get("function", {}) for tool in tools]
    if not functions:
        return None
    function = functions[0]
    arguments = fill_schema({"type": "object"} | (function.get("parameters") or {}))
    call_id = hashlib.sha256(prompt.encode()).hexdigest()[:8]
    return {
        "id": f"call_{call_id}",
        "function": {"index": 0, "name": str(function.get("name", "")), "arguments": arguments},
    }
