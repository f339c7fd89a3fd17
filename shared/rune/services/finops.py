"""What runs of a tenant are expected to cost: the times of past runs, and the price of a GPU as last seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from decimal import ROUND_CEILING, Decimal
from statistics import fmean, median_low

from rune.amounts import MICRO_USD_PER_USD
from rune.clock import Clock
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind, Status
from rune.jobs.samples import Sample, SampleStore, Shape
from rune.jobs.store import JobStore
from rune.jobs.usage import Usage, add_up
from rune.money.catalog import SizedModel
from rune.money.finops import (
    ASSUMED_INPUT_TOKENS,
    ASSUMED_OUTPUT_TOKENS,
    GpuPrice,
    RunTimes,
    Simulation,
    TokenCost,
    assume_times,
    price_range,
    simulate,
    spread,
)
from rune.money.sizing import SMALLEST_MODEL, size_model
from rune.money.token_prices import TokenPrice, find_list_price, prices_read_on
from rune.money.vastai_prices import find_baseline_price, is_gpu_named
from rune.rentals.market import MarketRow, Scope
from rune.rentals.ranking import name_gpus
from rune.services.catalog_prices import SeenPrice, describe_needs, find_fitting

HISTORY_DAYS = 90
_ENOUGH_FOR_A_RANGE = 3
_ROUTES = ("ollama/", "ollama_chat/")
"""In front of a model's name, where a client's own library wants them."""

_COUNTED_KINDS = (Kind.BENCHMARK.value, Kind.AGENTIC_AGENT.value)


LEFT_OUT = (
    "Left out: traffic and disk. Own runs count on servers that were there already too, and those are shorter."
    " POST /v1/estimates reckons with what a rented job takes."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be simulated; empty texts say nothing."""

    agent: str
    model: str
    gpu: str
    suite: str
    run_count: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation, and what it rests on.

    Attributes
    ----------
    gpu
        The machine, such as `2x RTX 4090`; empty where none is rented.
    notes
        What the numbers rest on, as sentences.
    """

    simulation: Simulation
    model: str
    gpu: str
    times: RunTimes
    price: GpuPrice | None
    tokens: TokenCost
    notes: tuple[str, ...]


class FinopsService:
    """Simulations as one tenant's callers see them; raises StoreUnavailableError."""

    def __init__(
        self,
        jobs: JobStore,
        samples: SampleStore,
        read_market: Callable[[], tuple[MarketRow, ...]],
        clock: Clock,
        bedrock_region: str,
    ) -> None:
        self._jobs = jobs
        self._samples = samples
        self._read_market = read_market
        self._clock = clock
        self._bedrock_region = bedrock_region

    def simulate(self, tenant: str, asked: Asked) -> Simulated:
        """Return what runs are expected to cost.

        Raises
        ------
        InvalidRequestError
            `model_size_unknown`, or `price_unknown` for a GPU of which no price is known.
        """
        name = _plain_name(asked.model) or SMALLEST_MODEL.name
        own = self._read_own(tenant, asked, name)
        tokens = _mean_tokens(own)
        token_price = find_list_price(name, self._bedrock_region)
        if token_price is not None:
            times = spread(_mean_seconds(own), own.succeeded_count)
            if not tokens.run_count:
                tokens = _assume_tokens(token_price)
            return Simulated(
                simulate(times, None, tokens, asked.run_count),
                name,
                "",
                times,
                None,
                tokens,
                (_token_note(tokens), *_suite_note(asked)),
            )
        model = _size(name)
        gpu, price, price_note = self._find_price(asked.gpu, model)
        times, time_note = self._find_times(own, asked, model)
        simulation = simulate(times, price, tokens, asked.run_count)
        notes = (time_note, price_note, LEFT_OUT, *_suite_note(asked))
        return Simulated(simulation, model.name, gpu, times, price, tokens, notes)

    def _read_own(self, tenant: str, asked: Asked, name: str) -> Usage:
        """Return what the tenant's runs of 90 days have used, of the agent and the model of the answer."""
        today = self._clock.now().astimezone(UTC).date()
        used = self._jobs.read_usage(tenant, today - timedelta(days=HISTORY_DAYS - 1), today)
        return add_up(
            usage
            for row, usage in used.items()
            if row.kind in _COUNTED_KINDS
            and (not asked.agent or row.agent == asked.agent)
            # Also where none was named: the answer is of that model.
            and row.model in {asked.model, name}
        )

    def _find_times(self, own: Usage, asked: Asked, model: SizedModel) -> tuple[RunTimes, str]:
        seconds = [] if asked.agent else self._read_seconds(model)
        if own.succeeded_count:
            return _ranged(_mean_seconds(own), seconds, own.succeeded_count), (
                f"Times: the mean of your own runs in {HISTORY_DAYS} days that succeeded,"
                f" {own.succeeded_count} in all."
            )
        if seconds:
            times = RunTimes(min(seconds), fmean(seconds), max(seconds), len(seconds))
            return times, f"Times: {len(seconds)} runs of this deployment with models of this size."
        return assume_times(model), "Times: assumed, since no run like this is known."

    def _read_seconds(self, model: SizedModel) -> list[float]:
        """Return how long runs took of which the deployment keeps samples: of the model, or of its size."""
        shape = Shape(Kind.BENCHMARK.value, Scope.of(describe_needs(model)).class_gb)
        samples = [
            each
            for each in self._samples.read(shape, self._clock.now())
            if each.status is Status.SUCCEEDED and each.phases_ms
        ]
        same = [each for each in samples if each.model == model.name]
        return [_seconds_of(each) for each in same or samples]

    def _find_price(self, gpu: str, model: SizedModel) -> tuple[str, GpuPrice, str]:
        fitting = [
            each
            for each in find_fitting(self._read_market(), model)
            if is_gpu_named(each.offer.gpu_name, gpu)
        ]
        if fitting:
            fewest = min(each.offer.gpu_count for each in fitting)
            seen = [each for each in fitting if each.offer.gpu_count == fewest]
            as_of = max(each.as_of for each in seen)
            note = f"Price: {len(seen)} offers that fit, as last seen at {as_of:%Y-%m-%dT%H:%M:%SZ}."
            return name_gpus(seen[0].offer), _price_of(seen, as_of), note
        baseline = find_baseline_price(gpu, model.vram_mb)
        if baseline is None:
            raise InvalidRequestError(
                f"RUNE knows no price of the GPU {gpu!r}: no search of the last day saw it, and no table has it.",
                pointer="/gpu",
                code="price_unknown",
            )
        as_of = datetime.combine(baseline.as_of, time_of_day(), UTC)
        price = price_range(baseline.micro_usd_per_hour, "vastai_baseline", as_of)
        note = f"Price: RUNE's table of {baseline.as_of}, since no search of the last day saw this GPU."
        return f"{baseline.gpu_count}x {baseline.gpu}", price, note


