"""Axes have all values, few round numbers, and never two on top of each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.pages.figures import LEFT_PX, LETTER_PX
from rune.pages.scales import LOG_FROM_RATIO, MOST_TICKS, make_scale, tick_text, time_scale

VALUES = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20)


@settings(max_examples=200)
@given(VALUES, st.booleans())
def test_axis_has_all_values_between_its_ends(values: list[float], may_be_log: bool) -> None:
    scale = make_scale(values, 100, 300, may_be_log=may_be_log)

    places = [scale.at(value) for value in sorted(values)]
    assert scale.low <= min(values) * (1 + 1e-9)
    assert scale.high >= max(values) * (1 - 1e-9)
    assert places == sorted(places)
    assert all(100 <= place <= 300 for place in places)


@settings(max_examples=200)
@given(VALUES, st.booleans())
def test_axis_has_few_numbers_that_rise_and_differ(values: list[float], may_be_log: bool) -> None:
    scale = make_scale(values, 200, 0, may_be_log=may_be_log)

    texts = [tick_text(tick) for tick in scale.ticks]
    gaps = [scale.at(before) - scale.at(after) for before, after in pairwise(scale.ticks)]
    assert 2 <= len(scale.ticks) <= MOST_TICKS + 2
    assert len(set(texts)) == len(texts)
    assert min(gaps) > 12


@settings(max_examples=200)
@given(st.floats(1e-2, 1e9))
def test_numbers_of_an_axis_fit_beside_it(high: float) -> None:
    for tick in make_scale([high], 200, 0).ticks:
        assert len(tick_text(tick)) * LETTER_PX <= LEFT_PX


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (2.5, "2.5"),
        (1500, "1,500"),
        (10_000, "10k"),
        (12_500, "12.5k"),
        (2e6, "2M"),
    ],
)
def test_number_is_short(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_axis_is_logarithmic_only_where_values_differ_much() -> None:
    near, far = [1.0, float(LOG_FROM_RATIO)], [1.0, LOG_FROM_RATIO + 1.0]

    assert not make_scale(near, 0, 1, may_be_log=True).is_log
    assert make_scale(far, 0, 1, may_be_log=True).is_log
    assert not make_scale([0.0, *far], 0, 1, may_be_log=True).is_log
    assert not make_scale(far, 0, 1).is_log


def test_time_ends_with_the_value() -> None:
    scale = time_scale(10.079, 0, 100)

    assert scale.at(10.079) == 100
    assert max(scale.ticks) == 10


def test_axis_without_values_is_there() -> None:
    assert make_scale([], 0, 100).ticks[0] == 0
    assert make_scale([0.0], 0, 100).at(0) == 0
