"""What the steps of a rental share."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from rune.clock import Clock
from rune.contracts import BenchmarkRequest, LlmInstanceRequest, read_stored
from rune.errors import (
    AddressError,
    ModelServerError,
    ProviderBusyError,
    ProviderFailedError,
    RentalError,
)
from rune.jobs.outcomes import Again, Failed, Next, Outcome, Spending
from rune.jobs.record import Job, Kind
from rune.jobs.step import Step, StepContext
from rune.llm.opener import OpenServer
from rune.llm.protocol import ModelServer
from rune.money.catalog import SizedModel
from rune.money.limits import SpendingLimits, TenantSpending
from rune.money.sizing import SMALLEST_MODEL, size_model
from rune.rentals import reconciliation
from rune.rentals.bills import come_bytes, cost_of_holder_micro_usd
from rune.rentals.blame import is_same_again
from rune.rentals.cost_cap import most_cost_micro_usd, most_cost_of_borrower_micro_usd, stop_at
from rune.rentals.deployment import DeploymentStore
from rune.rentals.hosts import HostStore
from rune.rentals.market import MarketStore
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.proof import choose_listing_start
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.settings import RentalSettings
from rune.rentals.settlement import booked_by_job_micro_usd
from rune.rentals.store import Decide, RentalStore, update_rental
from rune.storage.change import Change
from rune.tenants.settings import TenantSource
from rune.workflows.graph import Fact, step_after
from rune.workflows.rental.job_cost import (
    borrowed_before_micro_usd,
    has_borrowed,
    job_cost_micro_usd,
    sum_attempts,
)

log = logging.getLogger(__name__)

PORT = 11434
"""Ollama's own (https://github.com/ollama/ollama/blob/main/docs/faq.mdx)."""

SERVER_KIND = "ollama"

MAX_MACHINES = 3
"""Machines made for one job; each that fails has cost money."""

_PROVIDER_DELAY_SECONDS = 10
"""Wait after the provider failed while a machine was being watched or destroyed."""

_LONGEST_DELAY_SECONDS = 60

type RentalRequest = BenchmarkRequest | LlmInstanceRequest


