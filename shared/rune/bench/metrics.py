"""The numbers that comparisons and gates go by: how each is read from a report, and what stands behind it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rune.bench.costs import usd_per_million_output_tokens
from rune.bench.statistics import Sample, describe
from rune.contracts import BenchmarkReport, Distribution, RunReport
from rune.contracts.diagnoses import DiagnosisReport, Share

MIN_SAMPLES = 5
"""Independent values that a mean needs for a verdict."""

VALUES_BEYOND = 2
"""Independent values that a quantile needs beyond it.

With fewer a bootstrap knows too little of the tail. p99 of a hundred requests is one of its two largest: equal
servers were told apart in 3 % of comparisons instead of 1 %.
"""

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number of one run, and how sure it is.

    Attributes
    ----------
    value
        None where there are too few values for it, as for the p99 of twenty requests.
    sample
        Mean, spread and independent count that a test takes; None where there is no spread, or not yet.
    std
        Spread that is shown, of single values; None where the number is none of values.
    count, least_count
        Independent values behind it, and how many a verdict needs.
    request_count
        Requests from which they came.
    is_judged
        False for a number whose spread is not known, however many requests there are.
    """

    value: float | None
    sample: Sample | None
    std: float | None
    count: int
    request_count: int
    least_count: int = MIN_SAMPLES
    is_judged: bool = True
    interval: tuple[float, float] | None = None
    """Of the value, where it has one of its own: what overlaps is not told apart."""

    @property
    def standard_error(self) -> float | None:
        """How far the value may be off, in its unit."""
        if self.sample is None or self.sample.std is None or not self.sample.count:
            return None
        return self.sample.std / math.sqrt(self.sample.count)


