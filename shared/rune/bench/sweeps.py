"""Which point a workload measures next, and when it ends."""

from collections.abc import Sequence

from rune.bench.headline import MIN_GOOD_RATIO, has_empty_slots, output_rate
from rune.bench.records import Point
from rune.contracts.benchmarks import EndedBy, RunReport
from rune.contracts.workloads import Workload

_MIN_RISE_RATIO = 0.05
_MAX_FAILED_RATIO = 0.5


def next_point(workload: Workload, runs: Sequence[RunReport]) -> Point | EndedBy:
    """Return the point to measure after `runs`, or why there is none.

    Points rise in load, so each reason holds for all that would follow. Of every workload: `errors` when more than
    half of a point's requests failed, `time_over` when the point's time ended before any request did,
    `all_measured` after the last. Of a sweep also: `goodput_failed` when fewer than 90 % of the requests kept the
    limits, `too_few_requests` when the last point had fewer requests than slots, `throughput_flat` when
    output throughput (`headline.output_rate`) rose by less than 5 % over the best before.
    """
    points = _points(workload)
    if runs and (reason := _reason_to_stop(workload, runs)):
        return reason
    return points[len(runs)] if len(runs) < len(points) else "all_measured"


def _points(workload: Workload) -> list[Point]:
    if workload.request_rates is not None:
        rates = enumerate(workload.request_rates)
        return [Point(index, workload.max_concurrency, rate) for index, rate in rates]
    return [Point(index, level) for index, level in enumerate(workload.levels)]


def _reason_to_stop(workload: Workload, runs: Sequence[RunReport]) -> EndedBy | None:
    last = runs[-1]
    if last.failed > _MAX_FAILED_RATIO * last.num_prompts:
        return "errors"
    if not last.completed:
        # They were cut off, or the time was over before any was sent.
        return "time_over"
    if not workload.sweep:
        return None
    return _reason_to_end_sweep(workload, runs)


def _reason_to_end_sweep(workload: Workload, runs: Sequence[RunReport]) -> EndedBy | None:
    *others, last = runs
    if has_empty_slots(last):
        # More slots would stay as empty, and its throughput is that of fewer requests at a time.
        return "too_few_requests"
    if workload.goodput is not None and last.good_ratio is not None and last.good_ratio < MIN_GOOD_RATIO:
        return "goodput_failed"
    before = [output_rate(run) or 0.0 for run in others]
    if before and (output_rate(last) or 0.0) < (1 + _MIN_RISE_RATIO) * max(before):
        return "throughput_flat"
    return None
