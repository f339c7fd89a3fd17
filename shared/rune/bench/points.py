"""Points that several benchmarks have measured, and their numbers there."""

from collections.abc import Mapping, Sequence
from typing import Literal

from rune.bench.metrics import Estimate, Metric
from rune.contracts import BenchmarkReport, RunReport

type PointKey = tuple[Literal["closed", "open"], int, float | None]
"""Kind of load, most requests under way, and requests per second of an open load."""


SUITE: PointKey = ("closed", 1, None)
"""What a suite of cases is measured at: one investigation at a time."""


def key_of(run: RunReport) -> PointKey:
    """Return which point a run has measured."""
    return run.load, run.max_concurrency, run.request_rate_per_s


def runs_by_point(report: BenchmarkReport) -> Mapping[PointKey, RunReport]:
    """Return a report's runs by their points.

    Of a point that a search has measured more than once, the run with the most answers, the first of equals.
    """
    rising = sorted(report.runs, key=lambda run: (run.completed, -run.index))
    fullest = {key_of(run): run for run in rising}
    return {key_of(run): fullest[key_of(run)] for run in report.runs}


def common_points(reports: Sequence[BenchmarkReport]) -> list[PointKey]:
    """Return the points of the first benchmark that another one has too, in its order."""
    if not reports:
        return []
    first = reports[0]
    others = {key for report in reports[1:] if is_alike(first, report) for key in _keys_of(report)}
    return [key for key in _keys_of(first) if key in others]


def measured_points(reports: Sequence[BenchmarkReport]) -> list[PointKey]:
    """Return the points that any of the benchmarks has: those of the first, then those that only others have."""
    return list(dict.fromkeys(key for report in reports for key in _keys_of(report)))


def is_alike(first: BenchmarkReport, other: BenchmarkReport) -> bool:
    """Return whether both are of loads, or both of suites of cases."""
    return (first.diagnosis is None) is (other.diagnosis is None)


def estimate_at(key: PointKey, metric: Metric, report: BenchmarkReport) -> Estimate | None:
    """Return a number of a report at a point; None where it has no such point or number."""
    if metric.read_suite is not None:
        diagnosis = report.diagnosis if key == SUITE else None
        return None if diagnosis is None else metric.read_suite(diagnosis)
    run = runs_by_point(report).get(key)
    return None if run is None else metric.read(report, run)


def _keys_of(report: BenchmarkReport) -> list[PointKey]:
    return [SUITE] if report.diagnosis is not None else list(runs_by_point(report))
