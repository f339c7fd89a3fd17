"""Which load a search tries next, and what it has found: by doubling, then by bisection. Plain functions.

A load leans to one side by its share of good requests. Its verdict is sure where the interval of that share lies on
one side of the share that was asked for. The search goes where loads lean to, since doubling needs no certainty.
Then it measures the two loads at the border again where they are not sure.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import Literal

from rune.bench.headline import good_rate
from rune.bench.rounding import rounded
from rune.contracts import CapacityLoad, CapacityReport, Distribution, RunReport, Workload
from rune.contracts.benchmarks import SearchEnd
from rune.contracts.workloads import CapacitySearch

CONFIDENCE = 0.9
"""Of the interval of a share: each of its sides is wrong once in twenty times."""

MAX_TRIES = 3
"""Runs of a load, their requests counted together."""

LEAST_RATE_PER_S = 0.01

_RATE_DIGITS = 4

type Verdict = Literal["within", "beyond", "undecided"]


@dataclass(frozen=True, slots=True)
class TriedLoad:
    """A load with the requests of all its runs.

    Attributes
    ----------
    runs
        Their indices.
    good_count, bad_count
        Requests within all limits, and those that are not.
    worth_count
        How many independent ones they are worth.
    """

    load: float
    runs: tuple[int, ...]
    good_count: int
    bad_count: int
    worth_count: float

    @property
    def good_ratio(self) -> float | None:
        """Share of good requests; None where nothing is known of any."""
        known_count = self.good_count + self.bad_count
        return self.good_count / known_count if known_count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """In which the share probably is; None where nothing is known."""
        ratio = self.good_ratio
        return None if ratio is None else wilson_interval(ratio, self.worth_count, CONFIDENCE)

    def leans_within(self, good_ratio: float) -> bool:
        """Return whether the share was reached, however sure that is."""
        return self.good_ratio is not None and self.good_ratio >= good_ratio

    def verdict(self, good_ratio: float) -> Verdict:
        """Return on which side of the share the load surely is."""
        low, high = self.interval or (0.0, 1.0)
        if low >= good_ratio:
            return "within"
        return "beyond" if high < good_ratio else "undecided"


def next_load(workload: Workload, search: CapacitySearch, tried: Sequence[TriedLoad]) -> float | SearchEnd:
    """Return the load to measure after those that were tried, or why there is none.

    Returns
    -------
    float | SearchEnd
        `capacity_found`: the loads at the border are sure and as near as was asked for. `limits_never_reached`: the
        largest load is within the limits. `none_within_limits`: the smallest is not. `search_undecided`: a load at
        the border is not sure after all its tries, or nothing is known of a load. `points_over`: all points were
        used.
    """
    if any(each.good_ratio is None for each in tried):
        return "search_undecided"
    following = _following(workload, search, tried)
    if isinstance(following, str):
        return following
    return "points_over" if sum(len(each.runs) for each in tried) >= search.max_points else following


def try_loads(runs: Sequence[RunReport]) -> list[TriedLoad]:
    """Return the loads of the runs, rising, each with the requests of all its runs."""
    ordered = sorted(runs, key=_load_of)
    return [_tried(load, list(group)) for load, group in groupby(ordered, key=_load_of)]


def capacity_of(search: CapacitySearch, runs: Sequence[RunReport]) -> CapacityReport:
    """Return what a search has found by these runs."""
    tried = try_loads(runs)
    low, _ = _border(search, tried)
    beyond = [each.load for each in tried if each.verdict(search.good_ratio) == "beyond"]
    surely_beyond = min(beyond, default=None)
    within = [
        each.load
        for each in tried
        if each.verdict(search.good_ratio) == "within"
        and (surely_beyond is None or each.load < surely_beyond)
    ]
    best = None if low is None else _fullest([run for run in runs if run.index in low.runs])
    return CapacityReport(
        load=search.load,
        limits=search.limits,
        good_ratio=search.good_ratio,
        highest=None if low is None else low.load,
        surely_within=max(within, default=None),
        surely_beyond=surely_beyond,
        at_run=None if best is None else best.index,
        goodput_requests_per_s=None if best is None else rounded(good_rate(best)),
        loads=[_told(each, search.good_ratio) for each in tried],
    )


def wilson_interval(ratio: float, count: float, confidence: float) -> tuple[float, float]:
    """Return the interval in which the share of a population lies, by that of a sample; 0 to 1 for no sample.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927. It holds for shares
    near 0 and 1 too, where the normal one has no width.

    Parameters
    ----------
    count
        Independent values in the sample.
    """
    if count <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (ratio + z * z / (2 * count)) / (1 + z * z / count)
    margin = z / (1 + z * z / count) * math.sqrt(ratio * (1 - ratio) / count + (z / (2 * count)) ** 2)
    return max(0.0, middle - margin), min(1.0, middle + margin)


def _following(workload: Workload, search: CapacitySearch, tried: Sequence[TriedLoad]) -> float | SearchEnd:
    smallest, first, largest = _range(workload, search)
    low, high = _border(search, tried)
    if low is None:
        if high is None:
            return first
        lower = max(high.load / 2, smallest)
        return lower if lower < high.load else _unsure(search, high) or "none_within_limits"
    if high is None:
        higher = min(2 * low.load, largest)
        return higher if higher > low.load else _unsure(search, low) or "limits_never_reached"
    between = _between(search, low.load, high.load)
    return between or _unsure(search, low) or _unsure(search, high) or "capacity_found"


def _range(workload: Workload, search: CapacitySearch) -> tuple[float, float, float]:
    """Return the smallest load, the first, and the largest."""
    if search.load == "concurrency":
        return 1.0, 1.0, float(workload.max_concurrency)
    return LEAST_RATE_PER_S, search.begins_at_per_s, search.max_request_rate


def _border(search: CapacitySearch, tried: Sequence[TriedLoad]) -> tuple[TriedLoad | None, TriedLoad | None]:
    """Return the highest load that leans within, below all that do not, and the lowest that does not."""
    high = min(
        (each for each in tried if not each.leans_within(search.good_ratio)),
        key=lambda each: each.load,
        default=None,
    )
    below = [each for each in tried if high is None or each.load < high.load]
    return max(below, key=lambda each: each.load, default=None), high


def _unsure(search: CapacitySearch, edge: TriedLoad) -> float | SearchEnd | None:
    """Return the load to be measured again, or that it has been often enough; None where it is sure."""
    if edge.verdict(search.good_ratio) != "undecided":
        return None
    return edge.load if len(edge.runs) < MAX_TRIES else "search_undecided"


def _between(search: CapacitySearch, low: float, high: float) -> float | None:
    """Return a load in the middle; None where the two are as near as was asked for."""
    if search.load == "concurrency":
        is_near = high - low <= max(1.0, search.resolution_ratio * low)
        return None if is_near else float((low + high) // 2)
    if high <= (1 + search.resolution_ratio) * low:
        return None
    middle = float(f"{math.sqrt(low * high):.{_RATE_DIGITS}g}")
    return middle if low < middle < high else None


def _load_of(run: RunReport) -> float:
    return float(run.max_concurrency) if run.request_rate_per_s is None else run.request_rate_per_s


def _tried(load: float, runs: Sequence[RunReport]) -> TriedLoad:
    return TriedLoad(
        load,
        tuple(sorted(run.index for run in runs)),
        good_count=sum(run.good_count or 0 for run in runs),
        bad_count=sum(run.bad_count or 0 for run in runs),
        worth_count=math.fsum(_worth(run) for run in runs),
    )


def _worth(run: RunReport) -> float:
    """Return how many independent requests those of a run are worth: requests in one queue are late together."""
    known_count = (run.good_count or 0) + (run.bad_count or 0)
    shares = _independent_shares(run.ttft_from_due_ms or run.ttft_ms, run.e2el_from_due_ms or run.e2el_ms)
    return known_count * min(shares, default=1.0)


def _independent_shares(*latencies: Distribution | None) -> Iterator[float]:
    for values in latencies:
        if values is not None and values.independent_count is not None:
            yield values.independent_count / values.count


def _fullest(runs: Sequence[RunReport]) -> RunReport | None:
    """Return the run of which most requests are known, the first of equals."""
    return max(runs, key=lambda run: (run.good_count or 0) + (run.bad_count or 0), default=None)


def _told(tried: TriedLoad, good_ratio: float) -> CapacityLoad:
    low, high = tried.interval or (None, None)
    return CapacityLoad(
        load=tried.load,
        runs=list(tried.runs),
        good_ratio=rounded(tried.good_ratio),
        good_ratio_low=rounded(low),
        good_ratio_high=rounded(high),
        verdict=tried.verdict(good_ratio),
    )
