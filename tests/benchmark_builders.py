"""Builders of finished benchmarks.

`python -m tests.benchmark_builders` writes the examples of the API's document again, from its example report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rune.bench.comparison import compare
from rune.bench.converters import to_aiperf, to_vllm
from rune.bench.markdown import to_markdown
from rune.contracts import BenchmarkReport, Distribution, RunReport, StoredBenchmarkResult
from tests.builders import JOB_ID

EXAMPLES = Path(__file__).parents[1] / "functions" / "api" / "examples"

_REPORT = json.loads((EXAMPLES / "report.json").read_text())


def a_report(job_id: str = JOB_ID, **overrides: object) -> BenchmarkReport:
    """Return the report of the API's documentation: a rented machine at three points."""
    report = BenchmarkReport.model_validate_json(json.dumps(_REPORT))
    return report.model_copy(update={"benchmark_id": job_id, "name": None, **overrides})


def a_slower_report(job_id: str, ratio: float) -> BenchmarkReport:
    """Return a report whose requests took `ratio` times as long."""
    report = a_report(job_id)
    return report.model_copy(update={"runs": [_slowed(run, ratio) for run in report.runs]})


def a_result_json(report: BenchmarkReport | None, record_keys: Sequence[str] = ()) -> str:
    """Return a stored result of a benchmark."""
    result = {
        "answer": "A readiness probe fails.",
        "metadata": {"backend_type": "ollama"},
        "telemetry": {
            "tokens": {"system_prompt": 0, "tool_calls": 0, "agent_reasoning": 0, "output": 9, "total": 17},
            "latency": [{"phase": "load", "ms": 1541}],
            "cost_estimate_usd": None,
        },
        "model_name": "llama3.1:8b",
        "backend_url": "http://127.0.0.1:11434",
        "measurements": {
            "ttft_ms": 98.1,
            "ttfo_ms": 98.1,
            "tpot_ms": 25.0,
            "output_throughput_tokens_per_s": 29.2,
            "output_tokens_per_s_per_user": 40.0,
            "e2el_ms": 308.0,
            "input_tokens": 8,
            "output_tokens": 9,
            "cached_tokens": None,
            "reasoning_tokens": None,
            "token_count_source": "usage",
            "finish_reason": "stop",
            "server_side": {
                "total_ms": None,
                "load_ms": None,
                "prompt_eval_ms": None,
                "eval_ms": None,
                "prompt_tokens_per_s": None,
                "output_tokens_per_s": None,
            },
        },
        "bookkeeping": {"record_keys": record_keys},
        "report": None if report is None else report.model_dump(mode="json"),
    }
    return StoredBenchmarkResult.model_validate_json(json.dumps(result)).model_dump_json()


def the_examples() -> dict[str, str]:
    """Return the examples that follow from the report, by file name."""
    report = a_report()
    shorter = [(job_id, each.model_copy(update={"runs": each.runs[2:]})) for job_id, each in _two()]
    comparison = compare(shorter)
    return {
        "vllm.json": _pretty(to_vllm(report, 2)),
        "aiperf.json": _pretty(to_aiperf(report, 2)),
        "comparison.json": _pretty(comparison.model_dump(mode="json")),
        "comparison.md": to_markdown(comparison),
    }


def _two() -> list[tuple[str, BenchmarkReport]]:
    return [(JOB_ID, a_report()), ("b" * 32, a_slower_report("b" * 32, 1.2))]


def _pretty(document: object) -> str:
    return json.dumps(document, indent=1) + "\n"


def _slowed(run: RunReport, ratio: float) -> RunReport:
    slower = {
        name: _scaled(each, ratio)
        for name in ("ttft_ms", "ttfo_ms", "tpot_ms", "itl_ms", "e2el_ms")
        if (each := getattr(run, name)) is not None
    }
    rarer = {
        name: _scaled(each, 1 / ratio)
        for name in (
            "output_throughput_windows_tokens_per_s",
            "steady_output_throughput_windows_tokens_per_s",
            "output_tokens_per_s_per_user",
        )
        if (each := getattr(run, name)) is not None
    }
    throughputs = {
        name: round(getattr(run, name) / ratio, 6)
        for name in (
            "request_throughput_per_s",
            "output_throughput_tokens_per_s",
            "total_throughput_tokens_per_s",
            "steady_output_throughput_tokens_per_s",
            "goodput_requests_per_s",
        )
    }
    scaled = {**slower, **rarer, **throughputs, "duration_s": run.duration_s * ratio}
    return run.model_copy(update=scaled)


def _scaled(values: Distribution, ratio: float) -> Distribution:
    fields = ("mean", "std", "min", "median", "max", "p90", "p95", "p99")
    known = {name: getattr(values, name) for name in fields}
    scaled: dict[str, object] = {name: _times(value, ratio) for name, value in known.items()}
    if values.standard_errors is not None:
        errors = {name: _times(value, ratio) for name, value in values.standard_errors}
        scaled["standard_errors"] = values.standard_errors.model_copy(update=errors)
    return values.model_copy(update=scaled)


def _times(value: float | None, ratio: float) -> float | None:
    return None if value is None else round(value * ratio, 6)


if __name__ == "__main__":
    for file, text in the_examples().items():
        (EXAMPLES / file).write_text(text)
