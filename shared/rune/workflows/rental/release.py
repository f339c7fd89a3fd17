"""Giving machines back, until a complete listing proves that they are gone."""

import logging
from datetime import timedelta

from rune.contracts import BenchmarkRequest
from rune.errors import RentalError, StoreUnavailableError
from rune.jobs.outcomes import Again, Outcome, Released
from rune.jobs.record import Job, Status
from rune.jobs.step import StepContext
from rune.rentals import lifecycle
from rune.rentals.paced_provider import ThrottledError
from rune.rentals.record import EndReason, Rental, RentalState
from rune.workflows.benchmark.context_size import judges_on_own_server
from rune.workflows.rental.dependencies import RentalDependencies, delay_after, read_request, sum_attempts
from rune.workflows.rental.receipt import (
    Account,
    add_receipt,
    borrowed_gpu_time,
    make_receipt,
    sum_gpu_time,
)
from rune.workflows.rental.selection import keeps

log = logging.getLogger(__name__)

_POLL_SECONDS = 3
_DRAFT_TRIES = 10
"""Some seven minutes, at the pace of a release that fails."""

_DESTROY_AGAIN_AFTER = timedelta(seconds=15)
"""A machine that is still listed so long after the provider's word is destroyed once more."""


class ReleaseStep:
    """The step `release`: all that a job holds is destroyed and proven gone, or kept on purpose."""

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def release(self, context: StepContext) -> Outcome:
        """Do the next thing that brings the job's machine nearer to its proven end."""
        job, dependencies = context.job, self._dependencies
        held = dependencies.find_rental(job)
        if held is None:
            return self._released(context)
        if held.job_id != job.job_id and held.state is RentalState.RUNNING:
            # It was there before this job, and is its tenant's to end.
            dependencies.update(held, lifecycle.give_back(held, dependencies.clock.now()))
            return self._released(context, borrowed=held)
        if self._is_to_be_kept(context, held):
            now = dependencies.clock.now()
            until = now + timedelta(seconds=read_request(context).keep_seconds)
            kept = dependencies.update(held, lifecycle.keep(held, until, now))
            return self._released(context) if kept.holder is None else self._again(job, kept, 1)
        try:
            left = await self._destroy(held)
        except (ThrottledError, RentalError) as error:
            return self._again(job, held, delay_after(error))
        return self._again(job, left, _POLL_SECONDS) if left.is_alive else self._released(context)

    def _is_to_be_kept(self, context: StepContext, held: Rental) -> bool:
        if context.job.pending_status is not Status.SUCCEEDED or held.state is not RentalState.RUNNING:
            return False
        try:
            return keeps(context.job, read_request(context))
        except ValueError:
            # The request is gone, and with it the wish to keep anything.
            return False

    async def _destroy(self, held: Rental) -> Rental:
        """Ask to destroy the machine and look whether it is gone; return the rental as it then is.

        An order whose answer is lost may still bring a machine forth, so its absence counts only later.
        """
        dependencies = self._dependencies
        if held.state is not RentalState.RELEASING:
            held = dependencies.give_up(held, EndReason.JOB_ENDED)
        if held.contract_id is None:
            held = await self._find_contract(held)
        if held.contract_id is None or not held.is_alive:
            return held
        contract_id = held.contract_id
        if held.destroyed_at is None and not held.was_seen:
            held = await self._learn_price(held)
        now = dependencies.clock.now()
        if held.destroyed_at is None or now - held.destroyed_at > _DESTROY_AGAIN_AFTER:
            is_taken = await dependencies.provider.destroy(contract_id)
            now = dependencies.clock.now()
            if is_taken:
                held = dependencies.update(held, lifecycle.note_destroyed(held, now))
        listing = await dependencies.provider.list_instances(begun_after=held.destroyed_at or now)
        listed = listing.find(held)
        if listed is not None and listed.contract_id != contract_id:
            # Two machines with one label: an order was carried out twice, by whoever stood in between.
            await dependencies.provider.destroy(listed.contract_id)
        if not lifecycle.is_proof(held, listing):
            return held
        return dependencies.update(
            held, lifecycle.prove_release(held, listing.begun_at, dependencies.clock.now())
        )

    async def _learn_price(self, held: Rental) -> Rental:
        """Look at a machine once, if that can be, before it goes that nobody has looked at: it may have risen."""
        try:
            listing = await self._dependencies.provider.list_instances()
        except (ThrottledError, RentalError):
            return held
        instance = listing.find(held)
        return held if instance is None else self._dependencies.note_price(held, instance)

    async def _find_contract(self, held: Rental) -> Rental:
        dependencies = self._dependencies
        window_ends_at = held.intended_at + lifecycle.RECONCILE_WINDOW
        is_over = dependencies.clock.now() > window_ends_at
        listing = await dependencies.provider.list_instances(begun_after=window_ends_at if is_over else None)
        instance = listing.find(held)
        now = dependencies.clock.now()
        if instance is not None:
            found = dependencies.update(held, lifecycle.note_contract(held, instance.contract_id, now))
            return dependencies.note_price(found, instance)
        if listing.begun_at <= window_ends_at:
            return held
        return dependencies.update(held, lifecycle.prove_release(held, listing.begun_at, now))

    def _again(self, job: Job, held: Rental, delay_seconds: int) -> Again:
        return Again(delay_seconds, spending=self._dependencies.spending(job, held))

    def _released(self, context: StepContext, borrowed: Rental | None = None) -> Outcome:
        """Return the end of the step, with the receipt in the job's result, unless there is more to give back."""
        job, dependencies = context.job, self._dependencies
        another = dependencies.find_rental(job)
        if another is not None:
            # Ordered by a worker that had stood still while another one found a kept machine.
            return self._again(job, another, 1)
        attempts = dependencies.rental_store.read_attempts(job.job_id)
        used = borrowed or self._find_used(job, attempts)
        spending = dependencies.spending(job, used)
        result_json = self._read_draft(context)
        if result_json is not None and used is not None:
            cost_micro_usd = spending.cost_micro_usd or 0
            receipt = make_receipt(job, used, len(attempts), cost_micro_usd)
            account = self._account(context, used, attempts, cost_micro_usd)
            result_json = add_receipt(job.kind, result_json, receipt, account)
        is_kept = used is not None and used.is_alive
        return Released(result_json, {"left": "kept" if is_kept else "nothing"}, spending)

    def _account(
        self, context: StepContext, used: Rental, attempts: tuple[Rental, ...], cost_micro_usd: int
    ) -> Account:
        job, now = context.job, self._dependencies.clock.now()
        borrowed_micro_usd = max(0, cost_micro_usd - sum_attempts(attempts, job.job_id, now))
        borrowed = borrowed_gpu_time(borrowed_micro_usd, used)
        return Account(used, sum_gpu_time(attempts, now) + borrowed, _judges_on_machine(context))

    def _read_draft(self, context: StepContext) -> str | None:
        """Return the result without its receipt; None where there is none to be had, which leaves it as it is.

        All that was rented is proven gone by now, so this may fail: the step is tried again.
        """
        try:
            return context.read_draft()
        except StoreUnavailableError:
            if context.job.failures < _DRAFT_TRIES:
                raise
            # The job must end. Its result is there, only its receipt is not in it.
            log.exception("release.draft_unreadable", extra={"job_id": context.job.job_id})
            return None

    def _find_used(self, job: Job, attempts: tuple[Rental, ...]) -> Rental | None:
        """Return the machine on which the job worked last, whatever it is by now."""
        if job.rental_id is not None:
            return self._dependencies.rental_store.read(job.rental_id)
        return next((rental for rental in reversed(attempts) if rental.contract_id is not None), None)


def _judges_on_machine(context: StepContext) -> bool:
    try:
        request = read_request(context)
    except ValueError:
        # The request is gone; that it had a judge of its own elsewhere is rare.
        return True
    return isinstance(request, BenchmarkRequest) and judges_on_own_server(request)
