"""The deployment's account with the simulated Vast.ai, and each process's shaky way to it."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, override

from local.simulators.vastai import (
    Contract,
    Delivery,
    SimulatedVastai,
    VastaiSettings,
    VastAnswer,
    VastRequest,
)
from rune.jobs.record import Job
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.provider_key import KeyedTransport, KeySource
from rune.rentals.record import Rental, RentalState
from rune.rentals.settings import RentalSettings
from rune.rentals.vastai import Method, RequestNotSentError, ResponseLostError, VastAi, VastaiTransport
from rune.rentals.vastai_responses import VastaiResponse
from rune.workflows.rental.dependencies import RentalDependencies
from tests.memory_host_store import MemoryHostStore
from tests.memory_market_store import MemoryMarketStore
from tests.memory_rental_store import MemoryDeploymentStore
from tests.rental_builders import DEPLOYMENT_ID
from tests.simulation.faults import Crash, Fault
from tests.simulation.machines import MachinePark
from tests.simulation.metering import Meter
from tests.simulation.rental_store import (
    FaultyHostStore,
    FaultyMarketStore,
    FaultyProviderLimits,
    FaultyRentalStore,
    WatchedProviderLimits,
    WatchedRentalStore,
)
from tests.simulation.requests import TENANTS
from tests.simulation.servers import open_server
from tests.simulation.table import Guard
from tests.simulation.timing import START, SkewedClock, Sleep, pause

if TYPE_CHECKING:
    from tests.simulation.world import World

STAGE = "sim"
NEIGHBOUR_ID = "a9b8c7d6e5"
"""Of the second deployment of the stage, where there are two on one account."""

CALL_SECONDS = 0.15
"""What a call of the provider takes (measured by several clients of Vast.ai: 0.1 to 0.3 s)."""

KEY_AGE_SECONDS = 30.0
"""For how long a process remembers the key."""

_SETTINGS = RentalSettings(STAGE, "https://vastai.example", "ollama/ollama:0.13.0")


class Account:
    """What the deployment rents, what it knows of it, and who watches that both agree.

    Attributes
    ----------
    orders
        Orders sent, by label.
    late_orders_seconds
        For the next orders: how long each is under way, so that its answer is lost.
    api_key
        The key that the operator has written down for the deployment.
    destroyed_from
        When the first order to destroy each contract was sent, by contract; it may have been refused.
    """

    def __init__(
        self,
        world: World,
        settings: VastaiSettings,
        unguarded: Collection[Guard],
        neighbour: Account | None = None,
    ) -> None:
        self._world = world
        self.park: MachinePark = MachinePark(self._provider_now) if neighbour is None else neighbour.park
        self.vastai: SimulatedVastai = (
            SimulatedVastai(settings, now=self.now, host=self.park) if neighbour is None else neighbour.vastai
        )
        self.rental_store = WatchedRentalStore(world, self, unguarded)
        self.host_store = MemoryHostStore()
        self.market_store = MemoryMarketStore()
        self.provider_limits = WatchedProviderLimits(world, self)
        self.deployments = MemoryDeploymentStore(DEPLOYMENT_ID if neighbour is None else NEIGHBOUR_ID)
        self.orders: Counter[str] = Counter()
        self.late_orders_seconds: deque[float] = deque()
        self.api_key = settings.api_key
        self.destroyed_from: dict[int, float] = {}

    def now(self) -> float:
        return self._world.now.timestamp()

    def _provider_now(self) -> float:
        """Return the time by which machines bill and download; neighbours share it."""
        return self.vastai.now()

    def change_key(self) -> None:
        """Give the account another key; the operator writes it down, and the present one is wrong at once."""
        self.api_key = f"{self.api_key}-next"
        self.vastai.change_key(self.api_key)

    def use_other_account(self, seconds: float) -> None:
        """Let the operator write down the key of another account by mistake, and later the right one again."""
        own_key, other_key = self.api_key, f"{self.api_key}-of-another-account"
        self.vastai.open_account(other_key)
        self.api_key = other_key

        def mend() -> None:
            self.api_key = own_key

        self._world.plan(seconds, mend)

    def provider(self, clock: SkewedClock, meter: Meter | None = None) -> PacedProvider:
        """Return one process's way to the provider."""
        transport = KeyedTransport(
            RememberedKey(self), lambda api_key: SimulatedTransport(self._world, self, api_key)
        )
        return PacedProvider(
            VastAi(transport, pause),
            FaultyProviderLimits(self._world, self.provider_limits, meter),
            clock,
            pause,
        )

    def dependencies(self, clock: SkewedClock, meter: Meter) -> RentalDependencies:
        """Return what a worker's steps work with."""
        return RentalDependencies(
            provider=self.provider(clock, meter),
            rental_store=FaultyRentalStore(self._world, self.rental_store, stall=Fault.STALLED, meter=meter),
            clock=clock,
            open_server=open_server(self._world),
            settings=_SETTINGS,
            tenants=TENANTS,
            deployments=self.deployments,
            hosts=FaultyHostStore(self._world, self.host_store, meter),
            market=FaultyMarketStore(self._world, self.market_store, meter),
            spending_limits=self._world.limits.spending,
        )

    def our_contracts(self) -> list[tuple[Contract, Rental | None]]:
        """Return every existing machine that we have ordered, whatever its label is now, with its row."""
        by_label = {rental.label: rental for rental in self.rental_store.rentals.values()}
        ours = (contract for contract in self.vastai.live() if self.is_ours(contract))
        return [(contract, by_label.get(contract.order.label or "")) for contract in ours]

    def is_ours(self, contract: Contract) -> bool:
        """Return whether this deployment has ordered the machine: another one may rent with the same account."""
        return not contract.is_foreign and (contract.order.label or "") in self.orders

    def contracts_of(self, rental: Rental) -> list[Contract]:
        """Return the existing machines that were ordered for a rental."""
        return [contract for contract in self.vastai.live() if contract.order.label == rental.label]

    def is_at_rest(self, *, until_kept_are_gone: bool) -> bool:
        """Return whether nothing is left to do about any machine."""
        for rental in self.rental_store.rentals.values():
            is_kept = rental.state is RentalState.KEPT and (rental.kept_until or START) > self._world.now
            if rental.is_alive and (until_kept_are_gone or not is_kept):
                return False
        return all(row is not None and row.is_alive for _, row in self.our_contracts())

    def watch_call(self, method: Method, path: str, body: Mapping[str, object] | None) -> None:
        """Look at a request as it leaves: an order has its intent, and a change is of our own machine."""
        if method == "PUT" and "/asks/" in path:
            self._watch_order(str((body or {}).get("label")))
        number = path.removeprefix("/api/v0/instances/").rstrip("/")
        named = (body or {}).get("instance_ids")
        numbers = [int(number)] if number.isdigit() else named if isinstance(named, list) else []
        if method == "DELETE":
            for each in numbers:
                self.destroyed_from.setdefault(each, self.now())
        for each in numbers if method in {"PUT", "DELETE"} else ():
            contract = self.vastai.instances.get(each)
            if contract is None or not self.is_ours(contract):
                self._world.violate(f"{method} of a machine that is not ours: {each}")

    def watch_job_end(self, job: Job) -> None:
        """Look at what a job leaves behind at the moment at which it ends."""
        for rental in self.rental_store.rentals.values():
            if rental.rental_id in self.rental_store.strays:
                continue
            is_late = rental.rental_id in self.rental_store.reopened or rental.kept_until is not None
            if rental.holder == job.job_id and rental.is_alive:
                self._world.violate(f"{job.job_id} ended and holds {rental.rental_id} ({rental.state})")
            elif rental.job_id == job.job_id and rental.holder is None:
                is_settled = rental.state in (RentalState.RELEASED, RentalState.KEPT)
                if not is_settled and not is_late:
                    self._world.violate(f"{job.job_id} ended, {rental.rental_id} is {rental.state}")
                self._watch_machine(rental)

    def _watch_machine(self, rental: Rental) -> None:
        if rental.state is not RentalState.RELEASED or rental.released_at is None:
            return
        if rental.rental_id in self.rental_store.deceived:
            return
        # One that was made after that came from an order which stood still, and is the janitor's.
        gone_at = (rental.released_at + self._world.skew).timestamp()
        for contract in self.contracts_of(rental):
            if contract.created_at < gone_at and contract.listed_at <= self.now():
                self._world.violate(f"{rental.rental_id} exists when its job ends")

    def _watch_order(self, label: str) -> None:
        self.orders[label] += 1
        if self.orders[label] > 1:
            self._world.violate(f"{label} was ordered twice")
        if all(rental.label != label for rental in self.rental_store.rentals.values()):
            self._world.violate(f"{label} was ordered without an intent")


