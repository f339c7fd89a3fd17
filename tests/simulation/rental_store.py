"""The simulated rental store and provider limits: watched, and faulty like the table of jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, override

from local.simulators.vastai import Contract
from rune.events.notices import SubjectNotice
from rune.events.record import PublicEvent
from rune.rentals.bills import cost_so_far_micro_usd, fastest_bytes, traffic_micro_usd
from rune.rentals.credit import Credit, CreditStore
from rune.rentals.hosts import HostRecord, HostReport, HostStore
from rune.rentals.instance import Listing
from rune.rentals.market import MarketRow, MarketStore
from rune.rentals.public_events import rental_event
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.settlement import budget_changes
from rune.rentals.store import EndedPage, Endpoint, ProviderLimits, RentalRefused, RentalStore, Turn
from rune.storage.change import Change, apply
from tests.memory_rental_store import MemoryCreditStore, MemoryProviderLimits, MemoryRentalStore
from tests.simulation.faults import Fault
from tests.simulation.metering import Meter
from tests.simulation.shown_cost import watch_rental
from tests.simulation.table import FaultyCalls, Guard, drop_guards

if TYPE_CHECKING:
    from tests.simulation.provider import Account
    from tests.simulation.world import World

_FOLLOWERS = {
    RentalState.INTENDED: {RentalState.CREATED, RentalState.RELEASING, RentalState.RELEASED},
    RentalState.CREATED: {RentalState.RUNNING, RentalState.RELEASING, RentalState.RELEASED},
    RentalState.RUNNING: {RentalState.KEPT, RentalState.RELEASING, RentalState.RELEASED},
    RentalState.KEPT: {RentalState.RUNNING, RentalState.RELEASING, RentalState.RELEASED},
    RentalState.RELEASING: {RentalState.RELEASED},
    RentalState.RELEASED: {RentalState.RELEASING},
}
"""What a row may become, drawn from the product's description and not from its code."""


TURN_GUARD: Guard = ("open", "turn")
"""That a rental is begun in the present turn of its job."""

TAKE_GUARD: Guard = ("take", "turn")
"""The same of a kept rental that a job takes."""

USE_GUARD: Guard = ("take", "use")
"""That a kept rental is taken once the job that borrowed it last has its cost in its own row."""


