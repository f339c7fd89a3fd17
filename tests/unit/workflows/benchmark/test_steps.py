import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from rune.contracts import BenchmarkReport, BenchmarkResult
from rune.errors import (
    ModelNotFoundError,
    ModelUnsupportedError,
    OutOfMemoryError,
    RuneError,
    ServerUnreachableError,
)
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.record import StepName
from rune.jobs.step import Step, StepContext
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    FinishReason,
    Message,
    Role,
    ServerFacts,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
)
from rune.workflows.benchmark.steps import Benchmark
from rune.workflows.model_servers import Backends
from tests.builders import a_claimed_job
from tests.fake_model_server import GENERATION, MODEL_FACTS, FakeModelServer
from tests.measuring import a_tool_box
from tests.unit.workflows import turns
from tests.unit.workflows.turns import a_context

STEPS = [StepName.CHECK, StepName.ASK]
OWN = {*STEPS, StepName.MEASURE, StepName.JUDGE}


def run(step: StepName, server: FakeModelServer, context: StepContext | None = None) -> Outcome:
    return turns.run(steps_of(server), step, context or a_context())


def steps_of(server: FakeModelServer) -> Mapping[StepName, Step]:
    return Benchmark(Backends(server.open, None), a_tool_box()).steps


def test_benchmark_has_the_steps_that_are_its_own() -> None:
    assert set(steps_of(FakeModelServer())) == OWN


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("step", STEPS)
def test_step_opens_the_requests_server_and_closes_it(step: StepName, kind: str) -> None:
    server = FakeModelServer()

    run(step, server, a_context(backend_type=kind))

    assert (server.opened, server.close_count) == ([(kind, "http://127.0.0.1:11434")], 1)


@pytest.mark.parametrize("error", [ServerUnreachableError("Nobody."), OutOfMemoryError("Full.")], ids=repr)
@pytest.mark.parametrize("step", STEPS)
def test_step_closes_the_server_when_it_fails(step: StepName, error: RuneError) -> None:
    server = FakeModelServer(error=error)

    with pytest.raises(type(error)):
        run(step, server)

    assert server.close_count == 1


@pytest.mark.parametrize(
    ("warmup", "following"), [(True, StepName.WARM_UP), (False, StepName.ASK)], ids=["warm", "cold"]
)
def test_check_goes_on_when_the_server_has_the_model(*, warmup: bool, following: StepName) -> None:
    assert run(StepName.CHECK, FakeModelServer(), a_context(backend_warmup=warmup)) == Next(following)


def test_check_fails_when_the_server_does_not_have_the_model() -> None:
    with pytest.raises(ModelNotFoundError, match=r"does not have the model 'llama3\.1:8b'"):
        run(StepName.CHECK, FakeModelServer(models=("llama3.1:70b",)))


ASKS = [
    # asked, left, warmed up; timeout, idle timeout
    (600, 870, True, 600, 60),
    (600, 870, False, 600, 600),
    (840, 600, True, 595, 60),
    (840, 600, False, 595, 595),
    (10, 4, True, 1, 60),
]


@pytest.mark.parametrize(("asked", "left_seconds", "warmup", "timeout", "idle"), ASKS)
def test_ask_sends_the_question_within_the_time_there_is(
    asked: int, left_seconds: float, *, warmup: bool, timeout: float, idle: float
) -> None:
    server = FakeModelServer()

    run(
        StepName.ASK,
        server,
        a_context(left_seconds=left_seconds, timeout_seconds=asked, backend_warmup=warmup),
    )

    question = Message(Role.USER, "What is unhealthy in this Kubernetes cluster?")
    assert server.chats == [
        ChatRequest("llama3.1:8b", (question,), timeout_seconds=timeout, idle_timeout_seconds=idle)
    ]


def test_ask_shows_how_far_the_answer_is() -> None:
    context = a_context()

    run(StepName.ASK, FakeModelServer(), context)

    assert context.progress == {"chunks": 3}


def result_of(server: FakeModelServer, context: StepContext | None = None) -> dict[str, object]:
    outcome = run(StepName.ASK, server, context)
    assert isinstance(outcome, Done)
    document: dict[str, object] = json.loads(outcome.result_json)
    BenchmarkResult.model_validate_json(outcome.result_json)
    document.pop("report")
    return document


def test_ask_returns_the_result_that_clients_read() -> None:
    context = a_context()
    context.job = a_claimed_job(phases_ms={"check": 12, "load": 900, "first_token": 30})

    assert result_of(FakeModelServer(), context) == {
        "answer": "Two pods crash.",
        "result_type": "text",
        "artifacts": None,
        "metadata": {
            "backend_type": "ollama",
            "question": "What is unhealthy in this Kubernetes cluster?",
        },
        "telemetry": {
            "tokens": {
                "system_prompt": 0,
                "tool_calls": 0,
                "agent_reasoning": 6,
                "output": 15,
                "total": 33,
            },
            "latency": [
                {"phase": "check", "ms": 12},
                {"phase": "load", "ms": 900},
                {"phase": "first_token", "ms": 30},
                {"phase": "ask", "ms": 1100},
            ],
            "cost_estimate_usd": None,
        },
        "model_name": "llama3.1:8b",
        "backend_url": "http://127.0.0.1:11434",
        "contract_id": None,
        "rental": None,
        "measurements": {
            "ttft_ms": 100.0,
            "ttfo_ms": 300.0,
            "tpot_ms": 50.0,
            "output_throughput_tokens_per_s": 18.26087,
            "output_tokens_per_s_per_user": 20.0,
            "e2el_ms": 1100.0,
            "input_tokens": 12,
            "output_tokens": 21,
            "cached_tokens": 4,
            "reasoning_tokens": 6,
            "token_count_source": "usage",
            "finish_reason": "stop",
            "server_side": {
                "total_ms": 1200.0,
                "load_ms": 150.0,
                "prompt_eval_ms": 90.0,
                "eval_ms": 840.0,
                "prompt_tokens_per_s": 88.888889,
                "output_tokens_per_s": 25.0,
            },
        },
    }


