import json
from typing import Any

import httpx
import pytest

from local.simulators.faults import StreamFaultKind
from local.simulators.ollama import OllamaFault, SimulatedOllama
from tests.functional.simulators.ollama_harness import (
    QUESTION,
)

pytestmark = pytest.mark.usefixtures("simulated_ollama")


def complete(http: httpx.Client, **changes: object) -> httpx.Response:
    return http.post("/v1/chat/completions", json={"model": "llama3.1:8b", "messages": QUESTION, **changes})


def events_of(response: httpx.Response) -> list[Any]:
    events = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event]
    return [event if event == "[DONE]" else json.loads(event) for event in events]


def test_openai_models_are_listed_and_found(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    found = http.get("/v1/models/library/llama3.2").json()
    assert {model["id"] for model in listed["data"]} >= {"llama3.1:8b", "qwen3:8b"}
    assert (found["id"], found["owned_by"]) == ("library/llama3.2", "library")


def test_openai_completion_is_one_object_by_default(http: httpx.Client) -> None:
    completion = complete(http, max_tokens=5).json()
    assert completion["choices"][0]["finish_reason"] == "length"
    assert (
        completion["choices"][0]["message"]["content"]
        == "Simulated answer: A"[: len("Simulated answer:")]
        + (completion["choices"][0]["message"]["content"][len("Simulated answer:") :])
    )
    assert completion["usage"]["completion_tokens"] == 5


def test_openai_stream_ends_with_usage_and_done(http: httpx.Client) -> None:
    response = complete(http, stream=True, stream_options={"include_usage": True})
    *chunks, final, usage, done = events_of(response)
    assert response.headers["content-type"] == "text/event-stream"
    assert len(chunks) == 20
    assert chunks[0]["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": "Simula"}, "finish_reason": None}
    ]
    assert final["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 20, "[DONE]")


def test_openai_stream_has_no_usage_unless_asked(http: httpx.Client) -> None:
    assert not any("usage" in event for event in events_of(complete(http, stream=True)))


def test_openai_thinking_arrives_as_reasoning(http: httpx.Client) -> None:
    first, *_ = events_of(complete(http, model="qwen3:8b", stream=True))
    assert first["choices"][0]["delta"]["reasoning"]


def test_openai_tool_call_is_a_string_of_arguments(http: httpx.Client) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    called, final, _ = events_of(complete(http, stream=True, tools=tools))
    assert called["choices"][0]["delta"]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert final["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("arguments", "status"), [('{"name": "pod"}', 200), ("{", 400), ("[1]", 400), (None, 400)]
)
def test_openai_replayed_call_is_read_as_text(http: httpx.Client, arguments: str | None, status: int) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": arguments}}
    turns = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    ]
    assert complete(http, messages=turns).status_code == status


def test_openai_answer_depends_on_the_seed(http: httpx.Client) -> None:
    first, again, other = (
        complete(http, seed=seed).json()["choices"][0]["message"]["content"] for seed in (7, 7, 8)
    )
    assert first == again != other


def test_openai_errors_have_their_own_form(http: httpx.Client) -> None:
    response = complete(http, model="unknown")
    assert (response.status_code, response.json()) == (
        404,
        {
            "error": {
                "message": "model 'unknown' not found",
                "type": "not_found_error",
                "param": None,
                "code": None,
            }
        },
    )


def test_openai_stream_hides_an_error_in_an_empty_chunk(
    simulated_ollama: SimulatedOllama, http: httpx.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=StreamFaultKind.STREAM_ERROR, after_chunks=2))
    *chunks, last = events_of(complete(http, stream=True))
    assert len(chunks) == 2
    assert last["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    ]
