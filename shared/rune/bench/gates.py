"""Whether benchmarks keep limits that are ratios of the first one's numbers: what a pipeline stops at.

A limit of a number of which less is better, such as `ttft_ms.p95:1.10`, is kept as long as the value is at most
1.10 times the first one's. One of which more is better, such as `good_ratio:0.95`, must be at least that.

A check fails where the limit is surely broken, and passes where it is surely kept; else it is undecided. Both
errors are at most 5 % for a whole gate. A gate fails if one check does, so the 5 % are shared among the checks
(Bonferroni). It passes only if all checks do, and then no sharing is needed: to pass wrongly, the one that should
fail must be missed (intersection and union, R. L. Berger, Technometrics 24, 1982).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rune.bench.metrics import METRICS, Estimate, Metric
from rune.bench.points import PointKey, estimate_at, measured_points
from rune.bench.rounding import rounded
from rune.bench.statistics import Sample, WelchTest, welch_test
from rune.bench.verdicts import Pair, requests_for
from rune.contracts import BenchmarkReport, Comparison, GateCheck
from rune.contracts.comparisons import Outcome
from rune.errors import InvalidRequestError

ERROR_RATIO = 0.05
"""Of gates that should not fail, at most as many do; of those that should not pass, too."""

MOST_LIMITS = 20
LEAST_RATIO, MOST_RATIO = 0.01, 100.0

_LIMIT = re.compile(r"(?P<name>[a-z0-9_.]+):(?P<ratio>[0-9]{1,3}(\.[0-9]{1,6})?)")


@dataclass(frozen=True, slots=True)
class Limit:
    """How far a number may be from the first benchmark's: as a ratio of it."""

    metric: Metric
    ratio: float


@dataclass(frozen=True, slots=True)
class _Place:
    """What is checked: a limit, at a point, of a benchmark."""

    limit: Limit
    key: PointKey
    job_id: str
    pair: Pair

    @property
    def test(self) -> WelchTest | None:
        """The test of the value less the limit."""
        first, second = self.pair.first, self.pair.second
        if first is None or second is None or first.sample is None or second.sample is None:
            return None
        return welch_test(_scaled(first.sample, self.limit.ratio), second.sample)


