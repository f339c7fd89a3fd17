import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from rune.agents.ask import AskAgent
from rune.agents.protocol import AgentAnswer, AgentRequest, AgentTokens
from rune.errors import InvalidRequestError, ModelNotFoundError, ServerUnreachableError
from rune.llm.opener import ServerOpener
from rune.llm.protocol import ModelServer
from tests.unit.llm.asking import LOOPBACK
from tests.unit.llm.scripted_server import Hold, Reset, Script, ScriptedServer, head, serve, sse, whole

REQUEST = AgentRequest(question="Why?", model="m", timeout_seconds=5.0)
MODELS = whole(200, {"data": [{"id": "m"}]})
USAGE: Mapping[str, object] = {
    "prompt_tokens": 30,
    "completion_tokens": 9,
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def event(finish_reason: str | None = None, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


STREAM = head(200, "text/event-stream")
ANSWER = STREAM + sse(
    event(content="Be"), event(content="cause"), event("stop"), {"choices": [], "usage": USAGE}
)

ON_TOP = {
    "choices": [],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 2,
        "total_tokens": 331,
        "completion_tokens_details": {"reasoning_tokens": 317},
    },
}


class Opener:
    """Opens the scripted server and remembers what became of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.opened: list[ModelServer] = []

    def __call__(self) -> ModelServer:
        self.opened.append(ServerOpener(LOOPBACK)("openai", self.url))
        return self.opened[-1]


def ask(*scripts: Script) -> tuple[AgentAnswer, ScriptedServer, list[int]]:
    heard: list[int] = []

    async def go() -> tuple[AgentAnswer, ScriptedServer, list[int]]:
        async with serve(*scripts) as server:
            request = replace(REQUEST, open_model_server=Opener(server.url))
            return await AskAgent().take_turn(request, None, heard.append), server, heard

    return asyncio.run(go())


def check(*scripts: Script) -> ScriptedServer:
    async def go() -> ScriptedServer:
        async with serve(*scripts) as server:
            await AskAgent().check(replace(REQUEST, open_model_server=Opener(server.url)))
            return server

    return asyncio.run(go())


def test_ask_returns_the_models_answer_with_its_evidence() -> None:
    answer, _, heard = ask([MODELS], [ANSWER])

    assert answer.generation is not None
    assert answer == AgentAnswer(
        answer="Because",
        artifacts=None,
        metadata={"agent": "ask", "token_count_source": "usage"},
        tokens=AgentTokens(agent_reasoning=4, output=5, total=39),
        phases_ms={"ask": answer.phases_ms["ask"]},
        generation=answer.generation,
    )
    assert answer.phases_ms["ask"] > 0
    assert heard == [1, 2]


@pytest.mark.parametrize(
    ("events", "tokens", "metadata"),
    [
        (
            [event("stop", content="Paris."), ON_TOP],
            AgentTokens(agent_reasoning=317, output=2, total=331),
            {"token_count_source": "usage"},
        ),
        (
            [event(reasoning="Paris?"), event("stop")],
            AgentTokens(output=1, total=1),
            {"token_count_source": "chunks", "warnings": "empty_answers"},
        ),
        (
            [event("novel", content="Par")],
            AgentTokens(output=1, total=1),
            {"token_count_source": "chunks", "warnings": "unknown_ends"},
        ),
    ],
)
def test_ask_tells_what_is_odd_about_an_answer(
    events: list[object], tokens: AgentTokens, metadata: dict[str, str]
) -> None:
    answer, _, _ = ask([MODELS], [STREAM + sse(*events)])

    assert (answer.tokens, answer.metadata) == (tokens, {"agent": "ask", **metadata})


def test_ask_sends_the_question_alone_over_the_connection_that_looked_for_the_model() -> None:
    _, server, _ = ask([MODELS], [ANSWER])

    assert server.connection_count == 1
    assert server.requests[1].body["messages"] == [{"role": "user", "content": "Why?"}]


def test_ask_does_not_ask_when_the_model_is_missing() -> None:
    with pytest.raises(ModelNotFoundError, match="'m'"):
        ask([whole(200, {"data": [{"id": "other", "owned_by": "llamacpp"}]})])


def test_check_is_silent_when_the_server_has_the_model() -> None:
    server = check([MODELS])

    assert [request.path for request in server.requests] == ["/v1/models"]


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ([whole(200, {"data": [{"id": "other", "owned_by": "llamacpp"}]})], ModelNotFoundError),
        ([Reset()], ServerUnreachableError),
    ],
)
def test_check_raises_when_the_question_could_not_be_answered(
    script: Script, error_type: type[Exception]
) -> None:
    with pytest.raises(error_type):
        check(script)


def test_ask_and_check_refuse_when_the_job_names_no_model_server() -> None:
    async def go() -> None:
        for attempt in (AskAgent().check(REQUEST), AskAgent().take_turn(REQUEST, None, lambda _: None)):
            with pytest.raises(InvalidRequestError) as caught:
                await attempt
            assert caught.value.pointer == "/backend_url"

    asyncio.run(go())


def test_ask_hangs_up_when_its_task_is_cancelled() -> None:
    async def go() -> int:
        begun = asyncio.Event()
        async with serve([MODELS], [STREAM + sse(event(content="Be"), done=False), Hold()]) as server:
            request = replace(REQUEST, open_model_server=Opener(server.url))
            task = asyncio.create_task(AskAgent().take_turn(request, None, lambda _: begun.set()))
            await asyncio.wait_for(begun.wait(), 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.hung_up.wait(), 2)
            return server.hang_up_count

    assert asyncio.run(go()) == 1
