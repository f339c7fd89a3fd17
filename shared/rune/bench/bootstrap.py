"""How far quantiles may be off: their standard errors, by bootstrap over the requests of a run.

It is done where the requests are, when a point is folded. Reports then carry a few numbers, and two of them can be
compared without a file of requests, and after those files are gone.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random
from statistics import stdev

from rune.bench.statistics import percentile

MOST_DRAWS, LEAST_DRAWS = 200, 100
"""Samples that are drawn; 200 tell a standard error to 5 %, 100 to 7 %."""

_MOST_VALUES_DRAWN = 400_000
"""In all samples of one number, as far as the least number of samples allows: a fifth of a second."""

_SEED = 20_261_130
"""Of all runs: the same requests have the same errors."""

_LEAST_BLOCKS = 4


def quantile_errors(
    values: Sequence[float], percents: Sequence[int], independent_count: int
) -> Mapping[int, float]:
    """Return the standard error of each percentile, in the unit of the values.

    The circular block bootstrap (D. N. Politis, J. P. Romano, 1992): samples are made of blocks of neighbouring
    requests, so that requests which are late together stay together. A block is twice as long as the time for which
    requests are alike, and one request where they are independent.

    Parameters
    ----------
    values
        In the order of the requests.
    independent_count
        What they are worth, as `rune.bench.statistics.independent_count` says.

    Raises
    ------
    ValueError
        There are no values.
    """
    count = len(values)
    if not count:
        raise ValueError("No values have no quantiles.")
    block = _block_length(count, independent_count)
    ring = [*values, *values[:block]]
    chance = Random(_SEED)  # noqa: S311  # nothing secret
    drawn: dict[int, list[float]] = {percent: [] for percent in percents}
    for _ in range(max(LEAST_DRAWS, min(MOST_DRAWS, _MOST_VALUES_DRAWN // count))):
        if block == 1:
            sample = sorted(chance.choices(values, k=count))
        else:
            starts = chance.choices(range(count), k=math.ceil(count / block))
            sample = sorted([value for start in starts for value in ring[start : start + block]][:count])
        for percent, found in drawn.items():
            found.append(percentile(sample, percent))
    return {percent: stdev(found) for percent, found in drawn.items()}


def _block_length(count: int, independent_count: int) -> int:
    if independent_count >= count:
        return 1
    return max(1, min(round(2 * count / independent_count), count // _LEAST_BLOCKS))
