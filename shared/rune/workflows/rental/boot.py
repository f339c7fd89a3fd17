"""Waiting for a rented machine, a look at a time."""

from datetime import datetime, timedelta
from math import inf

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import AddressError, ModelServerError, ServerAccessError
from rune.jobs.outcomes import Again, Failed, Next, Note, Outcome
from rune.jobs.record import Job
from rune.jobs.step import StepContext
from rune.rentals import lifecycle, reconciliation
from rune.rentals.blame import Blame, find_boot_blame, has_failed_so, may_be_the_image
from rune.rentals.instance import PORT_TIMEOUT, BootState, Instance, find_boot_state
from rune.rentals.proof import find_loss
from rune.rentals.record import EndReason, Rental
from rune.storage.change import Change
from rune.workflows.graph import Fact, step_after
from rune.workflows.rental.dependencies import (
    PORT,
    SERVER_KIND,
    RentalDependencies,
    RentalRequest,
    fact_of,
    leave_and_rent_again,
    read_request,
)

# Between two looks, by how long the machine has been awaited: most come within two minutes, and a look costs a
# function about 0.2 s.
_DELAYS = ((timedelta(seconds=10), 2), (timedelta(seconds=60), 5), (timedelta(seconds=180), 10))
_LONGEST_DELAY_SECONDS = 15

_PRICE_TOLERANCE = 1.01
"""The provider's own rounding of what a disk costs by the hour. The job's events tell of it."""


class BootStep:
    """The step `boot`."""

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def boot(self, context: StepContext) -> Outcome:
        """Look once: go on when the machine's server answers, to the next machine when this one never will."""
        dependencies, job = self._dependencies, context.job
        rental = dependencies.find_rental(job)
        if rental is None or not rental.is_used_by(job.job_id):
            return Next(step_after(context, fact_of(rental, job)))
        listing = await dependencies.provider.look_for(rental)
        instance = listing.find(rental)
        if instance is not None:
            return await self._look(context, rental, instance, listing.begun_at)
        loss = find_loss(rental, listing)
        if loss is None:
            return Again(5, dict(job.progress))
        return self._leave(context, rental, EndReason.VANISHED, loss)

    async def _look(
        self, context: StepContext, rental: Rental, instance: Instance, seen_at: datetime
    ) -> Outcome:
        """Write down what the listing shows of the machine, and return what follows."""
        dependencies, job = self._dependencies, context.job
        if instance.label != rental.label:
            # The janitor knows our machines by their labels alone.
            await dependencies.provider.label(instance.contract_id, rental.label)
        now = dependencies.clock.now()
        rental = dependencies.update(
            rental, lambda found: reconciliation.record_look(found, instance, seen_at, now)
        )
        rental = dependencies.update(rental, lambda found: reconciliation.record_price(found, instance, now))
        if not rental.is_used_by(job.job_id):
            return Next(step_after(context, fact_of(rental, job)))
        if rental.job_id == job.job_id and _is_too_dear(rental, read_request(context)):
            price = rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD
            detail = f"costs {price:.4f} USD per hour"
            return self._leave(context, rental, EndReason.BOOT_FAILED, detail)
        return await self._check(context, rental, instance)

    async def _check(self, context: StepContext, rental: Rental, instance: Instance) -> Outcome:
        """Return what follows from the state of a listed machine."""
        now = self._dependencies.clock.now()
        state, reason = find_boot_state(rental, instance, PORT, now)
        if state is BootState.FAILED:
            has_run_own_image = _is_of_own_image(rental, context.job) and instance.actual_status == "exited"
            if find_boot_blame(instance.status_text, has_run_own_image=has_run_own_image) is Blame.REQUEST:
                return self._end(context, rental, reason)
            return self._leave(context, rental, EndReason.BOOT_FAILED, reason)
        url = instance.url(PORT)
        used = None if url is None else await self._use(context, rental, url)
        if used is not None:
            return used
        awaited_since = _awaited_since(rental)
        limit = timedelta(seconds=read_request(context).boot_timeout_seconds)
        if now - awaited_since > limit:
            detail = f"not ready after {limit.seconds} s"
            return self._leave(context, rental, EndReason.BOOT_TIMEOUT, detail)
        if instance.is_running and _running_time(rental, now) > PORT_TIMEOUT:
            missing = "its server never answered" if url else "its port was never mapped"
            return self._leave(context, rental, EndReason.BOOT_FAILED, missing)
        progress = {"booting_seconds": int((now - awaited_since).total_seconds())}
        delay_seconds = _delay_seconds(now - awaited_since)
        return Again(delay_seconds, progress, self._dependencies.spending(context.job, rental))

    async def _use(self, context: StepContext, rental: Rental, url: str) -> Outcome | None:
        """Return what follows from a server that answers, to its key alone if so ordered; None before that."""
        if not await self._answers(rental, url):
            return None
        if not rental.is_guarded:
            return self._go_on(context, rental, url, is_open=True)
        is_closed = await self._refuses_strangers(url)
        if is_closed is False:
            return self._leave(context, rental, EndReason.BOOT_FAILED, "its server asks for no key")
        return self._go_on(context, rental, url, is_open=False) if is_closed else None

    async def _refuses_strangers(self, url: str) -> bool | None:
        """Return whether the server refuses a request without the key; None where it did not say."""
        server = self._dependencies.open_server(SERVER_KIND, url)
        try:
            await server.list_models()
        except ServerAccessError:
            return True
        except (ModelServerError, AddressError):
            return None
        finally:
            await server.aclose()
        return False

    async def _answers(self, rental: Rental, url: str) -> bool:
        try:
            server = self._dependencies.open_machine(rental, url)
        except AddressError:
            return False
        try:
            await server.list_models()
        except (ModelServerError, AddressError):
            return False
        finally:
            await server.aclose()
        return True

    def _go_on(self, context: StepContext, rental: Rental, url: str, *, is_open: bool) -> Outcome:
        dependencies, job_id = self._dependencies, context.job.job_id
        now = dependencies.clock.now()

        def decide(found: Rental) -> Change | None:
            if not found.is_used_by(job_id):
                return None
            return lifecycle.note_running(found, url, now, is_open=is_open)

        running = dependencies.update(rental, decide)
        if not running.is_used_by(job_id):
            return Next(step_after(context, fact_of(running, context.job)))
        took_ms = round((now - _awaited_since(rental)).total_seconds() * 1000)
        return Next(
            step_after(context, Fact.MACHINE_ANSWERS),
            phases_ms={"boot": took_ms},
            labels={"contract_id": str(running.contract_id)},
            notes=_tell_price(running, read_request(context)) if running.job_id == job_id else (),
            spending=dependencies.spending(context.job, running),
        )

    def _end(self, context: StepContext, rental: Rental, detail: str) -> Outcome:
        """Give the machine up and fail: the image is at fault, and would be on every other machine."""
        self._dependencies.leave(context.job, rental, EndReason.BOOT_FAILED, detail)
        return Failed("image_failed", f"The machine could not run the image. It is {detail}", retryable=False)

    def _leave(self, context: StepContext, rental: Rental, reason: EndReason, detail: str) -> Outcome:
        attempts = self._dependencies.rental_store.read_attempts(context.job.job_id)
        is_images = rental.has_foreign_image or may_be_the_image(detail)
        if is_images and rental.job_id == context.job.job_id and has_failed_so(reason, detail, attempts):
            # On two machines.
            return self._end(context, rental, detail)
        return leave_and_rent_again(context, self._dependencies, rental, reason, detail)


