"""What one run on a rented machine costs: by what such runs have cost, by the market, or by a table of prices.

Plain functions over plain data.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from decimal import ROUND_CEILING, Decimal
from statistics import fmean

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import InvalidRequestError
from rune.jobs.record import Status
from rune.jobs.samples import Sample
from rune.money.catalog import SizedModel
from rune.money.finops import FEW_RUNS, GpuPrice, RunCost, RunTimes, cost_by_table, price_range, spread
from rune.money.sizing import estimate_weights_gb
from rune.money.vastai_prices import find_baseline_price, is_gpu_named
from rune.rentals.forecast import ExpectedUse, forecast
from rune.rentals.market import MarketRow
from rune.rentals.offers import Offer
from rune.rentals.ranking import name_gpus
from rune.rentals.record import OLLAMA_IMAGE_BYTES
from rune.services.catalog_prices import SeenPrice, describe_needs, find_fitting
from rune.workflows.rental.estimate import PRIOR_RATIOS
from rune.workflows.rental.selection import LIKELY_OUTPUT_TOKENS

MOST_GPUS = 8
"""Of a machine, as they are offered."""

IMAGE_GB = OLLAMA_IMAGE_BYTES / 1_000_000_000

_COUNTED = re.compile(r"\s*([0-9]{1,3})\s*x\s*(\S.*)")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of runs of a model.

    Attributes
    ----------
    samples
        Of past rented runs of the model's class of memory.
    own
        How long the tenant's own runs took, on any server; None where it has none.
    """

    rows: Sequence[MarketRow]
    samples: Sequence[Sample]
    own: RunTimes | None


@dataclass(frozen=True, slots=True)
class Found:
    """What one run costs, on which machine, and what that rests on.

    Attributes
    ----------
    gpu
        The machine, such as `2x RTX 4090`.
    price
        Of an hour, for information where the runs' cost is known; None where it is not known.
    """

    gpu: str
    cost: RunCost
    times: RunTimes
    price: GpuPrice | None
    note: str


def find_cost(asked_gpu: str, model: SizedModel, evidence: Evidence) -> Found:
    """Return what a run costs: by rented runs of the model on the GPU, else by the market, else by the table.

    The machine is the one that a search would take, however many GPUs the caller names: a job cannot ask for more.

    Raises
    ------
    InvalidRequestError
        `price_unknown`: nothing is known of the GPU, or no machine has as many as the model needs.
    """
    _, gpu = split_gpu(asked_gpu)
    seen = [each for each in find_fitting(evidence.rows, model) if is_gpu_named(each.offer.gpu_name, gpu)]
    runs = [
        each
        for each in evidence.samples
        if _says_cost(each) and each.model == model.name and is_gpu_named(split_gpu(each.gpu)[1], gpu)
    ]
    if runs:
        return _by_runs(runs, seen, model)
    return _by_market(seen, model, evidence) if seen else _by_table(gpu, model, evidence.own)


def split_gpu(name: str) -> tuple[int | None, str]:
    """Return how many GPUs a name such as `2x RTX 4090` has, None where it does not say, and which."""
    found = _COUNTED.fullmatch(name)
    return (int(found[1]), found[2].strip()) if found else (None, name)


def _says_cost(sample: Sample) -> bool:
    return sample.status is Status.SUCCEEDED and sample.cost_micro_usd > 0