def read_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Return the limits in `metric:ratio` texts, each of which may hold several, comma separated.

    Raises
    ------
    InvalidRequestError
        One cannot be read, is of no number that has limits, or comes twice; or there are none, or too many.
    """
    limits = tuple(_read_limit(each.strip()) for text in texts for each in text.split(","))
    names = [limit.metric.name for limit in limits]
    if not 1 <= len(limits) <= MOST_LIMITS or len(set(names)) < len(names):
        raise _refuse(f"Name 1 to {MOST_LIMITS} limits, each of another number.")
    return limits


def with_gate(
    comparison: Comparison, benchmarks: Sequence[tuple[str, BenchmarkReport]], limits: Sequence[Limit]
) -> Comparison:
    """Return the comparison of these benchmarks with what its limits say.

    A point that only one of two benchmarks has measured is checked too, and undecided: so is the gate then.
    """
    places = list(_places(benchmarks, limits))
    fail_level = ERROR_RATIO / max(len(places), 1)
    checks = [_check(place, fail_level) for place in places]
    outcomes = [check.outcome for check in checks]
    gate: Outcome = "undecided"
    if "failed" in outcomes:
        gate = "failed"
    elif outcomes and "undecided" not in outcomes:
        gate = "passed"
    return comparison.model_copy(update={"gate": gate, "checks": checks})


def _read_limit(text: str) -> Limit:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise _refuse("A limit is a number and a ratio, such as ttft_ms.p95:1.10.")
    by_name = {metric.name: metric for metric in METRICS if metric.has_limits}
    if found["name"] not in by_name:
        raise InvalidRequestError(
            f"There is no limit for {found['name'][:60]}. Numbers with limits: {', '.join(by_name)}.",
            pointer="/fail_on",
            code="gate_metric_unknown",
        )
    ratio = float(found["ratio"])
    if not LEAST_RATIO <= ratio <= MOST_RATIO:
        raise _refuse(f"A limit is a ratio from {LEAST_RATIO} to {MOST_RATIO:g}.")
    return Limit(by_name[found["name"]], ratio)


def _refuse(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, pointer="/fail_on", code="gate_limit_invalid")


def _places(benchmarks: Sequence[tuple[str, BenchmarkReport]], limits: Sequence[Limit]) -> Iterator[_Place]:
    """Yield what is checked: each limit wherever a benchmark or the first one has its number, also if only one has.

    A limit of a number that neither has anywhere is checked at the first point, where it is undecided: it must not
    pass unseen.
    """
    (_, first), *others = benchmarks
    for job_id, report in others:
        points = measured_points([first, report])
        for limit in limits:
            pairs = [
                Pair(limit.metric, *(estimate_at(key, limit.metric, each) for each in (first, report)))
                for key in points
            ]
            known = [index for index, pair in enumerate(pairs) if pair.first or pair.second]
            for index in known or range(len(points[:1])):
                yield _Place(limit, points[index], job_id, pairs[index])


def _check(place: _Place, fail_level: float) -> GateCheck:
    outcome, requests_to_decide = _judge(place, fail_level)
    limit, pair = place.limit, place.pair
    first, value = _value_of(pair.first), _value_of(pair.second)
    load, max_concurrency, request_rate_per_s = place.key
    ratio = value / first if value is not None and first else None
    return GateCheck(
        metric=limit.metric.name,
        limit_ratio=limit.ratio,
        better=limit.metric.better,
        unit=limit.metric.unit,
        job_id=place.job_id,
        load=load,
        max_concurrency=max_concurrency,
        request_rate_per_s=request_rate_per_s,
        first_value=rounded(first),
        value=rounded(value),
        ratio=rounded(ratio),
        outcome=outcome,
        requests_to_decide=requests_to_decide,
        reason=_reason(place, ratio, outcome, requests_to_decide),
    )


def _judge(place: _Place, fail_level: float) -> tuple[Outcome, int | None]:
    pair, test = place.pair, place.test
    if not pair.is_comparable:
        return "undecided", None
    if test is None:
        return "undecided", pair.least_requests or None
    over = test.difference if place.limit.metric.better == "lower" else -test.difference
    level = fail_level if over > 0 else ERROR_RATIO
    if not pair.least_requests and test.tail(abs(over)) <= level:
        return ("failed" if over > 0 else "passed"), None
    needed = requests_for(test, pair.request_counts, abs(over), test.margin(1 - 2 * level))
    return "undecided", None if needed is None else max(needed, pair.least_requests) or None


def _reason(place: _Place, ratio: float | None, outcome: Outcome, requests_to_decide: int | None) -> str:
    metric = place.limit.metric
    bound = "at most" if metric.better == "lower" else "at least"
    allowed = f"{bound} {place.limit.ratio:g} times the first one's is allowed"
    if not place.pair.is_comparable:
        return f"{metric.name} is not known of both benchmarks, with its spread; {allowed}."
    seen = f"too few requests for {metric.name}" if ratio is None else f"{metric.name} is {ratio:.4g} times"
    if outcome == "passed":
        return f"{seen}; {allowed}, and surely kept."
    if outcome == "failed":
        return f"{seen}; {allowed}, and surely not kept."
    if requests_to_decide is None:
        return f"{seen}; {allowed}. No number of requests would decide."
    return f"{seen}; {allowed}. {requests_to_decide} requests on each side would decide, if the numbers stay."


def _scaled(sample: Sample, ratio: float) -> Sample:
    return Sample(sample.mean * ratio, None if sample.std is None else sample.std * ratio, sample.count)


def _value_of(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
