"""Which point a workload measures next, and when it ends."""

from collections.abc import Sequence

from rune.bench.capacity import next_load, try_loads
from rune.bench.headline import MIN_GOOD_RATIO, has_empty_slots, output_rate
from rune.bench.records import Point
from rune.contracts.benchmarks import EndedBy, RunReport
from rune.contracts.workloads import CapacitySearch, Workload
from rune.errors import ServerOverloadedError, ServerTimeoutError

_MIN_RISE_RATIO = 0.05
_MAX_FAILED_RATIO = 0.5

# What a server does that has too much to do. It has answered the question of a search.
_OF_LOAD = (ServerOverloadedError.code, ServerTimeoutError.code)


def next_point(workload: Workload, runs: Sequence[RunReport]) -> Point | EndedBy:
    """Return the point to measure after `runs`, or why there is none.

    Points rise in load, so each reason holds for all that would follow. Of every workload: `errors` when more than
    half of a point's requests failed, `time_over` when the point's time ended before any request did,
    `all_measured` after the last. Of a sweep also: `goodput_failed` when fewer than 90 % of the requests kept the
    limits, `too_few_requests` when the last point had fewer requests than slots, `throughput_flat` when
    output throughput (`headline.output_rate`) rose by less than 5 % over the best before.

    A search (`rune.bench.capacity.next_load`) chooses its loads itself. It also ends with `too_few_requests`, with
    `errors` where more than half failed for another reason than load, and with `time_over` where nothing is known
    of the last point's requests.
    """
    if workload.search is not None:
        return _next_of_search(workload, workload.search, runs)
    points = _points(workload)
    if runs and (reason := _reason_to_stop(workload, runs)):
        return reason
    return points[len(runs)] if len(runs) < len(points) else "all_measured"


def _next_of_search(workload: Workload, search: CapacitySearch, runs: Sequence[RunReport]) -> Point | EndedBy:
    if runs and (reason := _reason_to_end_search(runs[-1])):
        return reason
    load = next_load(workload, search, try_loads(runs))
    if isinstance(load, str):
        return load
    if search.load == "request_rate":
        return Point(len(runs), workload.max_concurrency, load)
    return Point(len(runs), round(load))


def _reason_to_end_search(last: RunReport) -> EndedBy | None:
    failed_otherwise = last.failed - sum(last.errors_by_class.get(code, 0) for code in _OF_LOAD)
    if failed_otherwise > _MAX_FAILED_RATIO * last.num_prompts:
        return "errors"
    if not (last.good_count or last.bad_count or last.completed):
        return "time_over"
    return "too_few_requests" if has_empty_slots(last) else None


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
