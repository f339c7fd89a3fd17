"""What one GPU rented for on Vast.ai on a given day: `vastai_prices.json`, for when no search of ours saw it.

The file holds the lowest price of each GPU on that day, for machines of one to eight of them. Prices move by the
hour, so a range is made of each.
"""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path

from pydantic import Field

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts import Document

_FORMS = ("sxm", "pcie", "nvl")
"""Of one GPU, as its name goes on: a caller who names the GPU means all of them."""

_MEMORY_MARGIN_PERCENT = 10


class VastaiGpuRow(Document):
    """One GPU of the file."""

    gpu: str = Field(min_length=1, max_length=32)
    """As Vast.ai names it."""
    memory_mb: int = Field(ge=4096, le=1_000_000)
    usd_per_hour: str = Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,6})?$")


class VastaiPriceFile(Document):
    """The whole file."""

    as_of: date
    source: str = Field(pattern=r"^https://\S+$", max_length=256)
    seen_in: str = Field(min_length=1, max_length=256)
    gpus: tuple[VastaiGpuRow, ...] = Field(min_length=1, max_length=200)


@dataclass(frozen=True, slots=True)
class BaselinePrice:
    """What as many of a GPU as hold a model rented for."""

    gpu: str
    gpu_count: int
    micro_usd_per_hour: int
    as_of: date


VASTAI_PRICES_PATH = Path(__file__).with_name("vastai_prices.json")


@cache
def read_vastai_prices() -> VastaiPriceFile:
    """Return the file."""
    return VastaiPriceFile.model_validate_json(VASTAI_PRICES_PATH.read_bytes())


def is_gpu_named(name: str, asked: str) -> bool:
    """Return whether a GPU is the one that a caller names, such as `rtx4090`, `RTX 4090`, or `a100` in any form."""
    known, wanted = _plain(name), _plain(asked)
    rest = known.removeprefix(wanted)
    return bool(wanted) and known.startswith(wanted) and (not rest or rest.startswith(_FORMS))


def find_baseline_price(gpu: str, vram_mb: int) -> BaselinePrice | None:
    """Return the cheapest of a GPU's forms, with as many GPUs as hold a model; None for a GPU outside the file."""
    wanted_mb = -(-vram_mb * (100 + _MEMORY_MARGIN_PERCENT) // 100)
    found = read_vastai_prices()
    prices = [
        _price_of(row, -(-wanted_mb // row.memory_mb), found.as_of)
        for row in found.gpus
        if is_gpu_named(row.gpu, gpu)
    ]
    return min(prices, key=lambda each: (each.micro_usd_per_hour, each.gpu), default=None)


def _price_of(row: VastaiGpuRow, gpu_count: int, as_of: date) -> BaselinePrice:
    micro_usd = Decimal(row.usd_per_hour) * MICRO_USD_PER_USD * gpu_count
    return BaselinePrice(row.gpu, gpu_count, int(micro_usd.to_integral_value(ROUND_CEILING)), as_of)


def _plain(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())
