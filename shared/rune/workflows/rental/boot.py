"""Waiting for a rented machine, a look at a time."""

from datetime import datetime, timedelta

from rune.errors import AddressError, ModelServerError
from rune.jobs.outcomes import Again, Next, Outcome
from rune.jobs.step import StepContext
from rune.rentals import lifecycle
from rune.rentals.instance import PORT_TIMEOUT, BootState, Instance, Listing, find_boot_state, has_stopped
from rune.rentals.record import MICRO_USD_PER_USD, EndReason, Rental, RentalState
from rune.workflows.graph import Fact, step_after
from rune.workflows.rental.dependencies import (
    PORT,
    SERVER_KIND,
    RentalDependencies,
    RentalRequest,
    another,
    fact_of,
    read_request,
)

# Between two looks, by how long the machine has been awaited: most come within two minutes, and a look costs a
# function about 0.2 s.
_DELAYS = ((timedelta(seconds=10), 2), (timedelta(seconds=60), 5), (timedelta(seconds=180), 10))
_LONGEST_DELAY_SECONDS = 15

_PRICE_TOLERANCE = 1.01
"""The provider's own rounding of what a disk costs by the hour."""


class BootStep:
    """The step `boot`."""

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def boot(self, context: StepContext) -> Outcome:
        """Look once: go on when the machine's server answers, to the next machine when this one never will."""
        held = self._dependencies.find_rental(context.job)
        if held is None or held.state in (RentalState.INTENDED, RentalState.RELEASING):
            return Next(step_after(context, fact_of(held)))
        listing = await self._dependencies.provider.list_instances()
        instance = listing.find(held)
        if instance is None:
            return self._missing(context, held, listing)
        if instance.label != held.label:
            # Without its label the janitor could not tell it from a stranger's.
            await self._dependencies.provider.label(instance.contract_id, held.label)
        if held.state is RentalState.CREATED:
            held = self._note_look(held, instance, listing)
        held = self._dependencies.note_price(held, instance)
        if held.job_id == context.job.job_id and _is_too_dear(held, read_request(context)):
            price = held.prices.micro_usd_per_hour / MICRO_USD_PER_USD
            return self._give_up(context, held, EndReason.BOOT_FAILED, f"costs {price:.4f} USD per hour")
        return await self._judge(context, held, instance)

    def _note_look(self, held: Rental, instance: Instance, listing: Listing) -> Rental:
        """Write down what the bill, and patience with a machine that runs without its server, are counted from."""
        now = self._dependencies.clock.now()
        if instance.is_running:
            if held.first_seen_running_at is not None:
                return held
            return self._dependencies.update(held, lifecycle.note_seen_running(held, listing.begun_at, now))
        # One that has stopped may have run since the latest look, and that is billed.
        last_seen_stopped_at = (
            (held.last_seen_stopped_at or held.intended_at) if has_stopped(instance) else listing.begun_at
        )
        return self._dependencies.update(held, lifecycle.note_seen_stopped(held, last_seen_stopped_at, now))

    async def _judge(self, context: StepContext, held: Rental, instance: Instance) -> Outcome:
        now = self._dependencies.clock.now()
        verdict, reason = find_boot_state(held, instance, PORT, now)
        if verdict is BootState.FAILED:
            return self._give_up(context, held, EndReason.BOOT_FAILED, reason)
        url = instance.url(PORT)
        if url is not None and await self._answers(url):
            return self._go_on(context, held, url)
        awaited_since = _awaited_since(held)
        limit = timedelta(seconds=read_request(context).boot_timeout_seconds)
        if now - awaited_since > limit:
            return self._give_up(context, held, EndReason.BOOT_TIMEOUT, f"not ready after {limit.seconds} s")
        if instance.is_running and _has_run_for(held, now) > PORT_TIMEOUT:
            missing = "its server never answered" if url else "its port was never mapped"
            return self._give_up(context, held, EndReason.BOOT_FAILED, missing)
        progress = {"booting_seconds": int((now - awaited_since).total_seconds())}
        delay_seconds = _delay_seconds(now - awaited_since)
        return Again(delay_seconds, progress, self._dependencies.spending(context.job, held))

    async def _answers(self, url: str) -> bool:
        try:
            server = self._dependencies.open_server(SERVER_KIND, url)
        except AddressError:
            return False
        try:
            await server.list_models()
        except (ModelServerError, AddressError):
            return False
        finally:
            await server.aclose()
        return True

    def _go_on(self, context: StepContext, held: Rental, url: str) -> Outcome:
        now = self._dependencies.clock.now()
        running = self._dependencies.update(held, lifecycle.note_running(held, url, now))
        took_ms = round((now - _awaited_since(held)).total_seconds() * 1000)
        return Next(
            step_after(context, Fact.MACHINE_ANSWERS),
            phases_ms={"boot": took_ms},
            labels={"contract_id": str(running.contract_id)},
            spending=self._dependencies.spending(context.job, running),
        )

    def _missing(self, context: StepContext, held: Rental, listing: Listing) -> Outcome:
        """Give the machine up once it should be listed: for gone, but destroyed all the same if it is not."""
        if not lifecycle.is_proof(held, listing):
            return Again(5, dict(context.job.progress))
        return self._give_up(context, held, EndReason.VANISHED, "not listed any more")

    def _give_up(self, context: StepContext, held: Rental, reason: EndReason, detail: str) -> Outcome:
        self._dependencies.give_up(held, reason, detail)
        return another(context, reason, detail, self._dependencies.spending(context.job, held))


def _is_too_dear(held: Rental, request: RentalRequest) -> bool:
    """Return whether the machine costs more than the caller allows, by more than rounding may explain."""
    most_micro_usd = request.rental_terms.max_dph * MICRO_USD_PER_USD
    return held.prices.micro_usd_per_hour > most_micro_usd * _PRICE_TOLERANCE


def _awaited_since(held: Rental) -> datetime:
    return held.held_since or held.intended_at


def _has_run_for(held: Rental, now: datetime) -> timedelta:
    """Return how long the machine has been running for its holder; one that was kept has run long before."""
    if held.first_seen_running_at is None:
        return timedelta(0)
    return now - max(held.first_seen_running_at, _awaited_since(held))


def _delay_seconds(waited: timedelta) -> int:
    return next((delay for limit, delay in _DELAYS if waited < limit), _LONGEST_DELAY_SECONDS)
