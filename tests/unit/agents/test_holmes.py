import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from rune.agents import holmes
from rune.agents.holmes import HolmesAgent
from rune.agents.protocol import AgentAnswer, AgentRequest, AgentTokens
from rune.errors import (
    BadResponseError,
    ContextOverflowError,
    ModelNotFoundError,
    RequestRejectedError,
    RuneError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.tenants.document import HolmesSettings
from tests.functional.simulators.ollama_harness import wait_until
from tests.unit.llm.asking import LOOPBACK
from tests.unit.llm.scripted_server import (
    Close,
    Hold,
    Pause,
    Reset,
    Script,
    ScriptedServer,
    head,
    serve,
    whole,
)

KEY = 'sk-holmes/0123"456\\789abcdef'
REQUEST = AgentRequest(question="What is unhealthy?", model="fast", timeout_seconds=5.0)
MODELS = whole(200, {"model_name": '["fast", "accurate"]'})
ANSWER: dict[str, Any] = {
    "analysis": "# Nothing\nis unhealthy.",
    "conversation_history": [{"role": "system", "content": "..."}],
    "tool_calls": [
        {
            "tool_call_id": "call_0",
            "tool_name": "kubectl_logs",
            "description": "kubectl logs demo",
            "result": {"status": "success", "data": "a secret of the cluster"},
        }
    ],
    "follow_up_actions": [],
    "metadata": {
        "usage": {"prompt_tokens": 2500, "completion_tokens": 150, "total_tokens": 2650},
        "tokens": {
            "total_tokens": 2640,
            "tools_tokens": 1100,
            "system_tokens": 500,
            "user_tokens": 300,
            "tools_to_call_tokens": 50,
            "assistant_tokens": 600,
            "other_tokens": 0,
        },
    },
}


def with_agent[T](
    scripts: tuple[Script, ...],
    act: Callable[[HolmesAgent], Awaitable[T]],
    *,
    api_key: str | None = KEY,
    path: str = "",
) -> tuple[T, ScriptedServer]:
    async def go() -> tuple[T, ScriptedServer]:
        async with serve(*scripts) as server:
            settings = HolmesSettings.model_validate({"base_url": server.url + path, "api_key": api_key})
            agent = HolmesAgent.open(settings, LOOPBACK)
            try:
                return await act(agent), server
            finally:
                await agent.aclose()

    return asyncio.run(go())


def ask(*scripts: Script, request: AgentRequest = REQUEST) -> AgentAnswer:
    return with_agent(scripts, lambda agent: agent.take_turn(request, None, lambda _: None))[0]


def failure_of(*scripts: Script, request: AgentRequest = REQUEST) -> RuneError:
    with pytest.raises(RuneError) as caught:
        ask(*scripts, request=request)
    return caught.value


def test_ask_returns_the_analysis_with_tools_and_tokens_but_not_what_the_tools_gave() -> None:
    answer = ask([MODELS], [whole(200, ANSWER)])

    assert answer == AgentAnswer(
        answer="# Nothing\nis unhealthy.",
        artifacts=(
            {
                "type": "tool_call",
                "tool_name": "kubectl_logs",
                "description": "kubectl logs demo",
                "status": "success",
            },
        ),
        metadata={
            "agent": "holmes",
            "holmes_model": "fast",
            "tool_call_count": "1",
            "token_count_source": "usage",
        },
        tokens=AgentTokens(system_prompt=500, tool_calls=1150, agent_reasoning=450, output=150, total=2650),
        phases_ms={"ask": answer.phases_ms["ask"]},
    )
    assert answer.phases_ms["ask"] > 0


def test_ask_looks_for_the_model_and_then_asks_over_the_same_connection() -> None:
    _, server = with_agent(
        ([MODELS], [whole(200, ANSWER)]),
        lambda agent: agent.take_turn(REQUEST, None, lambda _: None),
        path="/base/",
    )

    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/base/api/model"),
        ("POST", "/base/api/chat"),
    ]
    assert server.requests[1].body == {"ask": "What is unhealthy?", "model": "fast", "stream": True}
    assert server.connection_count == 1


