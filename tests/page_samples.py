"""Pages of each kind, to be looked at."""

from __future__ import annotations

from random import Random

from rune.bench.comparison import compare
from rune.contracts import BenchmarkReport, Distribution, RunReport, ServerLoad
from rune.contracts.benchmarks import TurnReport
from rune.contracts.comparisons import GateCheck, Outcome
from rune.contracts.receipts import ReceiptLine
from rune.pages import comparison_page
from rune.pages.dots import DotSample, RequestDot
from rune.pages.report_page import ReportPage, to_page
from tests import measured_builders
from tests.benchmark_builders import a_report, a_slower_report
from tests.measured_builders import a_completed, a_failed, a_run

A, B, C = "a" * 32, "b" * 32, "c" * 32

BILL = tuple(
    ReceiptLine(attempt=1, phase=phase, kind="gpu", micro_usd=micro_usd)
    for phase, micro_usd in (
        ("boot", 6300),
        ("pull", 12_300),
        ("load", 500),
        ("work", 18_000),
        ("wait", 17_000),
        ("release", 2200),
    )
)


def the_pages() -> dict[str, str]:
    """Return pages by name: usual ones, crowded ones, and those with least in them."""
    rented, crowded = a_report(), a_crowded_report()
    failed = measured_builders.a_report(a_run(*(a_failed(number) for number in range(4))))
    single = measured_builders.a_report(a_run(a_completed()))
    two = [(A, a_report(A)), (B, a_slower_report(B, 1.2))]
    comparison = compare(two)
    gated = comparison.model_copy(
        update={"gate": "failed", "baseline": "main", "checks": [a_check("passed"), a_check("failed")]}
    )
    return {
        "rented": to_page(ReportPage(rented, _dots(rented, 300), has_records=True, bill=BILL)),
        "crowded": to_page(ReportPage(crowded, _dots(crowded, 2000), has_records=True, bill=BILL)),
        "failed": to_page(ReportPage(failed, _dots(failed, 4, failed_share=1), has_records=True, bill=None)),
        "single": to_page(ReportPage(single, {}, has_records=False, bill=None)),
        "compared": comparison_page.to_page(compare([*two, (C, a_slower_report(C, 0.93))])),
        "gated": comparison_page.to_page(gated),
    }


def a_crowded_report() -> BenchmarkReport:
    """Return a sweep of seven points with a long name, many warnings, and a number that is missing."""
    report = a_report()
    runs = [_crowded_run(report, index, 2**index) for index in range(7)]
    name = f"hf.co/somebody/Some-Model-70B-Instruct-GGUF:Q4_K_M-{'x' * 60}"
    return report.model_copy(
        update={
            "runs": runs,
            "best_run": 5,
            "ended_by": "throughput_flat",
            "warnings": ["eos_not_ignored", "server_parallel_exceeded", "cost_so_far"],
            "model": report.model.model_copy(update={"id": name}),
        }
    )


_REASONS: dict[Outcome, str] = {
    "passed": "The ratio is surely below its limit.",
    "failed": "The ratio is surely above its limit.",
    "undecided": "There are too few requests.",
}


def a_check(outcome: Outcome) -> GateCheck:
    """Return a limit that is kept, or not, or of which nobody knows."""
    value = {"failed": 127.0, "passed": 101.0}.get(outcome)
    return GateCheck(
        metric="ttft_ms.p95",
        limit_ratio=1.1,
        better="lower",
        unit="ms",
        job_id=B,
        load="closed",
        max_concurrency=8,
        request_rate_per_s=None,
        first_value=105.9,
        value=value,
        ratio=None if value is None else value / 105.9,
        outcome=outcome,
        reason=_REASONS[outcome],
    )


def _crowded_run(report: BenchmarkReport, index: int, concurrency: int) -> RunReport:
    run = report.runs[min(index, 2)]
    rate = min(900.0, 104.0 * concurrency)
    warnings = {
        2: ["few_waves", "prefix_cache_hits"],
        4: ["server_queued", "kv_cache_full"],
        6: ["errors", "client_overloaded", "arrivals_delayed"],
    }
    told = ServerLoad(
        source="vllm",
        reading_count=12,
        running_requests_max=concurrency,
        running_requests_mean=concurrency / 1.3,
        waiting_requests_max=index,
        waiting_requests_mean=index / 3,
        kv_cache_used_ratio_max=0.24 * min(index, 4),
        preempted_count=0,
        prefix_cache_hit_tokens=1234 * index,
        prefix_cache_hit_ratio=0.1 * index,
    )
    failed = 15 if index == 6 else 0
    assert run.cost
    return run.model_copy(
        update={
            "index": index,
            "max_concurrency": concurrency,
            "ttft_ms": _scaled(run.ttft_ms, (1 + index * index) ** 2),
            "tpot_ms": None if index == 3 else _scaled(run.tpot_ms, 1 + index * index / 3),
            "e2el_ms": _scaled(run.e2el_ms, 1 + index * index),
            "steady_output_throughput_tokens_per_s": rate,
            "completed": 48 - failed,
            "failed": failed,
            "errors_by_class": {"server_overloaded": 12, "server_timeout": 3} if failed else {},
            "warnings": warnings.get(index, []),
            "warning_evidence": {"server_queued": 4, "kv_cache_full": 0.96} if index == 4 else {},
            "server": None if index == 3 else told,
            "turns": [_turn(run, 0), _turn(run, 1)] if index in {1, 5} else None,
            "cost": run.cost.model_copy(update={"usd_per_million_output_tokens": 0.372 / 3600 / rate * 1e6}),
        }
    )


def _turn(run: RunReport, turn: int) -> TurnReport:
    return TurnReport(
        turn=turn,
        num_prompts=24,
        completed=24 - turn,
        ttft_ms=_scaled(run.ttft_ms, 1 + turn),
        tpot_ms=run.tpot_ms,
        e2el_ms=run.e2el_ms,
        input_tokens=run.input_tokens,
        output_tokens=run.output_tokens,
        cached_input_ratio=0.8 * turn,
    )


def _scaled(values: Distribution | None, ratio: float) -> Distribution | None:
    if values is None:
        return None
    fields = ("mean", "std", "min", "median", "max", "p90", "p95", "p99")
    known = {field: value * ratio for field in fields if (value := getattr(values, field)) is not None}
    return values.model_copy(update=known)


def _dots(report: BenchmarkReport, count: int, failed_share: float = 0.03) -> dict[int, DotSample]:
    random = Random(3)
    return {
        run.index: DotSample(
            tuple(_dot(run, random, number / count, failed_share) for number in range(count)), is_whole=True
        )
        for run in report.runs
    }


def _dot(run: RunReport, random: Random, share: float, failed_share: float) -> RequestDot:
    sent_s = share * run.duration_s
    kind = random.random()
    if kind < failed_share:
        return RequestDot("failed", sent_s, random.uniform(5, 200), None, None)
    ttft_ms = random.lognormvariate(0, 0.25) * (run.ttft_ms.median if run.ttft_ms else 100)
    e2el_ms = ttft_ms + random.gauss(1, 0.1) * (run.e2el_ms.median if run.e2el_ms else 1000)
    if kind > 0.99:
        return RequestDot("cut_off", sent_s, e2el_ms / 2, None, None)
    return RequestDot("completed", sent_s, e2el_ms, ttft_ms, e2el_ms)
