"""What AWS, Google Cloud and Azure ask for a machine with GPUs, on demand: `cloud_prices.json`, as Python.

RUNE rents nothing there: these are list prices, for comparison. The file holds one region of each cloud, Linux,
with no discount; disk and traffic are extra. `as_of` is the day for which the copy of the list that was read
(`seen_in`) states the price, or the day of reading where it states none. docs/catalog.md says how to renew a row.
"""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts import Document

type Cloud = Literal["aws", "gcp", "azure"]

_MEMORY_MARGIN_PERCENT = 10
"""Memory beyond what a model needs, as for Vast.ai's offers: drivers reserve some."""


class CloudMachineRow(Document):
    """One machine of the file."""

    cloud: Cloud
    region: str = Field(min_length=1, max_length=32)
    instance: str = Field(min_length=1, max_length=64)
    gpu: str = Field(min_length=1, max_length=32)
    gpu_count: int = Field(ge=1, le=16)
    gpu_memory_mb: int = Field(ge=4096, le=1_000_000)
    """Of each GPU, in MiB."""
    usd_per_hour: str = Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,9})?$")
    """For the whole machine. Text, so that it is exact."""
    as_of: date
    source: str = Field(pattern=r"^https://\S+$", max_length=256)
    """The cloud's own page of prices."""
    seen_in: str = Field(min_length=1, max_length=256)
    """Where the price was read."""


class CloudPriceFile(Document):
    """The whole file."""

    machines: tuple[CloudMachineRow, ...] = Field(min_length=1, max_length=500)


@dataclass(frozen=True, slots=True)
class CloudPrice:
    """What a cloud's cheapest machine in the table costs that holds a model.

    Attributes
    ----------
    micro_usd_per_hour
        List price of the whole machine, rounded up.
    as_of
        The day for which the price was stated.
    source
        The cloud's own page of prices.
    """

    cloud: Cloud
    region: str
    instance: str
    gpu: str
    gpu_count: int
    vram_mb: int
    micro_usd_per_hour: int
    as_of: date
    source: str


CLOUD_PRICES_PATH = Path(__file__).with_name("cloud_prices.json")


@cache
def read_cloud_prices() -> tuple[CloudPrice, ...]:
    """Return all machines, the cheapest first; of one price the one with more memory."""
    rows = CloudPriceFile.model_validate_json(CLOUD_PRICES_PATH.read_bytes()).machines
    return tuple(
        sorted((_price_of(row) for row in rows), key=lambda each: (each.micro_usd_per_hour, -each.vram_mb))
    )


def find_cloud_price(cloud: Cloud, vram_mb: int) -> CloudPrice | None:
    """Return the cloud's cheapest machine with a tenth more GPU memory than a model needs; None if there is none.

    Parameters
    ----------
    vram_mb
        What the model needs with its context (`SizedModel.vram_mb`).
    """
    wanted_mb = -(-vram_mb * (100 + _MEMORY_MARGIN_PERCENT) // 100)
    return next(
        (each for each in read_cloud_prices() if each.cloud == cloud and each.vram_mb >= wanted_mb), None
    )


def _price_of(row: CloudMachineRow) -> CloudPrice:
    micro_usd = (Decimal(row.usd_per_hour) * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING)
    return CloudPrice(
        cloud=row.cloud,
        region=row.region,
        instance=row.instance,
        gpu=row.gpu,
        gpu_count=row.gpu_count,
        vram_mb=row.gpu_count * row.gpu_memory_mb,
        micro_usd_per_hour=int(micro_usd),
        as_of=row.as_of,
        source=row.source,
    )
