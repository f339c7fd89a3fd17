"""What a tenant's callers do with rentals: list, find, end and extend them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rune.clock import Clock
from rune.errors import (
    InvalidRequestError,
    RentalEndingError,
    RentalInUseError,
    RentalNotFoundError,
    RentalOpenError,
    UnreadableRowError,
)
from rune.jobs.receipts import Receipt
from rune.jobs.record import Job
from rune.rentals import lifecycle
from rune.rentals.bills import cost_so_far_micro_usd
from rune.rentals.record import EndReason, Rental, RentalState, make_rental_id
from rune.rentals.store import EndedPage, ReleaseQueue, RentalStore, update_rental
from rune.storage.change import Change
from rune.workflows.rental.job_cost import has_borrowed, job_cost_micro_usd
from rune.workflows.rental.machine_uses import add_late_costs

_LONGEST_RENTAL_ID = 64
_JOB_ID = re.compile(r"[0-9a-f]{32}")
_ENDING = (RentalState.RELEASING, RentalState.RELEASED)


class RentalService:
    """Rentals as one tenant's callers see them: other tenants' rentals do not exist for them.

    An ended rental is there for 30 days; one for which no machine was made is not.

    Every method raises StoreUnavailableError when the rental store cannot be reached.
    """

    def __init__(self, rental_store: RentalStore, clock: Clock, releases: ReleaseQueue) -> None:
        self._rental_store = rental_store
        self._clock = clock
        self._releases = releases

    def list_rentals(self, tenant: str, state: RentalState | None = None) -> tuple[Rental, ...]:
        """Return the tenant's rentals that may bill, oldest first; those of one state where one is named."""
        alive = self._rental_store.read_alive(tenant)
        return tuple(rental for rental in alive if state in (None, rental.state))

    def list_ended(self, tenant: str, *, before: str | None, limit: int) -> EndedPage:
        """Return the tenant's ended rentals, newest first, after a position."""
        page = self._rental_store.read_ended(tenant, before, limit)
        return replace(page, rentals=tuple(each for each in page.rentals if self._is_remembered(each)))

    def list_of_job(self, tenant: str, job_id: str, used_last: str | None = None) -> tuple[Rental, ...]:
        """Return what a job of the tenant has rented, in order, and the kept machines that it uses or used last.

        Parameters
        ----------
        used_last
            The rental that the job's row names; None where that is not known.
        """
        own = self._rental_store.read_attempts(job_id) if _JOB_ID.fullmatch(job_id) else ()
        used = (each for each in self._rental_store.read_alive(tenant) if each.holder == job_id)
        last = None if used_last is None else self._rental_store.read(used_last)
        all_of_it = (*own, *used, *(() if last is None else (last,)))
        shown = {each.rental_id: each for each in all_of_it if each.tenant == tenant}
        return tuple(each for each in shown.values() if self._is_remembered(each))

    def add_late_costs(self, job: Job, receipt: Receipt) -> Receipt:
        """Return a job's receipt with what its machines have cost since its end."""
        if not job.rents:
            return receipt
        attempts = self._rental_store.read_attempts(job.job_id)
        return add_late_costs(receipt, attempts, self._clock.now())

    def live_cost_micro_usd(self, job: Job, until: datetime) -> int:
        """Return what a job that uses a machine has cost up to a moment, in millionths of a dollar.

        It never falls, and the job's end has at least as much.
        """
        try:
            attempts = self._rental_store.read_attempts(job.job_id)
            return job_cost_micro_usd(job, attempts, self._find_used(job, attempts), until)
        except UnreadableRowError:
            # The job is shown all the same.
            return job.cost_micro_usd

    def live_costs_micro_usd(
        self, tenant: str, jobs: Sequence[Job], moment_of: Callable[[Job], datetime | None]
    ) -> dict[str, int]:
        """Return what each of a tenant's jobs has cost that uses a machine, by its id: from few reads.

        Parameters
        ----------
        moment_of
            Up to when a job's cost is shown; None for one without a machine.
        """
        moments = {job.job_id: moment for job in jobs if (moment := moment_of(job)) is not None}
        alive = self._rental_store.read_alive(tenant) if moments else ()
        costs = dict[str, int]()
        for job in jobs:
            if (moment := moments.get(job.job_id)) is None:
                continue
            # Of most jobs the first machine is the only one.
            only = next((each for each in alive if each.rental_id == make_rental_id(job.job_id, 1)), None)
            if only is not None and job.rental_id == only.rental_id:
                costs[job.job_id] = job_cost_micro_usd(job, (only,), only, moment)
            else:
                costs[job.job_id] = self.live_cost_micro_usd(job, moment)
        return costs

    def _find_used(self, job: Job, attempts: Sequence[Rental]) -> Rental | None:
        """Return the rental that a job uses or used last, which may be one that another job has rented."""
        if job.rental_id is not None and has_borrowed(job):
            return self._rental_store.read(job.rental_id)
        return next((each for each in attempts if each.holder == job.job_id), None)

    def find(self, tenant: str, rental_id: str) -> Rental:
        """Return the rental; raises RentalNotFoundError."""
        return self._visible(self._rental_store.read(rental_id), tenant, rental_id)

    def end(self, tenant: str, rental_id: str) -> Rental:
        """Return the rental with its release asked for.

        A worker sends the order to destroy the machine at once, and the janitor goes on until it is proven gone. Of
        an ended rental nothing is asked.

        Raises
        ------
        RentalNotFoundError
            The tenant has no such rental.
        RentalInUseError
            A job uses it.
        """

        def decide(rental: Rental, now: datetime) -> Change | None:
            if rental.state in _ENDING:
                return None
            _require_kept(rental)
            return lifecycle.ask_release(rental, EndReason.CALLER_ENDED, now)

        rental = self._update(tenant, rental_id, decide)
        if rental.state is RentalState.RELEASING:
            self._releases.send(rental.rental_id)
        return rental

    def extend(self, tenant: str, rental_id: str, keep: timedelta) -> Rental:
        """Return the rental with its end moved to `keep` from now, which may be earlier than before.

        Raises
        ------
        RentalNotFoundError
            The tenant has no such rental.
        RentalInUseError, RentalEndingError
            It is not, or no longer, kept.
        InvalidRequestError
            `keep_seconds_too_long`: the end would be after the rental's ceiling.
        """

        def decide(rental: Rental, now: datetime) -> Change:
            if rental.state in _ENDING:
                raise RentalEndingError(rental.rental_id, is_over=not rental.is_alive)
            _require_kept(rental)
            _require_below_ceiling(rental, now + keep)
            return lifecycle.extend(rental, now + keep, now)

        return self._update(tenant, rental_id, decide)

    def read_key(self, tenant: str, rental_id: str) -> tuple[Rental, str]:
        """Return the rental, and the key that its server asks for, which is a secret.

        Raises
        ------
        RentalNotFoundError
            The tenant has no such rental.
        RentalEndingError
            It is being given back, or has been.
        RentalOpenError
            Its server asks for no key.
        """
        rental = self.find(tenant, rental_id)
        if rental.state in _ENDING:
            raise RentalEndingError(rental.rental_id, is_over=not rental.is_alive)
        key = self._rental_store.read_key(rental.rental_id) if rental.is_guarded else None
        if key is None:
            raise RentalOpenError(rental.rental_id)
        return rental, key

    def cost_micro_usd(self, rental: Rental) -> int:
        """Return what the rental has cost, or costs so far, in millionths of a dollar; it never falls."""
        return cost_so_far_micro_usd(rental, self._clock.now())

    def _update(
        self, tenant: str, rental_id: str, decide: Callable[[Rental, datetime], Change | None]
    ) -> Rental:
        now = self._clock.now()

        def decide_visible(found: Rental) -> Change | None:
            return decide(self._visible(found, tenant, rental_id), now)

        return update_rental(self._rental_store, self.find(tenant, rental_id), decide_visible)

    def _visible(self, found: Rental | None, tenant: str, rental_id: str) -> Rental:
        # The rental store reads an attempt `01` as 1, but a rental has one name.
        if found is None or (found.tenant, found.rental_id) != (tenant, rental_id):
            raise RentalNotFoundError(rental_id[:_LONGEST_RENTAL_ID])
        if not self._is_remembered(found):
            raise RentalNotFoundError(rental_id)
        return found

    def _is_remembered(self, rental: Rental) -> bool:
        """Return whether the rental is shown: the table deletes expired rows days late."""
        if rental.is_alive:
            return True
        is_expired = rental.expires_at is not None and rental.expires_at <= self._clock.now()
        return rental.contract_id is not None and not is_expired


def _require_kept(rental: Rental) -> None:
    if rental.state is not RentalState.KEPT:
        raise RentalInUseError(rental.rental_id, rental.holder or rental.job_id)


def _require_below_ceiling(rental: Rental, until: datetime) -> None:
    if until > rental.ceiling_at:
        raise InvalidRequestError(
            f"This machine can be kept until {rental.ceiling_at:%Y-%m-%dT%H:%M:%SZ} at the latest.",
            pointer="/keep_seconds",
            code="keep_seconds_too_long",
        )
