import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.errors import ProviderBusyError, ProviderFailedError, RentalError, SearchQuotaError
from rune.rentals.instance import Listing
from rune.rentals.offers import Offer, Requirements
from rune.rentals.paced_provider import (
    ANY_PRICE,
    INTERVALS,
    LISTING_AGE,
    MAX_SEARCHES,
    IsEnough,
    PacedProvider,
    ThrottledError,
)
from rune.rentals.proof import Presence, find_presence
from rune.rentals.provider import OfferPage, Order
from rune.rentals.record import Rental
from rune.rentals.store import Endpoint
from tests.builders import NOW, FakeClock, after
from tests.memory_rental_store import MemoryProviderLimits
from tests.rental_builders import (
    ACCOUNT_ID,
    CONTRACT_ID,
    a_listing,
    a_releasing_rental,
    a_rental,
    an_instance,
)
from tests.unit.rentals.scripted import ScriptedMarket, a_wanted, an_offer

ORDER = Order(offer_id=111, label="rune-x", disk_gb=40, ports=(11434,))


class Yard:
    """One key's provider, as several workers see it."""

    def __init__(self) -> None:
        self.market = ScriptedMarket([an_instance()])
        self.provider_limits = MemoryProviderLimits()
        self.clock = FakeClock()

    def worker(self, clock: FakeClock | None = None) -> PacedProvider:
        own_clock = clock or self.clock

        async def pause(seconds: float) -> None:
            own_clock.advance(seconds)

        return PacedProvider(self.market, self.provider_limits, own_clock, pause)


def enough(offers: tuple[Offer, ...], _from_usd_per_hour: Decimal) -> bool:
    """Let a search end with its first page, if that holds an offer."""
    return bool(offers)


def run[T](call: Awaitable[T]) -> T:
    async def main() -> T:
        return await call

    return asyncio.run(main())


CALLS: dict[Endpoint, tuple[str, Callable[[PacedProvider], Awaitable[object]]]] = {
    Endpoint.SEARCH: ("search", lambda provider: provider.search(a_wanted(), enough)),
    Endpoint.TEMPLATES: ("find_template", lambda provider: provider.find_template("hash")),
    Endpoint.ACCOUNT: ("read_account", lambda provider: provider.read_account()),
    Endpoint.CHARGES: ("read_charges", lambda provider: provider.read_charges(NOW, NOW)),
    Endpoint.EDIT: ("label", lambda provider: provider.label(1, "x")),
    Endpoint.DESTROY: ("destroy", lambda provider: provider.destroy(1)),
    Endpoint.LIST: ("list", lambda provider: provider.list_instances(begun_after=NOW)),
}


@pytest.mark.parametrize("endpoint", CALLS)
def test_provider_turns_a_second_worker_away_until_the_interval_is_over(endpoint: Endpoint) -> None:
    yard = Yard()
    name, call = CALLS[endpoint]
    run(call(yard.worker()))

    with pytest.raises(ThrottledError) as early:
        run(call(yard.worker()))
    yard.clock.advance(INTERVALS[endpoint].total_seconds())
    run(call(yard.worker()))

    assert early.value.delay_seconds == INTERVALS[endpoint].total_seconds()
    assert len(yard.market.called(name)) == 2


def test_provider_counts_each_endpoint_by_itself() -> None:
    yard = Yard()

    for _, call in CALLS.values():
        run(call(yard.worker()))

    assert [name for name, _ in yard.market.calls] == [name for name, _ in CALLS.values()]


def test_provider_reserves_an_order_before_it_is_sent() -> None:
    yard = Yard()
    yard.worker().reserve_create()

    with pytest.raises(ThrottledError) as early:
        yard.worker().reserve_create()
    run(yard.worker().create(ORDER))

    assert early.value.delay_seconds == 5  # 4.5 s in whole seconds
    assert yard.market.orders == [ORDER]


@pytest.mark.parametrize(("waiting", "seconds"), [(0.001, 1), (1.0, 1), (1.001, 2), (899.5, 900)])
def test_too_early_tells_whole_seconds_that_are_enough(waiting: float, seconds: int) -> None:
    assert ThrottledError(timedelta(seconds=waiting)).delay_seconds == seconds