@pytest.mark.parametrize(("api_key", "expected"), [(KEY, f"Bearer {KEY}"), (None, None)])
def test_key_goes_out_as_bearer_alone_on_every_request(api_key: str | None, expected: str | None) -> None:
    _, server = with_agent(
        ([MODELS], [whole(200, ANSWER)]),
        lambda agent: agent.take_turn(REQUEST, None, lambda _: None),
        api_key=api_key,
    )

    assert [request.headers.get("authorization") for request in server.requests] == [expected, expected]
    assert not any("x-api-key" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, AgentTokens()),
        ({}, AgentTokens()),
        ({"usage": {"completion_tokens": 5, "total_tokens": 20}}, AgentTokens(output=5, total=20)),
        ({"tokens": {"assistant_tokens": 7, "total_tokens": 9}}, AgentTokens(agent_reasoning=7, total=9)),
        (
            {"usage": {"completion_tokens": 9, "total_tokens": 20}, "tokens": {"assistant_tokens": 7}},
            AgentTokens(output=9, total=20),
        ),
        (
            {
                "costs": {"prompt_tokens": 900, "completion_tokens": 70, "total_tokens": 970},
                "usage": {"completion_tokens": 9, "total_tokens": 20},
            },
            AgentTokens(agent_reasoning=61, output=9, total=970),
        ),
        ({"usage": {"total_tokens": -3}, "tokens": {"total_tokens": "many"}}, AgentTokens()),
    ],
)
def test_tokens_are_what_was_reported_and_said_to_be_unreported_otherwise(
    metadata: object, expected: AgentTokens
) -> None:
    answer = ask([MODELS], [whole(200, {"analysis": "a", "metadata": metadata})])

    source = "usage" if expected.total else "unreported"
    assert (answer.tokens, answer.metadata["token_count_source"]) == (expected, source)


@pytest.mark.parametrize(
    ("tool_calls", "count", "artifacts"),
    [
        (None, "0", ()),
        ("many", "0", ()),
        ([7], "1", ({"type": "tool_call", "tool_name": "", "description": "", "status": ""},)),
        (
            [{"tool_name": "\ud83d\x00", "description": "d" * 300, "result": "x"}],
            "1",
            ({"type": "tool_call", "tool_name": "\ufffd", "description": "d" * 199 + "…", "status": ""},),
        ),
    ],
)
def test_artifacts_are_short_and_clean_when_the_servers_are_odd(
    tool_calls: object, count: str, artifacts: object
) -> None:
    answer = ask([MODELS], [whole(200, {"analysis": "a", "tool_calls": tool_calls})])

    assert (answer.metadata["tool_call_count"], answer.artifacts) == (count, artifacts)


def test_dollars_and_compactions_of_the_server_are_told() -> None:
    costs = {"total_cost": 0.0123, "num_compactions": 2, "total_tokens": 9}

    answer = ask([MODELS], [whole(200, {"analysis": "a", "metadata": {"costs": costs}})])

    told = {"holmes_cost_usd": "0.012300", "compaction_count": "2"}
    assert told.items() <= answer.metadata.items()


STREAM = head(200, "text/event-stream")


