"""What the steps that deal with rented machines share."""

import logging
from dataclasses import dataclass
from datetime import datetime

from rune.clock import Clock
from rune.contracts import BenchmarkRequest, LlmInstanceRequest
from rune.errors import ProviderBusyError, ProviderFailedError, RentalError, StoreUnavailableError
from rune.jobs.outcomes import Again, Next, Outcome, Spending
from rune.jobs.record import Job, Kind
from rune.jobs.step import Step, StepContext
from rune.llm.opener import OpenServer
from rune.money.catalog import SizedModel
from rune.money.sizing import SMALLEST_MODEL, size_model
from rune.rentals import lifecycle
from rune.rentals.bills import cost_of_holder_micro_usd
from rune.rentals.instance import Instance
from rune.rentals.paced_provider import PacedProvider, ThrottledError
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.settings import RentalSettings
from rune.rentals.store import RentalRefused, RentalStore
from rune.storage.change import Change
from rune.workflows.graph import Fact, step_after

log = logging.getLogger(__name__)

PORT = 11434
"""Ollama's own."""

SERVER_KIND = "ollama"

_WRITE_TRIES = 3
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

    def find_rental(self, job: Job) -> Rental | None:
        """Return the machine that the job has or may have, from the rental store and not from memory."""
        alive = self.rental_store.read_alive(job.tenant)
        return next((rental for rental in alive if rental.holder == job.job_id), None)

    def give_up(self, rental: Rental, reason: EndReason, detail: str | None = None) -> Rental:
        """Write down that the machine is to be destroyed, whoever else has written meanwhile; return the row."""
        for _ in range(_WRITE_TRIES):
            change = lifecycle.ask_release(rental, reason, self.clock.now(), detail)
            written = self.rental_store.update(rental, change)
            if not isinstance(written, RentalRefused):
                return written
            if written.found is None or written.found.state in (RentalState.RELEASING, RentalState.RELEASED):
                return written.found or rental
            rental = written.found
        raise StoreUnavailableError("The rental was being written by others all the time.")

    def note_contract(self, rental: Rental, contract_id: int) -> Rental:
        """Tie the rental to the contract that was made for it, whoever else has written meanwhile.

        One that was taken for never made goes on to be destroyed: its machine must not live on unseen.
        """
        for _ in range(_WRITE_TRIES):
            now = self.clock.now()
            if rental.contract_id is not None:
                return rental
            change = (
                lifecycle.note_contract(rental, contract_id, now)
                if rental.is_alive
                else lifecycle.reopen(rental, contract_id, now)
            )
            written = self.rental_store.update(rental, change)
            if not isinstance(written, RentalRefused):
                return written
            rental = written.found or rental
        raise StoreUnavailableError("The rental was being written by others all the time.")

    def note_price(self, rental: Rental, instance: Instance) -> Rental:
        """Write down what the machine costs where that is more than its offer said: prices change meanwhile."""
        risen = lifecycle.find_risen_price(rental, instance)
        if risen is None:
            return rental
        return self.update(rental, lifecycle.note_price(rental, risen, self.clock.now()))

    def update(self, rental: Rental, change: Change) -> Rental:
        """Return the rental as written, or as it is where the write was refused."""
        written = self.rental_store.update(rental, change)
        if isinstance(written, RentalRefused):
            return written.found or rental
        return written

    def spending(self, job: Job, rental: Rental | None) -> Spending:
        """Return what the job's rentals cost up to now: its own, those that it had borrowed, the one at hand."""
        now = self.clock.now()
        own = sum_attempts(self.rental_store.read_attempts(job.job_id), job.job_id, now)
        is_borrowing = rental is not None and rental.job_id != job.job_id and rental.holder == job.job_id
        before = job.borrowed_micro_usd
        if not is_borrowing and job.rental_id and not job.rental_id.startswith(job.job_id):
            # It had a kept machine, and has it no more: what that had cost stands in the hot item alone.
            before = max(before, job.cost_micro_usd - own)
        total = own + before
        if is_borrowing and rental is not None:
            total += cost_of_holder_micro_usd(rental, now)
        return Spending(rental.rental_id if rental else None, total, before or None)


def sum_attempts(attempts: tuple[Rental, ...], job_id: str, now: datetime) -> int:
    """Return what a job's own rentals cost it, in millionths of a dollar."""
    return sum(
        rental.cost_micro_usd if rental.cost_micro_usd is not None else cost_of_holder_micro_usd(rental, now)
        for rental in attempts
        if rental.job_id == job_id
    )


def read_request(context: StepContext) -> RentalRequest:
    """Return the request of a job that rents."""
    kind = BenchmarkRequest if context.job.kind is Kind.BENCHMARK else LlmInstanceRequest
    return kind.model_validate_json(context.request_json)


def required_model(request: RentalRequest) -> SizedModel:
    """Return the model that the machine must hold; without one named, the least that is worth renting for."""
    if request.model is None:
        return SMALLEST_MODEL
    return size_model(request.model, request.min_vram_mb)


def watching(step: Step) -> Step:
    """Return a step that comes again later where the provider is busy or out of order, as often as need be.

    For steps that only look: the job's deadline ends them, and its own machine is none the worse for it.
    """

    async def watch(context: StepContext) -> Outcome:
        try:
            return await step(context)
        except (ThrottledError, ProviderBusyError, ProviderFailedError) as error:
            return Again(delay_after(error), dict(context.job.progress))

    return watch


def delay_after(error: ThrottledError | RentalError) -> int:
    """Return how long to stay away from the provider, in seconds; at most a minute, for a machine may bill."""
    if isinstance(error, ThrottledError):
        return min(error.delay_seconds, _LONGEST_DELAY_SECONDS)
    if isinstance(error, ProviderBusyError):
        return min(error.retry_after_seconds or _PROVIDER_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
    log.warning("provider.failed", extra={"code": error.code, "reason": error.sentence})
    return _PROVIDER_DELAY_SECONDS


def fact_of(held: Rental | None) -> Fact:
    """Return what a job's rental says of the way that it takes."""
    if held is None:
        return Fact.NO_MACHINE
    match held.state:
        case RentalState.INTENDED:
            return Fact.ORDER_UNANSWERED
        case RentalState.CREATED | RentalState.RUNNING:
            return Fact.MACHINE_HELD
        case _:
            return Fact.MACHINE_GIVEN_UP


def another(context: StepContext, reason: EndReason, detail: str, spending: Spending) -> Next:
    """Return the way from a machine that was given up to the next one."""
    step = step_after(context, Fact.MACHINE_GIVEN_UP)
    return Next(step, labels={"detail": detail}, error_type=reason.value, spending=spending)
