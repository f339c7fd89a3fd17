"""A benchmark without a workload: the measurement of one request."""

import gc
import json
from dataclasses import dataclass, field, replace

import pytest

from rune.bench.driver import measure_point
from rune.contracts import BenchmarkReport
from rune.errors import (
    ContextOverflowError,
    RuneError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
)
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Done, Note
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    FinishReason,
    Generation,
    Message,
    OnChunk,
    Role,
    ServerFacts,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
)
from tests.fake_model_server import GENERATION, MODEL_FACTS, FakeModelServer
from tests.unit.workflows.benchmark.sweeps import Bench, a_question, report_of, result_of

QUESTION = "What is unhealthy in this Kubernetes cluster?"


def measured(server: FakeModelServer | None = None, **overrides: object) -> Bench:
    """Return a job after its first turn, measured by the real thing."""
    bench = Bench(server or FakeModelServer(), measuring=measure_point)
    bench.commit(bench.turn(a_question(**overrides)))
    return bench


def test_question_is_asked_once_exactly_as_it_is() -> None:
    bench = measured(FakeModelServer(capable=Capabilities(ignores_eos=True)))

    assert bench.server.chats == [
        ChatRequest("llama3.1:8b", (Message(Role.USER, QUESTION),), timeout_seconds=600.0)
    ]


TIMES = [
    # asked, left, warmed up; timeout, idle timeout
    (600, 870, True, 600, 60),
    (600, 870, False, 600, 600),
    (840, 870, True, 840, 60),
    (840, 600, True, 585, 60),
    (10, 35, False, 10, 10),
]


@pytest.mark.parametrize(("asked", "left_seconds", "warmup", "timeout", "idle"), TIMES)
def test_question_has_the_time_that_was_asked_for_within_that_of_the_turn(
    asked: int, left_seconds: float, *, warmup: bool, timeout: float, idle: float
) -> None:
    bench = Bench(measuring=measure_point)

    bench.turn(a_question(timeout_seconds=asked, backend_warmup=warmup), left_seconds)

    (chat,) = bench.server.chats
    assert (chat.timeout_seconds, chat.idle_timeout_seconds, chat.first_timeout_seconds) == (
        timeout,
        idle,
        None,
    )


@pytest.mark.parametrize("asked", [None, 4096])
def test_question_is_asked_with_the_context_that_was_asked_for(asked: int | None) -> None:
    assert [chat.context_tokens for chat in measured(context_tokens=asked).server.chats] == [asked]


def test_collector_is_paused_while_the_question_is_answered() -> None:
    @dataclass
    class Watching(FakeModelServer):
        was_enabled: list[bool] = field(default_factory=list)

        async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
            self.was_enabled.append(gc.isenabled())
            return await super().chat(request, on_chunk)

    server = Watching()
    measured(server)

    assert server.was_enabled == [False]


def test_long_question_that_the_server_cuts_is_found_out() -> None:
    bench = measured(question="word " * 4000)  # the server counts 12 tokens

    report = report_of(bench.turn(a_question(question="word " * 4000)))

    assert report.runs[0].prompt_truncated_count == 1
    assert "prompt_truncated" in report.runs[0].warnings
    assert [chat.max_output_tokens for chat in bench.server.chats] == [None, 1]


def test_client_that_was_too_slow_says_so() -> None:
    bench = Bench()
    bench.measure.loop_lag_ms = 7.5

    assert "client_overloaded" in report_of(bench.run(a_question())).runs[0].warnings


def test_question_shows_how_far_its_answer_is() -> None:
    bench = measured()

    assert bench.progress == {"point": 1, "points": 1, "requests": 1, "requests_total": 1, "chunks": 3}


def test_answer_is_kept_before_the_result_is_made() -> None:
    """A worker that is lost later does not ask again."""
    bench = measured()
    (outcome,) = bench.outcomes

    lost = bench.turn(a_question(), epoch=2)
    again = bench.turn(a_question(), epoch=3, attempts=MAX_ATTEMPTS)

    assert isinstance(outcome, Again)
    (note,) = outcome.notes
    assert (note.name, note.labels["completed"]) == ("benchmark.point", "1")
    assert isinstance(note, Note)
    assert (result_of(lost).answer, result_of(again).answer) == ("Two pods crash.", "Two pods crash.")
    assert len(bench.server.chats) == 1


def test_question_needs_no_file() -> None:
    bench = Bench()

    bench.run(a_question())

    assert bench.records.files == {}


