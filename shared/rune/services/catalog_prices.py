"""What the models of the catalog were last seen to rent for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rune.contracts import VastaiProvisioning
from rune.money.catalog import SizedModel
from rune.rentals.market import MarketRow
from rune.rentals.offers import Offer, Requirements, find_rejection_reason

_ANY_PRICE = Decimal(1000)
_TIME_NEEDED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SeenPrice:
    """The cheapest offer that fits, and when a search saw it."""

    offer: Offer
    usd_per_hour: Decimal
    as_of: datetime


def find_cheapest(rows: Iterable[MarketRow], model: SizedModel) -> SeenPrice | None:
    """Return the cheapest offer on which the model fits, of those that searches left; None where none did."""
    return next(iter(find_fitting(rows, model)), None)


def find_fitting(rows: Iterable[MarketRow], model: SizedModel) -> tuple[SeenPrice, ...]:
    """Return the offers on which the model fits, of those that searches left, cheapest first.

    They are checked as a renting job checks its offers, for an hour and the reliability that a request has by
    default, with the disk that the model needs in the price. Of several sightings of an offer the latest counts.
    """
    needs = describe_needs(model)
    seen: dict[int, tuple[Offer, datetime]] = {}
    for row in sorted(rows, key=lambda each: each.as_of):
        seen |= {offer.offer_id: (offer, row.as_of) for offer in row.offers}
    fitting = (
        SeenPrice(offer, offer.usd_per_hour(needs.disk_gb), as_of)
        for offer, as_of in seen.values()
        if find_rejection_reason(offer, needs) is None
    )
    return tuple(sorted(fitting, key=lambda each: (each.usd_per_hour, each.offer.offer_id)))


def describe_needs(model: SizedModel) -> Requirements:
    """Return what a machine for the model must have, at any price."""
    return Requirements(
        vram_mb=model.vram_mb,
        disk_gb=model.required_disk_gb,
        download_gb=model.download_gb,
        min_usd_per_hour=Decimal(0),
        max_usd_per_hour=_ANY_PRICE,
        reliability_ratio=VastaiProvisioning().reliability,
        port_count=1,
        time_needed=_TIME_NEEDED,
    )
