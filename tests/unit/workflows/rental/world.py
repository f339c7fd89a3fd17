"""One job that rents, with its market, rental store and model server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from rune.jobs.outcomes import Outcome
from rune.jobs.record import Job, Kind, StepName
from rune.jobs.step import Step, StepContext
from rune.money.limits import SpendingLimits
from rune.rentals.hosts import HostStore
from rune.rentals.instance import Instance
from rune.rentals.market import MarketStore
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.record import Rental
from rune.rentals.settings import RentalSettings
from rune.tenants.settings import FixedTenants
from rune.workflows.rental.dependencies import RentalDependencies
from rune.workflows.rental.lost_machine import make_rental_steps, replacing_lost_machine
from tests.builders import JOB_ID, NOW, TENANT, FakeClock, a_claimed_job, a_step_context
from tests.fake_model_server import FakeModelServer
from tests.memory_host_store import MemoryHostStore
from tests.memory_market_store import MemoryMarketStore
from tests.memory_rental_store import MemoryDeploymentStore, MemoryProviderLimits, MemoryRentalStore
from tests.rental_builders import MODEL, RENTAL_ID, STAGE, a_listing
from tests.tenant_builders import tenants_with
from tests.unit.rentals.scripted import ScriptedMarket, an_offer

ALLOWING = tenants_with({"templates": ["h", "unknown"]}, TENANT)
SETTINGS = RentalSettings(STAGE, "https://console.vast.ai", "ollama/ollama:0.9.0")

_REQUESTS: Mapping[Kind, Mapping[str, object]] = {
    Kind.BENCHMARK: {"question": "Why?", "model": MODEL, "vastai": True},
    Kind.LLM_INSTANCE: {"vastai": True, "model": MODEL},
}


def a_renting_job(step: StepName = StepName.RENT, **overrides: object) -> Job:
    """Return a claimed job that may have rented something, with an hour to go."""
    return a_claimed_job(**{"rents": True, "step": step, **overrides})


@dataclass
class World:
    """Everything a step of renting touches."""

    rental_store: MemoryRentalStore = field(default_factory=MemoryRentalStore)
    market: ScriptedMarket = field(default_factory=lambda: ScriptedMarket(offers=(an_offer(),)))
    server: FakeModelServer = field(default_factory=FakeModelServer)
    clock: FakeClock = field(default_factory=FakeClock)
    provider_limits: MemoryProviderLimits = field(default_factory=MemoryProviderLimits)
    settings: RentalSettings = SETTINGS
    tenants: FixedTenants = ALLOWING
    deployments: MemoryDeploymentStore = field(default_factory=MemoryDeploymentStore)
    hosts: HostStore = field(default_factory=MemoryHostStore)
    seen: MarketStore = field(default_factory=MemoryMarketStore)
    spending_limits: SpendingLimits = field(default_factory=SpendingLimits)

    @property
    def dependencies(self) -> RentalDependencies:
        async def pause(seconds: float) -> None:
            self.clock.advance(seconds)

        provider = PacedProvider(self.market, self.provider_limits, self.clock, pause)
        return RentalDependencies(
            provider,
            self.rental_store,
            self.clock,
            self.server.open,
            self.settings,
            self.tenants,
            self.deployments,
            self.hosts,
            self.seen,
            self.spending_limits,
        )

    def run(self, job: Job, **request: object) -> Outcome:
        """Return how the job's step ends; a request without fields is the usual one of the job's kind."""
        return self.run_context(a_step_context(job, {**_REQUESTS[job.kind], **request}))

    def run_with_draft(self, job: Job, draft_json: str, **request: object) -> Outcome:
        """Return how a release ends that has a result to complete."""
        context = a_step_context(job, {**_REQUESTS[job.kind], **request})
        return self.run_context(replace(context, read_draft=lambda: draft_json))

    def run_context(self, context: StepContext) -> Outcome:
        return run_step(make_rental_steps(self.dependencies)[context.job.step], context)

    def run_replacing_lost_machine(self, step: Step, job: Job) -> Outcome:
        return run_step(
            replacing_lost_machine(step, self.dependencies), a_step_context(job, _REQUESTS[job.kind])
        )

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def rental(self, rental_id: str = RENTAL_ID) -> Rental:
        return self.rental_store.rentals[rental_id]

    @property
    def attempts(self) -> tuple[Rental, ...]:
        return self.rental_store.read_attempts(JOB_ID)


def a_world(*rentals: Rental, instances: tuple[Instance, ...] = (), seconds: float = 0) -> World:
    """Return a world some time after `NOW`, with what it holds then."""
    world = World(MemoryRentalStore(*rentals), clock=FakeClock(NOW + timedelta(seconds=seconds)))
    world.market.instances = list(instances)
    # An earlier worker has read which account the key is of.
    world.provider_limits.share_listing(a_listing(begun_at=NOW - timedelta(hours=1)))
    return world


def run_step(step: Step, context: StepContext) -> Outcome:
    async def main() -> Outcome:
        return await step(context)

    return asyncio.run(main())
