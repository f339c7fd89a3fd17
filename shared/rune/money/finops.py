"""What runs are expected to cost, from how long runs have taken and what a GPU rents for. Plain arithmetic."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rune.money.catalog import SizedModel
from rune.money.sizing import estimate_weights_gb

type HistoricalBasis = Literal["from_history", "scope_heuristic"]
type PricingSource = Literal["market_last_seen", "vastai_baseline"]
type ConfidenceWord = Literal["low", "medium", "high"]

ENOUGH_RUNS = 5
"""From so many runs on the confidence is high, if the price is the market's too."""

_SCORES: dict[ConfidenceWord, float] = {"low": 0.4, "medium": 0.7, "high": 0.9}
"""As clients know them. None reaches 0.95: this is no bound of what a job may cost, which is its cap."""

_SECONDS_PER_HOUR = 3600
_BOOT_SECONDS = 120
_WORK_SECONDS = 120
_DOWNLOAD_GB_PER_SECOND = 0.0625
"""500 Mbit/s, as many hosts state."""

SHORTEST_PART, LONGEST_PART = 0.5, 2.0
"""Of the mean: the range of times where too few runs are known to have one, and of tokens."""

LOWEST_PART, HIGHEST_PART = 0.75, 2.0
"""Of a price that is not the market's of today: the range in which today's lies, taken wide."""


@dataclass(frozen=True, slots=True)
class RunTimes:
    """How long one run takes, in seconds.

    Attributes
    ----------
    run_count
        Of how many runs that is known; 0 where it is an assumption.
    """

    shortest_seconds: float
    mean_seconds: float
    longest_seconds: float
    run_count: int = 0


@dataclass(frozen=True, slots=True)
class GpuPrice:
    """What the machine costs an hour, in millionths of a dollar, and where that is from."""

    low_micro_usd: int
    likely_micro_usd: int
    high_micro_usd: int
    source: PricingSource
    as_of: datetime


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What the tokens of one run cost, in millionths of a dollar.

    Attributes
    ----------
    run_count
        Of how many runs that is known; 0 where it is an assumption, or nothing.
    input_assumed, output_assumed
        Tokens, where it is an assumption.
    """

    micro_usd: int = 0
    run_count: int = 0
    input_assumed: int = 0
    output_assumed: int = 0


ASSUMED_INPUT_TOKENS, ASSUMED_OUTPUT_TOKENS = 1_000, 500
"""Of a run of which no token is known."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one run, and all runs, are expected to cost, in millionths of a dollar."""

    gpu_micro_usd: int
    token_micro_usd: int
    low_micro_usd: int
    high_micro_usd: int
    total_micro_usd: int
    confidence: ConfidenceWord
    confidence_score: float
    basis: HistoricalBasis

    @property
    def run_micro_usd(self) -> int:
        """Of one run."""
        return self.gpu_micro_usd + self.token_micro_usd


def simulate(times: RunTimes, price: GpuPrice | None, tokens: TokenCost, run_count: int) -> Simulation:
    """Return what runs are expected to cost.

    Parameters
    ----------
    price
        None where no machine is rented.
    run_count
        Of all periods together.
    """
    low, likely, high = (0, 0, 0) if price is None else _gpu_costs(times, price)
    confidence = _confidence(times, price)
    return Simulation(
        gpu_micro_usd=likely,
        token_micro_usd=tokens.micro_usd,
        low_micro_usd=low + int(tokens.micro_usd * SHORTEST_PART),
        high_micro_usd=high + int(tokens.micro_usd * LONGEST_PART),
        total_micro_usd=(likely + tokens.micro_usd) * run_count,
        confidence=confidence,
        confidence_score=_SCORES[confidence],
        basis="from_history" if times.run_count else "scope_heuristic",
    )


def assume_times(model: SizedModel) -> RunTimes:
    """Return how long a run of a model is assumed to take of which none is known: boot, download, a few answers."""
    return spread(_BOOT_SECONDS + estimate_weights_gb(model) / _DOWNLOAD_GB_PER_SECOND + _WORK_SECONDS, 0)


def spread(mean_seconds: float, run_count: int) -> RunTimes:
    """Return the times of runs of which the mean alone is known."""
    return RunTimes(mean_seconds * SHORTEST_PART, mean_seconds, mean_seconds * LONGEST_PART, run_count)


def price_range(micro_usd: int, source: PricingSource, as_of: datetime) -> GpuPrice:
    """Return the price of which one number alone is known."""
    return GpuPrice(int(micro_usd * LOWEST_PART), micro_usd, int(micro_usd * HIGHEST_PART), source, as_of)


def _gpu_costs(times: RunTimes, price: GpuPrice) -> tuple[int, int, int]:
    return (
        _cost(times.shortest_seconds, price.low_micro_usd),
        _cost(times.mean_seconds, price.likely_micro_usd),
        _cost(times.longest_seconds, price.high_micro_usd),
    )


def _confidence(times: RunTimes, price: GpuPrice | None) -> ConfidenceWord:
    if not times.run_count:
        return "low"
    is_todays = price is None or price.source == "market_last_seen"
    is_high = times.run_count >= ENOUGH_RUNS and is_todays
    return "high" if is_high else "medium"


def _cost(seconds: float, micro_usd_per_hour: int) -> int:
    return -int(-seconds * micro_usd_per_hour // _SECONDS_PER_HOUR)