def _price_of(seen: Sequence[SeenPrice], as_of: datetime) -> GpuPrice:
    prices = [_micro_usd(each.usd_per_hour) for each in seen]
    return GpuPrice(min(prices), median_low(prices), max(prices), "market_last_seen", as_of)


def _micro_usd(usd: Decimal) -> int:
    return int((usd * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))


def _ranged(mean_seconds: float, others: Sequence[float], run_count: int) -> RunTimes:
    """Return the times of runs of which the mean is known, with the range that other runs had about theirs."""
    mean_of_others = fmean(others) if others else 0
    if len(others) < _ENOUGH_FOR_A_RANGE or not mean_of_others:
        return spread(mean_seconds, run_count)
    shortest = mean_seconds * min(others) / mean_of_others
    return RunTimes(shortest, mean_seconds, mean_seconds * max(others) / mean_of_others, run_count)


def _mean_seconds(own: Usage) -> float:
    return own.succeeded_run_seconds / own.succeeded_count if own.succeeded_count else 0.0


def _mean_tokens(own: Usage) -> TokenCost:
    if not own.succeeded_token_micro_usd:
        return TokenCost()
    return TokenCost(-(-own.succeeded_token_micro_usd // own.succeeded_count), own.succeeded_count)


def _assume_tokens(price: TokenPrice) -> TokenCost:
    cost = price.cost_micro_usd(ASSUMED_INPUT_TOKENS, ASSUMED_OUTPUT_TOKENS)
    return TokenCost(cost, 0, ASSUMED_INPUT_TOKENS, ASSUMED_OUTPUT_TOKENS)


def _token_note(tokens: TokenCost) -> str:
    if tokens.run_count:
        count = tokens.run_count
        return f"Tokens: the mean of your own runs in {HISTORY_DAYS} days that succeeded, {count} in all."
    return f"Tokens: assumed, by the list prices of {prices_read_on()}."


def _suite_note(asked: Asked) -> tuple[str, ...]:
    return ("History is not counted by suite: runs of every suite are in it.",) if asked.suite else ()


def _seconds_of(sample: Sample) -> float:
    return sum(sample.phases_ms.values()) / 1000


def _plain_name(model: str) -> str:
    for route in _ROUTES:
        model = model.removeprefix(route)
    return model


def _size(model: str) -> SizedModel:
    try:
        return size_model(model)
    except InvalidRequestError:
        raise InvalidRequestError(
            f"RUNE does not know how large {model!r} is, so it cannot say which machine holds it.",
            pointer="/model",
            code="model_size_unknown",
        ) from None
