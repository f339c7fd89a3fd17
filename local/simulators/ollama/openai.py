"""Ollama's OpenAI routes: `/v1/models` and `/v1/chat/completions`, translated from and to `/api/chat`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, override

from pydantic import Field

from local.simulators.errors import ServiceError
from local.simulators.ollama.bodies import Body, ChatBody
from local.simulators.ollama.inference import chat_stream
from local.simulators.ollama.models import Json, JsonValue
from local.simulators.ollama.route import NativeRoute, OllamaCall, dump, whole
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.ollama.store import StoredModel
from local.simulators.route import Stream, Whole

SSE_TYPE = "text/event-stream"

_ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


class StreamOptionsBody(Body):
    """`stream_options`."""

    include_usage: bool = False


class CompletionBody(Body):
    """`/v1/chat/completions`; `max_completion_tokens`, `n` and `tool_choice` are ignored, as by Ollama."""

    go_name: ClassVar[str] = "ChatCompletionRequest"

    model: str = ""
    messages: list[dict[str, Any]] = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptionsBody = Field(default_factory=StreamOptionsBody)
    max_tokens: int | None = None
    seed: int | None = None
    temperature: float | None = None
    stop: str | list[str] = Field(default_factory=list)
    reasoning_effort: str | None = None
    response_format: dict[str, Any] = Field(default_factory=dict)
    tools: list[dict[str, Any]] = Field(default_factory=list)


class OpenAiRoute(NativeRoute):
    """A route below `/v1`."""

    @override
    def write_error(self, error: ServiceError) -> Whole:
        kind = _ERROR_TYPES.get(error.status, "api_error")
        described = {"message": error.text, "type": kind, "param": None, "code": None}
        return whole({"error": described}, error.status)

    @override
    def write_error_chunk(self, error: ServiceError) -> bytes:
        # Ollama turns an error inside a stream into an empty chunk; its text is lost.
        return _write_event(_write_chunk("chatcmpl-0", 0, {"message": {"content": ""}}))


async def list_models(state: SimulatedOllama, _call: OllamaCall) -> Whole:
    """Answer `/v1/models`."""
    return whole({"object": "list", "data": [_describe(model) for model in state.store.listed()]})


async def retrieve_model(state: SimulatedOllama, call: OllamaCall) -> Whole:
    """Answer `/v1/models/{id}`, with the name as it was asked.

    Raises
    ------
    ServiceError
        404, or 400 for an invalid name.
    """
    name = call.request.path_params["model"]
    return whole(_describe(state.store.find(name)) | {"id": name})


def _describe(model: StoredModel) -> dict[str, JsonValue]:
    return {
        "id": model.name.shortest,
        "object": "model",
        "created": int(model.modified_at.timestamp()),
        "owned_by": model.name.namespace,
    }


async def complete_chat(state: SimulatedOllama, call: OllamaCall) -> Stream[Json]:
    """Answer `/v1/chat/completions`, one object by default.

    Raises
    ------
    ServiceError
        As for `/api/chat`, and 400 for no messages.
    """
    body = CompletionBody.read(call.raw)
    if not body.messages:
        raise ServiceError(400, "[] is too short - 'messages'")
    reply = chat_stream(state, call, _to_native(body))
    now = state.timeline.now()
    completion_id = f"chatcmpl-{len(state.requests.records) % 1000}"
    if fold := reply.fold:
        return replace(reply, fold=lambda lines: _write_completion(fold(lines), completion_id, now))
    encode = _encoding(completion_id, now, include_usage=body.stream_options.include_usage)
    return replace(reply, encode=encode, content_type=SSE_TYPE)


def _to_native(body: CompletionBody) -> ChatBody:
    options: dict[str, Any] = {"stop": [body.stop] if isinstance(body.stop, str) else body.stop}
    given = {"num_predict": body.max_tokens, "seed": body.seed, "temperature": body.temperature}
    options |= {name: value for name, value in given.items() if value is not None}
    native: dict[str, Any] = {
        "model": body.model,
        "messages": [_to_native_message(message) for message in body.messages],
        "stream": body.stream,
        "options": options,
        "tools": body.tools,
    }
    if body.reasoning_effort is not None:
        native["think"] = False if body.reasoning_effort == "none" else body.reasoning_effort
    wanted = body.response_format.get("type")
    if wanted == "json_object":
        native["format"] = "json"
    elif wanted == "json_schema":
        native["format"] = body.response_format.get("json_schema", {}).get("schema", {})
    return ChatBody.check(native)


def _to_native_message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    calls = message.get("tool_calls")
    native_calls = [_to_native_call(call) for call in calls] if isinstance(calls, list) else None
    return {"role": message.get("role", ""), "content": content, "tool_calls": native_calls}


def _to_native_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function", {})
    try:
        arguments = json.loads(function.get("arguments", "{}"))
    except (TypeError, ValueError) as error:
        raise ServiceError(400, "invalid tool call arguments") from error
    return {"id": call.get("id", ""), "function": {"name": function.get("name", ""), "arguments": arguments}}


def _write_completion(native: Whole, completion_id: str, now: datetime) -> Whole:
    line: Json = json.loads(native.body)
    choice: dict[str, JsonValue] = {
        "index": 0,
        "message": _write_message(line),
        "finish_reason": _finish_reason(line),
    }
    return whole(
        {
            "id": completion_id,
            "object": "chat.completion",
            "created": int(now.timestamp()),
            "model": line.get("model", ""),
            "system_fingerprint": "fp_ollama",
            "choices": [choice],
            "usage": _write_usage(line),
        }
    )


def _encoding(completion_id: str, now: datetime, *, include_usage: bool) -> Callable[[Json], bytes]:
    has_called = False

    def encode(line: Json) -> bytes:
        nonlocal has_called
        has_called = has_called or "tool_calls" in _message_of(line)
        chunk = _write_chunk(completion_id, int(now.timestamp()), line, has_called=has_called)
        data = _write_event(chunk)
        if line.get("done") is not True:
            return data
        if include_usage:
            data += _write_event(dict(chunk) | {"choices": [], "usage": _write_usage(line)})
        return data + b"data: [DONE]\n\n"

    return encode


def _write_event(content: Json) -> bytes:
    return b"data: " + dump(content) + b"\n\n"


def _write_chunk(completion_id: str, created: int, line: Json, *, has_called: bool = False) -> Json:
    choice: dict[str, JsonValue] = {
        "index": 0,
        "delta": _write_message(line),
        "finish_reason": _finish_reason(line, has_called=has_called),
    }
    return {
        "id": completion_id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": line.get("model", ""),
        "system_fingerprint": "fp_ollama",
        "choices": [choice],
    }


def _message_of(line: Json) -> dict[str, JsonValue]:
    message = line.get("message")
    return message if isinstance(message, dict) else {}


def _write_message(line: Json) -> dict[str, JsonValue]:
    message = _message_of(line)
    written: dict[str, JsonValue] = {"role": "assistant", "content": message.get("content", "")}
    if message.get("thinking"):
        written["reasoning"] = message["thinking"]
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        written["tool_calls"] = [_write_tool_call(call) for call in calls if isinstance(call, dict)]
    return written


def _write_tool_call(call: dict[str, JsonValue]) -> dict[str, JsonValue]:
    function = call["function"]
    named = function if isinstance(function, dict) else {}
    return {
        "id": call["id"],
        "index": named.get("index", 0),
        "type": "function",
        "function": {"name": named.get("name", ""), "arguments": json.dumps(named.get("arguments"))},
    }


def _finish_reason(line: Json, *, has_called: bool = False) -> JsonValue:
    if line.get("done") is not True:
        return None
    return "tool_calls" if has_called or "tool_calls" in _message_of(line) else line.get("done_reason")


def _write_usage(line: Json) -> dict[str, JsonValue]:
    counts = [line.get(name, 0) for name in ("prompt_eval_count", "eval_count")]
    prompt_count, output_count = (count if isinstance(count, int) else 0 for count in counts)
    return {
        "prompt_tokens": prompt_count,
        "completion_tokens": output_count,
        "total_tokens": prompt_count + output_count,
    }
