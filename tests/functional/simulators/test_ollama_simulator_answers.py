import json
from dataclasses import replace

import httpx
import ollama
import pytest

from local.simulators.ollama.answers import Turn, compose_answer, prompt_tokens, tokenize
from tests.functional.simulators.ollama_harness import (
    FAST,
    QUESTION,
    Simulate,
    ask,
    lines_of,
)

pytestmark = pytest.mark.usefixtures("simulated_ollama")


def test_tokens_join_to_their_text_again() -> None:
    text = "  Is it\n unhealthy? \n"
    assert tokenize("Is it unhealthy?") == ["Is", " it", " unheal", "thy?"]
    assert "".join(tokenize(text)) == text


@pytest.mark.parametrize("count", [1, 3, 20, 200])
def test_composed_answer_has_exactly_the_tokens_asked_for(count: int) -> None:
    tokens = compose_answer("m", "What is unhealthy?", token_count=count)
    assert tokenize("".join(tokens)) == tokens
    assert len(tokens) == count


def test_chat_gives_the_same_simulated_answer_each_time(ollama_client: ollama.Client) -> None:
    first, second = (ollama_client.chat("llama3.1:8b", QUESTION) for _ in range(2))
    assert first.message.content == second.message.content
    assert (first.message.content or "").startswith("Simulated answer: ")
    assert (first.message.role, first.done, first.done_reason) == ("assistant", True, "stop")


def test_chat_streams_the_text_that_it_gives_whole(ollama_client: ollama.Client) -> None:
    parts = list(ollama_client.chat("llama3.1:8b", QUESTION, stream=True))
    whole = ollama_client.chat("llama3.1:8b", QUESTION)
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * 20 + [True]


def test_durations_match_the_set_speeds(ollama_client: ollama.Client) -> None:
    ollama_client.generate("llama3.1:8b")
    answer = ollama_client.chat("llama3.1:8b", QUESTION)
    prompt_count = len(prompt_tokens([Turn("user", "What is unhealthy?")]))
    assert (answer.prompt_eval_count, answer.eval_count) == (prompt_count, 20)
    assert 20 / (answer.eval_duration or 1) * 1e9 == pytest.approx(5_000)
    assert prompt_count / (answer.prompt_eval_duration or 1) * 1e9 == pytest.approx(50_000)
    parts = (answer.load_duration, answer.prompt_eval_duration, answer.eval_duration)
    assert (answer.total_duration or 0) >= sum(part or 0 for part in parts)


def test_load_duration_covers_the_load_when_the_model_is_cold(ollama_client: ollama.Client) -> None:
    cold, warm = (ollama_client.chat("llama3.1:8b", QUESTION).load_duration or 0 for _ in range(2))
    assert cold >= 0.02 * 1e9
    assert 0 < warm < cold


def test_cached_prompt_costs_one_token_but_counts_whole(ollama_client: ollama.Client) -> None:
    first, again = (ollama_client.chat("llama3.1:8b", QUESTION) for _ in range(2))
    assert again.prompt_eval_count == first.prompt_eval_count
    assert again.prompt_eval_duration == round(1e9 / 50_000)


def test_stream_is_ndjson_with_zero_fields_left_out(http: httpx.Client) -> None:
    response = ask(http)
    *chunks, last = lines_of(response)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("}\n")
    assert all(set(chunk) == {"model", "created_at", "message", "done"} for chunk in chunks)
    assert chunks[0]["message"] == {"role": "assistant", "content": "Simula"}
    assert last["message"] == {"role": "assistant", "content": ""}
    assert isinstance(last["total_duration"], int)


def test_answer_is_one_json_object_when_it_is_not_streamed(http: httpx.Client) -> None:
    response = ask(http, stream=False)
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json()["eval_count"] == 20


def test_chunks_are_fewer_than_tokens_when_they_are_batched(
    simulate_ollama: Simulate, http: httpx.Client
) -> None:
    simulate_ollama(replace(FAST, tokens_per_chunk=8))
    *chunks, last = lines_of(ask(http))
    assert (len(chunks), last["eval_count"]) == (3, 20)


def test_num_predict_cuts_the_answer_as_length(ollama_client: ollama.Client) -> None:
    answer = ollama_client.chat("llama3.1:8b", QUESTION, options={"num_predict": 4})
    assert (answer.done_reason, answer.eval_count) == ("length", 4)


def test_stop_text_ends_the_answer_before_itself(ollama_client: ollama.Client) -> None:
    answer = ollama_client.chat("llama3.1:8b", QUESTION, options={"stop": [" answer"]})
    assert (answer.message.content, answer.done_reason) == ("Simulated", "stop")


@pytest.mark.parametrize(("think", "thinks"), [(None, True), (True, True), ("low", True), (False, False)])
def test_thinking_model_thinks_unless_told_not_to(
    ollama_client: ollama.Client, think: bool | str | None, thinks: bool
) -> None:
    answer = ollama_client.chat("qwen3:8b", QUESTION, think=think)
    assert bool(answer.message.thinking) is thinks
    assert answer.eval_count == 20 + (6 if thinks else 0)


