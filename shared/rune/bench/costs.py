"""What a benchmark's numbers cost on the machine that was really rented, and how long it took to get there.

Arithmetic is decimal, on the shortest decimals that name the given numbers. Results have six significant digits,
halves to even; seconds have milliseconds.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Protocol

from rune.amounts import MICRO_USD_PER_USD
from rune.bench import headline
from rune.contracts import BenchmarkReport, CostReport, RunCost, RunReport, TimeToReady
from rune.contracts.benchmarks import TokenCostReport


class TokenPrices(Protocol):
    """What tokens of a model cost, in millionths of a dollar for a million; see `rune.money.token_prices`."""

    @property
    def input_micro_usd_per_million(self) -> int:
        """Of prompts."""
        ...

    @property
    def output_micro_usd_per_million(self) -> int:
        """Of answers."""
        ...

    @property
    def long_above_tokens(self) -> int | None:
        """Of a prompt: a call with more is billed at the `long` prices."""
        ...

    @property
    def long_input_micro_usd_per_million(self) -> int:
        """Of prompts that are longer."""
        ...

    @property
    def long_output_micro_usd_per_million(self) -> int:
        """Of answers to them."""
        ...


_EXACT = Context(prec=50, rounding=ROUND_HALF_EVEN)
_PUBLISHED = Context(prec=6, rounding=ROUND_HALF_EVEN)
_MILLISECOND = Decimal("0.001")
_SECONDS_PER_HOUR = 3600
_MILLION = 1_000_000


def add_cost(
    report: BenchmarkReport,
    *,
    price_usd_per_hour: float,
    billed_usd: float,
    billed_seconds: float,
    busy_seconds: float,
    warmup_output_tokens: int = 0,
) -> BenchmarkReport:
    """Return the report with its cost and that of each run, by the formulas of `rune.contracts.CostReport`.

    Parameters
    ----------
    price_usd_per_hour
        Of the running machine with its disk.
    billed_usd, billed_seconds
        For the whole rental: boot, download, waiting and teardown too.
    busy_seconds
        Of these, the time in which the model was pulled, loaded or asked.
    warmup_output_tokens
        Of all points; paid for, so part of the all-in figure.
    """
    output_tokens = sum(run.total_output_tokens for run in report.runs) + warmup_output_tokens
    with localcontext(_EXACT):
        usd_per_second = _decimal(price_usd_per_hour) / _SECONDS_PER_HOUR
        costs = {run.index: _run_cost(usd_per_second, run) for run in report.runs}
        best = next((run for run in report.runs if run.index == report.best_run), None)
        of_best = _NO_COST if best is None else costs[best.index]
        per_output_token = None if best is None else _per_output_token(usd_per_second, best)
        are_counted = all(_has_counts(run) for run in report.runs)
        cost = CostReport(
            price_usd_per_hour=price_usd_per_hour,
            at_run=None if best is None else best.index,
            cost_usd=billed_usd,
            billed_usd=billed_usd,
            billed_seconds=_seconds(_decimal(billed_seconds)),
            busy_seconds=_seconds(_decimal(busy_seconds)),
            idle_seconds=_seconds(max(_decimal(billed_seconds) - _decimal(busy_seconds), Decimal(0))),
            usd_per_million_output_tokens_all_in=_published(
                _per_unit(_decimal(billed_usd), float(output_tokens)) if are_counted else None, _MILLION
            ),
            output_tokens_per_usd=_published(1 / per_output_token) if per_output_token else None,
            **dict(of_best),
        )
    runs = [run.model_copy(update={"cost": costs[run.index]}) for run in report.runs]
    priced: dict[str, object] = {"runs": runs, "cost": cost}
    capacity = report.capacity
    if capacity is not None and capacity.at_run is not None:
        price = costs[capacity.at_run].usd_per_good_request
        priced["capacity"] = capacity.model_copy(update={"usd_per_good_request": price})
    return report.model_copy(update=priced)


def add_token_cost(
    report: BenchmarkReport, price: TokenPrices | None, *, tokens_usd: float, warmup_output_tokens: int = 0
) -> BenchmarkReport:
    """Return the report with the bill of its tokens, and what those of each run cost.

    Parameters
    ----------
    price
        Of the model's tokens; None leaves the runs as they are, as where only the judge is billed.
    tokens_usd
        Of all the job's calls so far.
    warmup_output_tokens
        Of all points; paid for, so part of the all-in figure.
    """
    output_tokens = sum(run.total_output_tokens for run in report.runs) + warmup_output_tokens
    are_counted = all(_has_counts(run) for run in report.runs)
    with localcontext(_EXACT):
        all_in = _per_unit(_decimal(tokens_usd), float(output_tokens)) if are_counted else None
        token_cost = TokenCostReport(
            tokens_usd=tokens_usd, usd_per_million_output_tokens_all_in=_published(all_in, _MILLION)
        )
        runs = report.runs
        if price is not None:
            runs = [run.model_copy(update={"cost": _run_token_cost(price, run)}) for run in runs]
    priced: dict[str, object] = {"runs": runs, "token_cost": token_cost}
    capacity = report.capacity
    if price is not None and capacity is not None:
        at_run = next((run.cost for run in runs if run.index == capacity.at_run), None)
        per_good = None if at_run is None else at_run.usd_per_good_request
        priced["capacity"] = capacity.model_copy(update={"usd_per_good_request": per_good})
    return report.model_copy(update=priced)


def _run_token_cost(price: TokenPrices, run: RunReport) -> RunCost:
    """Return what the tokens of a run's completed requests cost; a price that goes by the prompt's length may tell.

    Of prompts of which some are longer than that and some are not, the sums do not say what they cost.
    """
    lengths, border = run.input_tokens, price.long_above_tokens
    per_input, per_output = price.input_micro_usd_per_million, price.output_micro_usd_per_million
    if lengths is None or lengths.count < run.completed or not _has_counts(run):
        return _NO_COST
    if border is not None and lengths.max > border:
        if lengths.min <= border:
            return _NO_COST
        per_input, per_output = (
            price.long_input_micro_usd_per_million,
            price.long_output_micro_usd_per_million,
        )
    micro_usd = run.total_input_tokens * per_input + run.total_output_tokens * per_output
    paid = Decimal(micro_usd) / _MILLION / MICRO_USD_PER_USD
    return RunCost(
        usd_per_million_output_tokens=_published(_per_unit(paid, run.total_output_tokens), _MILLION),
        usd_per_million_total_tokens=_published(
            _per_unit(paid, run.total_input_tokens + run.total_output_tokens), _MILLION
        ),
        usd_per_1k_requests=_published(_per_unit(paid, run.completed), 1000),
        usd_per_good_request=_published(_per_unit(paid, run.good_count)),
    )


def usd_per_million_output_tokens(price_usd_per_hour: float, run: RunReport) -> float | None:
    """Return the steady-state price of output at one run: price / 3600 / steady output throughput * 1e6."""
    with localcontext(_EXACT):
        usd_per_second = _decimal(price_usd_per_hour) / _SECONDS_PER_HOUR
        return _published(_per_output_token(usd_per_second, run), _MILLION)


def time_to_ready(phases_ms: Mapping[str, int], pull_bytes: int) -> TimeToReady:
    """Return how long it took from nothing to the first token.

    Parameters
    ----------
    phases_ms
        Of `search`, `boot`, `pull`, `load` and `first_token`, those that were needed; others are passed over.
    """
    names = ("search", "boot", "pull", "load", "first_token")
    known = {f"{name}_ms": phases_ms.get(name) for name in names}
    return TimeToReady(
        **known, pull_bytes=pull_bytes, total_ms=sum(value for value in known.values() if value is not None)
    )


_NO_COST = RunCost(
    usd_per_million_output_tokens=None,
    usd_per_million_total_tokens=None,
    usd_per_1k_requests=None,
    usd_per_good_request=None,
)


def _run_cost(usd_per_second: Decimal, run: RunReport) -> RunCost:
    per_total_token = _per_unit(usd_per_second, headline.total_rate(run)) if _has_counts(run) else None
    return RunCost(
        usd_per_million_output_tokens=_published(_per_output_token(usd_per_second, run), _MILLION),
        usd_per_million_total_tokens=_published(per_total_token, _MILLION),
        usd_per_1k_requests=_published(_per_unit(usd_per_second, headline.request_rate(run)), 1000),
        usd_per_good_request=_published(_per_unit(usd_per_second, headline.good_rate(run))),
    )


def _per_output_token(usd_per_second: Decimal, run: RunReport) -> Decimal | None:
    return _per_unit(usd_per_second, headline.output_rate(run)) if _has_counts(run) else None


def _has_counts(run: RunReport) -> bool:
    """Return whether the server counted the tokens. A price of tokens that RUNE guessed would be a guess."""
    return run.token_count_source in {"usage", "server", None}


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))


def _per_unit(amount: Decimal, unit_count: float | None) -> Decimal | None:
    """Return the amount for each unit; None where there is no unit."""
    return amount / _decimal(unit_count) if unit_count else None


def _published(value: Decimal | None, factor: int = 1) -> float | None:
    return None if value is None else float(_PUBLISHED.plus(value * factor))


def _seconds(value: Decimal) -> float:
    return float(value.quantize(_MILLISECOND))