@dataclass(frozen=True, slots=True)
class RentalDependencies:
    """What the steps work with."""

    provider: PacedProvider
    rental_store: RentalStore
    clock: Clock
    open_server: OpenServer
    settings: RentalSettings
    tenants: TenantSource
    deployments: DeploymentStore
    hosts: HostStore
    market: MarketStore
    spending_limits: SpendingLimits

    def limits_of(self, tenant: str) -> SpendingLimits:
        """Return what a tenant may spend."""
        return self.spending_limits.for_tenant(TenantSpending.of(self.tenants.of(tenant)))

    def find_rental(self, job: Job) -> Rental | None:
        """Return the rental that the job holds, whether or not its machine was made; read from the store."""
        return find_held(self.rental_store.read_alive(job.tenant, needed_by=job.job_id), job)

    def guards(self, job: Job) -> bool:
        """Return whether a job's machine gets a key in front of its server.

        Clients that are handed a machine read its address alone, so it is open to them unless their tenant's
        document says otherwise.
        """
        return not job.kind.hands_over or self.tenants.of(job.tenant).guards_instances

    def open_machine(self, rental: Rental, url: str) -> ModelServer:
        """Return the server of a rented machine, which the caller closes; RUNE sends it the machine's own key.

        Raises
        ------
        AddressRefusedError
            The address is refused as it is written.
        """
        key = self.rental_store.read_key(rental.rental_id) if rental.is_guarded else None
        return self.open_server(SERVER_KIND, url, key)

    def reread(self, rental: Rental) -> Rental:
        """Return a rental as all earlier writes left it."""
        return self.rental_store.read(rental.rental_id) or rental

    def last_look(self, rental: Rental) -> Rental:
        """Return a rental as its holder leaves it: of an unfinished download all counts that may have come."""
        rental = self.reread(rental)
        return replace(rental, pulled_bytes=come_bytes(rental, self.clock.now()))

    def update(self, rental: Rental, decide: Decide) -> Rental:
        """Write what is decided; see `rune.rentals.store.update_rental`."""
        return update_rental(self.rental_store, rental, decide)

    def give_up(self, rental: Rental, reason: EndReason, detail: str | None = None) -> Rental:
        """Write down that the machine is to be destroyed; return the rental as it then is."""
        now = self.clock.now()
        return self.update(rental, lambda found: reconciliation.give_up(found, now, reason, detail))

    def leave(self, job: Job, rental: Rental, reason: EndReason, detail: str) -> None:
        """Give up the job's own machine; return a borrowed one to its tenant."""
        now = self.clock.now()

        def decide(found: Rental) -> Change | None:
            return reconciliation.leave_machine(found, job.job_id, now, reason, detail)

        self.update(rental, decide)

    def adopt_contract(self, rental: Rental, contract_id: int) -> Rental:
        """Tie the rental to the contract that its create made; return the rental as it then is."""
        now = self.clock.now()
        return self.update(rental, lambda found: reconciliation.adopt_contract(found, contract_id, now))

    async def resolve_create(self, rental: Rental) -> Rental:
        """Look for the machine of a create whose answer was lost.

        Returns
        -------
        Rental
            With its contract if a machine was made, released if listings prove that none was; alive without one
            while that is open.
        """
        start = choose_listing_start(rental, self.clock.now())
        listing = await self.provider.list_instances(begun_after=start)
        instance, now = listing.find(rental), self.clock.now()
        if instance is None:
            return self.update(
                rental,
                lambda found: (
                    reconciliation.record_missed(found, listing, now)
                    or reconciliation.record_gone(found, listing, now, EndReason.CREATE_LOST)
                ),
            )
        adopted = self.adopt_contract(rental, instance.contract_id)
        return self.update(adopted, lambda found: reconciliation.record_price(found, instance, now))

    def spending(self, job: Job, rental: Rental | None) -> Spending:
        """Return what the job's rentals cost up to now: its own, those that it had borrowed, the one it uses."""
        now = self.clock.now()
        attempts = self.rental_store.read_attempts(job.job_id)
        own = [each for each in attempts if each.job_id == job.job_id]
        held = rental if rental is not None and rental.holder == job.job_id else None
        used = self._borrowed_last(job, rental)
        before = borrowed_before_micro_usd(job, sum_attempts(attempts, job.job_id, now), used)
        borrowed = most_borrowed = before
        if held is not None and held.job_id != job.job_id:
            borrowed += cost_of_holder_micro_usd(held, now)
            most_borrowed += most_cost_of_borrower_micro_usd(held, now)
        cost_cap_at = None
        if held is not None and held.is_alive:
            left = left_micro_usd(job, attempts, max(borrowed, most_borrowed), now)
            if held.is_credit_short and held.job_id == job.job_id:
                of_credit = held.reserved_micro_usd - most_cost_micro_usd(held, now)
                left = of_credit if left is None else min(left, of_credit)
            cost_cap_at = None if left is None else stop_at(held.prices, left, now)
        total = job_cost_micro_usd(job, attempts, used, now, held=held)
        # What was told too much is booked nowhere.
        shared = total - (job.token_micro_usd or 0) - sum(booked_by_job_micro_usd(each, now) for each in own)
        is_booked = job.reserved_micro_usd is not None and (shared or job.shared_micro_usd is not None)
        return Spending(
            rental.rental_id if rental else None,
            total,
            before or None,
            cost_cap_at,
            shared if is_booked else None,
        )

    def _borrowed_last(self, job: Job, rental: Rental | None) -> Rental | None:
        """Return the kept machine that a job uses, or used last by its row; None where that is its own, or none."""
        if job.rental_id is None or not has_borrowed(job):
            return None
        if rental is not None and rental.rental_id == job.rental_id:
            return rental
        return self.rental_store.read(job.rental_id)


def find_held(alive: Iterable[Rental], job: Job) -> Rental | None:
    """Return the rental of a tenant's living ones that the job holds."""
    return next((rental for rental in alive if rental.holder == job.job_id), None)


def rising_cost(spent_micro_usd: int, rental: Rental, since: datetime) -> Callable[[datetime], int]:
    """Return what tells what a job has cost by a moment, while it does nothing but use its machine.

    Parameters
    ----------
    spent_micro_usd
        What it had cost at a moment before, `since`.
    """
    share = cost_of_holder_micro_usd(rental, since)
    return lambda now: spent_micro_usd + max(0, cost_of_holder_micro_usd(rental, now) - share)


