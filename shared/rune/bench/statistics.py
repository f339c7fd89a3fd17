"""What many values of one number say together, and how sure a difference between two such sets is.

Own routines of a few lines each: NumPy and SciPy would add 130 MB to the functions' layer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from rune.contracts import Distribution

MIN_SAMPLES = {90: 10, 95: 20, 99: 100}
"""Values that a percentile needs: fewer leave less than one beyond it, and it would only name the largest."""

_MAX_ITERATIONS = 200
_NOTHING = 1e-300
_MIN_SPREAD_COUNT = 2
_MAX_LAG = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """What a comparison needs of many values: `std` is that of the sample, None where there is no spread."""

    mean: float
    std: float | None
    count: int


def describe(values: Sequence[float]) -> Distribution | None:
    """Return the distribution of the values, in their unit; None for no values."""
    count = len(values)
    if not count:
        return None
    ordered = sorted(values)
    mean = math.fsum(ordered) / count
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in ordered) / (count - 1)) if count > 1 else None
    tails = {
        percent: percentile(ordered, percent) if count >= least else None
        for percent, least in MIN_SAMPLES.items()
    }
    return Distribution(
        count=count,
        # The sum's last bit can push the mean of equal values past them.
        mean=min(max(mean, ordered[0]), ordered[-1]),
        std=std,
        min=ordered[0],
        median=percentile(ordered, 50),
        max=ordered[-1],
        p90=tails[90],
        p95=tails[95],
        p99=tails[99],
    )


def low_percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return p10, p5 and p1 as `Distribution` names them; None below the samples that p90, p95 and p99 need."""
    ordered = sorted(values)
    return {
        f"p{100 - percent}": percentile(ordered, 100 - percent) if len(ordered) >= least else None
        for percent, least in MIN_SAMPLES.items()
    }


def independent_count(values: Sequence[float]) -> int | None:
    """Return how many independent values these are worth, given in the order in which they came; None below two.

    n / (1 + 2 * sum of autocorrelations), summed over pairs of lags while a pair is positive (C. J. Geyer,
    Practical Markov Chain Monte Carlo, 1992, section 3.3); at most n. Requests that wait in one queue are late
    together: of a hundred there may be five, and a test that takes them for a hundred finds differences between
    equal servers.
    """
    count = len(values)
    if count < _MIN_SPREAD_COUNT:
        return None
    mean = math.fsum(values) / count
    deviations = [value - mean for value in values]
    variance = math.sumprod(deviations, deviations)
    if not variance:
        return count
    correlation_time = -1.0
    for lag in range(0, min(count - 1, _MAX_LAG), 2):
        pair = sum(math.sumprod(deviations[: count - later], deviations[later:]) for later in (lag, lag + 1))
        if pair <= 0:
            break
        correlation_time += 2 * pair / variance
    return max(1, min(count, math.floor(count / max(correlation_time, 1.0))))


@dataclass(frozen=True, slots=True)
class WelchTest:
    """The difference of two means, and how sure it is: Welch's t for independent values of unequal variance.

    t = difference / standard error, with degrees of freedom after Welch and Satterthwaite (B. L. Welch,
    Biometrika 34, 1947).

    Attributes
    ----------
    difference
        The second mean less the first.
    first_variance, second_variance
        Of each mean: s² / n. Both 0 where nothing varies.
    """

    difference: float
    first_variance: float
    second_variance: float
    degrees: float

    @property
    def standard_error(self) -> float:
        """Of the difference."""
        return math.sqrt(self.first_variance + self.second_variance)

    def margin(self, confidence: float) -> float:
        """Return by how much the difference may be off, to either side."""
        if not self.standard_error:
            return 0.0
        return student_quantile(1 - (1 - confidence) / 2, self.degrees) * self.standard_error

    def p_value(self) -> float:
        """Return how probable a difference as large as this is, to either side, where there is none."""
        return 2 * self.tail(abs(self.difference)) if self.difference else 1.0

    def tail(self, distance: float) -> float:
        """Return how probable it is that the difference is off by at least this much, above 0, to one side."""
        if not self.standard_error:
            return 0.0
        return _student_tail(distance / self.standard_error, self.degrees)


