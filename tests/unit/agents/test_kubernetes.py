from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from rune.agents.investigation import reporting
from rune.agents.kubernetes import CONTEXT_TOKENS, KIND, KubernetesAgent, least_calls
from rune.agents.protocol import AgentAnswer, AgentRequest, GoOn, Limits, Turn
from rune.bench.token_bounds import most_prompt_tokens
from rune.errors import InvalidRequestError, ModelNotFoundError, ModelUnsupportedError, UnreadableRowError
from rune.kubernetes.tools.specs import SPECS
from rune.llm.protocol import Capabilities, ModelFacts, ServerFacts
from tests.unit.agents.investigation.investigating import FakeModel, FakeTools, calling, finding, logs, report

LIMITS = Limits(max_turns=5, max_tool_calls=10, max_tokens=100_000, seconds=600.0)
READ, FOUND = calling(logs(), text="I look."), calling(report(finding()))


def a_request(served: FakeModel, **changes: object) -> AgentRequest:
    request = AgentRequest(
        question="What is wrong?",
        model="llama3.1:8b",
        timeout_seconds=30.0,
        open_model_server=lambda: served,
        open_toolbox=FakeTools,
        limits=LIMITS,
        seconds_left=600.0,
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # as the tests name them


def take(request: AgentRequest, state_json: str | None = None) -> Turn:
    return asyncio.run(KubernetesAgent().take_turn(request, state_json, lambda _count: None))


def begun(model: FakeModel, **changes: object) -> GoOn:
    turn = take(a_request(model, **changes))
    assert isinstance(turn, GoOn)
    return turn


def test_turn_tells_what_it_took_and_leaves_a_state() -> None:
    model = FakeModel(answers=[READ, FOUND])

    first = begun(model)
    last = take(a_request(model), first.state_json)

    assert isinstance(last, AgentAnswer)
    assert (first.progress, first.labels) == ({"tool_calls": 1}, {"turn": "1", "tools": "get_logs"})
    assert first.phases_ms["model"] == last.phases_ms["model"] == 1100
    assert first.tokens.total == last.tokens.total == 1221
    assert first.tokens.output == 0
    assert last.tokens.output > 0
    assert "**bad_credentials** at `Deployment/shop/cart` (high confidence)" in last.answer
    assert last.artifacts is not None
    whole = json.loads(last.artifacts[0]["content"])
    assert whole["findings"][0]["evidence"][0]["is_found"] is True
    assert last.metadata["agent"] == "kubernetes"
    assert last.transcript is not None
    assert [json.loads(line)["role"] for line in last.transcript.splitlines()] == [
        *("system", "user", "assistant", "tool", "assistant")
    ]


def test_least_money_covers_the_first_turn_and_the_report() -> None:
    model = FakeModel(answers=[READ, FOUND])
    begun(model)
    chat = model.chats[0]

    first, last = least_calls(a_request(model).question)

    sent = most_prompt_tokens(chat.messages, (*SPECS, reporting.SPEC))
    assert (first.prompt_tokens, first.answer_tokens) == (sent, chat.max_output_tokens)
    assert last.prompt_tokens > first.prompt_tokens
    assert last.answer_tokens < first.answer_tokens


def test_models_words_have_no_images_links_or_addresses() -> None:
    told = "Bad ![x](https://evil.example/?q=secret) [here](https://evil.example) https://evil.example/a"
    model = FakeModel(answers=[READ, calling(report(finding(because=told), summary=told))])

    last = take(a_request(model), begun(model).state_json)

    assert isinstance(last, AgentAnswer)
    assert "evil.example" not in last.answer
    assert "here" in last.answer


@pytest.mark.parametrize(
    ("facts", "loaded", "expected"),
    [("ollama", 4_096, CONTEXT_TOKENS), ("vllm", 8_192, 8_192), (None, None, None)],
)
def test_context_is_chosen_for_ollama_alone(
    facts: str | None, loaded: int | None, expected: int | None
) -> None:
    model = FakeModel(
        answers=[READ],
        server_facts=ServerFacts(name=facts),
        model_facts=ModelFacts(context_tokens_loaded=loaded),
    )

    begun(model)

    assert model.chats[0].context_tokens == expected
    assert KIND.context_tokens == CONTEXT_TOKENS >= 16_384


def test_last_turn_is_kept_for_the_report() -> None:
    model = FakeModel(answers=[calling(logs(str(number))) for number in range(9)])
    request = a_request(model, limits=replace(LIMITS, max_turns=2))

    last = take(request, begun(model, limits=request.limits).state_json)

    assert isinstance(last, AgentAnswer)
    assert last.metadata["bound"] == "turns"
    assert len(model.chats) == 2


def test_time_that_is_nearly_over_ends_the_reading() -> None:
    model = FakeModel(answers=[READ, FOUND])

    last = take(a_request(model, seconds_left=100.0), begun(model).state_json)

    assert isinstance(last, AgentAnswer)
    assert last.metadata["bound"] == "seconds"
    assert [tool.name for tool in model.chats[-1].tools] == ["report_findings"]


def test_stop_tells_what_there_is_and_asks_no_model() -> None:
    model = FakeModel(answers=[READ])
    state_json = begun(model).state_json

    stopped = asyncio.run(KubernetesAgent().stop(a_request(model), state_json))

    assert stopped is not None
    assert stopped.answer.startswith("**Undetermined.** I look.")
    assert len(model.chats) == 1


def test_model_that_is_missing_or_deaf_is_refused_early() -> None:
    deaf = FakeModel(answers=[READ], capable=Capabilities(calls_tools=False))

    with pytest.raises(ModelNotFoundError):
        asyncio.run(KubernetesAgent().check(a_request(FakeModel(answers=[]), model="none")))
    with pytest.raises(ModelUnsupportedError):
        asyncio.run(KubernetesAgent().check(a_request(deaf)))
    # Of a job that rents, nothing is checked before the first turn.
    with pytest.raises(ModelUnsupportedError):
        take(a_request(deaf))
    assert deaf.chats == []


@pytest.mark.parametrize(
    ("without", "code"), [("open_model_server", "backend_url_missing"), ("open_toolbox", "cluster_missing")]
)
def test_job_without_a_server_or_a_cluster_is_refused(without: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        take(a_request(FakeModel(answers=[READ]), **{without: None}))

    assert caught.value.specific_code == code


def test_state_of_a_later_version_is_left_to_it() -> None:
    with pytest.raises(UnreadableRowError):
        take(a_request(FakeModel(answers=[READ])), '{"question": "q", "more": 1}')
