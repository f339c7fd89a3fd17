"""The market as searches last saw it, a row for each class of memory, and the port to where that is stored.

A search costs a call of the provider, of which a key has few a day. So each one leaves what it has seen, and who
wants to know what a job would cost reads that.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol, Self

from rune.rentals.offers import Offer, Requirements
from rune.rentals.ranking import Selection

CLASSES_GB = (0, 8, 12, 16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 640, 1024)
"""Lower bounds of the classes of GPU memory, in GiB: as machines with one GPU, two, four and eight are offered."""

LARGEST_OFFERS_BYTES = 3_600
"""Of a row's offers: with its names and numbers it is below 4 KB. Some 25 offers fit."""

MARKET_KEPT = timedelta(days=1)
"""How long a row stays."""

WIDE_FOR = timedelta(hours=6)
"""So long a narrower search does not replace what a wider one has seen: as long as an estimate reckons with it."""

_BEST_COUNT = 16
"""Of the offers that fit, cheapest for the job first; the rest of a row are those with the lowest prices."""

_MB_PER_GIB = 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """Which offers a search asked for.

    Attributes
    ----------
    vram_mb
        As offers state it.
    time_needed
        How long the machine had to be there.
    """

    vram_mb: int
    disk_gb: int
    max_usd_per_hour: Decimal
    reliability_ratio: float
    time_needed: timedelta

    @classmethod
    def of(cls, requirements: Requirements) -> Self:
        """Return what a search for these requirements asks for."""
        return cls(
            requirements.offered_vram_mb,
            requirements.disk_gb,
            requirements.max_usd_per_hour,
            requirements.reliability_ratio,
            requirements.time_needed,
        )

    @property
    def class_gb(self) -> int:
        """The class of memory: the largest that the search does not exclude."""
        return max(each for each in CLASSES_GB if each * _MB_PER_GIB <= max(0, self.vram_mb))

    def holds(self, narrower: Self) -> bool:
        """Return whether every offer in the other scope was asked for in this one."""
        return (
            self.vram_mb <= narrower.vram_mb
            and self.disk_gb <= narrower.disk_gb
            and self.has_terms_of(narrower)
        )

    def has_terms_of(self, narrower: Self) -> bool:
        """Return whether price, reliability and time were asked for as widely, or more so."""
        return (
            self.max_usd_per_hour >= narrower.max_usd_per_hour
            and self.reliability_ratio <= narrower.reliability_ratio
            and self.time_needed <= narrower.time_needed
        )


@dataclass(frozen=True, slots=True)
class MarketRow:
    """What a search has seen.

    Attributes
    ----------
    offers
        Some of them: the best for the job that searched, then the cheapest.
    offer_count
        How many the search has seen.
    """

    scope: Scope
    as_of: datetime
    offers: tuple[Offer, ...]
    offer_count: int

    @property
    def expires_at(self) -> datetime:
        """When it is deleted."""
        return self.as_of + MARKET_KEPT


class MarketStore(Protocol):
    """Where the market is kept. Every method raises StoreUnavailableError when it cannot be reached."""

    def note(self, row: MarketRow) -> None:
        """Keep what a search has seen, unless a later one, or a wider one of the last hours, is there."""
        ...

    def read(self, now: datetime) -> tuple[MarketRow, ...]:
        """Return the rows of all classes that have not expired, the smallest memory first.

        The latest writes may be missing.
        """
        ...


def replaces(row: MarketRow, earlier: MarketRow) -> bool:
    """Return whether a row is written in place of an earlier one of its class.

    A search that has seen offers need not have asked for as little memory and disk: all are of one class. One that
    has seen none must have, as it says nothing of smaller machines.
    """
    if earlier.as_of >= row.as_of:
        return False
    if earlier.as_of < row.as_of - WIDE_FOR or row.scope.holds(earlier.scope):
        return True
    return bool(row.offers) and row.scope.has_terms_of(earlier.scope)