@pytest.mark.parametrize(
    ("endpoint", "retry_after", "held_seconds"),
    [
        (Endpoint.SEARCH, None, 5),
        (Endpoint.SEARCH, 30, 30),
        (Endpoint.DESTROY, None, 5),
        (Endpoint.SEARCH, 900, 900),
        (Endpoint.DESTROY, 60, 60),
        (Endpoint.DESTROY, 900, 60),
        (Endpoint.LIST, 120, 120),
        (Endpoint.LIST, 900, 120),
    ],
)
def test_provider_keeps_everybody_away_after_a_refusal_for_frequency(
    endpoint: Endpoint, retry_after: int | None, held_seconds: int
) -> None:
    yard = Yard()
    name, call = CALLS[endpoint]
    yard.market.errors[name] = [ProviderBusyError("Too often.", retry_after)]

    with pytest.raises(ProviderBusyError):
        run(call(yard.worker()))

    expected = max(held_seconds, INTERVALS[endpoint].total_seconds())
    assert yard.provider_limits.next_at[endpoint] == after(expected)


def test_provider_keeps_orders_away_for_the_documented_penalty() -> None:
    yard = Yard()
    yard.market.errors["create"] = [ProviderBusyError("Too often.")]

    with pytest.raises(ProviderBusyError):
        run(yard.worker().create(ORDER))

    assert yard.provider_limits.next_at == {Endpoint.CREATE: after(12)}


@pytest.mark.parametrize("error", [ProviderFailedError("Down."), SearchQuotaError("Tomorrow.")])
def test_provider_passes_other_errors_on_and_keeps_nobody_away(error: RentalError) -> None:
    yard = Yard()
    yard.market.errors["search"] = [error]

    with pytest.raises(type(error)):
        run(yard.worker().search(a_wanted(), enough))

    assert yard.provider_limits.next_at == {Endpoint.SEARCH: after(6)}


def test_provider_shares_one_listing_with_all_who_only_wait() -> None:
    yard = Yard()
    first = run(yard.worker().list_instances())
    yard.clock.advance(LISTING_AGE.total_seconds() - 0.001)

    assert run(yard.worker().list_instances()) is first
    assert yard.market.called("list") == [NOW]


def test_provider_asks_anew_when_the_shared_listing_is_too_old() -> None:
    yard = Yard()
    run(yard.worker().list_instances())
    yard.clock.advance(LISTING_AGE.total_seconds())

    assert run(yard.worker().list_instances()).begun_at == after(5)


@pytest.mark.parametrize(
    ("begun_seconds", "is_shared"), [(-60.0, False), (0.0, False), (5.0, False), (5.001, True), (9.0, True)]
)
def test_provider_takes_anothers_listing_for_proof_only_beyond_the_skew(
    begun_seconds: float, is_shared: bool
) -> None:
    yard = Yard()
    yard.clock.advance(10)
    shared = a_listing(begun_at=after(begun_seconds))
    yard.provider_limits.share_listing(shared)

    listing = run(yard.worker().list_instances(begun_after=NOW))

    assert (listing is shared) is is_shared
    assert listing.begun_at > NOW


@pytest.mark.parametrize(("ahead_seconds", "is_shared"), [(5.0, True), (5.001, False), (3600.0, False)])
def test_provider_never_takes_a_listing_of_the_future_for_fresh(
    ahead_seconds: float, is_shared: bool
) -> None:
    yard = Yard()
    shared = a_listing(begun_at=after(ahead_seconds))
    yard.provider_limits.share_listing(shared)

    assert (run(yard.worker().list_instances()) is shared) is is_shared


def test_provider_shares_nothing_when_a_listing_fails() -> None:
    yard = Yard()
    yard.market.errors["list"] = [ProviderFailedError("Half a page.")]

    with pytest.raises(ProviderFailedError):
        run(yard.worker().list_instances())

    assert yard.provider_limits.listing is None


def test_provider_lists_itself_when_told_to_look_after_a_moment_that_is_now() -> None:
    yard = Yard()
    run(yard.worker().list_instances())
    yard.clock.advance(2)

    assert run(yard.worker().list_instances(begun_after=after(2))).begun_at == after(2)


# ---------------------------------------------------------------- account, absence


def test_account_of_a_key_is_read_once_for_all_workers() -> None:
    yard = Yard()
    listings = []

    for _ in range(3):
        yard.clock.advance(60)
        listings.append(run(yard.worker().list_instances()))

    assert [listing.account_id for listing in listings] == [ACCOUNT_ID] * 3
    assert len(yard.market.called("read_account")) == 1


def test_account_that_could_not_be_read_is_read_with_the_next_listing() -> None:
    yard = Yard()
    yard.market.errors["read_account"] = [ProviderFailedError("500.")]

    first = run(yard.worker().list_instances())
    yard.clock.advance(2)
    shared = run(yard.worker().list_instances())

    assert (first.account_id, shared.account_id) == (None, ACCOUNT_ID)
    assert len(yard.market.called("list")) == 1


GONE = a_releasing_rental(destroy_asked_at=after(310))
LISTING = a_listing(begun_at=after(400))


