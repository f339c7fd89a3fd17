"""The offers at a moment: ids that rotate, machines and slices that are rented and return under another id."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from local.simulators.vastai.offers import SimulatedOffer, describe_price
from local.simulators.vastai.wire import Json

ID_STRIDE = 100_000_000
"""Between two ids of one offer, so that an id identifies its offer."""


@dataclass(slots=True)
class Listing:
    """One offer's place on the market.

    Attributes
    ----------
    relisted_count
        How often it was rented and offered again.
    contract_id
        The contract that has it; None while it has none.
    is_withdrawn
        Whether it has left the market for good.
    siblings
        Other offers of the same machine that share a GPU with it.
    """

    offer: SimulatedOffer
    began_at: float
    relisted_count: int = 0
    contract_id: int | None = None
    is_withdrawn: bool = False
    row: Json = field(default_factory=dict)
    siblings: list["Listing"] = field(default_factory=list, repr=False)

    @property
    def ends_at(self) -> float:
        """When the offer ends."""
        return self.began_at + self.offer.available_seconds

    def current_id(self, now: float) -> int:
        """Return the id under which it is offered now."""
        rotation = self.offer.id_rotation_seconds
        turns_count = int((now - self.began_at) // rotation) if rotation else 0
        return self.offer.offer_id + ID_STRIDE * (self.relisted_count + turns_count)

    def is_free(self, now: float) -> bool:
        """Return whether it can be rented: none of its GPUs is."""
        if self.is_withdrawn or self.contract_id is not None or now >= self.ends_at:
            return False
        if any(sibling.contract_id is not None for sibling in self.siblings):
            return False
        leaves_after = self.offer.leaves_after_seconds
        return leaves_after is None or now < self.began_at + leaves_after

    def withdraw(self) -> None:
        """Let another account have its GPUs: it leaves the market for good, and so do its siblings."""
        for listing in (self, *self.siblings):
            listing.is_withdrawn = True


class Market:
    """All offers."""

    def __init__(self, offers: Iterable[SimulatedOffer], began_at: float) -> None:
        self._began_at = began_at
        self._listings: dict[int, Listing] = {}
        self._by_machine: defaultdict[int, list[Listing]] = defaultdict(list)
        for offer in offers:
            self.add(offer)

    def add(self, offer: SimulatedOffer) -> None:
        """Put a machine, or a slice of one, on the market.

        Raises
        ------
        ValueError
            The id is taken or too high.
        """
        if offer.offer_id in self._listings or not 0 < offer.offer_id < ID_STRIDE:
            raise ValueError(f"offer id {offer.offer_id} is taken or out of range")
        listing = Listing(offer, self._began_at, row=offer.describe())
        gpu_ids = set(offer.held_gpu_ids)
        for other in self._by_machine[offer.machine_id]:
            if not gpu_ids.isdisjoint(other.offer.held_gpu_ids):
                listing.siblings.append(other)
                other.siblings.append(listing)
        self._by_machine[offer.machine_id].append(listing)
        self._listings[offer.offer_id] = listing

    def find(self, offer_id: int) -> Listing | None:
        """Return the listing that has or had this id."""
        return self._listings.get(offer_id % ID_STRIDE)

    def free(self, now: float) -> Iterator[Listing]:
        """Yield what can be rented, in the order in which they were added."""
        return (listing for listing in self._listings.values() if listing.is_free(now))

    def release(self, listing: Listing) -> None:
        """Offer its GPUs again, under other ids."""
        listing.contract_id = None
        for freed in (listing, *listing.siblings):
            freed.relisted_count += 1

    def gpu_names(self) -> list[str]:
        """Return every name of a GPU once, sorted."""
        return sorted({entry.offer.gpu_name for entry in self._listings.values()})


def describe_listing(listing: Listing, now: float, *, disk_gb: float, is_bid: bool, is_rented: bool) -> Json:
    """Return the row of a search."""
    offer_id = listing.current_id(now)
    offer = listing.offer
    price = describe_price(offer, disk_gb, gpu_usd_per_hour=offer.min_bid if is_bid else None)
    return {
        "id": offer_id,
        "ask_contract_id": offer_id,
        **price,
        **listing.row,
        "is_bid": is_bid,
        "rented": is_rented,
        "start_date": listing.began_at,
        "end_date": listing.ends_at,
        "duration": listing.ends_at - now,
    }