def test_ask_claims_nothing_when_the_answer_is_empty() -> None:
    silent = replace(
        GENERATION,
        text="",
        finish_reason=FinishReason.OTHER,
        tokens=TokenCounts(None, 0, None, None, TokenCountSource.CHUNKS),
        stamps=Stamps(0, 1, 2, None, None, None, 3),
        server_timings=ServerTimings(),
    )

    result = result_of(FakeModelServer(generation=silent))

    assert (result["answer"], result["measurements"]) == (
        "",
        {
            "ttft_ms": None,
            "ttfo_ms": None,
            "tpot_ms": None,
            "output_throughput_tokens_per_s": 0.0,
            "output_tokens_per_s_per_user": None,
            "e2el_ms": None,
            "input_tokens": None,
            "output_tokens": 0,
            "cached_tokens": None,
            "reasoning_tokens": None,
            "token_count_source": "chunks",
            "finish_reason": "other",
            "server_side": dict.fromkeys(
                [
                    "total_ms",
                    "load_ms",
                    "prompt_eval_ms",
                    "eval_ms",
                    "prompt_tokens_per_s",
                    "output_tokens_per_s",
                ]
            ),
        },
    )
    assert result["telemetry"] == {
        "tokens": {"system_prompt": 0, "tool_calls": 0, "agent_reasoning": 0, "output": 0, "total": 0},
        "latency": [{"phase": "ask", "ms": 0}],
        "cost_estimate_usd": None,
    }


def test_ask_repeats_only_the_beginning_of_a_long_question() -> None:
    metadata = result_of(FakeModelServer(), a_context(question="q" * 1000))["metadata"]

    assert metadata == {"backend_type": "ollama", "question": "q" * 200}


def report_of(server: FakeModelServer, context: StepContext | None = None) -> BenchmarkReport:
    outcome = run(StepName.ASK, server, context)
    assert isinstance(outcome, Done)
    report = BenchmarkResult.model_validate_json(outcome.result_json).report
    assert report is not None
    return report


def test_ask_reports_the_question_as_the_one_request_of_one_run() -> None:
    report = report_of(FakeModelServer())

    (measured,) = report.runs
    assert (measured.completed, measured.total_output_tokens, measured.rtt_ms) == (1, 21, 12.5)
    assert measured.ttft_ms is not None
    assert measured.e2el_ms is not None
    assert (measured.ttft_ms.median, measured.e2el_ms.median, measured.duration_s) == (100.0, 1100.0, 1.15)
    assert (report.ended_by, report.dataset.name, report.model.digest) == (
        "all_measured",
        "question",
        MODEL_FACTS.digest,
    )


@pytest.mark.parametrize(("text", "score"), [("pods", 1.0), ("nodes", 0.0)])
def test_ask_scores_the_answer_when_something_was_expected(text: str, score: float) -> None:
    (measured,) = report_of(FakeModelServer(), a_context(expected={"contains": [text]})).runs

    assert measured.quality is not None
    assert measured.quality.reliability_ratio == score


def test_ask_loses_no_answer_when_the_server_says_nothing_of_itself() -> None:
    class Silent(FakeModelServer):
        async def describe_server(self) -> ServerFacts:
            raise ServerUnreachableError("Gone.")

    report = report_of(Silent())

    assert (report.model.digest, report.server.name, report.runs[0].completed) == (None, None, 1)


@pytest.mark.parametrize("asked", [None, 4096])
def test_ask_asks_for_the_context_that_was_wished(asked: int | None) -> None:
    server = FakeModelServer()

    run(StepName.ASK, server, a_context(context_tokens=asked))

    assert [chat.context_tokens for chat in server.chats] == [asked]


@pytest.mark.parametrize(("warmup", "following"), [(True, StepName.WARM_UP), (False, StepName.MEASURE)])
def test_check_goes_on_to_the_measurement_when_there_is_a_workload(
    following: StepName, *, warmup: bool
) -> None:
    context = a_context(backend_warmup=warmup, workload={"concurrency": [1]})

    assert run(StepName.CHECK, FakeModelServer(), context) == Next(following)


@pytest.mark.parametrize("chats", [True, None])
def test_check_goes_on_when_the_model_chats_for_all_that_is_known(*, chats: bool | None) -> None:
    assert isinstance(run(StepName.CHECK, FakeModelServer(capable=Capabilities(chats=chats))), Next)


def test_check_fails_when_the_model_cannot_chat() -> None:
    with pytest.raises(ModelUnsupportedError, match="cannot chat"):
        run(StepName.CHECK, FakeModelServer(capable=Capabilities(chats=False)))
