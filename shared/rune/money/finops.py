"""What runs are expected to cost, from what rented runs have cost or what one is expected to. Plain arithmetic."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from rune.amounts import MICRO_USD_PER_USD
from rune.money.catalog import SizedModel
from rune.money.sizing import estimate_weights_gb

type HistoricalBasis = Literal["from_history", "scope_heuristic"]
type PricingSource = Literal["market_last_seen", "vastai_baseline"]
type CostBasis = Literal["rented_runs", "market_forecast", "price_table"]
type ConfidenceWord = Literal["low", "medium", "high"]

ENOUGH_RUNS = 5
"""From so many rented runs on the confidence is high."""

FEW_RUNS = 3
"""Fewer rented runs than these say little of the next one."""

_SCORES: dict[ConfidenceWord, float] = {"low": 0.4, "medium": 0.7, "high": 0.9}
"""As clients know them. None reaches 0.95: this is no bound of what a job may cost, which is its cap."""

_MOST_TRAFFIC_USD_PER_GB = Decimal("0.02")
"""Dearer offers are refused (`rune.rentals.offers.MAX_DOWNLOAD_USD_PER_GB`)."""

_LIKELY_TRAFFIC_USD_PER_GB = _MOST_TRAFFIC_USD_PER_GB / 2

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
class RunCost:
    """What the machine of one run costs, disk and traffic included, in millionths of a dollar.

    Attributes
    ----------
    basis
        `rented_runs`: what such runs have cost. `market_forecast`: what one is expected to on the offers of the
        last day. `price_table`: assumed times at a price of RUNE's table.
    run_count
        Runs that are in it: rented ones by their cost, else own ones by their time.
    """

    low_micro_usd: int
    likely_micro_usd: int
    high_micro_usd: int
    basis: CostBasis
    run_count: int = 0


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


def simulate(cost: RunCost | None, tokens: TokenCost, run_count: int) -> Simulation:
    """Return what runs are expected to cost.

    Parameters
    ----------
    cost
        Of the machine of one run; None where no machine is rented.
    run_count
        Of all periods together.
    """
    low, likely, high = (
        (0, 0, 0) if cost is None else (cost.low_micro_usd, cost.likely_micro_usd, cost.high_micro_usd)
    )
    known_count = tokens.run_count if cost is None else cost.run_count
    confidence = _confidence(None if cost is None else cost.basis, known_count)
    return Simulation(
        gpu_micro_usd=likely,
        token_micro_usd=tokens.micro_usd,
        low_micro_usd=low + int(tokens.micro_usd * SHORTEST_PART),
        high_micro_usd=high + int(tokens.micro_usd * LONGEST_PART),
        total_micro_usd=(likely + tokens.micro_usd) * run_count,
        confidence=confidence,
        confidence_score=_SCORES[confidence],
        basis="from_history" if known_count else "scope_heuristic",
    )


def cost_by_table(
    model: SizedModel, image_gb: float, price: GpuPrice, own: RunTimes | None
) -> tuple[RunCost, RunTimes]:
    """Return what a run costs by a price alone, with boot, downloads and their traffic, and how long it takes.

    Parameters
    ----------
    own
        How long runs took on servers that were there; None for two minutes of work.
    """
    weights_gb = estimate_weights_gb(model)
    ready_seconds = _BOOT_SECONDS + weights_gb / _DOWNLOAD_GB_PER_SECOND
    work = spread(_WORK_SECONDS, 0) if own is None else own
    times = RunTimes(
        ready_seconds * SHORTEST_PART + work.shortest_seconds,
        ready_seconds + work.mean_seconds,
        ready_seconds * LONGEST_PART + work.longest_seconds,
        work.run_count,
    )
    traffic_gb = Decimal(str(round(image_gb + weights_gb, 3)))
    cost = RunCost(
        _cost(times.shortest_seconds, price.low_micro_usd),
        _cost(times.mean_seconds, price.likely_micro_usd) + _traffic(traffic_gb, _LIKELY_TRAFFIC_USD_PER_GB),
        _cost(times.longest_seconds, price.high_micro_usd) + _traffic(traffic_gb, _MOST_TRAFFIC_USD_PER_GB),
        "price_table",
        work.run_count,
    )
    return cost, times


def spread(mean_seconds: float, run_count: int) -> RunTimes:
    """Return the times of runs of which the mean alone is known."""
    return RunTimes(mean_seconds * SHORTEST_PART, mean_seconds, mean_seconds * LONGEST_PART, run_count)


def price_range(micro_usd: int, source: PricingSource, as_of: datetime) -> GpuPrice:
    """Return the price of which one number alone is known."""
    return GpuPrice(int(micro_usd * LOWEST_PART), micro_usd, int(micro_usd * HIGHEST_PART), source, as_of)


def _confidence(basis: CostBasis | None, run_count: int) -> ConfidenceWord:
    """Return how sure the figures are: only of what rented runs have cost can they be very sure."""
    if basis == "price_table" or run_count < FEW_RUNS:
        return "low"
    return "high" if run_count >= ENOUGH_RUNS and basis != "market_forecast" else "medium"


def _cost(seconds: float, micro_usd_per_hour: int) -> int:
    return -int(-seconds * micro_usd_per_hour // _SECONDS_PER_HOUR)


def _traffic(gb: Decimal, usd_per_gb: Decimal) -> int:
    return int((gb * usd_per_gb * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))
