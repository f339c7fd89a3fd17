"""Calls of the provider, paced for all workers together, with one listing that they share.

Vast.ai limits calls per key and endpoint (https://docs.vast.ai/api-reference/rate-limits-and-errors, August 2026),
so the number of workers must not matter. No call waits, but for the pages of a search: one that comes too early
raises ThrottledError.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from rune.clock import Clock
from rune.errors import ProviderBusyError, RentalError
from rune.rentals.charges import Charges
from rune.rentals.instance import CLOCK_SKEW, Listing
from rune.rentals.offers import Offer, Requirements
from rune.rentals.proof import Presence, find_presence, is_missing_since_destroyed
from rune.rentals.provider import Account, OfferPage, Order, Provider, Template
from rune.rentals.record import Rental
from rune.rentals.store import Endpoint, ProviderLimits

log = logging.getLogger(__name__)

MAX_SEARCHES = 3
"""Pages of one search: 192 offers."""

LONGEST_PAGING = timedelta(seconds=13)
"""After this no further page is asked for; a step that orders has 45 s."""

ANY_PRICE = Decimal("Infinity")
"""Where no further page can be had."""

type IsEnough = Callable[[tuple[Offer, ...], Decimal], bool]
type Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""

LISTING_AGE = timedelta(seconds=5)
"""How old a shared listing may be where no proof is needed."""

INTERVALS = {
    Endpoint.SEARCH: timedelta(seconds=6),
    Endpoint.CREATE: timedelta(seconds=4.5),
    Endpoint.LIST: timedelta(seconds=1),
    Endpoint.SHOW: timedelta(seconds=2),
    Endpoint.EDIT: timedelta(seconds=1),
    Endpoint.DESTROY: timedelta(seconds=3),
    Endpoint.TEMPLATES: timedelta(seconds=3),
    Endpoint.ACCOUNT: timedelta(seconds=1),
    # One reading serves all machines that have ended; its pages are paced by themselves.
    Endpoint.CHARGES: timedelta(minutes=15),
}
"""Least time between two calls with one key, as published (link above), or longer."""

BUSY_DELAY = {Endpoint.CREATE: timedelta(seconds=12)}
"""Back-off after a 429 that names no time."""

_USUAL_BUSY_DELAY = timedelta(seconds=5)

_LONGEST_BUSY_DELAY = {Endpoint.DESTROY: timedelta(seconds=60), Endpoint.LIST: timedelta(seconds=120)}
"""Longest back-off, even if the provider asks for more: a machine bills until it is destroyed and proven gone."""


class ThrottledError(Exception):
    """The provider's rate limit does not allow this call yet; nothing was sent.

    Attributes
    ----------
    delay_seconds
        How long to wait before asking again.
    """

    def __init__(self, waiting: timedelta) -> None:
        super().__init__(f"too early by {waiting}")
        self.delay_seconds = max(1, math.ceil(waiting.total_seconds()))


class PacedProvider:
    """Every method may raise ThrottledError, `RentalError` and StoreUnavailableError.

    Parameters
    ----------
    pause
        Waits between two pages of one search; no other call waits.
    """

    def __init__(
        self,
        provider: Provider,
        provider_limits: ProviderLimits,
        clock: Clock,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._provider = provider
        self._pause = pause
        self._provider_limits = provider_limits
        self._clock = clock
        self._accounts: dict[str, int | None] = {}

    async def search(self, requirements: Requirements, is_enough: IsEnough) -> tuple[Offer, ...]:
        """Return offers that may fit, cheapest first, those below the lowest price that is accepted among them.

        One search returns a page. The next begins at the price of the last offer, or at the lowest accepted one,
        after the provider's interval.

        Parameters
        ----------
        is_enough
            Told all offers so far, and from which hourly price the next page would go on.
        """
        began_at, found = self._clock.now(), dict[int, Offer]()
        from_usd = Decimal(0)
        for number in range(MAX_SEARCHES):
            try:
                page = await self._search_page(requirements, from_usd, is_first=number == 0)
            except (ThrottledError, RentalError):
                if not is_enough(tuple(found.values()), ANY_PRICE):
                    raise
                break
            found |= {offer.offer_id: offer for offer in page.offers}
            last_usd = max((offer.price_usd_per_hour for offer in page.offers), default=from_usd)
            next_usd = max(last_usd, requirements.min_usd_per_hour)
            is_over = not page.is_full or next_usd <= from_usd
            if is_over or self._clock.now() - began_at > LONGEST_PAGING:
                break
            if is_enough(tuple(found.values()), next_usd):
                break
            from_usd = next_usd
        return tuple(found.values())

    async def _search_page(
        self, requirements: Requirements, from_usd_per_hour: Decimal, *, is_first: bool
    ) -> OfferPage:
        if not is_first:
            await self._pause(INTERVALS[Endpoint.SEARCH].total_seconds())
        return await self._paced(
            Endpoint.SEARCH, lambda: self._provider.search(requirements, from_usd_per_hour)
        )

    async def find_template(self, template_hash: str) -> Template | None:
        """Return a stored template, or None."""
        return await self._paced(Endpoint.TEMPLATES, lambda: self._provider.find_template(template_hash))

    async def read_account(self) -> Account:
        """Return the key's account, as far as the key may read it."""
        account = await self._paced(Endpoint.ACCOUNT, self._provider.read_account)
        self._accounts[account.key_mark] = account.account_id
        return account

    def reserve_create(self) -> None:
        """Take the next order of the rate limit, before the intent is written: an intent cannot be taken back."""
        self._reserve(Endpoint.CREATE)

    async def create(self, order: Order) -> int:
        """Order a machine, after `reserve_create`; see `Provider.create`."""
        return await self._noting_refusal(Endpoint.CREATE, lambda: self._provider.create(order))

    async def read_charges(self, since: datetime, until: datetime) -> Charges:
        """Return what contracts were charged; see `Provider.read_charges`."""
        return await self._paced(Endpoint.CHARGES, lambda: self._provider.read_charges(since, until))

    async def label(self, contract_id: int, label: str) -> None:
        """Name a machine."""
        await self._paced(Endpoint.EDIT, lambda: self._provider.label(contract_id, label))

    async def read_log(self, contract_id: int, tail_lines: int) -> str:
        """Return the end of a machine's log; see `Provider.read_log`."""
        return await self._paced(Endpoint.EDIT, lambda: self._provider.read_log(contract_id, tail_lines))

    async def destroy(self, contract_id: int) -> bool:
        """Ask to destroy a machine; see `Provider.destroy`."""
        return await self._paced(Endpoint.DESTROY, lambda: self._provider.destroy(contract_id))

    async def destroy_many(self, contract_ids: Sequence[int]) -> bool:
        """Ask to destroy several machines with one call; see `Provider.destroy_many`."""
        return await self._paced(Endpoint.DESTROY, lambda: self._provider.destroy_many(contract_ids))

    async def list_instances(self, begun_after: datetime | None = None) -> Listing:
        """Return a complete listing.

        Parameters
        ----------
        begun_after
            The listing must have begun later than this; None takes any of the last seconds.
        """
        now = self._clock.now()
        oldest = now - LISTING_AGE if begun_after is None else begun_after + CLOCK_SKEW
        shared = self._provider_limits.read_listing()
        # A listing of the future comes from a wrong clock, and would count as fresh long after.
        if shared is not None and shared.account_id is not None:
            self._accounts[shared.key_mark] = shared.account_id
        if shared is not None and oldest < shared.begun_at <= now + CLOCK_SKEW:
            return shared if shared.account_id is not None else await self._with_account(shared)
        self._reserve(Endpoint.LIST)
        begun_at = self._clock.now()
        listing = await self._noting_refusal(Endpoint.LIST, lambda: self._provider.list_instances(begun_at))
        listing = await self._with_account(listing)
        self._provider_limits.share_listing(listing)
        return listing

    async def look_for(self, rental: Rental, begun_after: datetime | None = None) -> Listing:
        """Return a complete listing, and where that lacks the machine, what a read of the machine itself shows."""
        return await self.confirm_absence(rental, await self.list_instances(begun_after))

    async def confirm_absence(self, rental: Rental, listing: Listing) -> Listing:
        """Return the listing with what a read of the machine itself shows, if only that is missing for a proof."""
        contract_id = rental.contract_id
        is_wanted = find_presence(rental, listing) is Presence.UNCONFIRMED or (
            rental.absent_at is None and is_missing_since_destroyed(rental, listing)
        )
        if contract_id is None or not is_wanted or contract_id in listing.unshown:
            return listing
        sight = await self._paced(Endpoint.SHOW, lambda: self._provider.show(contract_id))
        if sight.instance is not None:
            log.warning("provider.listing_lacks", extra={"rental_id": rental.rental_id})
            return replace(listing, instances=(*listing.instances, sight.instance))
        if sight.key_mark != listing.key_mark:
            # The key has changed in between: perhaps to that of another account, which shows nothing of ours.
            return listing
        return replace(listing, unshown=listing.unshown | {contract_id})

    async def _with_account(self, listing: Listing) -> Listing:
        """Return the listing with the account of its key, which is read once for each key."""
        if listing.key_mark not in self._accounts:
            try:
                await self.read_account()
            except (ThrottledError, RentalError):
                # A listing shows machines all the same; it proves the end of none that has an account written.
                log.warning("provider.account_unknown")
        return replace(listing, account_id=self._accounts.get(listing.key_mark))

    async def _paced[T](self, endpoint: Endpoint, call: Callable[[], Awaitable[T]]) -> T:
        self._reserve(endpoint)
        return await self._noting_refusal(endpoint, call)

    def _reserve(self, endpoint: Endpoint) -> None:
        waiting = self._provider_limits.reserve(endpoint, self._clock.now(), INTERVALS[endpoint])
        if waiting:
            raise ThrottledError(waiting)

    async def _noting_refusal[T](self, endpoint: Endpoint, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except ProviderBusyError as error:
            delay = BUSY_DELAY.get(endpoint, _USUAL_BUSY_DELAY)
            if error.retry_after_seconds:
                delay = timedelta(seconds=error.retry_after_seconds)
            delay = min(delay, _LONGEST_BUSY_DELAY.get(endpoint, delay))
            log.warning("provider.busy", extra={"reason": endpoint.value})
            self._provider_limits.back_off(endpoint, self._clock.now() + delay)
            raise
