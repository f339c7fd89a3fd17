"""The two protocols of an answer: OpenAI's server-sent events, and Ollama's lines of JSON."""

import json
from typing import Protocol, override

from local.simulators.scripted.script import Exchange, Script


class Wire(Protocol):
    """One protocol."""

    media_type: str

    def role(self) -> bytes | None:
        """Return the event that only names the role; None for a protocol without one."""
        ...

    def chunk(self, text: str, *, is_reasoning: bool) -> bytes:
        """Return an event with content, or with an empty text."""
        ...

    def failure(self) -> bytes:
        """Return an error inside the stream, and what follows it."""
        ...

    def end(self, script: Script, exchange: Exchange) -> bytes:
        """Return the finish reason, the usage and the end marker."""
        ...

    def refusal(self, status: int) -> bytes:
        """Return the body of an error status."""
        ...


class OpenAiWire(Wire):
    """As vLLM writes it."""

    media_type = "text/event-stream"

    @override
    def role(self) -> bytes | None:
        return self._chunk({"role": "assistant", "content": ""})

    @override
    def chunk(self, text: str, *, is_reasoning: bool) -> bytes:
        return self._chunk({"reasoning" if is_reasoning else "content": text})

    @override
    def failure(self) -> bytes:
        error = {"message": "engine died", "type": "InternalServerError", "param": None, "code": 500}
        return _event({"error": error}) + b"data: [DONE]\n\n"

    @override
    def end(self, script: Script, exchange: Exchange) -> bytes:
        events = self._chunk({}, finish_reason="stop")
        if script.has_usage:
            usage: dict[str, object] = {
                "prompt_tokens": exchange.prompt_tokens,
                "completion_tokens": exchange.output_tokens + script.hidden_tokens,
                "total_tokens": exchange.prompt_tokens + exchange.output_tokens + script.hidden_tokens,
            }
            if exchange.cached_tokens is not None:
                usage["prompt_tokens_details"] = {"cached_tokens": exchange.cached_tokens}
            events += _event(_openai_chunk(choices=[], usage=usage))
        return events + b"data: [DONE]\n\n"

    @override
    def refusal(self, status: int) -> bytes:
        return json.dumps({"error": {"message": "scripted", "type": "scripted", "code": status}}).encode()

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event(_openai_chunk(choices=[choice]))


class OllamaWire(Wire):
    """As Ollama's native API writes it."""

    media_type = "application/x-ndjson"

    @override
    def role(self) -> None:
        return

    @override
    def chunk(self, text: str, *, is_reasoning: bool) -> bytes:
        message = {"role": "assistant", "content": "" if is_reasoning else text}
        if is_reasoning:
            message["thinking"] = text
        return _line(message=message, done=False)

    @override
    def failure(self) -> bytes:
        return b'{"error":"an error was encountered while running the model"}\n'

    @override
    def end(self, script: Script, exchange: Exchange) -> bytes:
        # Go leaves zeros out, so a server without counts has no members for them.
        counts = {
            "prompt_eval_count": exchange.prompt_tokens,
            "eval_count": exchange.output_tokens + script.hidden_tokens,
        }
        empty = {"role": "assistant", "content": ""}
        return _line(message=empty, done=True, done_reason="stop", **(counts if script.has_usage else {}))

    @override
    def refusal(self, status: int) -> bytes:
        return json.dumps({"error": f"scripted {status}"}).encode()


def _openai_chunk(**members: object) -> dict[str, object]:
    return {
        "id": "chatcmpl-8d3f5e0a7c1b4d6f",
        "object": "chat.completion.chunk",
        "created": 1_795_000_000,
        "model": "scripted",
        **members,
    }


def _event(members: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(members, separators=(",", ":")).encode() + b"\n\n"


def _line(**members: object) -> bytes:
    told = {"model": "scripted", "created_at": "2026-11-27T12:00:00.000000001Z", **members}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"