def welch_test(first: Sample, second: Sample) -> WelchTest | None:
    """Return the test of two samples; None where a side has fewer than two values, since one has no spread."""
    if first.std is None or second.std is None or min(first.count, second.count) < _MIN_SPREAD_COUNT:
        return None
    difference = second.mean - first.mean
    first_part, second_part = first.std**2 / first.count, second.std**2 / second.count
    variance = first_part + second_part
    # Also where squares underflow.
    if not variance or not (variance**2):
        return WelchTest(difference, 0.0, 0.0, float(first.count + second.count - 2))
    denominator = first_part**2 / (first.count - 1) + second_part**2 / (second.count - 1)
    degrees = variance**2 / denominator if denominator else float(first.count + second.count - 2)
    return WelchTest(difference, first_part, second_part, degrees)


def welch_interval(first: Sample, second: Sample, confidence: float) -> tuple[float, float] | None:
    """Return the confidence interval of `second.mean - first.mean`; None where `welch_test` is."""
    test = welch_test(first, second)
    if test is None:
        return None
    margin = test.margin(confidence)
    return test.difference - margin, test.difference + margin


@lru_cache(maxsize=4096)
def student_quantile(probability: float, degrees: float) -> float:
    """Return the value that Student's t stays below with the probability.

    Parameters
    ----------
    probability
        At least 0.5 and below 1; the distribution is symmetric.
    degrees
        Degrees of freedom, at least 1; may be a fraction, as Welch's are.

    Notes
    -----
    Newton's method on the upper tail, begun at the normal distribution's quantile. That start is never above the
    result, and the tail is convex there, so the steps only rise towards it and cannot overshoot.
    """
    if not 0.5 <= probability < 1 or degrees < 1:  # noqa: PLR2004  # the range of the docstring
        raise ValueError(f"No quantile of Student's t: {probability=}, {degrees=}.")
    tail = 1 - probability
    value = NormalDist().inv_cdf(probability)
    for _ in range(_MAX_ITERATIONS):
        step = (_student_tail(value, degrees) - tail) / _student_density(value, degrees)
        value += step
        if step <= 1e-12 * value:
            break
    return value


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the percentile, interpolated linearly: definition 7 of Hyndman and Fan (1996), NumPy's default."""
    position = (len(ordered) - 1) * percent / 100
    lower = math.floor(position)
    upper = min(lower + 1, len(ordered) - 1)
    fraction = position - lower
    return min(ordered[lower] + (ordered[upper] - ordered[lower]) * fraction, ordered[upper])


def _student_density(value: float, degrees: float) -> float:
    log_scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    return math.exp(log_scale - (degrees + 1) / 2 * math.log1p(value * value / degrees))


def _student_tail(value: float, degrees: float) -> float:
    """Return P(T > value) for a value of at least 0: half of I_x(df / 2, 1 / 2), x = df / (df + value²).

    DLMF 8.17 (https://dlmf.nist.gov/8.17) for I, Abramowitz and Stegun 26.7.1 for its use.
    """
    x = degrees / (degrees + value * value)
    a, b = degrees / 2, 0.5
    if x < (a + 1) / (a + b + 2):
        return 0.5 * _beta_front(x, a, b) * _beta_fraction(x, a, b) / a
    # Where the fraction converges slowly: I_x(a, b) = 1 - I_(1-x)(b, a).
    rest = value * value / (degrees + value * value)
    return 0.5 * (1 - _beta_front(rest, b, a) * _beta_fraction(rest, b, a) / b)


def _beta_front(x: float, a: float, b: float) -> float:
    if x <= 0 or x >= 1:
        return 0.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of I_x(a, b), DLMF 8.17.22, by Lentz's method."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _MAX_ITERATIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1 / _away_from_zero(1 + coefficient * d)
            c = _away_from_zero(1 + coefficient / c)
            result *= c * d
        if abs(c * d - 1) < 1e-15:  # noqa: PLR2004  # as near as a float gets
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _NOTHING else _NOTHING
