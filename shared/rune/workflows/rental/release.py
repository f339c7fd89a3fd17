"""Releasing a job's rental: its machine is destroyed until a complete listing proves it gone, or is kept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from rune.contracts import BenchmarkRequest
from rune.errors import ProviderKeyError, RentalError, StoreUnavailableError, UnreadableRowError
from rune.jobs import plan
from rune.jobs.engine import NO_REQUEST, REQUEST_TRIES
from rune.jobs.outcomes import Again, Note, Outcome, Released, Spending
from rune.jobs.places import RowChange
from rune.jobs.record import Job, Status
from rune.jobs.step import StepContext
from rune.money.receipts import MachineUse
from rune.rentals import lifecycle
from rune.rentals.bills import borrowers_bytes, traffic_micro_usd
from rune.rentals.hosts import make_report
from rune.rentals.instance import CLOCK_SKEW
from rune.rentals.paced_provider import ThrottledError
from rune.rentals.proof import is_of_other_account
from rune.rentals.reconciliation import (
    DESTROY_AGAIN_AFTER,
    record_absent,
    record_destroyed,
    record_gone,
    record_price,
)
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import Change
from rune.workflows.benchmark.context_size import judges_on_own_server
from rune.workflows.rental.dependencies import RentalDependencies, delay_after, read_request
from rune.workflows.rental.job_cost import sum_attempts
from rune.workflows.rental.machine_uses import list_uses
from rune.workflows.rental.receipt import (
    BilledUse,
    add_receipt,
    borrowed_gpu_time,
    make_receipt,
    sum_gpu_time,
)
from rune.workflows.rental.samples import make_samples
from rune.workflows.rental.selection import keeps

log = logging.getLogger(__name__)

_POLL_SECONDS = 3
_NO_KEY_SECONDS = 60
"""After a key was refused, or is not there; a new one holds within 30 seconds."""

_OTHER_ACCOUNT_SECONDS = 60
"""Between two looks with the key of another account, which cannot show that the machine is gone."""

LONGEST_WAIT_FOR_PROOF = timedelta(seconds=60)
"""Of a job that goes on without its machine; it is less than the closing grace after the deadline."""

_CLOSING_TRIES = 10
"""Failures after which a job that holds nothing ends without what cannot be read: about seven minutes."""


@dataclass(frozen=True, slots=True)
class _Bill:
    """What the job has rented, and when that was read. `used` is the rental that it used last."""

    used: Rental | None
    attempts: tuple[Rental, ...]
    spending: Spending
    at: datetime


class ReleaseStep:
    """The steps `release` and `give_back`: what a job holds is destroyed and proven gone, or kept on purpose.

    Cancel and deadline do not interrupt it, because the machine bills. After a cancel request nothing is kept.
    """

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def release(self, context: StepContext) -> Outcome:
        """Take the next step towards the proven end of the job's rental."""
        job, dependencies = context.job, self._dependencies
        rental = dependencies.find_rental(job) or self._find_kept_in_vain(job) or self._find_come_back(job)
        if rental is None:
            return self._released(context)
        if _is_taken_since(rental, job):
            return self._again(job, rental, 1)
        now = dependencies.clock.now()
        if rental.job_id != job.job_id and rental.state is RentalState.RUNNING:
            # It was kept before this job borrowed it, and only its tenant ends it.
            used = dependencies.last_look(rental)
            is_returned = self._let_go(rental, job, lambda found: lifecycle.give_back(found, now))
            return self._released(context, borrowed=used) if is_returned else self._again(job, rental, 1)
        if self._is_to_be_kept(context, rental):
            until = now + timedelta(seconds=read_request(context).keep_seconds)
            spending = dependencies.spending(job, rental)
            reserved = job.reserved_micro_usd
            left_micro_usd = None if reserved is None else reserved - spending.paid_micro_usd

            def keep(found: Rental) -> Change:
                return lifecycle.keep(found, until, now, spending.cost_cap_at, left_micro_usd)

            is_kept = self._let_go(rental, job, keep)
            return self._released(context) if is_kept else self._again(job, rental, 1)
        try:
            left, delay_seconds = await self._destroy(rental)
        except (ThrottledError, RentalError) as error:
            return self._try_again(job, rental, error)
        return self._again(job, left, delay_seconds) if left.is_alive else self._released(context)

    async def give_back(self, context: StepContext) -> Outcome:
        """Give the machine back before another server judges; what is not proven soon is left to `release`.

        A measurement that is paid for must not meet the job's deadline because the provider is out of order.
        """
        outcome = await self.release(context)
        if not isinstance(outcome, Again) or not self._has_waited_for_proof(context.job):
            return outcome
        return Released(None, {"left": "unproven"}, outcome.spending)

    def _has_waited_for_proof(self, job: Job) -> bool:
        rental = self._dependencies.find_rental(job)
        asked_at = None if rental is None else rental.release_asked_at
        return asked_at is not None and self._dependencies.clock.now() - asked_at > LONGEST_WAIT_FOR_PROOF

    def _let_go(self, rental: Rental, job: Job, write: Callable[[Rental], Change]) -> bool:
        """Leave the machine alive without this job; return False where the job still holds it, in another state."""

        def decide(found: Rental) -> Change | None:
            is_running = found.is_used_by(job.job_id) and found.state is RentalState.RUNNING
            return write(found) if is_running and found.held_since == rental.held_since else None

        return self._dependencies.update(rental, decide).holder != job.job_id

    def _find_kept_in_vain(self, job: Job) -> Rental | None:
        """Return the machine that a cancelled job has kept: the cancel request came while it was being kept."""
        if job.ends_as is not Status.CANCELLED:
            return None
        attempts = self._dependencies.rental_store.read_attempts(job.job_id)
        kept = (each for each in attempts if each.kept_until is not None and each.holder is None)
        return next((each for each in kept if each.is_alive), None)

    def _find_come_back(self, job: Job) -> Rental | None:
        """Return a machine of a job that ends which is there although it was called gone, or never made.

        The job's receipt has all that its machines cost, so it waits for that one's end, too.
        """
        if job.ends_as is None:
            return None
        read = partial(self._dependencies.rental_store.read_attempts, job.job_id)
        attempts = _read_or_miss(job, "attempts", [], read) or ()
        come_back = (each for each in attempts if each.kept_until is None and each.holder is None)
        return next((each for each in come_back if each.is_alive), None)

    def _is_to_be_kept(self, context: StepContext, rental: Rental) -> bool:
        is_wanted = context.job.ends_as is Status.SUCCEEDED and context.job.cancel_requested_at is None
        if not is_wanted or rental.state is not RentalState.RUNNING:
            return False
        if context.request_json == NO_REQUEST:
            # Nothing says that the machine is to be kept.
            return False
        try:
            return keeps(context.job, read_request(context))
        except UnreadableRowError:
            # The machine bills, so a version that understands the request is waited for only so long.
            if context.job.failures < REQUEST_TRIES:
                raise
            log.warning("release.request_unreadable", extra={"job_id": context.job.job_id})
            return False

    async def _destroy(self, rental: Rental) -> tuple[Rental, int]:
        """Destroy the machine and look whether it is gone.

        Returns
        -------
        tuple[Rental, int]
            The rental as it then is, and in how many seconds to look again if its machine is not proven gone.
        """
        dependencies = self._dependencies
        rental = dependencies.give_up(rental, EndReason.JOB_ENDED)
        if rental.contract_id is None and rental.is_alive:
            rental = await dependencies.resolve_create(rental)
        if rental.contract_id is None or not rental.is_alive:
            return rental, _POLL_SECONDS
        contract_id = rental.contract_id
        if rental.destroyed_at is None and not rental.was_seen:
            rental = await self._learn_price(rental)
        now = dependencies.clock.now()
        if rental.destroyed_at is None or now - rental.destroyed_at > DESTROY_AGAIN_AFTER:
            is_taken = await dependencies.provider.destroy(contract_id)
            asked_at = dependencies.clock.now()
            rental = dependencies.update(
                rental, lambda found: record_destroyed(found, asked_at, is_taken=is_taken)
            )
        listing = await dependencies.provider.look_for(rental, begun_after=rental.destroy_asked_at)
        listed = listing.find(rental)
        if listed is not None and listed.contract_id != contract_id:
            # Two machines with one label: an order was carried out twice on its way.
            await dependencies.provider.destroy(listed.contract_id)
        now = dependencies.clock.now()
        left = dependencies.update(
            rental,
            lambda found: (
                record_gone(found, listing, now, EndReason.JOB_ENDED) or record_absent(found, listing, now)
            ),
        )
        return left, _OTHER_ACCOUNT_SECONDS if is_of_other_account(left, listing) else _POLL_SECONDS

    async def _learn_price(self, rental: Rental) -> Rental:
        """Look once, if that is possible now, at a machine that no listing has shown: its price may have risen."""
        try:
            listing = await self._dependencies.provider.list_instances()
        except (ThrottledError, RentalError):
            return rental
        instance, now = listing.find(rental), self._dependencies.clock.now()
        if instance is None:
            return rental
        return self._dependencies.update(rental, lambda found: record_price(found, instance, now))

    def _try_again(self, job: Job, rental: Rental, error: ThrottledError | RentalError) -> Again:
        """Return another try after the provider did not do its part.

        The job's events tell why at the first try, and then once whenever the wait has doubled: a provider that is
        out of order for days must not fill them.

        Parameters
        ----------
        rental
            As it was at the beginning of this turn.
        """
        delay_seconds = _NO_KEY_SECONDS if isinstance(error, ProviderKeyError) else delay_after(error)
        again = self._again(job, rental, delay_seconds)
        asked_at = rental.release_asked_at
        waited = None if asked_at is None else self._dependencies.clock.now() - asked_at
        if isinstance(error, ThrottledError) or not _is_told(waited, delay_seconds):
            return again
        labels = {"step": job.step.value, "detail": error.sentence}
        note = Note(plan.STEPS[job.step].event, labels, error.code)
        log.warning("release.hindered", extra={"job_id": job.job_id, "code": error.code})
        return replace(again, notes=(note,))

    def _again(self, job: Job, rental: Rental, delay_seconds: int) -> Again:
        # One that came back is not the machine that the job has used last.
        used = rental if rental.holder == job.job_id else None
        return Again(delay_seconds, spending=self._dependencies.spending(job, used))

    def _released(self, context: StepContext, borrowed: Rental | None = None) -> Outcome:
        """Return the end of the step, with the receipt in the job's result, unless the job holds another rental."""
        job, dependencies = context.job, self._dependencies
        other = dependencies.find_rental(job) or self._find_come_back(job)
        if other is not None:
            # Ordered by a worker that had paused while another one borrowed a kept machine, or back again.
            return self._again(job, other, 1)
        # Nothing is held from here on, so the job ends whatever cannot be read, with what is known.
        missing: list[str] = []
        uses: tuple[MachineUse, ...] = ()
        bill = _read_or_miss(job, "bill", missing, lambda: self._read_bill(job, borrowed))
        result_json, samples = None, None
        if bill is None:
            bill = _Bill(borrowed, (), Spending(), dependencies.clock.now())
        else:
            result_json = _read_or_miss(job, "receipt", missing, partial(self._complete, context, bill))
            samples = _read_or_miss(job, "sample", missing, partial(self._sample, context, bill))
            listed = partial(list_uses, job, bill.attempts, bill.used, bill.at)
            uses = _read_or_miss(job, "lines", missing, listed) or ()
        is_kept = bill.used is not None and bill.used.is_alive
        labels = {"left": "kept" if is_kept else "nothing"}
        if missing:
            labels["missing"] = missing[0]
        self._report_host(job, bill.attempts)
        return Released(result_json, labels, bill.spending, samples or (), uses)

    def _sample(self, context: StepContext, bill: _Bill) -> tuple[RowChange, ...]:
        return make_samples(
            context.job,
            bill.attempts,
            bill.spending.cost_micro_usd or 0,
            self._dependencies.clock.now(),
        )

    def _report_host(self, job: Job, attempts: tuple[Rental, ...]) -> None:
        """Tell later jobs what the latest machine has shown of its host, if that is possible now.

        It comes last: nothing that bills waits for it.
        """
        now = self._dependencies.clock.now()
        if not attempts:
            return
        *earlier, latest = attempts
        report = make_report(latest, job.phases_ms.get("pull"), now, earlier)
        if report is None:
            return
        try:
            self._dependencies.hosts.note(report)
        except StoreUnavailableError:
            log.warning("host.unreported", extra={"job_id": job.job_id}, exc_info=True)

    def _read_bill(self, job: Job, borrowed: Rental | None) -> _Bill:
        attempts = self._dependencies.rental_store.read_attempts(job.job_id)
        used = borrowed or self._find_used(job, attempts)
        at = self._dependencies.clock.now()
        return _Bill(used, attempts, self._dependencies.spending(job, used), at)

    def _complete(self, context: StepContext, bill: _Bill) -> str | None:
        """Return the job's result with the receipt in it; None where it has no result."""
        draft_json = context.read_draft()
        if draft_json is None or bill.used is None:
            return draft_json
        job, token_micro_usd = context.job, context.job.token_micro_usd or 0
        cost_micro_usd = (bill.spending.cost_micro_usd or 0) - token_micro_usd
        receipt = make_receipt(job, bill.used, len(bill.attempts), cost_micro_usd)
        use = self._billed_use(context, bill.used, bill.attempts, cost_micro_usd)
        return add_receipt(job.kind, draft_json, receipt, use, token_micro_usd)

    def _billed_use(
        self, context: StepContext, used: Rental, attempts: tuple[Rental, ...], cost_micro_usd: int
    ) -> BilledUse:
        job, now = context.job, self._dependencies.clock.now()
        borrowed_micro_usd = cost_micro_usd - sum_attempts(attempts, job.job_id, now)
        if used.job_id != job.job_id:
            borrowed_micro_usd -= traffic_micro_usd(used, borrowers_bytes(used))
        borrowed = borrowed_gpu_time(max(0, borrowed_micro_usd), used)
        return BilledUse(used, sum_gpu_time(attempts, now) + borrowed, _judges_on_machine(context))

    def _find_used(self, job: Job, attempts: tuple[Rental, ...]) -> Rental | None:
        """Return the rental that the job used last, in any state."""
        if job.rental_id is not None:
            return self._dependencies.rental_store.read(job.rental_id)
        return next((rental for rental in reversed(attempts) if rental.contract_id is not None), None)


