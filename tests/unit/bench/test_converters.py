import json
from collections.abc import Callable

import pytest

from rune.bench.converters import to_aiperf, to_vllm
from rune.bench.records import Point
from rune.contracts import BenchmarkReport, GoodputLimits
from tests.measured_builders import a_completed, a_failed, a_report, a_run


def twenty_in_a_row() -> BenchmarkReport:
    """Return a report of 20 answers of 20 tokens, one after the other, 290 ms each, and a failure."""
    records = [a_completed(n, sent_ms=290 * n) for n in range(20)]
    return a_report(a_run(*records, a_failed(20), goodput=GoodputLimits(ttft_ms=100)))


def flat(metric: str, value: float, *, percentiles: tuple[str, ...] = ("p90", "p95")) -> dict[str, float]:
    names = ("mean", "median", *percentiles)
    return {**{f"{name}_{metric}_ms": value for name in names}, f"std_{metric}_ms": 0.0}


def test_vllm_finds_its_own_names() -> None:
    assert to_vllm(twenty_in_a_row(), 0) == {
        "date": "20261123-120000",
        "endpoint_type": "ollama-chat",
        "backend": "ollama-chat",
        "model_id": "llama3.1:8b",
        "tokenizer_id": "llama3.1:8b",
        "num_prompts": 21,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 1,
        "duration": 5.8,
        "completed": 20,
        "failed": 1,
        "total_input_tokens": 1000,
        "total_output_tokens": 400,
        "request_throughput": 3.448276,
        "request_goodput": 3.448276,
        "output_throughput": 68.965517,
        "total_token_throughput": 241.37931,
        "max_output_tokens_per_s": 73.0,
        "max_concurrent_requests": 2,
        **flat("ttft", 100.0),
        **flat("tpot", 10.0),
        **flat("itl", 10.0, percentiles=("p90", "p95", "p99")),
        **flat("e2el", 290.0),
    }


def test_vllm_gets_the_rate_of_an_open_load() -> None:
    report = a_report(a_run(a_completed(), point=Point(0, 8, request_rate_per_s=2.5)))

    assert to_vllm(report, 0)["request_rate"] == 2.5


def test_aiperf_finds_its_own_names() -> None:
    def same(unit: str, value: float) -> dict[str, object]:
        spread = dict.fromkeys(("avg", "min", "max", "p50", "p90", "p95"), value)
        return {"unit": unit, **spread, "std": 0.0, "count": 20}

    assert to_aiperf(twenty_in_a_row(), 0) == {
        "request_throughput": {"unit": "requests/sec", "avg": 3.448276},
        "request_latency": same("ms", 290.0),
        "request_count": {"unit": "requests", "avg": 20},
        "error_request_count": {"unit": "requests", "avg": 1},
        "time_to_first_token": same("ms", 100.0),
        "time_to_first_output_token": same("ms", 100.0),
        "inter_token_latency": same("ms", 10.0),
        "inter_chunk_latency": {**same("ms", 10.0), "p99": 10.0, "count": 380},
        "output_token_throughput": {"unit": "tokens/sec", "avg": 68.965517},
        "total_token_throughput": {"unit": "tokens/sec", "avg": 241.37931},
        "output_token_throughput_per_user": same("tokens/sec/user", 100.0),
        "output_sequence_length": same("tokens", 20.0),
        "input_sequence_length": same("tokens", 50.0),
        "goodput": {"unit": "requests/sec", "avg": 3.448276},
        "benchmark_duration": {"unit": "sec", "avg": 5.8},
        "error_summary": [{"error_details": {"type": "server_overloaded"}, "count": 1}],
    }


def test_what_is_not_known_is_left_out() -> None:
    report = a_report(a_run(a_failed()))

    assert not [name for name in to_vllm(report, 0) if name.endswith("_ms") or name == "request_goodput"]
    assert set(to_aiperf(report, 0)) == {
        "request_throughput", "request_count", "error_request_count", "output_token_throughput",
        "total_token_throughput", "benchmark_duration", "error_summary",
    }  # fmt: skip


@pytest.mark.parametrize("convert", [to_vllm, to_aiperf])
def test_a_converted_run_is_plain_json(convert: Callable[[BenchmarkReport, int], dict[str, object]]) -> None:
    converted = convert(twenty_in_a_row(), 0)

    assert json.loads(json.dumps(converted, allow_nan=False)) == converted


@pytest.mark.parametrize("run_index", [-1, 1])
def test_a_run_that_is_not_there_is_told(run_index: int) -> None:
    with pytest.raises(IndexError):
        to_vllm(twenty_in_a_row(), run_index)
    with pytest.raises(IndexError):
        to_aiperf(twenty_in_a_row(), run_index)
