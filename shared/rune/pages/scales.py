"""From numbers to places in a picture, and the numbers that stand at its axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_TICKS = 6
LOG_FROM_RATIO = 20
"""Values that differ by more than this get a logarithmic axis: on a linear one the small ones are one line."""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: which values it shows, between which places."""

    low: float
    high: float
    begin_px: float
    end_px: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value, within the axis."""
        if self.is_log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(max(value, self.low))
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low)
        return self.begin_px + min(max(share, 0.0), 1.0) * (self.end_px - self.begin_px)


def make_scale(values: Sequence[float], begin_px: float, end_px: float, *, may_be_log: bool = False) -> Scale:
    """Return an axis for values of 0 or more: from 0, or logarithmic where they may be and differ much."""
    positive = [value for value in values if value > 0]
    if (
        may_be_log
        and positive
        and len(positive) == len(values)
        and max(values) > LOG_FROM_RATIO * min(values)
    ):
        ticks = _log_ticks(min(values), max(values))
        return Scale(ticks[0], ticks[-1], begin_px, end_px, ticks, is_log=True)
    high = max(values, default=0.0) or 1.0
    return linear_scale(0.0, high, begin_px, end_px)


def time_scale(high: float, begin_px: float, end_px: float) -> Scale:
    """Return a linear axis from 0 that ends with the value, wherever the last round number is."""
    whole = linear_scale(0.0, high, begin_px, end_px)
    return Scale(0.0, high, begin_px, end_px, tuple(tick for tick in whole.ticks if tick <= high))


def linear_scale(low: float, high: float, begin_px: float, end_px: float) -> Scale:
    """Return a linear axis that has the values and ends at round ones."""
    step = _round_step((high - low) / (MOST_TICKS - 2))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], begin_px, end_px, ticks)


def tick_text(value: float) -> str:
    """Return a number as it stands at an axis: in at most six letters, with k and M from ten thousand on."""
    rounded = float(f"{value:.10g}")
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(rounded) >= unit * (1 if letter == "M" else 10):
            return f"{rounded / unit:g}{letter}"
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 or rounded == round(rounded) else f"{rounded:g}"  # noqa: PLR2004


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(step for step in (each * power for each in _STEPS) if step >= least * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return 1, 2 and 5 of each power of ten, or fewer where these are too many, around the values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        every = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
        begin = max(index for index, tick in enumerate(every) if tick <= low * (1 + 1e-9))
        end = next((index for index, tick in enumerate(every) if tick >= high * (1 - 1e-9)), len(every) - 1)
        ticks = tuple(every[begin : end + 1])
        if len(ticks) <= MOST_TICKS + 1:
            return ticks
    step = -(-len(ticks) // MOST_TICKS)
    return (*ticks[:-1:step], ticks[-1])