def _is_of_own_image(rental: Rental, job: Job) -> bool:
    """Return whether the job made the machine, from an image that its caller chose."""
    return rental.has_foreign_image and rental.job_id == job.job_id


def _is_too_dear(rental: Rental, request: RentalRequest) -> bool:
    """Return whether the machine costs more than the caller allows, by more than rounding may explain."""
    return _share_of_most(rental, request) > _PRICE_TOLERANCE


def _tell_price(rental: Rental, request: RentalRequest) -> tuple[Note, ...]:
    """Return the event for a machine that costs more than the caller allows, though only by rounding."""
    if _share_of_most(rental, request) <= 1:
        return ()
    labels = {
        "usd_per_hour": f"{rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD:.6f}",
        "max_dph": f"{request.rental_terms.max_dph:g}",
    }
    return (Note("vastai.price_above_max", labels),)


def _share_of_most(rental: Rental, request: RentalRequest) -> float:
    most_micro_usd = request.rental_terms.max_dph * MICRO_USD_PER_USD
    return rental.prices.micro_usd_per_hour / most_micro_usd if most_micro_usd else inf


def _awaited_since(rental: Rental) -> datetime:
    return rental.held_since or rental.intended_at


def _running_time(rental: Rental, now: datetime) -> timedelta:
    """Return how long the machine has been running for its holder; one that was kept has run long before."""
    if rental.first_seen_running_at is None:
        return timedelta(0)
    return now - max(rental.first_seen_running_at, _awaited_since(rental))


def _delay_seconds(waited: timedelta) -> int:
    return next((delay for limit, delay in _DELAYS if waited < limit), _LONGEST_DELAY_SECONDS)
