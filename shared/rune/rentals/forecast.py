"""What a job is expected to cost on an offer. Plain functions over plain data.

Vast.ai bills the disk from the order, the GPU while the container runs, and traffic by the GB
(https://docs.vast.ai/guides/instances/pricing). So the image's download costs disk and traffic, and everything
after it costs the machine.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from rune.rentals.hosts import UNKNOWN_HOST, HostRecord
from rune.rentals.offers import Offer

START_SECONDS = 30.0
"""RUNE's own: from a container that runs to a look that finds its server (a look every 5 to 15 s), and from the end
of the work to the proof that the machine is gone (a listing after an order to destroy it)."""

DECODE_EFFICIENCY = 0.75
DECODE_OVERHEAD_SECONDS = 0.002
"""A token reads all weights once, at three quarters of the memory's bandwidth, and takes 2 ms beside that. Within
10 % of llama.cpp on a Tesla P40 (347 GB/s, 3.8 GB: 57 tokens/s, https://github.com/ggml-org/llama.cpp/pull/4766)
and an RTX 3090 (936 GB/s, 2.5 GB: 189 tokens/s, https://calebcoffie.com/benchmarks/gemma-3-4b-it-gguf)."""

LOAD_GB_PER_SECOND = 2.0
"""From a disk into the GPU, an estimate for one process that reads in order: a drive has 3 to 7. It is alike for
all hosts but those that state a slower disk."""

UNSTATED_MEMORY_GB_PER_SECOND = 300.0
"""Of a GPU whose host states no bandwidth: that of the slowest cards in use (Tesla T4: 320)."""

FASTEST_MEMORY_GB_PER_SECOND = 8000.0
"""NVIDIA B200 (https://www.nvidia.com/en-us/data-center/hgx/). A host that states more is not believed."""

_MBIT_PER_GB = 8000
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ExpectedUse:
    """What a job will do with its machine, as far as it is known before.

    Attributes
    ----------
    image_gb
        Download before the container runs.
    weights_gb
        The model's likely size.
    token_count
        Output tokens of all answers together, one after the other.
    kept
        How long the machine stays after its work, whatever its speed.
    most_usd
        What the job may still cost; None for no limit.
    time_left
        How long it may still run; None for no limit.
    used_for
        How long the machine is used, image and model included, as the caller says: what is not needed for these is
        work. None where the tokens tell.
    """

    image_gb: float
    weights_gb: float
    token_count: int
    kept: timedelta = timedelta(0)
    most_usd: Decimal | None = None
    time_left: timedelta | None = None
    used_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Spans:
    """How long each part of a try is expected to take.

    Attributes
    ----------
    image, pull
        Downloads of the image and of the model.
    load
        From the disk into the GPU.
    work
        Answers alone.
    """

    image: timedelta = timedelta(0)
    pull: timedelta = timedelta(0)
    load: timedelta = timedelta(0)
    work: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a job is expected to cost on an offer, in USD.

    Attributes
    ----------
    expected_usd
        The cost of one try, divided by the odds that it succeeds: what failed is paid again.
    busy
        How long the GPU is billed.
    odds_ratio
        That the host does not fail.
    once_usd
        The cost of one try.
    loaded_after
        From the order to a loaded model: image, weights and load alone.
    spans
        The parts of a try.
    """

    expected_usd: Decimal
    usd_per_hour: Decimal
    busy: timedelta
    traffic_usd: Decimal
    odds_ratio: float
    once_usd: Decimal = Decimal(0)
    loaded_after: timedelta = timedelta(0)
    spans: Spans = Spans()


def forecast(offer: Offer, use: ExpectedUse, disk_gb: int, host: HostRecord = UNKNOWN_HOST) -> Forecast:
    """Return what the job is expected to cost on the offer.

    One GPU's bandwidth counts, however many there are: llama.cpp gives each GPU some layers, and a token passes
    them one after the other.
    """
    mbit_per_second = host.believable_mbit_per_second(offer.download_mbit_per_second)
    image = timedelta(seconds=use.image_gb * _MBIT_PER_GB / mbit_per_second)
    pull = timedelta(seconds=use.weights_gb * _MBIT_PER_GB / mbit_per_second)
    load = timedelta(seconds=use.weights_gb / _load_gb_per_second(offer))
    work = timedelta(
        seconds=use.token_count * _seconds_per_token(use.weights_gb, _memory_gb_per_second(offer))
    )
    if use.used_for is not None:
        work = max(timedelta(0), use.used_for - image - pull - load - timedelta(seconds=START_SECONDS))
    busy = use.kept + pull + load + timedelta(seconds=START_SECONDS) + work
    price = offer.usd_per_hour(disk_gb)
    traffic_usd = offer.download_usd_per_gb * Decimal(use.image_gb + use.weights_gb)
    once_usd = price * _hours(busy) + offer.disk_usd_per_hour(disk_gb) * _hours(image) + traffic_usd
    odds = offer.reliability_ratio * host.odds_ratio
    expected_usd = once_usd / Decimal(max(odds, 0.01))
    return Forecast(
        expected_usd,
        price,
        busy,
        traffic_usd,
        odds,
        once_usd,
        image + pull + load,
        Spans(image, pull, load, work),
    )


def least_usd(usd_per_hour: Decimal, use: ExpectedUse) -> Decimal:
    """Return what the job costs at least at an hourly price, on the fastest machine there is."""
    seconds = START_SECONDS + use.token_count * _seconds_per_token(
        use.weights_gb, FASTEST_MEMORY_GB_PER_SECOND
    )
    return usd_per_hour * _hours(use.kept + timedelta(seconds=seconds))


def _seconds_per_token(weights_gb: float, memory_gb_per_second: float) -> float:
    return weights_gb / (memory_gb_per_second * DECODE_EFFICIENCY) + DECODE_OVERHEAD_SECONDS


def _memory_gb_per_second(offer: Offer) -> float:
    stated = offer.memory_gb_per_second
    return min(stated, FASTEST_MEMORY_GB_PER_SECOND) if stated >= 1 else UNSTATED_MEMORY_GB_PER_SECOND


def _load_gb_per_second(offer: Offer) -> float:
    stated = offer.disk_mb_per_second
    return min(stated / 1000, LOAD_GB_PER_SECOND) if stated >= 1 else LOAD_GB_PER_SECOND


def _hours(span: timedelta) -> Decimal:
    return Decimal(span / _HOUR)
