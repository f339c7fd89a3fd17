"""What makes other benchmarks lie, each of it played by a server, and what RUNE says instead."""

import gc
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from local.simulators.scripted import Script
from rune.bench.prompts import make_prompts
from rune.bench.records import Point
from rune.bench.tasks import Task
from rune.contracts.workloads import GoodputLimits, Workload
from tests.functional.bench.serving import Served
from tests.functional.bench.truth import TASK, Trial, learn, measure

KINDS = ("openai", "ollama")
LONG = "".join(f"Line {number} of a long document that was not made up. " for number in range(400))


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each point the collection of what pytest has in memory, which takes longer than the point."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


type Sees = Callable[[Trial], object]


def error_codes(trial: Trial) -> dict[str, int]:
    return trial.report.errors_by_class


def least_ttft_ms(trial: Trial) -> float:
    assert trial.report.ttft_ms is not None
    return trial.report.ttft_ms.min


def first_chunks_ms(trial: Trial) -> list[float]:
    stamps = [record.generation.stamps for record in trial.records if record.generation]
    return [(stamp.first_chunk_ns - stamp.sent_ns) / 1e6 for stamp in stamps]


# name: script, what is looked at, what it must be. All four requests play the same script.
ANSWERS: dict[str, tuple[Script, Sees, object]] = {
    "an empty first chunk is no first token": (
        Script(empty_ms=1.0, ttft_ms=80.0),
        lambda trial: (least_ttft_ms(trial) >= 79, max(first_chunks_ms(trial)) < 79),
        (True, True),
    ),
    "reasoning is a first token, but no visible one": (
        Script(ttft_ms=20.0, gap_ms=20.0, reasoning_chunks=4),
        lambda trial: trial.report.ttfo_ms and trial.report.ttfo_ms.min >= least_ttft_ms(trial) + 60,
        True,
    ),
    "chunks of several tokens are not tokens": (
        Script(output_tokens=20, tokens_per_chunk=2.5),
        lambda trial: (trial.report.total_output_tokens, trial.report.mean_tokens_per_chunk),
        (80, 2.5),
    ),
    "chunks of half a token are not tokens": (
        Script(output_tokens=5, tokens_per_chunk=0.5),
        lambda trial: (trial.report.total_output_tokens, trial.report.mean_tokens_per_chunk),
        (20, 0.5),
    ),
    "missing usage is an estimate and is called one": (
        Script(has_usage=False, output_tokens=10, tokens_per_chunk=2.0),
        lambda trial: (trial.report.token_count_source, trial.report.total_output_tokens),
        ("chunks", 20),
    ),
    "an error within the stream is a failure, whatever follows it": (
        Script(ending="error", chunks_before_ending=3),
        lambda trial: (error_codes(trial), trial.report.completed, trial.report.ttft_ms),
        ({"stream_failed": 4}, 0, None),
    ),
    "a stream without its end is a failure": (
        Script(ending="no_marker", chunks_before_ending=3),
        error_codes,
        {"stream_truncated": 4},
    ),
    "a stream that breaks off is a failure": (
        Script(ending="cut", chunks_before_ending=3),
        error_codes,
        {"stream_truncated": 4},
    ),
    "a refusal is fast and is no TTFT": (
        Script(status=503),
        lambda trial: (error_codes(trial), trial.report.ttft_ms, trial.report.output_throughput_tokens_per_s),
        ({"server_overloaded": 4}, None, 0.0),
    ),
    "a buffered stream is found out": (
        Script(is_buffered=True),
        lambda trial: (trial.report.stream_buffered_count, "stream_buffered" in trial.report.warnings),
        (4, True),
    ),
    "a stream of chunks in pairs is not called buffered": (
        Script(chunks_per_segment=2, output_tokens=16),
        lambda trial: trial.report.stream_buffered_count,
        0,
    ),
    "a short answer that comes at once is found out too": (
        Script(is_buffered=True, output_tokens=5),
        lambda trial: (trial.report.stream_buffered_count, trial.report.tpot_ms),
        (4, None),
    ),
    "a stream that is let go twenty tokens at a time is found out": (
        Script(output_tokens=60, chunks_per_segment=20),
        lambda trial: trial.report.stream_buffered_count,
        4,
    ),
    "an answer in one piece has no time per token": (
        Script(output_tokens=50, tokens_per_chunk=50.0),
        lambda trial: (trial.report.tpot_ms, trial.report.good_ratio, "few_pieces" in trial.report.warnings),
        (None, None, True),
    ),
    "tokens that are counted and not sent have no time": (
        Script(output_tokens=20, hidden_tokens=400),
        lambda trial: (trial.report.tpot_ms, "reasoning_hidden" in trial.report.warnings),
        (None, True),
    ),
    "pieces of ten tokens without usage are not ten tokens": (
        Script(has_usage=False, output_tokens=100, tokens_per_chunk=10.0),
        lambda trial: (trial.report.token_count_source, trial.report.total_output_tokens),
        ("characters", pytest.approx(400, rel=0.05)),
    ),
    "what a model thinks aloud is no visible answer": (
        Script(ttft_ms=20.0, gap_ms=20.0, output_tokens=8, thinking_chunks=4),
        lambda trial: (
            trial.report.ttfo_ms and trial.report.ttfo_ms.min >= least_ttft_ms(trial) + 70,
            {record.generation.text for record in trial.records if record.generation},
        ),
        (True, {"w4 w5 w6 w7"}),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ANSWERS)
def test_trap_is_caught(kind: str, name: str) -> None:
    script, see, expected = ANSWERS[name]

    assert see(measure(kind, Served(script), goodput=GoodputLimits(tpot_ms=1000.0))) == expected


def test_role_without_content_is_no_first_token() -> None:
    trial = measure("openai", Served(Script(role_ms=1.0, ttft_ms=80.0)))

    assert least_ttft_ms(trial) >= 79
    assert max(first_chunks_ms(trial)) < 79


def test_cached_tokens_are_told_when_the_server_tells_them() -> None:
    trial = measure("openai", Served(Script(cached_tokens=3)))

    assert trial.report.total_cached_tokens == 12


@pytest.mark.parametrize("kind", KINDS)
def test_silent_server_is_a_failure_in_time(kind: str) -> None:
    served = Served(Script(ending="hang", chunks_before_ending=2))

    trial = measure(kind, served, replace(TASK, idle_timeout_seconds=0.1, warmup_count=0))

    assert error_codes(trial) == {"server_timeout": 4}
    assert all(exchange.is_aborted for exchange in trial.exchanges)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("script", "errors"),
    [
        pytest.param(Script(ttft_ms=400.0), {}, id="queue"),
        pytest.param(Script(ending="hang", chunks_before_ending=2), {"server_timeout": 4}, id="hang"),
    ],
)
def test_waiting_in_the_queue_of_a_server_is_no_failure(
    kind: str, script: Script, errors: dict[str, int]
) -> None:
    task = replace(TASK, first_timeout_seconds=5.0, idle_timeout_seconds=0.15, warmup_count=0)

    trial = measure(kind, Served(script), task)

    assert error_codes(trial) == errors
    assert trial.report.cut_off == 0