def left_micro_usd(
    job: Job, attempts: tuple[Rental, ...], borrowed_micro_usd: int, now: datetime
) -> int | None:
    """Return how much more the job may cost, when each of its own machines is reckoned at the most it can cost.

    Parameters
    ----------
    borrowed_micro_usd
        What kept machines have cost it.

    Returns
    -------
    int or None
        In millionths of a dollar; negative where the cap is passed. None for a job without a cap, as earlier
        versions stored them.
    """
    if job.cap_micro_usd is None:
        return None
    own = sum(most_cost_micro_usd(each, now) for each in attempts if each.job_id == job.job_id)
    # What tokens may cost is kept for them: they are bought when the machine has been paid for.
    tokens = max(job.token_micro_usd or 0, job.token_cap_micro_usd or 0)
    return job.cap_micro_usd - own - borrowed_micro_usd - tokens


def read_request(context: StepContext) -> RentalRequest:
    """Return the request of a job that rents; raises UnreadableRowError as `read_stored` does."""
    if context.job.kind is Kind.BENCHMARK:
        return read_stored(BenchmarkRequest, context.request_json)
    return read_stored(LlmInstanceRequest, context.request_json)


def required_model(request: RentalRequest) -> SizedModel:
    """Return the model that the machine must hold; an earlier version stored requests that name none."""
    return size_model(request.model or SMALLEST_MODEL.name, request.min_vram_mb)


def retrying_provider_errors(step: Step) -> Step:
    """Return a step that runs again later, without limit, while the provider is busy or fails.

    For steps that only watch: the job's deadline ends them.
    """

    async def run(context: StepContext) -> Outcome:
        try:
            return await step(context)
        except (ThrottledError, ProviderBusyError, ProviderFailedError) as error:
            return Again(delay_after(error), dict(context.job.progress))

    return run


def delay_after(error: ThrottledError | RentalError) -> int:
    """Return how many seconds to wait before the next call; at most 60, since a machine may bill."""
    if isinstance(error, ThrottledError):
        return min(error.delay_seconds, _LONGEST_DELAY_SECONDS)
    if isinstance(error, ProviderBusyError):
        return min(error.retry_after_seconds or _PROVIDER_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
    log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
    return _PROVIDER_DELAY_SECONDS


def fact_of(rental: Rental | None, job: Job) -> Fact:
    """Return what a rental says of the way of a job that holds or held it."""
    if rental is None or rental.holder != job.job_id:
        return Fact.NO_MACHINE
    match rental.state:
        case RentalState.INTENDED:
            return Fact.ORDER_UNANSWERED
        case RentalState.CREATED | RentalState.RUNNING:
            return Fact.MACHINE_HELD
        case _:
            return Fact.MACHINE_GIVEN_UP


def leave_and_rent_again(
    context: StepContext, dependencies: RentalDependencies, rental: Rental, reason: EndReason, detail: str
) -> Next:
    """Give up the job's machine, or return a borrowed one to its tenant, and go on to the next."""
    rental = dependencies.last_look(rental)
    dependencies.leave(context.job, rental, reason, detail)
    step = step_after(context, Fact.MACHINE_GIVEN_UP)
    spending = dependencies.spending(context.job, rental)
    return Next(step, labels={"detail": detail}, error_type=reason.value, spending=spending)


def leave_for_its_model(
    context: StepContext,
    dependencies: RentalDependencies,
    rental: Rental,
    error: ModelServerError | AddressError,
) -> Outcome:
    """Go on to the next machine, since this one cannot get or load the model.

    If another one of the job's failed in the same words, it is not the machine: the job fails in these words.
    """
    attempts = dependencies.rental_store.read_attempts(context.job.job_id)
    if not rental.is_borrowed and is_same_again(error, EndReason.MODEL_FAILED, attempts):
        return replace(Failed.from_error(error), retryable=True, is_final=True)
    return leave_and_rent_again(context, dependencies, rental, EndReason.MODEL_FAILED, error.sentence)