def test_thinking_arrives_before_the_content(http: httpx.Client) -> None:
    *chunks, _ = lines_of(ask(http, model="qwen3:8b"))
    thought = ["thinking" in chunk["message"] for chunk in chunks]
    assert thought == [True] * 6 + [False] * 20


def test_tools_are_called_once_and_then_answered_in_words(ollama_client: ollama.Client) -> None:
    parameters = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look", "parameters": parameters}}]
    called = ollama_client.chat("llama3.1:8b", QUESTION, tools=tools)
    told = ollama_client.chat("llama3.1:8b", [*QUESTION, {"role": "tool", "content": "ok"}], tools=tools)
    assert called.message.tool_calls is not None
    assert called.message.tool_calls[0].function.model_dump() == {
        "name": "look",
        "arguments": {"name": "simulated"},
    }
    assert (called.done_reason, told.message.tool_calls) == ("stop", None)


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("on_last_line", [False, True])
def test_streamed_tool_call_comes_whole_on_its_line(
    simulate_ollama: Simulate, ollama_client: ollama.Client, on_last_line: bool
) -> None:
    simulate_ollama(replace(FAST, calls_on_last_line=on_last_line))
    parts = list(ollama_client.chat("llama3.1:8b", QUESTION, stream=True, tools=TOOLS))
    assert [(bool(part.message.tool_calls), part.done) for part in parts] == (
        [(True, True)] if on_last_line else [(True, False), (False, True)]
    )


def test_tool_loop_replays_the_call_and_its_result(ollama_client: ollama.Client) -> None:
    called = ollama_client.chat("llama3.1:8b", QUESTION, tools=TOOLS).message
    result = {"role": "tool", "tool_name": "look", "content": "ok"}
    told = ollama_client.chat("llama3.1:8b", [*QUESTION, called, result], tools=TOOLS)
    assert (told.message.content or "").startswith("Simulated answer: ")


def test_replayed_call_is_refused_when_its_arguments_are_text(http: httpx.Client) -> None:
    call = {"function": {"name": "look", "arguments": "{}"}}
    response = ask(http, messages=[*QUESTION, {"role": "assistant", "tool_calls": [call]}])
    assert response.status_code == 400
    assert "cannot unmarshal string" in response.json()["error"]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"seed": 7}, {"seed": 7}, True),
        ({"seed": 7}, {"seed": 8}, False),
        ({"seed": 7, "temperature": 0}, {"seed": 8, "temperature": 0}, True),
        ({"seed": -1}, {}, True),
        ({"seed": None}, {}, True),
    ],
)
def test_answer_depends_on_the_seed_alone(
    http: httpx.Client, one: dict[str, object], other: dict[str, object], is_same: bool
) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    texts = [
        ask(http, messages=messages, stream=False, options=options).json()["message"]["content"]
        for options in (one, other)
    ]
    assert (texts[0] == texts[1]) is is_same


def test_format_makes_the_answer_fit_the_schema(ollama_client: ollama.Client) -> None:
    schema = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    assert json.loads(ollama_client.chat("llama3.1:8b", QUESTION, format=schema).message.content or "") == {
        "ok": True
    }


@pytest.mark.parametrize(
    ("vram_gib", "context_tokens"), [(16, 4_096), (23, 32_768), (46, 32_768), (47, 262_144)]
)
def test_default_context_follows_the_memory(vram_gib: int, context_tokens: int) -> None:
    assert replace(FAST, vram_bytes=vram_gib * 1024**3).default_context_tokens == context_tokens


def test_context_never_exceeds_what_the_model_was_trained_for(ollama_client: ollama.Client) -> None:
    ollama_client.generate("llama3.2", options={"num_ctx": 1_000_000})
    assert ollama_client.ps().models[0].context_length == 131_072


def test_old_messages_are_dropped_silently_when_the_context_is_full(ollama_client: ollama.Client) -> None:
    system, old, last = (
        {"role": role, "content": content}
        for role, content in (("system", "Be brief."), ("user", "old " * 40), ("user", "new"))
    )
    answer = ollama_client.chat("llama3.2", [system, old, last], options={"num_ctx": 30})
    assert answer.prompt_eval_count == len(prompt_tokens([Turn("system", "Be brief."), Turn("user", "new")]))


def test_one_long_message_is_cut_to_the_context(ollama_client: ollama.Client) -> None:
    long = [{"role": "user", "content": "word " * 100}]
    answer = ollama_client.chat("llama3.2", long, options={"num_ctx": 30})
    assert answer.prompt_eval_count == 30


@pytest.mark.parametrize("refusal", [{"truncate": False}, {"shift": False}])
def test_long_prompt_is_refused_when_it_may_not_be_cut(http: httpx.Client, refusal: dict[str, bool]) -> None:
    messages = [{"role": "user", "content": "word " * 100}]
    response = ask(http, messages=messages, options={"num_ctx": 30}, **refusal)
    assert response.status_code == 400
    assert "longer than the context length" in response.json()["error"]


def test_answer_ends_at_a_full_context_when_it_may_not_shift(http: httpx.Client) -> None:
    answer = ask(http, options={"num_ctx": 16}, shift=False, stream=False).json()
    assert (answer["done_reason"], answer["prompt_eval_count"] + answer["eval_count"]) == ("length", 16)
