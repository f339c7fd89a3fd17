"""Benchmarks side by side: what differs, and whether the spread swallows it.

A difference counts when it is sure (`rune.bench.verdicts`) and at least a given share of the first value. The
confidence says how certain the difference is, and the share whether it matters. With thousands of values any
difference is certain, and with five any is large, so both are needed. Where neither a difference nor its absence is
sure, the verdict is `undecided`, with the number of requests that would decide.

What stands for one independent value decides how honest that is:

- A request is one at most: its TTFT, TPOT, end-to-end latency and speed are one value each. Requests that wait in
  one queue are late together, so they count as `Distribution.independent_count` says.
- Quantiles have the standard errors that a bootstrap over the requests gave them (`rune.bench.bootstrap`), and as
  many values as their requests are worth. They need two values beyond them.
- The gaps within one answer are not independent, and there are thousands: as single values they would make anything
  sure. The mean gap of a request is its TPOT times its tokens a chunk, so ITL is given TPOT's relative spread over
  requests. Its distribution over single gaps stays in the report.
- Of throughput there is one a run, and its spread is that of ten equal windows; never more than there are requests,
  and of a closed load never less sure than the requests' own times let it be (windows may fall on answers).
  Windows of the steady state have neither ramp nor drain in them, which differ from run to run.
- Ratios (failed, completed, good, passed requests) are means of zeros and ones. Of these and of scores the share is
  in points: 5 % of a ratio of failures near 0 would be nothing.
- Cost per token is the price, which is known exactly, over steady throughput: it has its relative spread.
- Requests per second are one number without spread, so they are shown and not judged.
- Of a suite of cases each case is one value, since its runs are alike. Shares whose own intervals overlap are not
  told apart, however sure the test is of their difference.
"""

import math
from collections.abc import Iterator, Sequence

from rune.bench.comparability import notes_of
from rune.bench.metrics import METRICS, Estimate, Metric
from rune.bench.points import PointKey, common_points, estimate_at, measured_points
from rune.bench.rounding import DECIMALS, rounded
from rune.bench.verdicts import CONFIDENCE, Pair, Sureness, judge, sureness_of
from rune.contracts import (
    BenchmarkReport,
    ComparedJob,
    ComparedMetric,
    ComparedPoint,
    ComparedValue,
    Comparison,
)

type _Row = tuple[Metric, Sequence[Estimate | None]]
"""A number, in each benchmark."""


def compare(
    benchmarks: Sequence[tuple[str, BenchmarkReport]],
    *,
    threshold_ratio: float = 0.05,
    baseline: str | None = None,
) -> Comparison:
    """Return the benchmarks held against the first of them.

    Parameters
    ----------
    benchmarks
        Job ids with their reports.
    threshold_ratio
        Differences below this share of the first value are none, however sure they are.
    baseline
        Name under which the first one is kept.
    """
    reports = [report for _, report in benchmarks]
    job_ids = [job_id for job_id, _ in benchmarks]
    points = common_points(reports)
    rows = {key: _rows_at(key, reports) for key in points}
    sureness = [
        sureness_of(
            Pair(metric, estimates[0], estimates[position])
            for at_point in rows.values()
            for metric, estimates in at_point
        )
        for position in range(1, len(benchmarks))
    ]
    return Comparison(
        jobs=[_job(job_id, report) for job_id, report in benchmarks],
        points=[
            ComparedPoint(
                load=key[0],
                max_concurrency=key[1],
                request_rate_per_s=key[2],
                metrics=[_compare_metric(row, job_ids, threshold_ratio, sureness) for row in rows[key]],
            )
            for key in points
        ],
        threshold_ratio=threshold_ratio,
        confidence=CONFIDENCE,
        notes=[*notes_of(benchmarks), *_notes_of_points(benchmarks, points)],
        baseline=baseline,
    )


def _rows_at(key: PointKey, reports: Sequence[BenchmarkReport]) -> list[_Row]:
    """Return the numbers that any of the benchmarks has at a point."""
    rows = [(metric, [estimate_at(key, metric, report) for report in reports]) for metric in METRICS]
    return [row for row in rows if any(estimate is not None for estimate in row[1])]


def _compare_metric(
    row: _Row, job_ids: Sequence[str], threshold_ratio: float, sureness: Sequence[Sureness]
) -> ComparedMetric:
    metric, (first, *others) = row
    return ComparedMetric(
        name=metric.name,
        unit=metric.unit,
        better=metric.better,
        values=[
            _value(job_ids[0], first),
            *(
                _held_against(job_id, Pair(metric, first, other), threshold_ratio, sure)
                for job_id, other, sure in zip(job_ids[1:], others, sureness, strict=True)
            ),
        ],
    )


def _value(job_id: str, estimate: Estimate | None) -> ComparedValue:
    return ComparedValue(
        job_id=job_id,
        value=None if estimate is None else estimate.value,
        std=None if estimate is None else rounded(estimate.std),
        count=0 if estimate is None else estimate.count,
        difference=None,
        difference_ratio=None,
        interval_low=None,
        interval_high=None,
        verdict=None,
        standard_error=None if estimate is None else rounded(estimate.standard_error),
    )


def _held_against(job_id: str, pair: Pair, threshold_ratio: float, sure: Sureness) -> ComparedValue:
    verdict, requests_to_decide = judge(pair, threshold_ratio, sure)
    test, difference, first = pair.test, pair.difference, pair.first
    margin = None if test is None else test.margin(CONFIDENCE)
    # Two shares differ by 1 at most; with few cases the test alone would allow more.
    most = 1.0 if pair.metric.is_share else math.inf
    return _value(job_id, pair.second).model_copy(
        update={
            "difference": rounded(difference),
            "difference_ratio": None
            if difference is None or first is None or not first.value
            else round(difference / abs(first.value), DECIMALS),
            "interval_low": None
            if test is None or margin is None
            else rounded(max(-most, test.difference - margin)),
            "interval_high": None
            if test is None or margin is None
            else rounded(min(most, test.difference + margin)),
            "verdict": verdict,
            "requests_to_decide": requests_to_decide,
        }
    )


def _job(job_id: str, report: BenchmarkReport) -> ComparedJob:
    server = " ".join(part for part in (report.server.name, report.server.version) if part)
    hardware = report.hardware
    warnings = [*report.warnings, *(name for run in report.runs for name in run.warnings)]
    return ComparedJob(
        job_id=job_id,
        name=report.name,
        model=report.model.id,
        backend=report.backend,
        server=server or None,
        gpu=None if hardware is None else f"{hardware.gpu_count} x {hardware.gpu_name}",
        warnings=list(dict.fromkeys(warnings)),
        finished_at=report.finished_at,
    )


def _notes_of_points(
    benchmarks: Sequence[tuple[str, BenchmarkReport]], points: Sequence[PointKey]
) -> Iterator[str]:
    if not points:
        yield "The benchmarks have no point in common with the first one: there is nothing to compare."
    measured = set(measured_points([report for _, report in benchmarks]))
    if points and measured - set(points):
        yield f"Left out: {len(measured - set(points))} points that not both the first and another benchmark have."
    for job_id, report in benchmarks[1:]:
        missing_count = len(set(points) - set(measured_points([report])))
        if missing_count and missing_count < len(points):
            yield f"{job_id} has not measured {missing_count} of the points."
