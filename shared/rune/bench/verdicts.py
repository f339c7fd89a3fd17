"""Whether two estimates of one number differ, and how many requests it would take to know.

Many numbers are looked at in one comparison. At 99 % each, one in a hundred is told apart by chance, and of a
hundred numbers one. So a difference counts as sure where its own p-value is at most 1 % and where the procedure of
Y. Benjamini and Y. Hochberg (J. R. Statist. Soc. B 57, 1995) finds it at 5 % among all numbers of that benchmark:
where nothing differs, the chance of any verdict is at most 5 %, and where something does, at most 5 % of the
verdicts are expected to be wrong. It holds for numbers that rise together, as these do (D. Yekutieli and
Y. Benjamini, 2001). Holm's procedure would hold each single error to 5 % and find less: when a server is slower,
all its numbers are, and that helps here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rune.bench.metrics import Estimate, Metric
from rune.bench.statistics import WelchTest, welch_test
from rune.contracts.comparisons import Verdict

CONFIDENCE = 0.99
"""Of each interval, and of each difference that counts."""

MISSED_RATIO = 0.05
"""Of differences as large as the threshold, at most as many are called none (two one-sided tests, D. J. Schuirmann,
J. Pharmacokin. Biopharm. 15, 1987)."""

FALSE_VERDICT_RATIO = 0.05
"""Of all verdicts that something is better or worse, at most as many are expected to be wrong."""

MOST_REQUESTS = 10_000_000
"""A larger number says no more than that it cannot be decided."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One number in the first benchmark and in another one, at one point; None where a benchmark has it not."""

    metric: Metric
    first: Estimate | None
    second: Estimate | None

    @property
    def is_comparable(self) -> bool:
        """Whether both have the number, with a spread that is known or that more requests would tell."""
        both = (self.first, self.second)
        return all(estimate is not None and estimate.is_judged for estimate in both)

    @property
    def difference(self) -> float | None:
        """The second value less the first."""
        if self.first is None or self.second is None or self.first.value is None or self.second.value is None:
            return None
        return self.second.value - self.first.value

    @property
    def overlaps(self) -> bool:
        """Whether both have an interval of their own, and these have values in common."""
        first, second = (None if each is None else each.interval for each in (self.first, self.second))
        return first is not None and second is not None and first[0] <= second[1] and second[0] <= first[1]

    @property
    def request_counts(self) -> tuple[int, int]:
        """Requests behind both."""
        first, second = (0 if each is None else each.request_count for each in (self.first, self.second))
        return first, second

    @property
    def test(self) -> WelchTest | None:
        """The test of their difference; None where there is nothing to test."""
        if self.first is None or self.second is None or not (self.first.sample and self.second.sample):
            return None
        return welch_test(self.first.sample, self.second.sample)

    @property
    def least_requests(self) -> int:
        """How many requests each side needs for a verdict at all; 0 where both have enough."""
        return max(least_requests(each) for each in (self.first, self.second))


@dataclass(frozen=True, slots=True)
class Sureness:
    """Which differences are sure, of all numbers of one benchmark.

    Attributes
    ----------
    at_most
        The largest p-value that counts as sure; below 0 where none does.
    next_at_most
        The one that would if there were one more.
    """

    at_most: float
    next_at_most: float


def least_requests(estimate: Estimate | None) -> int:
    """Return how many requests an estimate needs to be judged; 0 where it has them."""
    if estimate is None or estimate.count >= estimate.least_count:
        return 0
    return math.ceil(max(estimate.request_count, 1) * estimate.least_count / max(estimate.count, 1))


def sureness_of(pairs: Iterable[Pair]) -> Sureness:
    """Return what counts as sure among all numbers of one benchmark."""
    judged = (pair for pair in pairs if pair.is_comparable and not pair.least_requests)
    p_values = sorted(pair.test.p_value() for pair in judged if pair.test is not None)
    count, single = len(p_values), 1 - CONFIDENCE
    found = [
        rank
        for rank, p_value in enumerate(p_values, start=1)
        if p_value <= FALSE_VERDICT_RATIO * rank / count
    ]
    rank = max(found, default=0)
    return Sureness(
        at_most=min(single, p_values[rank - 1]) if rank else -1.0,
        next_at_most=min(single, FALSE_VERDICT_RATIO * (rank + 1) / max(count, 1)),
    )


def judge(pair: Pair, threshold_ratio: float, sureness: Sureness) -> tuple[Verdict, int | None]:
    """Return the verdict, and for `undecided` how many requests of each side would decide.

    None requests where no number would, as for a difference of exactly the threshold.

    Parameters
    ----------
    threshold_ratio
        Differences below this share of the first value are none; of numbers from 0 to 1, below so many points.
    """
    if not pair.is_comparable:
        return "not comparable", None
    test = pair.test
    if test is None or pair.first is None or pair.first.value is None:
        return "undecided", pair.least_requests or None
    size = abs(test.difference)
    least = threshold_ratio * (1.0 if pair.metric.is_share else abs(pair.first.value))
    matters = size > 0 and size >= least
    if not pair.least_requests:
        if matters and pair.overlaps:
            return "undecided", None
        if matters and test.p_value() <= sureness.at_most:
            return ("better" if is_better(test.difference, pair.metric) else "worse"), None
        if not matters and test.tail(least - size) <= MISSED_RATIO:
            return "no difference", None
    wanted_margin = size if matters else least - size
    margin = test.margin(1 - sureness.next_at_most if matters else 1 - 2 * MISSED_RATIO)
    needed = requests_for(test, pair.request_counts, wanted_margin, margin)
    return "undecided", None if needed is None else max(needed, pair.least_requests) or None


def is_better(difference: float, metric: Metric) -> bool:
    """Return whether a number that is larger by this is better."""
    return (difference < 0) == (metric.better == "lower")


def requests_for(
    test: WelchTest, request_counts: tuple[int, int], wanted_margin: float, margin: float
) -> int | None:
    """Return how many requests each side needs for a margin this small, if all else stays; None beyond any bound.

    The variance of a mean, and of a quantile, falls with the number of requests.

    Parameters
    ----------
    request_counts
        Of both sides now.
    margin
        What it is now.
    """
    if wanted_margin <= 0:
        return None
    if not test.standard_error:
        return 0
    variance_of_one = test.first_variance * request_counts[0] + test.second_variance * request_counts[1]
    # Compared before it is squared: a margin of almost nothing would need more than a number can hold.
    root = math.sqrt(variance_of_one) * (margin / test.standard_error / wanted_margin)
    return None if root > math.sqrt(MOST_REQUESTS) else max(math.ceil(root**2), min(request_counts) + 1)