class RememberedKey(KeySource):
    """One process's memory of the key."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.reread()

    @override
    def current(self) -> str:
        is_old = self._account.now() - self._read_at > KEY_AGE_SECONDS
        return self.reread() if is_old else self._key

    @override
    def reread(self) -> str:
        self._key, self._read_at = self._account.api_key, self._account.now()
        return self._key


class SimulatedTransport(VastaiTransport):
    """A `VastaiTransport` with the simulator itself at the other end."""

    def __init__(self, world: World, account: Account, api_key: str) -> None:
        self._world = world
        self._account = account
        self._api_key = api_key

    @override
    async def __call__(
        self,
        method: Method,
        path: str,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> VastaiResponse:
        place = f"{method} {path.split('/')[3]}"
        self._send(place)
        self._account.watch_call(method, path, body)
        request = VastRequest(
            method=method,
            path=path,
            query=dict(query or {}),
            body=None if body is None else dict(body),
            authorization=f"Bearer {self._api_key}",
        )
        if "/asks/" in path and self._account.late_orders_seconds:
            late_seconds = self._account.late_orders_seconds.popleft()
            self._world.plan(late_seconds, lambda: self._account.vastai.answer(request))
            await Sleep(timeout_seconds)
            raise ResponseLostError
        answer = self._account.vastai.answer(request)
        await Sleep(timeout_seconds if answer.delivery is Delivery.HANG else CALL_SECONDS)
        return self._receive(place, answer)

    def _send(self, place: str) -> None:
        fault = self._world.fault_at(f"before {place}", Fault.CRASH, Fault.OUTAGE, Fault.PAUSE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.OUTAGE:
            raise RequestNotSentError
        if fault is Fault.PAUSE:
            self._world.stall(fault)

    def _receive(self, place: str, answer: VastAnswer) -> VastaiResponse:
        fault = self._world.fault_at(f"after {place}", Fault.CRASH, Fault.LOST_ANSWER, Fault.PAUSE)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.LOST_ANSWER or answer.delivery is not Delivery.NORMAL:
            raise ResponseLostError
        if fault is Fault.PAUSE:
            self._world.stall(fault)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        return VastaiResponse(answer.status, text, answer.headers.get("Retry-After", ""))
