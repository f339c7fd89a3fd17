"""Benchmarks side by side: what differs, and whether the spread swallows it.

A difference counts when the 99 % confidence interval of Welch's t leaves zero out and when it is at least a given
share of the first value. The interval says how certain the difference is, and the share whether it matters. With
thousands of values any difference is certain, and with five any is large, so both are needed.

What stands for one independent value decides how honest that is:

- A request is one at most: its TTFT, TPOT, end-to-end latency and speed are one value each. Requests that wait in
  one queue are late together, so they count as `Distribution.independent_count` says.
- The gaps within one answer are not independent, and there are thousands: as single values they would make anything
  sure. The mean gap of a request is its TPOT times its tokens a chunk, so ITL is given TPOT's relative spread over
  requests. Its distribution over single gaps stays in the report.
- Of throughput there is one a run, and its spread is that of ten equal windows; never more than there are requests.
  Windows of the steady state have neither ramp nor drain in them, which differ from run to run.
- Ratios (failed, good, passed requests) are means of zeros and ones.
- Cost per token is the price, which is known exactly, over steady throughput: it has its relative spread.
- Requests per second are one number without spread, so they are shown and not judged.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rune.bench.comparability import notes_of
from rune.bench.costs import usd_per_million_output_tokens
from rune.bench.statistics import Sample, welch_interval
from rune.contracts import (
    BenchmarkReport,
    ComparedJob,
    ComparedMetric,
    ComparedPoint,
    ComparedValue,
    Comparison,
    Distribution,
    RunReport,
)
from rune.contracts.comparisons import Verdict

CONFIDENCE = 0.99
MIN_SAMPLES = 5
"""Values that a side needs for a verdict."""

_DECIMALS = 6

type _PointKey = tuple[Literal["closed", "open"], int, float | None]
type _Read = Callable[[BenchmarkReport, RunReport], Sample | None]


def compare(
    benchmarks: Sequence[tuple[str, BenchmarkReport]], *, threshold_ratio: float = 0.05
) -> Comparison:
    """Return the benchmarks held against the first of them.

    Parameters
    ----------
    benchmarks
        Job ids with their reports.
    threshold_ratio
        Differences below this share of the first value are none, however sure they are.
    """
    points = _common_points([report for _, report in benchmarks])
    return Comparison(
        jobs=[_job(job_id, report) for job_id, report in benchmarks],
        points=[_compare_point(key, benchmarks, threshold_ratio) for key in points],
        threshold_ratio=threshold_ratio,
        confidence=CONFIDENCE,
        notes=[*notes_of(benchmarks), *_notes_of_points(benchmarks, points)],
    )


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    unit: str
    better: Literal["lower", "higher"]
    read: _Read


def _spread(of: Callable[[RunReport], Distribution | None]) -> _Read:
    def read(_report: BenchmarkReport, run: RunReport) -> Sample | None:
        values = of(run)
        return None if values is None else Sample(values.mean, values.std, _independent(values))

    return read


def _independent(values: Distribution) -> int:
    return values.count if values.independent_count is None else values.independent_count


def _gaps(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    gaps, per_token = run.itl_ms, run.tpot_ms
    if gaps is None:
        return None
    if per_token is None or per_token.std is None or not per_token.mean:
        return Sample(gaps.mean, None, 1)
    return Sample(gaps.mean, gaps.mean * per_token.std / per_token.mean, _independent(per_token))


def _throughput(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    value, windows = run.output_throughput_tokens_per_s, run.output_throughput_windows_tokens_per_s
    if value is None or windows is None:
        return None
    return Sample(value, windows.std, min(windows.count, run.completed))


def _steady_throughput(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    value, windows = (
        run.steady_output_throughput_tokens_per_s,
        run.steady_output_throughput_windows_tokens_per_s,
    )
    if value is None or windows is None:
        return None
    return Sample(value, windows.std, min(windows.count, run.completed))


def _cost(report: BenchmarkReport, run: RunReport) -> Sample | None:
    throughput = _steady_throughput(report, run) or _throughput(report, run)
    if report.cost is None or throughput is None or throughput.std is None:
        return None
    usd = usd_per_million_output_tokens(report.cost.price_usd_per_hour, run)
    return None if usd is None else Sample(usd, usd * throughput.std / throughput.mean, throughput.count)


def _requests_per_s(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    value = run.request_throughput_per_s
    return None if value is None else Sample(value, None, 1)


def _failed_ratio(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    count = run.completed + run.failed
    return _ratio(run.failed / count, count) if count else None


def _good_ratio(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    return None if run.good_ratio is None else _ratio(run.good_ratio, run.completed + run.failed)


def _reliability(_report: BenchmarkReport, run: RunReport) -> Sample | None:
    quality = run.quality
    if quality is None or quality.reliability_ratio is None:
        return None
    return _ratio(quality.reliability_ratio, quality.judged_count)


def _ratio(ratio: float, count: int) -> Sample:
    """Return the sample of zeros and ones that has this mean."""
    std = math.sqrt(ratio * (1 - ratio) * count / (count - 1)) if count > 1 else None
    return Sample(round(ratio, _DECIMALS), std, count)


_METRICS = (
    _Metric("ttft_ms", "ms", "lower", _spread(lambda run: run.ttft_ms)),
    _Metric("tpot_ms", "ms", "lower", _spread(lambda run: run.tpot_ms)),
    _Metric("itl_ms", "ms", "lower", _gaps),
    _Metric("e2el_ms", "ms", "lower", _spread(lambda run: run.e2el_ms)),
    _Metric("steady_output_throughput_tokens_per_s", "tokens/s", "higher", _steady_throughput),
    _Metric("output_throughput_tokens_per_s", "tokens/s", "higher", _throughput),
    _Metric("request_throughput_per_s", "requests/s", "higher", _requests_per_s),
    _Metric(
        "output_tokens_per_s_per_user",
        "tokens/s",
        "higher",
        _spread(lambda run: run.output_tokens_per_s_per_user),
    ),
    _Metric("failed_ratio", "ratio", "lower", _failed_ratio),
    _Metric("good_ratio", "ratio", "higher", _good_ratio),
    _Metric(
        "quality_score", "score", "higher", _spread(lambda run: run.quality.score if run.quality else None)
    ),
    _Metric("reliability_ratio", "ratio", "higher", _reliability),
    _Metric("usd_per_million_output_tokens", "USD", "lower", _cost),
)


def _key(run: RunReport) -> _PointKey:
    return run.load, run.max_concurrency, run.request_rate_per_s


def _runs_by_point(report: BenchmarkReport) -> Mapping[_PointKey, RunReport]:
    return {_key(run): run for run in report.runs}


def _common_points(reports: Sequence[BenchmarkReport]) -> list[_PointKey]:
    """Return the points of the first benchmark that another one has too, in its order."""
    others = {_key(run) for report in reports[1:] for run in report.runs}
    return [key for key in _runs_by_point(reports[0]) if key in others] if reports else []


def _compare_point(
    key: _PointKey, benchmarks: Sequence[tuple[str, BenchmarkReport]], threshold_ratio: float
) -> ComparedPoint:
    load, max_concurrency, request_rate_per_s = key
    measured = [(job_id, report, _runs_by_point(report).get(key)) for job_id, report in benchmarks]
    metrics = []
    for metric in _METRICS:
        samples = [
            (job_id, None if run is None else metric.read(report, run)) for job_id, report, run in measured
        ]
        if any(sample is not None for _, sample in samples):
            metrics.append(_compare_metric(metric, samples, threshold_ratio))
    return ComparedPoint(
        load=load, max_concurrency=max_concurrency, request_rate_per_s=request_rate_per_s, metrics=metrics
    )


def _compare_metric(
    metric: _Metric, samples: Sequence[tuple[str, Sample | None]], threshold_ratio: float
) -> ComparedMetric:
    (first_id, first), *others = samples
    return ComparedMetric(
        name=metric.name,
        unit=metric.unit,
        better=metric.better,
        values=[
            _value(first_id, first),
            *(_held_against(first, job_id, sample, metric, threshold_ratio) for job_id, sample in others),
        ],
    )


def _value(job_id: str, sample: Sample | None) -> ComparedValue:
    return ComparedValue(
        job_id=job_id,
        value=None if sample is None else sample.mean,
        std=None if sample is None or sample.std is None else round(sample.std, _DECIMALS),
        count=0 if sample is None else sample.count,
        difference=None,
        difference_ratio=None,
        interval_low=None,
        interval_high=None,
        verdict=None,
    )


def _held_against(
    first: Sample | None, job_id: str, sample: Sample | None, metric: _Metric, threshold_ratio: float
) -> ComparedValue:
    value = _value(job_id, sample)
    if first is None or sample is None:
        return value.model_copy(update={"verdict": "not comparable"})
    difference = sample.mean - first.mean
    interval = welch_interval(first, sample, CONFIDENCE)
    verdict: Verdict = "not comparable"
    if interval is not None and min(first.count, sample.count) >= MIN_SAMPLES:
        is_sure = interval[0] > 0 or interval[1] < 0
        matters = abs(difference) >= threshold_ratio * abs(first.mean)
        is_better = (difference < 0) == (metric.better == "lower")
        verdict = ("better" if is_better else "worse") if is_sure and matters else "no difference"
    return value.model_copy(
        update={
            "difference": round(difference, _DECIMALS),
            "difference_ratio": round(difference / abs(first.mean), _DECIMALS) if first.mean else None,
            "interval_low": None if interval is None else round(interval[0], _DECIMALS),
            "interval_high": None if interval is None else round(interval[1], _DECIMALS),
            "verdict": verdict,
        }
    )


def _job(job_id: str, report: BenchmarkReport) -> ComparedJob:
    server = " ".join(part for part in (report.server.name, report.server.version) if part)
    hardware = report.hardware
    warnings = [*report.warnings, *(name for run in report.runs for name in run.warnings)]
    return ComparedJob(
        job_id=job_id,
        model=report.model.id,
        backend=report.backend,
        server=server or None,
        gpu=None if hardware is None else f"{hardware.gpu_count} x {hardware.gpu_name}",
        warnings=list(dict.fromkeys(warnings)),
    )


def _notes_of_points(
    benchmarks: Sequence[tuple[str, BenchmarkReport]], points: Sequence[_PointKey]
) -> Iterator[str]:
    if not points:
        yield "The benchmarks have no point in common with the first one: there is nothing to compare."
    measured = {_key(run) for _, report in benchmarks for run in report.runs}
    if points and measured - set(points):
        yield f"Left out: {len(measured - set(points))} points that not both the first and another benchmark have."
    for job_id, report in benchmarks[1:]:
        missing_count = len(set(points) - set(_runs_by_point(report)))
        if missing_count and missing_count < len(points):
            yield f"{job_id} has not measured {missing_count} of the points."