def event(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


TOOL = event("tool_calling_result", **ANSWER["tool_calls"][0])
END = event("ai_answer_end", **{name: ANSWER[name] for name in ("analysis", "metadata")})


def test_stream_brings_the_same_answer_with_the_tools_collected_and_shows_progress() -> None:
    heard: list[int] = []
    stream = STREAM + event("token_count", metadata={}) + b": ping\n\n" + TOOL + END

    answer, _ = with_agent(
        ([MODELS], [stream, Close()]), lambda agent: agent.take_turn(REQUEST, None, heard.append)
    )

    whole_answer = ask([MODELS], [whole(200, ANSWER)])
    assert answer == replace(whole_answer, phases_ms=answer.phases_ms)
    assert heard == [1, 2, 3]


@pytest.mark.parametrize(
    ("events", "error_type", "sentence"),
    [
        (TOOL, StreamTruncatedError, "HolmesGPT's answer broke off before its end."),
        (event("error", description="Rate limit", error_code=5204), ServerOverloadedError, "Rate limit"),
        (event("error", msg="litellm: boom", error_code=1), StreamFailedError, "litellm: boom"),
        (event("error", description="maximum context length is 4096"), ContextOverflowError, "longer"),
        (
            event("error", description="Too many LLM calls - exceeded max_steps: 40"),
            RequestRejectedError,
            "max_steps",
        ),
        (event("approval_required", pending=[]), RequestRejectedError, "approve"),
        (b"event: ai_answer_end\ndata: {\n\n", BadResponseError, "not JSON"),
        (event("ai_answer_end", analysis=""), BadResponseError, "without an analysis"),
    ],
)
def test_stream_without_an_answer_is_the_named_error(
    events: bytes, error_type: type[RuneError], sentence: str
) -> None:
    error = failure_of([MODELS], [STREAM + events, Close()])

    assert type(error) is error_type
    assert sentence in error.sentence


def test_key_is_taken_out_of_a_stream() -> None:
    answer = ask([MODELS], [STREAM + event("ai_answer_end", analysis=f"you sent {KEY}."), Close()])

    assert answer.answer == "you sent ***."


def test_server_that_refuses_the_field_is_asked_for_a_whole_answer() -> None:
    refusal = {"detail": [{"loc": ["body", "stream"], "msg": "Extra inputs are not permitted"}]}

    (answer, server) = with_agent(
        ([MODELS], [whole(422, refusal)], [whole(200, ANSWER)]),
        lambda agent: agent.take_turn(REQUEST, None, lambda _: None),
    )

    assert answer.answer == ANSWER["analysis"]
    assert server.requests[-1].body == {"ask": "What is unhealthy?", "model": "fast"}


def test_artifacts_are_cut_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holmes, "MAX_ARTIFACTS", 2)

    answer = ask([MODELS], [whole(200, {"analysis": "a", "tool_calls": [{}, {}, {}]})])

    assert (len(answer.artifacts or ()), answer.metadata["tool_call_count"]) == (2, "3")


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ('["b", "a", "a", "", 7]', "a, b"),
        (["b", "a"], "a, b"),
        ("[]", "none"),
    ],
)
def test_models_are_sorted_names_whether_the_list_comes_as_text_or_as_a_list(
    listing: object, expected: str
) -> None:
    script = [whole(200, {"model_name": listing})]

    with pytest.raises(ModelNotFoundError, match=f"which has: {expected}\\.$"):
        with_agent((script,), lambda agent: agent.check(REQUEST))


@pytest.mark.parametrize("listing", [{}, {"model_name": "fast"}, {"model_name": None}, {"models": []}])
def test_check_says_that_it_is_no_holmes_when_there_is_no_list_of_models(listing: object) -> None:
    with pytest.raises(BadResponseError, match="is it a HolmesGPT server"):
        with_agent(([whole(200, listing)],), lambda agent: agent.check(REQUEST))


def test_check_is_silent_when_the_server_knows_the_model() -> None:
    _, server = with_agent(([MODELS],), lambda agent: agent.check(REQUEST))

    assert [request.path for request in server.requests] == ["/api/model"]