def _by_runs(runs: Sequence[Sample], seen: Sequence[SeenPrice], model: SizedModel) -> Found:
    costs = [each.cost_micro_usd for each in runs]
    seconds = [sum(each.phases_ms.values()) / 1000 for each in runs]
    likely, count = fmean(costs), len(runs)
    low, high = (min(costs), max(costs)) if count >= FEW_RUNS else (min(costs) // 2, max(costs) * 2)
    gpu = Counter(each.gpu for each in runs).most_common(1)[0][0]
    alike = [each for each in seen if name_gpus(each.offer) == gpu]
    price = _price_of(alike, _rank(alike, model, None)[0][1]) if alike else None
    return Found(
        gpu,
        RunCost(low, round(likely), high, "rented_runs", count),
        RunTimes(min(seconds), fmean(seconds), max(seconds), count),
        price,
        f"Cost: what {count} rented run{'' if count == 1 else 's'} of the model on this GPU cost in this"
        " deployment, with boot, download, disk and traffic.",
    )


def _by_market(seen: Sequence[SeenPrice], model: SizedModel, evidence: Evidence) -> Found:
    own = evidence.own
    best_usd, best, seconds = _rank(seen, model, own.mean_seconds if own else None)[0]
    alike = [each for each in seen if name_gpus(each.offer) == name_gpus(best.offer)]
    least_usd = _rank(alike, model, own.shortest_seconds if own else None)[0][0]
    most_usd = _rank(alike, model, own.longest_seconds if own else None)[-1][0]
    low, mean, high, ratio_note = _ratios(evidence.samples)
    as_of = max(each.as_of for each in alike)
    cost = RunCost(
        _micro_usd(least_usd * low),
        _micro_usd(best_usd * mean),
        _micro_usd(most_usd * high),
        "market_forecast",
        own.run_count if own else 0,
    )
    work = f"your own {own.run_count} runs' time" if own else f"one answer of {LIKELY_OUTPUT_TOKENS} tokens"
    note = (
        f"Cost: expected on the cheapest of {len(alike)} offers that fit, as last seen at"
        f" {as_of:%Y-%m-%dT%H:%M:%SZ}: boot, download, {work}, disk and traffic, {ratio_note}."
    )
    times = spread(seconds, own.run_count if own else 0)
    return Found(name_gpus(best.offer), cost, times, _price_of(alike, best), note)


def _by_table(gpu: str, model: SizedModel, own: RunTimes | None) -> Found:
    baseline = find_baseline_price(gpu, model.vram_mb)
    if baseline is None:
        raise InvalidRequestError(
            f"RUNE knows no price of the GPU {gpu!r}: no search of the last day saw it, and no table has it.",
            pointer="/gpu",
            code="price_unknown",
        )
    if baseline.gpu_count > MOST_GPUS:
        raise InvalidRequestError(
            f"{model.name} needs {baseline.gpu_count} of {baseline.gpu}, and machines have {MOST_GPUS} at most.",
            pointer="/gpu",
            code="price_unknown",
        )
    as_of = datetime.combine(baseline.as_of, time_of_day(), UTC)
    price = price_range(baseline.micro_usd_per_hour, "vastai_baseline", as_of)
    cost, times = cost_by_table(model, IMAGE_GB, price, own)
    note = (
        f"Cost: RUNE's table of prices of {baseline.as_of}, since no search of the last day saw this GPU, for an"
        " assumed boot and download, with traffic. A guess."
    )
    return Found(f"{baseline.gpu_count}x {baseline.gpu}", cost, times, price, note)


def _rank(
    seen: Iterable[SeenPrice], model: SizedModel, work_seconds: float | None
) -> list[tuple[Decimal, SeenPrice, float]]:
    """Return what a run is expected to cost on each offer, in USD, and its seconds, cheapest first as in a search.

    Parameters
    ----------
    work_seconds
        How long the answers take; None for one answer.
    """
    use = ExpectedUse(IMAGE_GB, estimate_weights_gb(model), LIKELY_OUTPUT_TOKENS)
    disk_gb = describe_needs(model).disk_gb
    found = [(*_expect(each.offer, use, disk_gb, work_seconds), each) for each in seen]
    return [(usd, each, seconds) for usd, seconds, each in sorted(found, key=lambda one: one[0])]


def _expect(
    offer: Offer, use: ExpectedUse, disk_gb: int, work_seconds: float | None
) -> tuple[Decimal, float]:
    told = forecast(offer, use, disk_gb)
    more = timedelta(0) if work_seconds is None else timedelta(seconds=work_seconds) - told.spans.work
    usd = told.once_usd + told.usd_per_hour * Decimal(more / _HOUR)
    seconds = (told.busy + told.spans.image + more).total_seconds()
    return usd / Decimal(max(told.odds_ratio, 0.01)), seconds


def _ratios(samples: Sequence[Sample]) -> tuple[Decimal, Decimal, Decimal, str]:
    """Return what rented runs cost by what was expected of them: least, mean, most; and that in words."""
    ratios = [
        each.cost_micro_usd / each.expected_micro_usd
        for each in samples
        if _says_cost(each) and each.expected_micro_usd > 0
    ]
    if len(ratios) >= FEW_RUNS:
        words = (
            f"times what {len(ratios)} rented runs of models of this size cost of what was expected of them"
        )
    else:
        ratios, words = [*PRIOR_RATIOS], "times what simulated runs cost of what was expected of them"
    return Decimal(min(ratios)), Decimal(fmean(ratios)), Decimal(max(ratios)), words


def _price_of(alike: Sequence[SeenPrice], best: SeenPrice) -> GpuPrice:
    prices = [_micro_usd(each.usd_per_hour) for each in (*alike, best)]
    as_of = max(each.as_of for each in (*alike, best))
    return GpuPrice(min(prices), _micro_usd(best.usd_per_hour), max(prices), "market_last_seen", as_of)


def _micro_usd(usd: Decimal) -> int:
    return int((usd * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))