def _is_taken_since(rental: Rental, job: Job) -> bool:
    """Return whether the job began to use the machine after this turn was claimed.

    Then this worker was taken for lost while it stood still, and the job goes on with that machine; or a worker
    that stood still has taken it, and the next turn lets it go.
    """
    return rental.held_since is not None and rental.held_since > job.updated_at + CLOCK_SKEW


def _is_told(waited: timedelta | None, delay_seconds: int) -> bool:
    """Return whether a try is the first, or the last before the wait comes to 1, 2, 4, 8 … minutes."""
    if waited is None:
        return True
    minutes, later_minutes = (int((waited.total_seconds() + more) / 60) for more in (0, delay_seconds))
    return minutes.bit_length() < later_minutes.bit_length()


def _read_or_miss[T](job: Job, what: str, missing: list[str], read: Callable[[], T]) -> T | None:
    """Return what is read. Where it cannot be, name it in `missing`, in the log, and return None.

    Raises
    ------
    StoreUnavailableError, UnreadableRowError
        It may be read later; the engine tries the step again.
    """
    try:
        return read()
    except (StoreUnavailableError, UnreadableRowError):
        if job.failures < _CLOSING_TRIES:
            raise
        log.exception("release.incomplete", extra={"job_id": job.job_id, "reason": what})
    except Exception:
        # The outermost edge: nothing is held any more, and another try would not help.
        log.exception("release.incomplete", extra={"job_id": job.job_id, "reason": what})
    missing.append(what)
    return None


def _judges_on_machine(context: StepContext) -> bool:
    try:
        request = read_request(context)
    except UnreadableRowError:
        # It is no longer stored, or this version does not understand it; a judge on another server is rare.
        return True
    return isinstance(request, BenchmarkRequest) and judges_on_own_server(request)
