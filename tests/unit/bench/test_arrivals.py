import statistics
from collections import Counter
from itertools import pairwise

import pytest

from rune.bench.arrivals import poisson_arrivals_s, shuffled_order


def test_arrivals_are_the_same_when_the_seed_is() -> None:
    assert poisson_arrivals_s(5.0, 100, seed=3) == poisson_arrivals_s(5.0, 100, seed=3)
    assert poisson_arrivals_s(5.0, 100, seed=3) != poisson_arrivals_s(5.0, 100, seed=4)


def test_arrivals_have_exponential_gaps_of_the_rate() -> None:
    gaps_s = [later - earlier for earlier, later in pairwise((0.0, *poisson_arrivals_s(8.0, 20_000, seed=0)))]

    assert min(gaps_s) > 0
    assert statistics.mean(gaps_s) == pytest.approx(1 / 8, rel=0.02)
    # Of an exponential the deviation is the mean, and the median ln 2 of it: no other common one has both.
    assert statistics.stdev(gaps_s) == pytest.approx(1 / 8, rel=0.03)
    assert statistics.median(gaps_s) == pytest.approx(0.6931 / 8, rel=0.03)


@pytest.mark.parametrize("count", [1, 10, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_arrivals_have_exactly_the_rate_that_was_asked_for(count: int, seed: int) -> None:
    assert poisson_arrivals_s(8.0, count, seed=seed)[-1] == pytest.approx(count / 8)


def test_arrivals_keep_their_pattern_when_the_rate_changes() -> None:
    slow_s, fast_s = poisson_arrivals_s(1.0, 50, seed=1), poisson_arrivals_s(4.0, 50, seed=1)

    assert [due_s / 4 for due_s in slow_s] == pytest.approx(fast_s)


def test_order_asks_each_prompt_as_often_as_told() -> None:
    order = shuffled_order(16, 5, seed=2)

    assert Counter(order) == dict.fromkeys(range(16), 5)
    assert order == shuffled_order(16, 5, seed=2) != shuffled_order(16, 5, seed=3)
    assert order != tuple(sorted(order))