def make_market_row(
    requirements: Requirements, offers: Iterable[Offer], selection: Selection, as_of: datetime
) -> MarketRow:
    """Return what a search has seen, as far as a row holds it."""
    offers = tuple(offers)
    best = [each.offer for each in selection.candidates[:_BEST_COUNT]]
    by_price = sorted(offers, key=lambda each: (each.usd_per_hour(requirements.disk_gb), each.offer_id))
    wanted = {offer.offer_id: offer for offer in (*best, *by_price)}
    kept, size = list[Offer](), len(encode_offers(()))
    for offer in wanted.values():
        size += len(_encode_offer(offer)) + 1
        if size > LARGEST_OFFERS_BYTES:
            break
        kept.append(offer)
    return MarketRow(Scope.of(requirements), as_of, tuple(kept), len(offers))


def encode_offers(offers: Iterable[Offer]) -> str:
    """Return offers as compact JSON in ASCII: the names of the fields once, then a list for each offer."""
    rows = ",".join(_encode_offer(offer) for offer in offers)
    return f'{{"fields":{_compact(list(_CODERS))},"offers":[{rows}]}}'


def decode_offers(text: str) -> tuple[Offer, ...]:
    """Return the offers of `encode_offers`; one that lacks a field which this version needs is left out.

    Raises
    ------
    ValueError
        The text is something else.
    """
    document = json.loads(text)
    try:
        names, rows = document["fields"], document["offers"]
        return tuple(
            _decode_offer(dict(zip(names, row, strict=True))) for row in rows if _CODERS.keys() <= set(names)
        )
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError("This text holds no offers.") from error


@dataclass(frozen=True, slots=True)
class _Coder:
    """How a field is written and read."""

    write: Callable[[object], object]
    read: Callable[[object], object]


def _number(digits: int) -> _Coder:
    return _Coder(lambda value: _short(round(float(str(value)), digits)), lambda value: float(str(value)))


_MONEY = _Coder(lambda value: _short(round(float(str(value)), 6)), lambda value: Decimal(str(value)))
_WHOLE = _Coder(lambda value: value, lambda value: int(str(value)))
_TEXT = _Coder(lambda value: value, str)
_FLAG = _Coder(lambda value: int(bool(value)), bool)
_SPAN = _Coder(
    lambda value: int(value.total_seconds()) if isinstance(value, timedelta) else value,
    lambda value: timedelta(seconds=int(str(value))),
)

_CODERS: Mapping[str, _Coder] = {
    "offer_id": _WHOLE,
    "machine_id": _WHOLE,
    "gpu_name": _TEXT,
    "gpu_count": _WHOLE,
    "vram_mb": _WHOLE,
    "price_usd_per_hour": _MONEY,
    "gpu_usd_per_hour": _MONEY,
    "storage_usd_per_gb_month": _MONEY,
    "download_usd_per_gb": _MONEY,
    "disk_gb": _number(0),
    "reliability_ratio": _number(5),
    "is_verified": _FLAG,
    "port_count": _WHOLE,
    "download_mbit_per_second": _number(1),
    "time_left": _SPAN,
    "memory_gb_per_second": _number(1),
    "disk_mb_per_second": _number(0),
    "compute_capability": _WHOLE,
    "cuda_version": _number(1),
    "gpu_maker": _TEXT,
    "cpu_architecture": _TEXT,
    "place": _TEXT,
    "is_rentable": _FLAG,
}
"""Every field of an offer, in the order in which they are written."""


def _encode_offer(offer: Offer) -> str:
    return _compact([coder.write(getattr(offer, name)) for name, coder in _CODERS.items()])


def _decode_offer(members: Mapping[str, object]) -> Offer:
    read = {name: coder.read(members[name]) for name, coder in _CODERS.items()}
    return Offer(**read)  # type: ignore[arg-type]  # each by its coder


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _short(value: float) -> float | int:
    """Return a whole number without its `.0`."""
    return int(value) if value.is_integer() else value