def test_absence_is_confirmed_by_a_read_of_the_machine_itself() -> None:
    yard = Yard()
    yard.market.instances = []

    confirmed = run(yard.worker().confirm_absence(GONE, LISTING))

    assert (find_presence(GONE, LISTING), find_presence(GONE, confirmed)) == (
        Presence.UNCONFIRMED,
        Presence.ABSENT,
    )
    assert yard.market.called("show") == [CONTRACT_ID]


def test_machine_that_only_the_listing_lacks_counts_as_listed() -> None:
    yard = Yard()

    confirmed = run(yard.worker().confirm_absence(GONE, LISTING))

    assert confirmed == replace(LISTING, instances=(an_instance(),))


def test_read_with_another_key_than_the_listing_confirms_nothing() -> None:
    yard = Yard()
    yard.market.instances = []
    listing = replace(LISTING, key_mark="the key before")

    assert run(yard.worker().confirm_absence(GONE, listing)) == listing


@pytest.mark.parametrize(
    ("rental", "listing"),
    [
        (GONE, a_listing(an_instance(), begun_at=after(400))),
        (GONE, a_listing(begun_at=after(10))),
        (GONE, a_listing(begun_at=after(400), account_id=ACCOUNT_ID + 1)),
        (a_rental(), a_listing(begun_at=after(400))),
    ],
    ids=["listed", "too early", "another account", "no contract"],
)
def test_machine_is_not_read_where_that_would_prove_nothing(rental: Rental, listing: Listing) -> None:
    yard = Yard()

    assert run(yard.worker().confirm_absence(rental, listing)) == listing
    assert yard.market.calls == []


def a_market(*prices: str, page_size: int = 2) -> Yard:
    """Return a provider whose searches return two offers each."""
    yard = Yard()
    yard.market.page_size = page_size
    yard.market.offers = tuple(
        an_offer(offer_id=number, price_usd_per_hour=Decimal(price)) for number, price in enumerate(prices, 1)
    )
    return yard


def never_enough(_offers: tuple[Offer, ...], _from_usd_per_hour: Decimal) -> bool:
    return False


def search(yard: Yard, is_enough: IsEnough = never_enough, min_usd: str = "0") -> list[int]:
    wanted = a_wanted(min_usd_per_hour=Decimal(min_usd))
    return [offer.offer_id for offer in run(yard.worker().search(wanted, is_enough))]


def test_search_goes_on_page_by_page_at_the_provider_s_pace() -> None:
    yard = a_market("0.1", "0.2", "0.3", "0.4")

    assert search(yard) == [1, 2, 3, 4]
    assert yard.clock.now() == after(12)
    assert len(yard.market.called("search")) == 3


def test_search_ends_after_so_many_pages() -> None:
    yard = a_market(*(f"{n / 100}" for n in range(1, 20)))

    assert search(yard) == [1, 2, 3, 4]
    assert len(yard.market.called("search")) == MAX_SEARCHES


def test_search_ends_with_the_page_that_is_enough() -> None:
    yard = a_market("0.1", "0.2", "0.3")
    told: list[tuple[int, Decimal]] = []

    def is_enough(offers: tuple[Offer, ...], from_usd_per_hour: Decimal) -> bool:
        told.append((len(offers), from_usd_per_hour))
        return True

    assert search(yard, is_enough) == [1, 2]
    assert told == [(2, Decimal("0.2"))]


def test_search_goes_on_at_the_lowest_accepted_price_when_a_page_is_below_it() -> None:
    yard = a_market("0.1", "0.2", "0.3", "2.5")

    assert search(yard, min_usd="2.3") == [1, 2, 4]


def test_search_ends_when_a_page_brings_nothing_new() -> None:
    yard = a_market("0.1", "0.1", "0.1")

    assert search(yard) == [1, 2]
    assert len(yard.market.called("search")) == 2


@pytest.mark.parametrize("error", [ProviderBusyError("Too often."), SearchQuotaError("Tomorrow.")], ids=repr)
def test_search_keeps_to_what_it_has_when_a_further_page_is_refused(error: RentalError) -> None:
    yard = a_market("0.1", "0.2", "0.3")
    first = yard.market.search

    async def refusing(requirements: Requirements, from_usd_per_hour: Decimal) -> OfferPage:
        if from_usd_per_hour:
            raise error
        return await first(requirements, from_usd_per_hour)

    yard.market.search = refusing  # type: ignore[method-assign]

    assert search(yard, lambda _, usd: usd == ANY_PRICE) == [1, 2]
    yard.clock.advance(60)
    with pytest.raises(type(error)):
        search(yard)
