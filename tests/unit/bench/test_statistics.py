import math
from random import Random
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.bench.statistics import Sample, describe, independent_count, student_quantile, welch_interval
from rune.contracts import Distribution

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=150)


def test_describe_follows_numpy_where_a_percentile_lies_between_values() -> None:
    # numpy.percentile([15, 20, 35, 40, 50, 55, 60, 70, 80, 95], [50, 90]) is [52.5, 81.5].
    assert describe([95, 15, 20, 35, 40, 50, 55, 60, 70, 80]) == Distribution(
        count=10,
        mean=52.0,
        std=math.sqrt(5860 / 9),
        min=15,
        median=52.5,
        max=95,
        p90=81.5,
        p95=None,
        p99=None,
    )


def test_describe_has_nothing_to_say_of_no_values() -> None:
    assert describe([]) is None


def test_one_value_has_no_spread() -> None:
    assert describe([7.0]) == Distribution(
        count=1, mean=7, std=None, min=7, median=7, max=7, p90=None, p95=None, p99=None
    )


@pytest.mark.parametrize(
    ("count", "p90", "p95", "p99"),
    [
        (9, None, None, None),
        (10, 8.1, None, None),
        (19, 16.2, None, None),
        (20, 17.1, 18.05, None),
        (99, 88.2, 93.1, None),
        (100, 89.1, 94.05, 98.01),
    ],
)
def test_percentiles_wait_for_enough_values(
    count: int, p90: float | None, p95: float | None, p99: float | None
) -> None:
    described = describe([float(value) for value in range(count)])

    assert described is not None
    assert (described.p90, described.p95, described.p99) == pytest.approx((p90, p95, p99))


@given(VALUES)
def test_describe_keeps_the_order_of_its_numbers(values: list[float]) -> None:
    described = describe(values)

    assert described is not None
    known = [n for n in (described.median, described.p90, described.p95, described.p99) if n is not None]
    assert known == sorted(known)
    assert described.min <= described.mean <= described.max
    assert described.min <= known[0] <= known[-1] <= described.max


# Printed tables of the t distribution, as NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
@pytest.mark.parametrize(
    ("degrees", "p95", "p975", "p995", "p999"),
    [
        (1, 6.314, 12.706, 63.657, 318.309),
        (2, 2.920, 4.303, 9.925, 22.327),
        (3, 2.353, 3.182, 5.841, 10.215),
        (5, 2.015, 2.571, 4.032, 5.893),
        (9, 1.833, 2.262, 3.250, 4.297),
        (20, 1.725, 2.086, 2.845, 3.552),
        (60, 1.671, 2.000, 2.660, 3.232),
        (100, 1.660, 1.984, 2.626, 3.174),
    ],
)
def test_student_quantile_is_that_of_the_tables(
    degrees: int, p95: float, p975: float, p995: float, p999: float
) -> None:
    found = [student_quantile(probability, degrees) for probability in (0.95, 0.975, 0.995, 0.999)]

    assert [round(quantile, 3) for quantile in found] == [p95, p975, p995, p999]


@given(st.floats(0.5, 0.9999))
def test_student_quantile_is_the_closed_form_of_one_and_two_degrees(probability: float) -> None:
    cauchy = math.tan(math.pi * (probability - 0.5))
    two = (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))

    assert student_quantile(probability, 1) == pytest.approx(cauchy, rel=1e-9, abs=1e-12)
    assert student_quantile(probability, 2) == pytest.approx(two, rel=1e-9, abs=1e-12)


def test_student_quantile_becomes_the_normal_one() -> None:
    assert student_quantile(0.995, 1e7) == pytest.approx(NormalDist().inv_cdf(0.995), abs=1e-6)


@given(st.floats(1, 1000))
def test_student_quantile_falls_with_the_degrees_of_freedom(degrees: float) -> None:
    assert student_quantile(0.995, degrees) > student_quantile(0.995, degrees * 1.01)


@pytest.mark.parametrize(("probability", "degrees"), [(0.4, 5), (1.0, 5), (0.9, 0.5)])
def test_student_quantile_refuses_what_it_does_not_know(probability: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="No quantile"):
        student_quantile(probability, degrees)


def test_welch_interval_is_the_one_worked_by_hand() -> None:
    # s1²/n1 = 4/10 = 0.4, s2²/n2 = 9/15 = 0.6; df = 1 / (0.16/9 + 0.36/14) = 23.0; t(0.995, 23.0) = 2.807.
    interval = welch_interval(Sample(100, 2, 10), Sample(104, 3, 15), 0.99)

    assert interval == pytest.approx((4 - 2.8073, 4 + 2.8073), abs=0.001)


def test_welch_interval_of_values_without_spread_is_the_difference() -> None:
    assert welch_interval(Sample(1, 0, 5), Sample(0, 0, 5), 0.99) == (-1, -1)


def test_welch_interval_needs_two_values_a_side() -> None:
    assert welch_interval(Sample(1, None, 1), Sample(1, 1, 9), 0.99) is None
    assert welch_interval(Sample(1, 1, 9), Sample(1, 0, 1), 0.99) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([1], None),
        ([1, 2], 2),
        ([5, 5, 5], 3),
        ([1, -1] * 50, 100),
        (list(range(100)), 2),
    ],
)
def test_values_that_are_alike_are_worth_fewer(values: list[float], expected: int | None) -> None:
    assert independent_count(values) == expected


def test_independent_values_are_worth_nearly_what_they_are() -> None:
    worth = [independent_count([Random(seed).gauss() for _ in range(200)]) or 0 for seed in range(20)]

    assert max(worth) <= 200
    assert fmean(worth) > 150


def test_random_values_with_a_memory_are_worth_what_theory_says() -> None:
    """x' = 0.8 x + noise has a correlation time of (1 + 0.8) / (1 - 0.8) = 9."""
    worth = []
    for seed in range(20):
        chance, values = Random(seed), [0.0]
        for _ in range(899):
            values.append(0.8 * values[-1] + chance.gauss())
        worth.append(independent_count(values) or 0)

    assert fmean(worth) == pytest.approx(100, rel=0.2)
