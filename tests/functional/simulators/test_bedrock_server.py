"""RUNE's Bedrock client against the simulator: stamps, errors, tools, timeouts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import urllib3

from local.simulators.bedrock import BedrockFault, BedrockFaultKind, SimulatedBedrock
from local.simulators.faults import FaultKind, StreamFaultKind
from local.simulators.request_log import Outcome
from rune.bench.driver import measure_point
from rune.bench.prompts import make_prompts
from rune.bench.records import Point
from rune.bench.runs import fold_run
from rune.bench.tasks import Task
from rune.contracts import Workload
from rune.errors import (
    BadResponseError,
    ContextOverflowError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.llm.bedrock import BedrockServer
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    FinishReason,
    Generation,
    Message,
    ModelFacts,
    PullRequest,
    Role,
    ServerFacts,
    TokenCounts,
    TokenCountSource,
    ToolSpec,
    WarmUpRequest,
)
from tests.functional.simulators.bedrock_harness import (
    DEEPSEEK,
    FAST,
    HAIKU,
    LLAMA,
    QUESTION,
    SONNET,
    TITAN,
    ask,
    credentials,
    simulate,
)
from tests.functional.simulators.hosting import Host
from tests.functional.simulators.ollama_harness import wait_until

MS = 1_000_000
PODS = ToolSpec(
    "list_pods",
    "Lists pods.",
    {"type": "object", "properties": {"namespace": {"type": "string"}}, "required": ["namespace"]},
)
NOW = ToolSpec("now", "", {"type": "object"})


@pytest.fixture(scope="module", autouse=True)
def _credentials() -> Iterator[None]:
    with credentials():
        yield


def chat(host: Host, request: ChatRequest = QUESTION) -> Generation:
    return ask(host, lambda server: server.chat(request, lambda _: None))


def refused(host: Host, request: ChatRequest = QUESTION) -> ModelServerError:
    with pytest.raises(ModelServerError) as caught:
        chat(host, request)
    return caught.value


# ---------------------------------------------------------------- an answer


def test_answer_comes_with_its_evidence(host: Host) -> None:
    simulate(host, settings=replace(FAST, cached_tokens=3, tokens_per_chunk=5))
    counts: list[int] = []

    generation = ask(host, lambda server: server.chat(QUESTION, counts.append))

    assert generation.text.startswith("Simulated answer:")
    assert (generation.reasoning, generation.tool_calls) == ("", ())
    assert generation.finish_reason is FinishReason.STOP
    assert generation.tokens == TokenCounts(8, 20, 3, None, TokenCountSource.USAGE)
    assert generation.server_timings.total_ms is not None
    assert generation.server_timings.total_ms >= 10
    assert (len(generation.chunk_arrivals_ns), counts) == (4, [1, 2, 3, 4])


@pytest.mark.alone
def test_chunks_are_stamped_when_they_arrive(host: Host) -> None:
    simulate(host, settings=replace(FAST, gaps_seconds=(0.05, 0.2, 0.2, 0.2), tokens_per_chunk=5))

    async def go(server: BedrockServer) -> Generation:
        await server.warm_up(WarmUpRequest(HAIKU, 5.0))
        return await server.chat(QUESTION, lambda _: None)

    generation = ask(host, go)

    stamps = generation.stamps
    arrivals_ms = [(at - stamps.sent_ns) / MS for at in generation.chunk_arrivals_ns]
    late_ms = [came - due for came, due in zip(arrivals_ms, (50, 250, 450, 650), strict=True)]
    # The simulator counts from the head of the request, which goes out just before the stamp.
    assert min(late_ms) > -10
    assert max(late_ms) < 100, "how late a busy machine may be"
    assert stamps.sent_ns < stamps.headers_ns <= stamps.first_chunk_ns < generation.chunk_arrivals_ns[0]
    assert stamps.first_content_ns == stamps.first_visible_ns == generation.chunk_arrivals_ns[0]
    assert stamps.last_content_ns == generation.chunk_arrivals_ns[-1]
    assert stamps.ended_ns >= generation.chunk_arrivals_ns[-1]


@pytest.mark.alone
def test_connecting_is_not_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(host)
    connect = urllib3.util.connection.create_connection

    def connect_slowly(*address: Any, **options: Any) -> object:  # noqa: ANN401  # urllib3's
        time.sleep(0.3)
        return connect(*address, **options)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect_slowly)
    began_ns = time.monotonic_ns()

    stamps = chat(host).stamps

    assert stamps.sent_ns - began_ns >= 300 * MS
    assert stamps.headers_ns - stamps.sent_ns < 200 * MS


def test_reasoning_is_kept_apart(host: Host) -> None:
    simulate(host)

    generation = chat(host, replace(QUESTION, model=DEEPSEEK))

    assert generation.reasoning.startswith("Simulated reasoning:")
    assert generation.text.startswith("Simulated answer:")
    stamps = generation.stamps
    assert stamps.first_content_ns
    assert stamps.first_visible_ns
    assert stamps.first_content_ns < stamps.first_visible_ns


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
        ("something_new", FinishReason.OTHER),
    ],
)
def test_stop_reason_is_told_in_our_words(reason: str, finish: FinishReason, host: Host) -> None:
    simulate(host, BedrockFault(kind=BedrockFaultKind.STOPPED, code=reason, after_chunks=2))

    assert chat(host).finish_reason is finish


def test_many_chats_share_one_server(host: Host) -> None:
    state = simulate(host)

    async def go(server: BedrockServer) -> list[Generation]:
        return await asyncio.gather(*(server.chat(QUESTION, lambda _: None) for _ in range(32)))

    generations = ask(host, go)

    assert {generation.tokens.output_count for generation in generations} == {20}
    assert [record.outcome for record in state.requests.records] == [Outcome.COMPLETED] * 32


@pytest.mark.alone
def test_point_of_a_workload_is_measured(host: Host) -> None:
    pace = replace(FAST, first_token_seconds=0.1, output_tokens_per_second=100.0)
    state = simulate(host, settings=pace)
    task = Task(
        model=HAIKU,
        prompts=("What is unhealthy?",),
        repetitions=16,
        warmup_count=2,
        max_output_tokens=20,
        temperature=0.0,
        ignore_eos=False,
        context_tokens=None,
        is_cache_busted=True,
        seed=1,
    )

    measured = ask(
        host,
        lambda server: measure_point(
            server, task, Point(index=0, concurrency=8), time_limit_seconds=20.0, on_progress=lambda *_: None
        ),
    )

    generations = [record.generation for record in measured.records if record.generation]
    assert [generation.tokens.output_count for generation in generations] == [20] * 16
    first_ms = [(g.chunk_arrivals_ns[0] - g.stamps.sent_ns) / MS for g in generations]
    whole_ms = [(g.chunk_arrivals_ns[-1] - g.chunk_arrivals_ns[0]) / MS for g in generations]
    assert median(first_ms) == pytest.approx(100, abs=40)
    assert median(whole_ms) == pytest.approx(190, abs=40)
    # Listed once, however often the driver asks while it opens connections: two pages of profiles and the models.
    assert len([record for record in state.requests.records if record.method == "GET"]) == 3


def test_conversation_is_asked_with_the_models_own_answers(host: Host) -> None:
    state = simulate(host)
    prompts = make_prompts(
        "", Workload.model_validate({"prompts": [["What is unhealthy?", "Why?", "Since when?"]]})
    )
    task = Task(HAIKU, prompts, 2, 0, 20, None, False, None, True, seed=1)

    measured = ask(
        host,
        lambda server: measure_point(
            server, task, Point(index=0, concurrency=2), time_limit_seconds=20.0, on_progress=lambda *_: None
        ),
    )

    turns = fold_run(measured, None, None).turns
    assert turns is not None
    assert [row.completed for row in turns] == [2, 2, 2]
    lengths = [row.input_tokens.mean for row in turns if row.input_tokens]
    assert lengths == sorted(set(lengths))
    asked = [record for record in state.requests.records if record.method == "POST"]
    assert {record.status for record in asked} == {200}


# ---------------------------------------------------------------- tools


def test_tools_are_called_and_answered_in_one_message(host: Host) -> None:
    simulate(host)
    request = replace(QUESTION, tools=(PODS, NOW))

    called = chat(host, request)

    assert called.finish_reason is FinishReason.TOOL_CALLS
    assert [(call.name, call.arguments) for call in called.tool_calls] == [
        ("list_pods", {"namespace": "simulated"}),
        ("now", {}),
    ]
    results = tuple(
        Message(Role.TOOL, "" if call.name == "now" else "none", tool_call_id=call.id, tool_name=call.name)
        for call in called.tool_calls
    )
    replay = (*request.messages, Message(Role.ASSISTANT, called.text, called.tool_calls), *results)
    # Bedrock refuses a history with tools in it unless they are declared again.
    for tools in ((PODS, NOW), ()):
        answered = chat(host, replace(request, messages=replay, tools=tools))
        assert (answered.finish_reason, answered.tool_calls) == (FinishReason.STOP, ())


def test_required_tool_is_called_without_a_word(host: Host) -> None:
    simulate(host)

    called = chat(host, replace(QUESTION, tools=(PODS,), tool_choice="required"))

    assert (called.text, [call.name for call in called.tool_calls]) == ("", ["list_pods"])
    assert called.stamps.first_content_ns
    assert called.stamps.first_visible_ns is None


def test_tool_call_that_a_limit_cut_has_no_arguments(host: Host) -> None:
    simulate(host)
    request = replace(QUESTION, tools=(PODS,), tool_choice="required", max_output_tokens=2)

    cut = chat(host, request)

    assert cut.finish_reason is FinishReason.LENGTH
    assert [(call.arguments, call.arguments_text != "") for call in cut.tool_calls] == [(None, True)]


# ---------------------------------------------------------------- errors


BEFORE: list[tuple[str, int, str, type[ModelServerError]]] = [
    ("ThrottlingException", 429, "Too many tokens, please wait.", ServerOverloadedError),
    ("ModelNotReadyException", 429, "Not ready.", ServerOverloadedError),
    ("ServiceUnavailableException", 503, "Later.", ServerOverloadedError),
    ("ServiceQuotaExceededException", 400, "Quota.", ServerOverloadedError),
    ("AccessDeniedException", 403, "User arn:aws:sts::123456789012:x may not.", ServerAccessError),
    ("UnrecognizedClientException", 403, "The security token is invalid.", ServerAccessError),
    ("ExpiredTokenException", 403, "Expired.", ServerAccessError),
    ("ResourceNotFoundException", 404, "Could not resolve the model.", ModelNotFoundError),
    ("ModelTimeoutException", 408, "Too slow.", ServerTimeoutError),
    ("ModelErrorException", 424, "The model failed.", ServerFailedError),
    ("InternalServerException", 500, "Oh.", ServerFailedError),
    ("ValidationException", 400, "The provided model identifier is invalid.", ModelNotFoundError),
    ("ValidationException", 400, "Input is too long for requested model.", ContextOverflowError),
    ("ValidationException", 400, "prompt is too long: 9 tokens > 8 maximum", ContextOverflowError),
    ("ValidationException", 400, "exceeds the model limit of 2048. Use less tokens", RequestRejectedError),
    ("ValidationException", 400, "This model doesn't support tool use.", ModelUnsupportedError),
    ("ValidationException", 400, "A conversation must start with a user message.", RequestRejectedError),
    ("SomethingNewException", 418, "Tea.", RequestRejectedError),
    ("SomethingNewException", 502, "Oh.", ServerFailedError),
    ("SomethingNewException", 429, "Later.", ServerOverloadedError),
]


@pytest.mark.parametrize(("code", "status", "text", "error"), BEFORE, ids=lambda value: str(value)[:30])
def test_refusal_is_named(
    code: str, status: int, text: str, error: type[ModelServerError], host: Host
) -> None:
    state = simulate(
        host, BedrockFault(kind=FaultKind.REFUSED, code=code, status=status, text=text, times=None)
    )

    raised = refused(host)

    assert type(raised) is error
    assert "123456789012" not in raised.sentence
    # Not one hidden retry.
    assert len(state.requests.records) == 1


WITHIN: list[tuple[str, str, type[ModelServerError]]] = [
    ("throttlingException", "Later.", ServerOverloadedError),
    ("serviceUnavailableException", "Later.", ServerOverloadedError),
    ("modelStreamErrorException", "The model stopped.", StreamFailedError),
    ("internalServerException", "Oh.", StreamFailedError),
    ("validationException", "Input is too long for requested model.", ContextOverflowError),
    ("validationException", "Something.", RequestRejectedError),
]


@pytest.mark.parametrize("after_chunks", [0, 2])
@pytest.mark.parametrize(("code", "text", "error"), WITHIN, ids=lambda value: str(value)[:30])
def test_error_within_the_answer_is_named(
    code: str, text: str, error: type[ModelServerError], after_chunks: int, host: Host
) -> None:
    simulate(
        host, BedrockFault(kind=StreamFaultKind.STREAM_ERROR, code=code, text=text, after_chunks=after_chunks)
    )

    assert type(refused(host)) is error


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (BedrockFault(kind=StreamFaultKind.TRUNCATED), StreamTruncatedError),
        (BedrockFault(kind=StreamFaultKind.TRUNCATED, after_chunks=0), StreamTruncatedError),
        (BedrockFault(kind=FaultKind.DISCONNECTED), StreamTruncatedError),
        (BedrockFault(kind=BedrockFaultKind.CORRUPT), BadResponseError),
        (BedrockFault(kind=FaultKind.NOT_JSON), BadResponseError),
        (BedrockFault(kind=BedrockFaultKind.STOPPED, code="malformed_model_output"), StreamFailedError),
        (BedrockFault(kind=BedrockFaultKind.STOPPED, code="malformed_tool_use"), StreamFailedError),
        (
            BedrockFault(kind=BedrockFaultKind.STOPPED, code="model_context_window_exceeded", after_chunks=0),
            ContextOverflowError,
        ),
    ],
    ids=lambda value: getattr(value, "kind", getattr(value, "__name__", "")),
)
def test_spoiled_answer_is_named(fault: BedrockFault, error: type[ModelServerError], host: Host) -> None:
    simulate(host, fault)

    assert type(refused(host)) is error


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "unknown.model"}, ModelNotFoundError),
        ({"model": TITAN}, ModelUnsupportedError),
        ({"model": SONNET}, ModelUnsupportedError),
        ({"model": LLAMA, "tools": (PODS,)}, ModelUnsupportedError),
        ({"model": LLAMA, "messages": (Message(Role.USER, "word " * 9000),)}, ContextOverflowError),
        ({"messages": ()}, RequestRejectedError),
    ],
    ids=str,
)
def test_request_that_the_model_cannot_take_is_named(
    changes: dict[str, object], error: type[ModelServerError], host: Host
) -> None:
    simulate(host)

    assert type(refused(host, replace(QUESTION, **changes))) is error  # type: ignore[arg-type]  # of a table


def test_closed_port_is_unreachable() -> None:
    closed = Host.empty()
    closed.address = "http://127.0.0.1:9"

    assert type(refused(closed)) is ServerUnreachableError


# ---------------------------------------------------------------- time


SILENT = BedrockFault(kind=FaultKind.HANG, after_chunks=0)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("fault", "limits", "words"),
    [
        (SILENT, (5.0, 0.1), "silent for 0.1 seconds"),
        (BedrockFault(kind=FaultKind.HANG), (5.0, 0.1), "silent for 0.1 seconds"),
        (SILENT, (0.1, 5.0), "longer than 0.1 seconds"),
        (BedrockFault(kind=StreamFaultKind.SLOW, slow_factor=20.0), (0.15, 5.0), "longer than 0.15 seconds"),
    ],
)
def test_limit_is_kept_and_the_connection_closed(
    fault: BedrockFault, limits: tuple[float, float], words: str, host: Host
) -> None:
    state = simulate(host, fault)
    total_seconds, idle_seconds = limits
    began = time.monotonic()

    raised = refused(
        host, replace(QUESTION, timeout_seconds=total_seconds, idle_timeout_seconds=idle_seconds)
    )

    assert type(raised) is ServerTimeoutError
    assert words in raised.sentence
    assert time.monotonic() - began < 1.0
    if fault is not SILENT:
        wait_until(lambda: is_left(state))


def test_caller_that_leaves_closes_the_connection(host: Host) -> None:
    state = simulate(host, BedrockFault(kind=FaultKind.HANG, after_chunks=3))
    counts: list[int] = []

    async def go(server: BedrockServer) -> None:
        chatting = asyncio.create_task(server.chat(QUESTION, counts.append))
        while len(counts) < 3:  # noqa: ASYNC110  # a callback tells
            await asyncio.sleep(0.005)
        chatting.cancel()
        await asyncio.gather(chatting, return_exceptions=True)

    ask(host, go)

    wait_until(lambda: is_left(state))
    assert [record.outcome for record in state.requests.records] == [Outcome.CANCELLED]
    assert counts == [1, 2, 3]


def is_left(state: SimulatedBedrock) -> bool:
    return state.requests.records[-1].outcome is Outcome.CANCELLED


# ---------------------------------------------------------------- models


def test_models_are_those_that_write_and_their_profiles(host: Host) -> None:
    simulate(host)

    listed = ask(host, lambda server: server.list_models())

    writing = [HAIKU, SONNET, DEEPSEEK, LLAMA]
    assert listed == tuple(sorted([*writing, *(f"us.{model}" for model in writing)]))
    assert ask(host, lambda server: server.list_running()) == ()


@pytest.mark.parametrize(
    ("model", "is_there"),
    [
        (HAIKU, True),
        (f"us.{SONNET}", True),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", True),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}", True),
        (TITAN, False),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{TITAN}", False),
        ("unknown.model", False),
        (HAIKU.upper(), False),
    ],
)
def test_model_is_there_by_id_or_arn(model: str, is_there: bool, host: Host) -> None:
    simulate(host)

    assert ask(host, lambda server: server.has_model(model)) is is_there


@pytest.mark.parametrize(
    ("model", "capabilities", "facts"),
    [
        (HAIKU, Capabilities(chats=True), ModelFacts(family="Anthropic")),
        (f"us.{DEEPSEEK}", Capabilities(chats=True), ModelFacts(family="DeepSeek")),
        (TITAN, Capabilities(chats=False), ModelFacts(family="Amazon")),
        ("unknown.model", Capabilities(), ModelFacts()),
    ],
)
def test_model_is_described_as_far_as_the_list_goes(
    model: str, capabilities: Capabilities, facts: ModelFacts, host: Host
) -> None:
    state = simulate(host)

    async def go(server: BedrockServer) -> tuple[Capabilities, ModelFacts, ServerFacts, float | None]:
        return (
            await server.capabilities(model),
            await server.describe_model(model),
            await server.describe_server(),
            await server.round_trip_ms(),
        )

    assert ask(host, go) == (capabilities, facts, ServerFacts(name="bedrock"), None)
    # Listed once: two pages of profiles and the models.
    assert len(state.requests.records) == 3


def test_list_that_is_refused_is_named(host: Host) -> None:
    denied = BedrockFault(
        kind=FaultKind.REFUSED, path="/foundation-models", code="AccessDeniedException", status=403
    )
    simulate(host, denied)

    with pytest.raises(ServerAccessError):
        ask(host, lambda server: server.list_models())


def test_warm_up_generates_one_token(host: Host) -> None:
    state = simulate(host)

    warm_up = ask(host, lambda server: server.warm_up(WarmUpRequest(HAIKU, 5.0)))

    assert warm_up.load_ms == 0.0
    assert 10.0 <= warm_up.first_token_ms < 2_000.0
    assert [record.chunk_count for record in state.requests.records] == [1]


def test_bedrock_is_not_told_to_pull(host: Host) -> None:
    simulate(host)

    with pytest.raises(ModelUnsupportedError):
        ask(host, lambda server: server.pull(PullRequest(HAIKU, 1.0), lambda _: None))