@pytest.mark.parametrize("kind", KINDS)
def test_silent_server_is_left_when_the_time_is_over(kind: str) -> None:
    served = Served(Script(ending="hang", chunks_before_ending=2))

    trial = measure(kind, served, replace(TASK, warmup_count=0), time_limit_seconds=0.8)

    assert [record.status for record in trial.records] == ["cut_off", "cut_off"]
    assert [exchange.is_aborted for exchange in trial.exchanges] == [True, True]
    assert (trial.report.cut_off, trial.report.failed, trial.report.ttft_ms) == (2, 0, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("context_tokens", "truncated_count"), [(None, 0), (2048, 1)])
def test_prompt_that_the_server_cuts_without_a_word_is_found_out(
    kind: str, context_tokens: int | None, truncated_count: int
) -> None:
    served = Served(context_tokens=context_tokens)  # the long prompt has about 5,000 tokens

    trial = measure(kind, served, replace(TASK, prompts=(LONG, "Why?")))

    assert trial.report.prompt_truncated_count == truncated_count
    assert trial.report.num_warmups == 2


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_prompts_share_a_beginning_that_a_cache_could_know(kind: str) -> None:
    task = replace(TASK, prompts=(LONG, "Why?"), repetitions=8, warmup_count=4)

    served = Served(Script(ttft_ms=1.0, output_tokens=1))

    trials = [measure(kind, served, replace(task, nonce_seed=seed)) for seed in (1, 2)]

    beginnings = [exchange.prompt[:11] for trial in trials for exchange in trial.all_exchanges]
    assert len(set(beginnings)) == len(beginnings) == 2 * (16 + 4)


def test_two_runs_of_one_workload_share_no_numbers() -> None:
    first, second = (
        Task(TASK.model, TASK.prompts, 1, 2, None, None, False, None, True, seed=0) for _ in range(2)
    )

    assert first.numbered("Why?", 0, 0) != second.numbered("Why?", 0, 0)


def test_slow_client_says_so_itself() -> None:
    def be_slow(_ended: int, _chunks: int) -> None:
        time.sleep(0.01)

    trial = measure("openai", Served(Script(output_tokens=20)), on_progress=be_slow)

    assert trial.measured.loop_lag_p99_ms is not None
    assert trial.measured.loop_lag_p99_ms > 5
    assert "client_overloaded" in trial.report.warnings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warmup_count", [0, 3])
def test_no_connection_is_made_once_requests_are_measured(kind: str, warmup_count: int) -> None:
    task = replace(TASK, repetitions=4, warmup_count=warmup_count)

    trial = measure(kind, Served(), task, Point(0, 8))

    assert len(trial.exchanges) == 16
    first_ns = trial.exchanges[0].received_ns
    assert all(exchange.connected_ns < first_ns for exchange in trial.exchanges)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("input_tokens", [100, 4000])
def test_synthetic_prompts_have_the_tokens_that_were_asked_for(kind: str, input_tokens: int) -> None:
    workload = Workload(prompt_set="synthetic", input_tokens=input_tokens)
    tokens_per_word = learn(kind, Served(), TASK)
    task = replace(TASK, prompts=make_prompts("", workload, tokens_per_word=tokens_per_word))

    report = measure(kind, Served(), task, Point(0, 8)).report

    assert report.input_tokens is not None
    in_prompt = report.input_tokens.mean - 10  # which the server puts around each
    assert in_prompt == pytest.approx(input_tokens, rel=0.05)
