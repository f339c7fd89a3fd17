"""A run in the forms of other tools, so that what reads those reads RUNE.

Pure renames of what is known: a key whose number is not known, as a percentile of too few values, is left out.
Where tools define a number otherwise, the name says what it stands for there, and the docstrings say what differs.
"""

from collections.abc import Mapping

from rune.contracts import BenchmarkReport, Distribution, RunReport


def to_vllm(report: BenchmarkReport, run_index: int) -> dict[str, object]:
    """Return a run as `vllm bench serve --save-result` writes it: one flat object.

    Raises IndexError for a run that is not there. Differences: standard deviations are those of a sample (vLLM
    divides by n); TTFT waits for content; `max_output_tokens_per_s` counts tokens where vLLM counts chunks;
    `max_concurrent_requests` is the most at one instant where vLLM takes whole seconds; `duration` and the
    throughputs have the same formulas. `tokenizer_id` is the model, since the server counts.
    """
    run = _find(report, run_index)
    flat: dict[str, object | None] = {
        "date": run.started_at.strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": report.endpoint_type,
        "backend": report.endpoint_type,
        "model_id": report.model.id,
        "tokenizer_id": report.model.id,
        "num_prompts": run.num_prompts,
        "request_rate": "inf" if run.request_rate_per_s is None else run.request_rate_per_s,
        "burstiness": 1.0,
        "max_concurrency": run.max_concurrency,
        "duration": run.duration_s,
        "completed": run.completed,
        "failed": run.failed,
        "total_input_tokens": run.total_input_tokens,
        "total_output_tokens": run.total_output_tokens,
        "request_throughput": run.request_throughput_per_s,
        "request_goodput": run.goodput_requests_per_s,
        "output_throughput": run.output_throughput_tokens_per_s,
        "total_token_throughput": run.total_throughput_tokens_per_s,
        "max_output_tokens_per_s": run.max_output_tokens_per_s,
        "max_concurrent_requests": run.max_concurrent_requests,
    }
    latencies = {"ttft": run.ttft_ms, "tpot": run.tpot_ms, "itl": run.itl_ms, "e2el": run.e2el_ms}
    for metric, values in latencies.items():
        if values is not None:
            flat |= {
                f"mean_{metric}_ms": values.mean,
                f"median_{metric}_ms": values.median,
                f"std_{metric}_ms": values.std,
                f"p90_{metric}_ms": values.p90,
                f"p95_{metric}_ms": values.p95,
                f"p99_{metric}_ms": values.p99,
            }
    return _known(flat)


def to_aiperf(report: BenchmarkReport, run_index: int) -> dict[str, object]:
    """Return a run as aiperf's `profile_export_aiperf.json` has it: an object for each metric.

    Raises IndexError for a run that is not there. aiperf's `inter_token_latency` is RUNE's TPOT, and its
    `inter_chunk_latency` RUNE's ITL. As there, a number that is one for the whole run has `avg` alone.
    """
    run = _find(report, run_index)
    metrics = {
        "request_throughput": _single("requests/sec", run.request_throughput_per_s),
        "request_latency": _spread("ms", run.e2el_ms),
        "request_count": _single("requests", run.completed),
        "error_request_count": _single("requests", run.failed),
        "time_to_first_token": _spread("ms", run.ttft_ms),
        "time_to_first_output_token": _spread("ms", run.ttfo_ms),
        "inter_token_latency": _spread("ms", run.tpot_ms),
        "inter_chunk_latency": _spread("ms", run.itl_ms),
        "output_token_throughput": _single("tokens/sec", run.output_throughput_tokens_per_s),
        "total_token_throughput": _single("tokens/sec", run.total_throughput_tokens_per_s),
        "output_token_throughput_per_user": _spread("tokens/sec/user", run.output_tokens_per_s_per_user),
        "output_sequence_length": _spread("tokens", run.output_tokens),
        "input_sequence_length": _spread("tokens", run.input_tokens),
        "goodput": _single("requests/sec", run.goodput_requests_per_s),
        "benchmark_duration": _single("sec", run.duration_s),
    }
    errors = [
        {"error_details": {"type": code}, "count": count} for code, count in run.errors_by_class.items()
    ]
    return {**_known(metrics), "error_summary": errors}


def _find(report: BenchmarkReport, run_index: int) -> RunReport:
    for run in report.runs:
        if run.index == run_index:
            return run
    raise IndexError(f"There is no run {run_index}.")


def _single(unit: str, value: float | None) -> dict[str, object] | None:
    return None if value is None else {"unit": unit, "avg": value}


def _spread(unit: str, values: Distribution | None) -> dict[str, object] | None:
    if values is None:
        return None
    return _known(
        {
            "unit": unit,
            "avg": values.mean,
            "min": values.min,
            "max": values.max,
            "p50": values.median,
            "p90": values.p90,
            "p95": values.p95,
            "p99": values.p99,
            "std": values.std,
            "count": values.count,
        }
    )


def _known(values: Mapping[str, object | None]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
