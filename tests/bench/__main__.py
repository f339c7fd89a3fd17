"""`python -m tests.bench` (make bench): what a cold start, a request and a step cost.

Times are of this machine and not of Lambda: what carries over are the ratios, each taken within one run. A figure
here is never a test; `test_bench_runs.py` holds the counts alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench.artifacts import NotBuiltError
from tests.bench.aws_calls import Calls, count_aws_calls
from tests.bench.cold_imports import WATCHED, ColdImport, measure_cold_imports
from tests.bench.warm_requests import WarmRequest, measure_warm_requests

DEFAULT_RUNS = 9
# A warm request takes a millisecond, a cold import half a second.
WARM_RUNS_PER_RUN = 50


@dataclass(frozen=True, slots=True)
class Report:
    """All that is measured."""

    cold_imports: list[ColdImport]
    warm_requests: list[WarmRequest]
    aws_calls: list[Calls]


def measure(runs: int) -> Report:
    """Return a report; the cold imports first, while nothing else runs here."""
    return Report(
        measure_cold_imports(runs), measure_warm_requests(runs * WARM_RUNS_PER_RUN), count_aws_calls()
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
    return "\n".join([*table, "", *_align(calls)])


def _name_missing(cold: ColdImport) -> str:
    missing = [name for name in WATCHED if name not in cold.packages]
    return f"; not {', '.join(missing)}" if missing else ""


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def as_json(report: Report) -> str:
    """Return the report for programs, with the ratios."""
    return json.dumps(
        {
            "cold_imports": [
                {**asdict(cold), "ratio": cold.ratio, "ratio_without_bytecode": cold.ratio_without_bytecode}
                for cold in report.cold_imports
            ],
            "warm_requests": [{**asdict(warm), "ratio": warm.ratio} for warm in report.warm_requests],
            "aws_calls": {calls.act: calls.operations for calls in report.aws_calls},
        },
        indent=2,
    )


def main() -> int:
    """Print the report and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--runs", type=int, default=DEFAULT_RUNS, help="cold starts of each kind (%(default)s)"
    )
    chosen = parser.parse_args()
    try:
        report = measure(chosen.runs)
    except NotBuiltError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a terminal program
        return 2
    print(as_json(report) if chosen.json else tabulate(report))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