def test_ask_names_the_servers_models_and_does_not_ask_when_it_lacks_the_model() -> None:
    error = failure_of([MODELS], request=replace(REQUEST, model="llama3.1:8b"))

    assert type(error) is ModelNotFoundError
    assert error.sentence == (
        "HolmesGPT has no model 'llama3.1:8b' in its own list, which has: accurate, fast."
    )


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ([whole(401, {"detail": "Invalid or missing API key"})], ServerAccessError),
        ([whole(403, {})], ServerAccessError),
        ([whole(404, {"detail": "Not Found"})], BadResponseError),
        ([whole(405, {})], BadResponseError),
        ([whole(422, {"detail": [{"msg": "Field required"}]})], RequestRejectedError),
        ([whole(429, {"detail": "Rate limit"}, "Retry-After: 7")], ServerOverloadedError),
        ([whole(500, {"detail": "litellm: boom"})], ServerFailedError),
        ([whole(500, {"detail": "Too many LLM calls - exceeded max_steps: 40"})], RequestRejectedError),
        ([whole(500, {"detail": "maximum context length is 4096 tokens"})], ContextOverflowError),
        ([whole(502, {})], ServerFailedError),
        ([whole(503, {})], ServerOverloadedError),
        ([whole(504, {})], ServerTimeoutError),
        ([whole(202, {})], BadResponseError),
        ([whole(302, {}, "Location: http://127.0.0.1:9001/")], BadResponseError),
        ([head(200, "text/html") + b"<html>", Close()], BadResponseError),
        ([head(200, "application/json") + b"[" * 200_000, Close()], BadResponseError),
        ([whole(200, ["analysis"])], BadResponseError),
        ([whole(200, {})], BadResponseError),
        ([whole(200, {"analysis": None})], BadResponseError),
        ([whole(200, {"analysis": " \n"})], BadResponseError),
        ([head(200, "application/json", "Content-Encoding: gzip") + b"x"], BadResponseError),
        ([head(200, "application/json", "Content-Length: 50") + b"{"], StreamTruncatedError),
        ([Reset()], ServerUnreachableError),
    ],
)
def test_ask_raises_the_named_error_when_the_server_fails(
    script: Script, error_type: type[RuneError]
) -> None:
    assert type(failure_of([MODELS], script)) is error_type


@pytest.mark.parametrize(
    ("script", "error_type"),
    [([whole(401, {})], ServerAccessError), ([whole(500, {})], ServerFailedError)],
)
def test_check_raises_the_named_error_when_the_list_cannot_be_had(
    script: Script, error_type: type[RuneError]
) -> None:
    with pytest.raises(error_type):
        with_agent((script,), lambda agent: agent.check(REQUEST))


def test_overload_keeps_what_the_server_asks_to_wait() -> None:
    error = failure_of([MODELS], [whole(429, {}, "Retry-After: 7")])

    assert isinstance(error, ServerOverloadedError)
    assert error.retry_after_seconds == 7


def test_ask_raises_timeout_when_the_investigation_takes_longer_than_allowed() -> None:
    error = failure_of([MODELS], [Pause(2.0), Close()], request=replace(REQUEST, timeout_seconds=0.3))

    assert type(error) is ServerTimeoutError


def test_ask_refuses_an_answer_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holmes, "MAX_ANSWER_BYTES", 100)

    error = failure_of([MODELS], [whole(200, {"analysis": "x" * 100})])

    assert type(error) is BadResponseError


@pytest.mark.parametrize("path", ["/api/model", "/api/chat"])
def test_key_shows_up_nowhere_when_the_server_echoes_it(path: str) -> None:
    echo = whole(500, {"detail": f"bad header Authorization: Bearer {KEY}"})

    error = failure_of(*([echo],) if path == "/api/model" else ([MODELS], [echo]))
    answer = ask([MODELS], [whole(200, {"analysis": f"you sent {KEY}."})])

    assert "***" in error.sentence
    assert answer.answer == "you sent ***."
    assert KEY not in error.sentence
    assert json.dumps(KEY)[1:-1] not in error.sentence


def test_ask_hangs_up_when_its_task_is_cancelled() -> None:
    async def go() -> int:
        async with serve([MODELS], [head(200), Hold()]) as server:
            agent = HolmesAgent.open(HolmesSettings(base_url=server.url), LOOPBACK)
            task = asyncio.create_task(agent.take_turn(REQUEST, None, lambda _: None))
            await asyncio.to_thread(wait_until, lambda: len(server.requests) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.hung_up.wait(), 2)
            await agent.aclose()
            return server.hang_up_count

    assert asyncio.run(go()) == 1