type _Read = Callable[[BenchmarkReport, RunReport], Estimate | None]
type _OfRun = Callable[[RunReport], Distribution | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that benchmarks are compared by.

    Attributes
    ----------
    name
        A report's field, or a field and a quantile of it, such as `ttft_ms.p95`.
    has_limits
        Whether a gate may set a limit: its spread is known, and a ratio of it means something.
    read_suite
        Of a number of a suite of cases, which has no runs of a load; None for any other.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    read: _Read
    has_limits: bool = True
    read_suite: Callable[[DiagnosisReport], Estimate | None] | None = None

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1, so that differences are points and not ratios."""
        return self.unit in {"ratio", "score"}


def _mean(of: _OfRun) -> _Read:
    def read(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
        values = of(run)
        if values is None:
            return None
        return _estimate(values.mean, values.std, _independent(values), values.count)

    return read


def _quantile(of: _OfRun, name: Literal["median", "p90", "p95", "p99"], percent: int) -> _Read:
    def read(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
        values = of(run)
        if values is None:
            return None
        value: float | None = getattr(values, name)
        errors, count = values.standard_errors, _independent(values)
        error: float | None = None if errors is None else getattr(errors, name)
        sample = None
        if value is not None and error is not None:
            sample = Sample(value, error * math.sqrt(count), count)
        return Estimate(
            value=value,
            sample=sample,
            std=None,
            count=count,
            request_count=values.count,
            least_count=math.ceil(VALUES_BEYOND * 100 / (100 - percent)),
            # Reports from before have no errors, and will have none.
            is_judged=errors is not None or values.count == 1,
        )

    return read


def _estimate(value: float, std: float | None, count: int, request_count: int) -> Estimate:
    return Estimate(value, Sample(value, std, count), std, count, request_count)


def _independent(values: Distribution) -> int:
    return values.count if values.independent_count is None else values.independent_count


def _gaps(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    gaps, per_token = run.itl_ms, run.tpot_ms
    if gaps is None:
        return None
    if per_token is None or per_token.std is None or not per_token.mean:
        return Estimate(gaps.mean, None, None, 1, run.completed)
    std = gaps.mean * per_token.std / per_token.mean
    count = max(1, math.floor(_independent(per_token) / _unevenness(run.output_tokens)))
    return _estimate(gaps.mean, std, count, per_token.count)


def _unevenness(lengths: Distribution | None) -> float:
    """Return by how much fewer requests count in a mean over their gaps, of which long answers have more.

    1 + (standard deviation / mean)² of the lengths (L. Kish, Survey Sampling, 1965, section 11.7).
    """
    if lengths is None or lengths.std is None or not lengths.mean:
        return 1.0
    return 1 + (lengths.std / lengths.mean) ** 2


def _throughput(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    return _of_windows(run, run.output_throughput_tokens_per_s, run.output_throughput_windows_tokens_per_s)


def _steady_throughput(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    windows = run.steady_output_throughput_windows_tokens_per_s
    return _of_windows(run, run.steady_output_throughput_tokens_per_s, windows)


def _of_windows(run: RunReport, value: float | None, windows: Distribution | None) -> Estimate | None:
    if value is None or windows is None:
        return None
    count = min(_independent(windows), run.completed)
    std = windows.std
    if std is not None:
        std = max(std, value * _unevenness_of_requests(run) * math.sqrt(count))
    return _estimate(value, std, count, run.completed)


def _unevenness_of_requests(run: RunReport) -> float:
    """Return how unsure a closed load's throughput is at least by its requests: a standard error, as a share of it.

    Ten windows that fall on ten equal answers have no spread, however the times of these answers vary. The
    throughput is tokens over times of requests. The relative spread of such a ratio is at least the difference of
    their relative spreads, whatever the two have to do with each other. Where requests wait for each other, a time
    is not an answer's own and may vary less than its length does: that says nothing.
    """
    times, lengths = run.e2el_ms, run.output_tokens
    if run.load == "open" or times is None or lengths is None or not times.mean or not lengths.mean:
        return 0.0
    spread = (times.std or 0.0) / times.mean - (lengths.std or 0.0) / lengths.mean
    spread = abs(spread) if run.max_concurrency == 1 else max(spread, 0.0)
    return spread / math.sqrt(_independent(times))


def _cost(report: BenchmarkReport, run: RunReport) -> Estimate | None:
    throughput = _steady_throughput(report, run) or _throughput(report, run)
    if report.cost is None or throughput is None or throughput.std is None or not throughput.value:
        return None
    usd = usd_per_million_output_tokens(report.cost.price_usd_per_hour, run)
    if usd is None:
        return None
    return _estimate(usd, usd * throughput.std / throughput.value, throughput.count, throughput.request_count)


def _requests_per_s(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    value = run.request_throughput_per_s
    return None if value is None else Estimate(value, None, None, 1, run.completed, is_judged=False)


def _failed_ratio(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    count = run.completed + run.failed
    return _ratio(run.failed / count, count) if count else None


def _completed_ratio(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    count = run.completed + run.failed
    return _ratio(run.completed / count, count) if count else None


def _good_ratio(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    if run.good_ratio is None:
        return None
    if run.good_count is None or run.bad_count is None:
        return _ratio(run.good_ratio, run.completed + run.failed)
    return _ratio(run.good_ratio, run.good_count + run.bad_count)


def _reliability(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    quality = run.quality
    if quality is None or quality.reliability_ratio is None:
        return None
    return _ratio(quality.reliability_ratio, quality.judged_count)


def _score(_report: BenchmarkReport, run: RunReport) -> Estimate | None:
    scores = None if run.quality is None else run.quality.score
    if scores is None:
        return None
    return _share(scores.mean, scores.std or 0.0, scores.count)


def _ratio(ratio: float, count: int) -> Estimate:
    """Return the estimate from zeros and ones that have this mean."""
    std = math.sqrt(ratio * (1 - ratio) * count / (count - 1)) if count > 1 else 0.0
    return _share(round(ratio, _DECIMALS), std, count)


def _share(mean: float, std: float, count: int) -> Estimate:
    """Return the estimate from values between 0 and 1.

    Ten right answers do not prove that the eleventh is: their spread of 0 would say so. So the spread is that with
    a 0 and a 1 more (A. Agresti, B. Caffo, The American Statistician 54, 2000).
    """
    squares = std**2 * (count - 1) + count * mean**2 + 1
    more = count + 2
    shrunk = (count * mean + 1) / more
    sample = Sample(mean, math.sqrt(max(squares - more * shrunk**2, 0.0) / (more - 1)), more)
    return Estimate(mean, sample, std if count > 1 else None, count, count)


def _of_cases(values: Sequence[float], interval: Share | None = None) -> Estimate | None:
    """Return the estimate of a number over cases, each of which is one value: runs of a case are alike."""
    spread = describe(values)
    if spread is None:
        return None
    if interval is None:
        return _estimate(spread.mean, spread.std, spread.count, spread.count)
    estimate = _share(interval.value, spread.std or 0.0, spread.count)
    return replace(estimate, interval=(interval.low, interval.high))


def _pass_at_1(diagnosis: DiagnosisReport) -> Estimate | None:
    shares = [case.correct_count / case.run_count for case in diagnosis.cases]
    return _of_cases(shares, diagnosis.pass_at_1)


def _pass_hat_k(diagnosis: DiagnosisReport) -> Estimate | None:
    """Return the chance that as many tries as each case was given are all correct."""
    k = diagnosis.suite.runs_per_case
    found = next((each for each in diagnosis.passed if each.k == k), None)
    if found is None or k == 1:
        return None
    whole = [case for case in diagnosis.cases if case.run_count >= k]
    return _of_cases([float(case.correct_count == case.run_count) for case in whole], found.pass_hat_k)


def _trap_rate(diagnosis: DiagnosisReport) -> Estimate | None:
    shares = [
        case.trapped_run_count / case.run_count
        for case in diagnosis.cases
        if case.trapped_run_count is not None
    ]
    return None if diagnosis.trap_rate is None else _of_cases(shares, diagnosis.trap_rate)


def _score_of(name: Literal["precision", "recall", "f1"]) -> Callable[[DiagnosisReport], Estimate | None]:
    """Return what reads a ratio of sums, which is no mean over cases and so is not judged."""

    def read(diagnosis: DiagnosisReport) -> Estimate | None:
        share: Share | None = getattr(diagnosis, name)
        if share is None:
            return None
        interval = share.low, share.high
        count = diagnosis.case_count
        return Estimate(share.value, None, None, count, count, is_judged=False, interval=interval)

    return read


def _effort_of(name: str) -> Callable[[DiagnosisReport], Estimate | None]:
    def read(diagnosis: DiagnosisReport) -> Estimate | None:
        values = [getattr(case.effort, name) for case in diagnosis.cases]
        return None if None in values else _of_cases(values)

    return read


def _no_run(_report: BenchmarkReport, _run: RunReport) -> Estimate | None:
    return None


def _of_suite(
    name: str,
    unit: str,
    better: Literal["lower", "higher"],
    read: Callable[[DiagnosisReport], Estimate | None],
    *,
    has_limits: bool = True,
) -> Metric:
    return Metric(name, unit, better, _no_run, has_limits, read)


_QUANTILES: Sequence[tuple[Literal["median", "p90", "p95", "p99"], int]] = (
    ("median", 50),
    ("p90", 90),
    ("p95", 95),
    ("p99", 99),
)


def _times(name: str, of: _OfRun) -> Iterator[Metric]:
    """Yield the mean of a time of requests, and its quantiles."""
    yield Metric(name, "ms", "lower", _mean(of))
    for quantile, percent in _QUANTILES:
        yield Metric(f"{name}.{quantile}", "ms", "lower", _quantile(of, quantile, percent))


METRICS = (
    *_times("ttft_ms", lambda run: run.ttft_ms),
    *_times("ttft_from_due_ms", lambda run: run.ttft_from_due_ms),
    *_times("tpot_ms", lambda run: run.tpot_ms),
    Metric("itl_ms", "ms", "lower", _gaps),
    *_times("e2el_ms", lambda run: run.e2el_ms),
    *_times("e2el_from_due_ms", lambda run: run.e2el_from_due_ms),
    Metric("steady_output_throughput_tokens_per_s", "tokens/s", "higher", _steady_throughput),
    Metric("output_throughput_tokens_per_s", "tokens/s", "higher", _throughput),
    Metric("request_throughput_per_s", "requests/s", "higher", _requests_per_s, has_limits=False),
    Metric(
        "output_tokens_per_s_per_user",
        "tokens/s",
        "higher",
        _mean(lambda run: run.output_tokens_per_s_per_user),
    ),
    # Of nothing that failed there is no ratio; a gate goes by what was completed.
    Metric("failed_ratio", "ratio", "lower", _failed_ratio, has_limits=False),
    Metric("completed_ratio", "ratio", "higher", _completed_ratio),
    Metric("good_ratio", "ratio", "higher", _good_ratio),
    Metric("quality_score", "score", "higher", _score),
    Metric("reliability_ratio", "ratio", "higher", _reliability),
    Metric("usd_per_million_output_tokens", "USD", "lower", _cost),
    _of_suite("pass_at_1", "ratio", "higher", _pass_at_1),
    _of_suite("pass_hat_k", "ratio", "higher", _pass_hat_k),
    _of_suite("precision", "ratio", "higher", _score_of("precision"), has_limits=False),
    _of_suite("recall", "ratio", "higher", _score_of("recall"), has_limits=False),
    _of_suite("f1", "ratio", "higher", _score_of("f1"), has_limits=False),
    # Of no traps there is no ratio.
    _of_suite("trap_rate", "ratio", "lower", _trap_rate, has_limits=False),
    _of_suite("turns", "turns", "lower", _effort_of("turns")),
    _of_suite("tool_calls", "calls", "lower", _effort_of("calls")),
    _of_suite("case_input_tokens", "tokens", "lower", _effort_of("input_tokens")),
    _of_suite("case_output_tokens", "tokens", "lower", _effort_of("output_tokens")),
    _of_suite("case_seconds", "s", "lower", _effort_of("duration_s")),
    _of_suite("usd_per_case", "USD", "lower", _effort_of("cost_usd")),
)
"""In the order in which they are shown."""