class WatchedRentalStore(MemoryRentalStore):
    """The rental store, which notes every write that breaks a rule.

    Attributes
    ----------
    strays
        Kept machines that were taken when the job was about to end, or had ended.
    reopened
        Rentals whose machine turned up after they had been given up.
    deceived
        Rentals of lost orders that were given up because both looks were at listings which had lost rows unseen.
    happened
        What became of each whose machine is known, in order: the words of its events.
    counts_credit
        Whether what the living have reserved counts against the credit.
    """

    counts_credit = True

    def __init__(self, world: World, account: Account, unguarded: Collection[Guard]) -> None:
        super().__init__(outbox=world.table.outbox, budgets=world.table.budgets)
        self._world = world
        self._account = account
        self._unguarded = unguarded
        self.turn_of = self._turn_of
        self.job_of = world.table.jobs.get
        self.is_stopped = lambda tenant: world.table.read_places().find_stop(tenant) is not None
        self._pulled: set[tuple[str, str | None]] = set()
        self.strays: set[str] = set()
        self.reopened: set[str] = set()
        self.deceived: set[str] = set()
        self.happened: defaultdict[str, list[str]] = defaultdict(list)

    @override
    def open(
        self,
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        credit_micro_usd = credit_micro_usd if self.counts_credit else None
        turn = None if TURN_GUARD in self._unguarded else turn
        is_new = super().open(rental, credit_micro_usd, key=key, opened_count=opened_count, turn=turn)
        job = self._world.table.jobs.get(rental.job_id)
        if is_new and (job is None or not job.is_active or job.is_releasing):
            self._world.violate(f"{rental.rental_id} was begun for a job that ends or has ended")
        return is_new

    @override
    def take(self, rental: Rental, change: Change, job_id: str, turn: Turn) -> Rental | RentalRefused:
        if TAKE_GUARD not in self._unguarded:
            self._check_turn(job_id, turn)
        if USE_GUARD not in self._unguarded:
            self._check_use(rental, job_id)
        taken = self.update(rental, change)
        job = self._world.table.jobs.get(job_id)
        is_over = job is None or not job.is_active or job.is_waiting or job.is_releasing
        if isinstance(taken, Rental) and is_over:
            self._world.violate(f"{rental.rental_id} was taken for a job that waits, ends or has ended")
        return taken

    def _turn_of(self, job_id: str) -> Turn | None:
        job = self._world.table.jobs.get(job_id)
        return None if job is None else Turn(job.epoch, job.seq)

    @override
    def read_reserved_micro_usd(self) -> int:
        return super().read_reserved_micro_usd() if self.counts_credit else 0

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        before = self.rentals.get(rental.rental_id)
        self._world.guards |= {(change.name, requirement.field) for requirement in change.requires}
        written = super().update(rental, drop_guards(change, self._unguarded))
        if isinstance(written, Rental) and before is not None:
            self._watch_state(before, written)
            self._note_what_happened(before, written)
            self._watch_hands(before, written)
            self._watch_promise(before, written)
            self._watch_cost(before, written)
            watch_rental(self._world, before, written)
            if change.name == "note_pulled":
                self._watch_traffic(written)
            if change.name == "prove_release":
                self._watch_proof(before, written)
            if change.name == "take_kept":
                self._watch_taking(written)
            if change.name == "reopen":
                self.reopened.add(written.rental_id)
        return written

    def _watch_state(self, before: Rental, after: Rental) -> None:
        name = before.rental_id
        if after.state is not before.state and after.state not in _FOLLOWERS[before.state]:
            self._world.violate(f"{name} went from {before.state} to {after.state}")
        if after.version <= before.version:
            self._world.violate(f"version of {name} fell")
        is_renamed = before.contract_id is not None and after.contract_id != before.contract_id
        if is_renamed and before.state is not RentalState.RELEASED:
            self._world.violate(f"{name} was tied to another contract")
        is_charge = after.charge_reading_count > before.charge_reading_count
        if before.state is after.state is RentalState.RELEASED and not is_charge:
            self._world.violate(f"{name} was written after it was proven gone")
        if (
            after.last_seen_stopped_at
            and before.last_seen_stopped_at
            and after.last_seen_stopped_at < before.last_seen_stopped_at
        ):
            self._world.violate(f"{name} was dark until an earlier moment than before")

    def _note_what_happened(self, before: Rental, after: Rental) -> None:
        happened = self.happened[after.rental_id]
        is_named = before.contract_id is None and after.contract_id is not None
        if is_named or before.state is RentalState.RELEASED:
            happened.append("rented")
        elif after.state is not before.state and after.contract_id is not None:
            words = {RentalState.RELEASED: "gone", RentalState.RELEASING: None}
            word = words.get(after.state, after.state.value)
            happened += [word] if word else []

    def _watch_hands(self, before: Rental, after: Rental) -> None:
        """A machine gets a holder only when it has none, and no job at work loses its machine."""
        if after.holder is not None and before.holder not in (None, after.holder):
            self._world.violate(f"{before.rental_id} was taken from {before.holder} by {after.holder}")
        if after.state is RentalState.KEPT and before.state is RentalState.RUNNING and before.holder:
            job = self._world.table.jobs.get(before.holder)
            is_left = after.unfit_for == before.holder
            if job is not None and job.is_active and not job.is_releasing and not is_left:
                self._world.violate(f"{before.rental_id} was put aside while {job.job_id} works on it")
        is_closed = after.end_reason is EndReason.DEPLOYMENT_CLOSED
        if before.is_borrowed and after.state is RentalState.RELEASING and not is_closed:
            self._world.violate(f"{before.rental_id} was given up while {before.holder} had borrowed it")
        if after.kept_until and after.kept_until > after.ceiling_at:
            self._world.violate(f"{before.rental_id} is kept beyond its ceiling")

    def _watch_promise(self, before: Rental, after: Rental) -> None:
        """What a caller was told of a kept machine holds until the caller says otherwise."""
        name, now = before.rental_id, self._world.now + self._world.skew
        if after.kept_until != before.kept_until and before.state in (
            RentalState.RELEASING,
            RentalState.RELEASED,
        ):
            self._world.violate(f"{name} was promised until {after.kept_until} and is {before.state}")
        if after.state is not RentalState.RELEASING or before.state is RentalState.RELEASING:
            return
        if after.end_reason in (EndReason.EXPIRED, EndReason.CALLER_ENDED) and before.holder is not None:
            self._world.violate(f"{name} {after.end_reason} while {before.holder} works on it")
        if after.end_reason is EndReason.EXPIRED and before.kept_until and before.kept_until > now:
            self._world.violate(f"{name} expired before its time")

    def _watch_cost(self, before: Rental, after: Rental) -> None:
        """What a caller is told of the cost never falls with what is learned."""
        told, now = (
            cost_so_far_micro_usd(before, self._world.now),
            cost_so_far_micro_usd(after, self._world.now),
        )
        # Two workers' clocks, and a bill that was closed by the clock of one.
        apart = 2 * self._world.skew
        unseen_bytes = fastest_bytes(before.mbit_per_second or 0, apart // timedelta(milliseconds=1))
        traffic = traffic_micro_usd(before, min(unseen_bytes, before.pulling_bytes))
        slack = round(apart.total_seconds() * before.prices.micro_usd_per_hour / 3600) + traffic + 3
        if now < told - slack:
            self._world.violate(f"the cost of {before.rental_id} fell from {told} to {now} in {before.state}")

    def _watch_taking(self, after: Rental) -> None:
        """A worker that stood still takes a machine for a job that ends: the janitor gives it back."""
        job = self._world.table.jobs.get(after.holder or "")
        if job is None or not job.is_active or job.is_releasing:
            self.strays.add(after.rental_id)

    def _watch_traffic(self, after: Rental) -> None:
        """A model is put on a machine once, so its download is paid once."""
        pulled = (after.rental_id, after.pulling_model)
        if pulled in self._pulled:
            self._world.violate(f"{after.rental_id} counts the download of {after.pulling_model} twice")
        self._pulled.add(pulled)

    def _watch_proof(self, before: Rental, after: Rental) -> None:
        """What is called gone was gone by then, by the provider's own books and not by what it says."""
        gone_at = after.released_at or self._world.now
        if before.contract_id is None and {before.missed_at, gone_at} <= self._account.provider_limits.lossy:
            # Nothing that the product can ask for shows the machine. It must be destroyed as soon as one is right.
            self.deceived.add(before.rental_id)
            return
        # A machine that an order makes later does not count: the worker with that order destroys it.
        shown_by = (gone_at - self._world.skew).timestamp()
        if any(_shown_from(contract) <= shown_by for contract in self._account.contracts_of(before)):
            self._world.violate(f"{before.rental_id} was called gone ({after.end_reason}) and exists")


def _shown_from(contract: Contract) -> float:
    """Return from when a listing shows a machine; one that was ordered by hand is listed at once."""
    return max(contract.created_at, contract.listed_at)


class WatchedProviderLimits(MemoryProviderLimits):
    """The provider limits, which notes a listing that lacks a machine.

    Attributes
    ----------
    lossy
        When those listings began that may have lost rows without telling.
    """

    def __init__(self, world: World, account: Account) -> None:
        super().__init__()
        self._world = world
        self._account = account
        self.lossy: set[datetime | None] = set()

    @override
    def share_listing(self, listing: Listing) -> None:
        listed = {instance.contract_id for instance in listing.instances}
        begun_at = (listing.begun_at - self._world.skew).timestamp()
        own = self._account.vastai.world
        # Where nothing in the provider's answer tells that it lacks rows, the product cannot know.
        if own.hid_rows_at >= begun_at:
            self.lossy.add(listing.begun_at)
        is_whole = own.hid_rows_at < begun_at and listing.account_id in (None, own.user_id)
        for contract in own.account.live.values():
            if is_whole and _shown_from(contract) <= begun_at and contract.contract_id not in listed:
                self._world.violate(f"a listing lacks {contract.contract_id} {contract.label}")
        super().share_listing(listing)


class FaultyRentalStore(RentalStore):
    """One process's way to the rental store.

    Parameters
    ----------
    stall
        What lets others be faster between a read and what follows it.
    """

    def __init__(
        self, world: World, rental_store: WatchedRentalStore, *, stall: Fault, meter: Meter | None = None
    ) -> None:
        self._world = world
        self._rental_store = rental_store
        self._stall = stall
        self._calls = FaultyCalls(world, meter)

    @override
    def open(
        self,
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        def write() -> bool:
            return self._rental_store.open(
                rental, credit_micro_usd, key=key, opened_count=opened_count, turn=turn
            )

        return self._calls.transact("open", write)

    @override
    def read_opened_count(self, tenant: str) -> int:
        return self._calls.read("read_opened_count", lambda: self._rental_store.read_opened_count(tenant))

    @override
    def read_key(self, rental_id: str) -> str | None:
        return self._read("read key", lambda: self._rental_store.read_key(rental_id))

    @override
    def read_reserved_micro_usd(self) -> int:
        return self._calls.read("read_reserved", self._rental_store.read_reserved_micro_usd)

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        # A row enters or leaves the tenant's list, or leaves an event, in a transaction; other writes concern the
        # row alone.
        is_alone = (
            apply(change, rental).is_alive is rental.is_alive
            and rental_event(rental, change) is None
            and not budget_changes(rental, change)
        )
        call = self._calls.update if is_alone else self._calls.transact
        written = call(change.name, lambda: self._rental_store.update(rental, change))
        if not isinstance(written, RentalRefused):
            self._notify(rental_event(rental, change))
        return written

    @override
    def take(self, rental: Rental, change: Change, job_id: str, turn: Turn) -> Rental | RentalRefused:
        def write() -> Rental | RentalRefused:
            return self._rental_store.take(rental, change, job_id, turn)

        taken = self._calls.transact(change.name, write)
        if not isinstance(taken, RentalRefused):
            self._notify(rental_event(rental, change))
        return taken

    @override
    def tell_once(self, event: PublicEvent, expires_at: datetime) -> bool:
        is_new = self._calls.transact("tell once", lambda: self._rental_store.tell_once(event, expires_at))
        if is_new:
            self._notify(event)
        return is_new

    def _notify(self, event: PublicEvent | None) -> None:
        if event is not None:
            self._world.notices.send(SubjectNotice(event.subject))

    @override
    def read(self, rental_id: str) -> Rental | None:
        return self._read("read rental", lambda: self._rental_store.read(rental_id))

    @override
    def read_attempts(self, job_id: str) -> tuple[Rental, ...]:
        return self._calls.read("read attempts", lambda: self._rental_store.read_attempts(job_id))

    @override
    def read_alive(self, tenant: str, *, needed_by: str | None = None) -> tuple[Rental, ...]:
        return self._read("read alive", lambda: self._rental_store.read_alive(tenant, needed_by=needed_by))

    @override
    def read_ended(self, tenant: str, before: str | None, limit: int) -> EndedPage:
        return self._calls.read("read ended", lambda: self._rental_store.read_ended(tenant, before, limit))

    @override
    def find_alive(self, limit: int) -> tuple[str, ...]:
        return self._calls.read("find alive", lambda: self._rental_store.find_alive(limit))

    @override
    def find_uncharged(self, now: datetime, limit: int) -> tuple[str, ...]:
        return self._calls.read("find uncharged", lambda: self._rental_store.find_uncharged(now, limit))

    def _read[T](self, name: str, look: Callable[[], T]) -> T:
        found = self._calls.read(name, look)
        if self._world.fault_at(f"after {name}", self._stall):
            self._world.stall(self._stall)
        return found


class FaultyCreditStore(CreditStore):
    """One process's way to the row of the account's credit, which others may change between a read and a write."""

    def __init__(self, world: World, rental_store: WatchedRentalStore) -> None:
        self._world = world
        self._credit_store = MemoryCreditStore(rental_store)
        self._calls = FaultyCalls(world, None)

    @override
    def read(self) -> Credit:
        found = self._calls.read("read credit", self._credit_store.read)
        if self._world.fault_at("after read credit", Fault.OVERTAKEN):
            self._world.stall(Fault.OVERTAKEN)
        return found

    @override
    def write(self, change: Change) -> bool:
        return self._calls.update(change.name, lambda: self._credit_store.write(change))


class FaultyProviderLimits(ProviderLimits):
    """One process's way to the provider limits."""

    def __init__(
        self, world: World, provider_limits: WatchedProviderLimits, meter: Meter | None = None
    ) -> None:
        self._provider_limits = provider_limits
        self._calls = FaultyCalls(world, meter)

    @override
    def reserve(self, endpoint: Endpoint, now: datetime, interval: timedelta) -> timedelta:
        return self._calls.update(
            f"reserve {endpoint}", lambda: self._provider_limits.reserve(endpoint, now, interval)
        )

    @override
    def back_off(self, endpoint: Endpoint, until: datetime) -> None:
        self._calls.update(f"hold off {endpoint}", lambda: self._provider_limits.back_off(endpoint, until))

    @override
    def read_listing(self) -> Listing | None:
        return self._calls.read("read listing", self._provider_limits.read_listing)

    @override
    def share_listing(self, listing: Listing) -> None:
        self._calls.update("share listing", lambda: self._provider_limits.share_listing(listing))


class FaultyHostStore(HostStore):
    """One process's way to what is known of hosts."""

    def __init__(self, world: World, host_store: HostStore, meter: Meter | None = None) -> None:
        self._host_store = host_store
        self._calls = FaultyCalls(world, meter)

    @override
    def read(self, machine_ids: Collection[int], now: datetime) -> Mapping[int, HostRecord]:
        return self._calls.read("read hosts", lambda: self._host_store.read(machine_ids, now))

    @override
    def note(self, report: HostReport) -> None:
        self._calls.update("note host", lambda: self._host_store.note(report))


class FaultyMarketStore(MarketStore):
    """One process's way to the market as last seen."""

    def __init__(self, world: World, market_store: MarketStore, meter: Meter | None = None) -> None:
        self._market_store = market_store
        self._calls = FaultyCalls(world, meter)

    @override
    def read(self, now: datetime) -> tuple[MarketRow, ...]:
        return self._calls.read("read market", lambda: self._market_store.read(now))

    @override
    def note(self, row: MarketRow) -> None:
        self._calls.update("note market", lambda: self._market_store.note(row))
