"""What a benchmark's numbers cost on the machine that was really rented, and how long it took to get there.

Arithmetic is decimal, on the shortest decimals that name the given numbers. Results have six significant digits,
halves to even; seconds have milliseconds.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from rune.contracts import BenchmarkReport, CostReport, RunReport, TimeToReady

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
    """Return the report with its cost, by the formulas of `rune.contracts.CostReport`.

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
    best = next((run for run in report.runs if run.index == report.best_run), None)
    output_tokens = sum(run.total_output_tokens for run in report.runs) + warmup_output_tokens
    with localcontext(_EXACT):
        usd_per_second = _decimal(price_usd_per_hour) / _SECONDS_PER_HOUR
        per_output_token = _per_unit(usd_per_second, best.output_throughput_tokens_per_s if best else None)
        cost = CostReport(
            price_usd_per_hour=price_usd_per_hour,
            at_run=None if best is None else best.index,
            billed_usd=billed_usd,
            billed_seconds=_seconds(_decimal(billed_seconds)),
            busy_seconds=_seconds(_decimal(busy_seconds)),
            idle_seconds=_seconds(max(_decimal(billed_seconds) - _decimal(busy_seconds), Decimal(0))),
            usd_per_million_output_tokens=_published(per_output_token, _MILLION),
            usd_per_million_output_tokens_all_in=_published(
                _per_unit(_decimal(billed_usd), float(output_tokens)), _MILLION
            ),
            usd_per_million_total_tokens=_published(
                _per_unit(usd_per_second, best.total_throughput_tokens_per_s if best else None), _MILLION
            ),
            output_tokens_per_usd=_published(1 / per_output_token) if per_output_token else None,
            usd_per_1k_requests=_published(
                _per_unit(usd_per_second, best.request_throughput_per_s if best else None), 1000
            ),
            usd_per_good_request=_published(
                _per_unit(usd_per_second, best.goodput_requests_per_s if best else None)
            ),
        )
    return report.model_copy(update={"cost": cost})


def usd_per_million_output_tokens(price_usd_per_hour: float, run: RunReport) -> float | None:
    """Return the steady-state price of output at one run: price / 3600 / output throughput * 1e6."""
    with localcontext(_EXACT):
        usd_per_second = _decimal(price_usd_per_hour) / _SECONDS_PER_HOUR
        return _published(_per_unit(usd_per_second, run.output_throughput_tokens_per_s), _MILLION)


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


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))


def _per_unit(amount: Decimal, unit_count: float | None) -> Decimal | None:
    """Return the amount for each unit; None where there is no unit."""
    return amount / _decimal(unit_count) if unit_count else None


def _published(value: Decimal | None, factor: int = 1) -> float | None:
    return None if value is None else float(_PUBLISHED.plus(value * factor))


def _seconds(value: Decimal) -> float:
    return float(value.quantize(_MILLISECOND))
