"""`python -m tests.bench` (make bench): what a cold start, a request, a step and a job cost.

Times are of this machine and not of Lambda: what carries over are the ratios, each taken within one run. A figure
here is never a test; `test_bench_runs.py` holds the counts alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from tests.bench.artifacts import NotBuiltError
from tests.bench.aws_calls import Calls, count_aws_calls
from tests.bench.client_starts import ClientStart, measure_client_starts
from tests.bench.cold_imports import WATCHED, ColdImport, measure_cold_imports
from tests.bench.cold_starts import ColdStart, Pairs, measure_cold_starts
from tests.bench.engine_costs import WAITING_COUNTS, Cost, measure_engine_costs
from tests.bench.own_costs import measure_own_costs, show_own_costs
from tests.bench.warm_requests import WarmRequest, measure_warm_requests

DEFAULT_RUNS = 9
DEFAULT_PAIRS = 25
# A warm request takes a millisecond, a cold import half a second.
WARM_RUNS_PER_RUN = 50


@dataclass(frozen=True, slots=True)
class Report:
    """All that is measured."""

    cold_starts: list[ColdStart]
    cold_imports: list[ColdImport]
    warm_requests: list[WarmRequest]
    aws_calls: list[Calls]
    costs: list[Cost]
    client_starts: list[ClientStart]


def measure(
    runs: int, pairs: int, before: Path | None = None, waiting_counts: Sequence[int] = WAITING_COUNTS
) -> Report:
    """Return a report; what is cold first, while nothing else runs here."""
    return Report(
        measure_cold_starts(pairs, before),
        measure_cold_imports(runs),
        measure_warm_requests(runs * WARM_RUNS_PER_RUN),
        count_aws_calls(),
        measure_engine_costs(waiting_counts),
        measure_client_starts(runs),
    )


def tabulate(report: Report) -> str:
    """Return the report as a table for people."""
    rows = [("cold import", "median", "x python -c pass", "without bytecode", "imports")]
    rows += [
        (
            cold.function,
            f"{cold.import_ms:.0f} ms",
            f"{cold.ratio:.1f}",
            f"{cold.ratio_without_bytecode:.1f}",
            ", ".join(cold.packages) + _name_missing(cold),
        )
        for cold in report.cold_imports
    ]
    rows += [("", "", "", "", ""), ("warm request", "without AWS", "x empty app", "with AWS's clients", "")]
    rows += [
        (
            warm.request,
            f"{warm.without_aws_ms:.3f} ms",
            f"{warm.ratio:.2f}",
            f"{warm.request_ms:.2f} ms",
            "",
        )
        for warm in report.warm_requests
    ]
    table = _align(rows)
    calls = [("AWS calls", "count", "in order")]
    calls += [
        (act.act, str(len(act.operations)), ", ".join(act.operations) or "-") for act in report.aws_calls
    ]
    return "\n".join(
        [
            *_align(_cold_start_rows(report.cold_starts)),
            "",
            *table,
            "",
            *_align(calls),
            "",
            *_align(_cost_rows(report.costs)),
            "",
            *_align(_client_rows(report.client_starts)),
        ]
    )


def _client_rows(starts: Sequence[ClientStart]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("command line", "shortest", "x bare click", "x bare Typer")]
    rows += [
        (start.program, f"{start.ms:.0f} ms", f"{start.click_ratio:.2f}", f"{start.typer_ratio:.2f}")
        for start in starts
    ]
    return rows


def _cost_rows(costs: Sequence[Cost]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            *("cost of the engine", "waiting", "tenants", "calls", "write units", "of indexes", "read units"),
            *("messages", "SQS requests", "S3 puts", "S3 gets", "bus", "USD per million"),
        )
    ]
    for cost in costs:
        used = cost.usage
        counts = (used.calls, used.write_units, used.index_units, used.read_units, used.messages)
        rest = (used.sqs_requests, used.s3_puts, used.s3_gets, used.bus_events)
        beside = (str(cost.waiting), str(cost.tenants)) if cost.waiting else ("", "")
        rows.append((cost.act, *beside, *map(str, (*counts, *rest)), f"{used.usd * 1_000_000:.1f}"))
    return rows


def _cold_start_rows(starts: Sequence[ColdStart]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("cold start", "until", "processor", "x empty function", "empty", "pairs")]
    rows += [_cold_start_row(start, start.beside_empty) for start in starts]
    befores = [(start, start.beside_before) for start in starts if start.beside_before is not None]
    if befores:
        rows += [
            ("",) * 6,
            ("cold start", "until", "processor", "x other build", "other build", "pairs", "saved"),
        ]
        rows += [(*_cold_start_row(start, pairs), f"{pairs.saved_ms:.0f} ms") for start, pairs in befores]
    return rows


def _cold_start_row(start: ColdStart, pairs: Pairs) -> tuple[str, ...]:
    return (
        start.function,
        start.until,
        f"{pairs.built_ms:.0f} ms",
        f"{pairs.ratio:.2f}",
        f"{pairs.other_ms:.0f} ms",
        str(pairs.count),
    )


def _name_missing(cold: ColdImport) -> str:
    missing = [name for name in WATCHED if name not in cold.packages]
    return f"; not {', '.join(missing)}" if missing else ""


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def as_json(report: Report) -> str:
    """Return the report for programs, with the ratios."""
    return json.dumps(
        {
            "cold_starts": [asdict(start) for start in report.cold_starts],
            "cold_imports": [
                {**asdict(cold), "ratio": cold.ratio, "ratio_without_bytecode": cold.ratio_without_bytecode}
                for cold in report.cold_imports
            ],
            "warm_requests": [{**asdict(warm), "ratio": warm.ratio} for warm in report.warm_requests],
            "aws_calls": {calls.act: calls.operations for calls in report.aws_calls},
            "client_starts": [asdict(start) for start in report.client_starts],
            "costs": [{**asdict(cost), "usd": cost.usage.usd} for cost in report.costs],
        },
        indent=2,
        default=float,  # of Decimal
    )


def main() -> int:
    """Print the report and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--runs", type=int, default=DEFAULT_RUNS, help="cold starts of each kind (%(default)s)"
    )
    parser.add_argument(
        "--pairs", type=int, default=DEFAULT_PAIRS, help="pairs of cold starts of each kind (%(default)s)"
    )
    parser.add_argument(
        "--before", type=Path, metavar="BUILD", help=".aws-sam/build of another commit, to measure in turn"
    )
    parser.add_argument(
        "--waiting",
        type=int,
        nargs="+",
        default=WAITING_COUNTS,
        metavar="JOBS",
        help="waiting jobs beside which the engine's cost is counted (%(default)s)",
    )
    parser.add_argument("--costs", action="store_true", help="count the engine's cost alone; needs no build")
    parser.add_argument(
        "--client", action="store_true", help="time the command line's starts alone; needs no build"
    )
    chosen = parser.parse_args()
    if chosen.client:
        print("\n".join(_align(_client_rows(measure_client_starts(chosen.runs)))))  # noqa: T201
        return 0
    if chosen.costs:
        print("\n".join(_align(show_own_costs(measure_own_costs()))))  # noqa: T201
        print("\n".join(["", *_align(_cost_rows(measure_engine_costs(chosen.waiting)))]))  # noqa: T201
        return 0
    try:
        report = measure(chosen.runs, chosen.pairs, chosen.before, chosen.waiting)
    except NotBuiltError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a terminal program
        return 2
    print(as_json(report) if chosen.json else tabulate(report))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
