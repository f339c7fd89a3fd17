"""What tokens of Amazon Bedrock cost: `bedrock_prices.json`, as Python.

The file holds list prices of on-demand inference, the day on which they were read, and for each row where from.
docs/backends.md says how a person adds or renews a row, and how an operator states other prices for a tenant.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path

from pydantic import Field

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts import Document

_FILE = Path(__file__).parent / "bedrock_prices.json"
_MILLION = 1_000_000

_AREA = re.compile(r"(?:us|eu|apac|au|jp|ca|global|us-gov)\.")
"""How the id of a cross-region inference profile begins; the id of its model follows
(https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html)."""

_ARN = re.compile(r"arn:[^:]+:bedrock:([^:]*):[^:]*:(?:foundation-model|inference-profile)/(.+)")


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What tokens of one model cost, in millionths of a dollar for a million tokens.

    Attributes
    ----------
    long_above_tokens
        Of a prompt: a call with more is billed as a whole at the `long` prices. None where there are none.
    """

    input_micro_usd_per_million: int
    output_micro_usd_per_million: int
    long_above_tokens: int | None = None
    long_input_micro_usd_per_million: int = 0
    long_output_micro_usd_per_million: int = 0

    @classmethod
    def of_usd(cls, input_usd: float | Decimal, output_usd: float | Decimal) -> "TokenPrice":
        """Return a price from dollars for a million tokens, rounded up to millionths."""
        return cls(_micro_usd(input_usd), _micro_usd(output_usd))

    def cost_micro_usd(self, input_tokens: int, output_tokens: int) -> int:
        """Return what one call costs, rounded up to millionths of a dollar."""
        is_long = self.long_above_tokens is not None and input_tokens > self.long_above_tokens
        per_input = self.long_input_micro_usd_per_million if is_long else self.input_micro_usd_per_million
        per_output = self.long_output_micro_usd_per_million if is_long else self.output_micro_usd_per_million
        return -(-(input_tokens * per_input + output_tokens * per_output) // _MILLION)


def highest_price(prices: Iterable[TokenPrice]) -> TokenPrice | None:
    """Return the highest of each part of some prices; None where there are none."""
    all_prices = tuple(prices)
    if not all_prices:
        return None
    long = [each for each in all_prices if each.long_above_tokens is not None]
    highest_input = max(each.input_micro_usd_per_million for each in all_prices)
    highest_output = max(each.output_micro_usd_per_million for each in all_prices)
    return TokenPrice(
        highest_input,
        highest_output,
        min((each.long_above_tokens for each in long if each.long_above_tokens is not None), default=None),
        max((highest_input, *(each.long_input_micro_usd_per_million for each in long))) if long else 0,
        max((highest_output, *(each.long_output_micro_usd_per_million for each in long))) if long else 0,
    )


def find_list_price(model: str, region: str) -> TokenPrice | None:
    """Return what a model's tokens cost in a region by the file; None where it has no price.

    The file does not have each region of each model. One that it lacks counts as the dearest that it has, outside
    of GovCloud, whose prices are their own.

    Parameters
    ----------
    model
        Id or ARN of a foundation model or of an inference profile. An application's own profile has an id that
        tells no model, so it has no price.
    """
    arn = _ARN.fullmatch(model)
    if arn is not None:
        region, model = arn[1] or region, arn[2]
    area = _AREA.match(model)
    by_where = _prices().get(model if area is None else model[area.end() :], {})
    exact = by_where.get(region if area is None else area[0])
    if exact is not None:
        return exact
    if _is_gov(region) or (area is not None and _is_gov(area[0])):
        return None
    return highest_price(price for where, price in by_where.items() if not _is_gov(where))


def prices_read_on() -> date:
    """Return the day on which the prices were read."""
    return _read_file().read_on


def _is_gov(where: str) -> bool:
    return where.startswith("us-gov")


class _LongPrice(Document):
    """What a call costs whose prompt is longer."""

    above_tokens: int = Field(gt=0)
    input: Decimal = Field(gt=0)
    output: Decimal = Field(gt=0)


class _Row(Document):
    """One model in one region, or by the profiles of one area (`us.`)."""

    model: str = Field(min_length=1)
    where: str = Field(pattern=r"^[a-z0-9-]+\.?$")
    input: Decimal = Field(gt=0)
    output: Decimal = Field(gt=0)
    long: _LongPrice | None = None
    source: int = Field(ge=0)
    """Number of its source, from 0."""


class _File(Document):
    read_on: date
    unit: str
    read_from: str
    sources: tuple[str, ...]
    prices: tuple[_Row, ...]


@cache
def _read_file() -> _File:
    file = _File.model_validate_json(_FILE.read_bytes())
    if any(row.source >= len(file.sources) for row in file.prices):
        raise ValueError("A row of bedrock_prices.json names a source that is not there.")
    if len({(row.model, row.where) for row in file.prices}) != len(file.prices):
        raise ValueError("Two rows of bedrock_prices.json are of one model in one region.")
    return file


@cache
def _prices() -> dict[str, dict[str, TokenPrice]]:
    prices: dict[str, dict[str, TokenPrice]] = {}
    for row in _read_file().prices:
        prices.setdefault(row.model, {})[row.where] = _price_of(row)
    return prices


def _price_of(row: _Row) -> TokenPrice:
    if row.long is None:
        return TokenPrice.of_usd(row.input, row.output)
    return TokenPrice(
        _micro_usd(row.input),
        _micro_usd(row.output),
        row.long.above_tokens,
        _micro_usd(row.long.input),
        _micro_usd(row.long.output),
    )


def _micro_usd(usd: float | Decimal) -> int:
    exact = usd if isinstance(usd, Decimal) else Decimal(repr(usd))
    return int((exact * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))