def test_result_is_what_clients_read() -> None:
    document = json.loads(result_of(Bench().run(a_question())).model_dump_json())

    document.pop("report")
    document.pop("bookkeeping")
    assert document == {
        "answer": "Two pods crash.",
        "result_type": "text",
        "artifacts": None,
        "metadata": {"backend_type": "ollama", "question": QUESTION},
        "telemetry": {
            "tokens": {"system_prompt": 0, "tool_calls": 0, "agent_reasoning": 6, "output": 15, "total": 33},
            "latency": [{"phase": "load", "ms": 900}, {"phase": "measure", "ms": 10_000}],
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
            "e2el_ms": 1100.0,
            "output_throughput_tokens_per_s": 18.26087,
            "output_tokens_per_s_per_user": 20.0,
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


def test_result_claims_nothing_when_the_answer_is_empty() -> None:
    bench = Bench()
    bench.measure.generation = replace(
        GENERATION,
        text="",
        finish_reason=FinishReason.OTHER,
        tokens=TokenCounts(None, 0, None, None, TokenCountSource.CHUNKS),
        stamps=Stamps(0, 1, 2, None, None, None, 3),
        chunk_arrivals_ns=(),
        server_timings=ServerTimings(),
    )

    result = result_of(bench.run(a_question()))

    assert result.measurements is not None
    numbers = result.measurements.model_dump(exclude_none=True)
    assert (result.answer, numbers) == (
        "",
        {
            "output_throughput_tokens_per_s": 0.0,
            "output_tokens": 0,
            "token_count_source": "chunks",
            "finish_reason": "other",
            "server_side": {},
        },
    )
    assert result.telemetry.tokens.total == 0


def test_result_repeats_only_the_beginning_of_a_long_question() -> None:
    result = result_of(Bench().run(a_question(question="q" * 1000)))

    assert result.metadata == {"backend_type": "ollama", "question": "q" * 200}


def report(**overrides: object) -> BenchmarkReport:
    return report_of(Bench().run(a_question(**overrides)))


def test_report_has_one_run_of_one_request() -> None:
    whole = report()

    (run,) = whole.runs
    assert (run.completed, run.num_warmups, run.total_output_tokens, run.rtt_ms) == (1, 0, 21, 1.5)
    assert (run.loop_lag_p99_ms, run.warnings) == (0.5, ["few_samples", "prefix_cache_hits", "few_pieces"])
    assert run.ttft_ms is not None
    assert run.e2el_ms is not None
    assert (run.ttft_ms.median, run.e2el_ms.median) == (100.0, 1100.0)
    assert (whole.ended_by, whole.model.digest) == ("all_measured", MODEL_FACTS.digest)
    dataset = (whole.dataset.name, whole.dataset.prompt_count, whole.dataset.prefix_cache, whole.dataset.seed)
    assert dataset == ("question", 1, "shared", 0)
    assert (whole.sampling.ignore_eos, whole.sampling.max_tokens, whole.warnings) == (False, None, [])


@pytest.mark.parametrize(("text", "score"), [("pods", 1.0), ("nodes", 0.0)])
def test_report_scores_the_answer_when_something_was_expected(text: str, score: float) -> None:
    bench = measured(expected={"contains": [text]})

    (run,) = report_of(bench.turn(a_question(expected={"contains": [text]}))).runs

    assert run.quality is not None
    assert run.quality.reliability_ratio == score


def test_answer_is_not_lost_when_the_server_says_nothing_of_itself() -> None:
    class Silent(FakeModelServer):
        async def describe_server(self) -> ServerFacts:
            raise ServerFailedError("500.")

    whole = report_of(Bench(Silent()).run(a_question()))

    assert (whole.model.digest, whole.server.name, whole.runs[0].completed) == (None, None, 1)


@pytest.mark.parametrize(
    "error",
    [
        ServerOverloadedError("Full: come back in a minute.", retry_after_seconds=60),
        ContextOverflowError("The question has 9000 tokens."),
        ServerTimeoutError("The server was silent for 60 seconds."),
    ],
    ids=lambda error: error.code,
)
def test_question_fails_with_the_servers_own_error(error: RuneError) -> None:
    class Failing(FakeModelServer):
        async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
            raise error

    with pytest.raises(type(error)) as raised:
        measured(Failing())

    assert raised.value is error


def test_question_is_not_asked_when_the_server_cannot_be_reached() -> None:
    server = FakeModelServer(error=ServerUnreachableError("Refused."))

    with pytest.raises(ServerUnreachableError, match="Refused"):
        measured(server)


def test_question_without_an_answer_in_the_turns_time_is_a_timeout() -> None:
    bench = Bench()
    bench.measure.cuts_off = True

    with pytest.raises(ServerTimeoutError, match="ended within its time"):
        bench.turn(a_question())


def test_job_ends_after_two_turns() -> None:
    bench = measured()

    assert isinstance(bench.turn(a_question()), Done)
