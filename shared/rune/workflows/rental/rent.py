"""Choosing and ordering a machine, and resolving an order whose answer was lost."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import (
    CreateLostError,
    CreditReservedError,
    NoCreditError,
    OfferGoneError,
    ProviderBusyError,
    ProviderFailedError,
    RentalContendedError,
    RentalError,
    StoppedError,
)
from rune.jobs.outcomes import Again, Failed, Next, Note, Outcome
from rune.jobs.record import Job
from rune.jobs.step import StepContext
from rune.jobs.wants import CREDIT_NEEDED, NEXT_PRICE, describe_want
from rune.rentals import guard, lifecycle, self_destruct
from rune.rentals.blame import Blame, Phase, find_blame, is_same_again
from rune.rentals.deployment import Deployment
from rune.rentals.labels import make_label
from rune.rentals.paced_provider import ThrottledError
from rune.rentals.provider import Account, Order, Template
from rune.rentals.reconciliation import record_not_made
from rune.rentals.record import EndReason, Machine, Rental, RentalState, make_rental_id
from rune.rentals.store import RentalRefused, Turn, update_rental
from rune.storage.change import Change
from rune.workflows.graph import Fact, step_after
from rune.workflows.rental.dependencies import (
    MAX_MACHINES,
    PORT,
    RentalDependencies,
    RentalRequest,
    delay_after,
    fact_of,
    find_held,
    left_micro_usd,
    read_request,
)
from rune.workflows.rental.fleet import (
    find_want,
    look_later,
    may_requeue,
    wait_for_credit,
    wait_for_machines,
)
from rune.workflows.rental.search import plan_order
from rune.workflows.rental.selection import (
    PlannedOrder,
    bytes_to_come,
    fits_kept,
    most_cost_of_order_micro_usd,
)

MAX_ORDERS = 8
"""Offers ordered for one job, those included that were rented already."""

LONGEST_SEARCH = timedelta(seconds=20)
"""A step has 45 s, and an order takes up to 20 s."""

ORDER_FRESHNESS = timedelta(seconds=10)
"""An intent that is older was written by a process that has paused since: it sends no order any more."""

CONTEXT_VARIABLE = "OLLAMA_CONTEXT_LENGTH"
CONTEXT_TOKENS = 8192
"""Of a model for which no call names a context. Ollama's own default is 262,144 from 47 GiB of GPU memory on
(https://github.com/ollama/ollama/blob/main/docs/context-length.mdx); its cache does not fit beside the model."""

PARALLEL_VARIABLE = "OLLAMA_NUM_PARALLEL"
"""Requests that Ollama answers at a time, each with a context of its own; 1 where nobody says otherwise."""

_BUSY_DELAY_SECONDS = 12

_CONTENDED_DELAY_SECONDS = 2
"""After another job of the tenant has ordered a machine at the same moment."""

_BYTES_PER_GB = 1_000_000_000

_REASONS: Mapping[type[RentalError], EndReason] = {
    OfferGoneError: EndReason.OFFER_GONE,
    ProviderBusyError: EndReason.CREATE_PUT_OFF,
    ProviderFailedError: EndReason.CREATE_PUT_OFF,
}


@dataclass(frozen=True, slots=True)
class Reservation:
    """What of the account's credit is kept for a machine.

    Attributes
    ----------
    is_short
        Whether it is less than the machine may cost. Then the job stops before it has cost so much.
    """

    micro_usd: int
    is_short: bool = False


class RentStep:
    """The steps `rent` and `reconcile`."""

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def rent(self, context: StepContext) -> Outcome:
        """Use a kept machine, or order one; after a crash, go on with the rental that the store shows."""
        job = context.job
        alive = self._dependencies.rental_store.read_alive(job.tenant, needed_by=job.job_id)
        rental = find_held(alive, job)
        if rental is not None:
            step = step_after(context, fact_of(rental, job))
            spending = self._dependencies.spending(job, rental)
            return Next(step, phases_ms=_searched(job, rental), spending=spending)
        attempts = self._dependencies.rental_store.read_attempts(job.job_id)
        made = [rental for rental in attempts if rental.contract_id is not None]
        if len(attempts) >= MAX_ORDERS or len(made) >= MAX_MACHINES:
            return _exhausted(attempts)
        request = read_request(context)
        reused = self._take_kept(context, request)
        if reused is not None:
            return reused
        # Before a search, of which a key is granted few a day.
        price = job.progress.get(NEXT_PRICE, 1)
        want = find_want(alive, self._dependencies.limits_of(job.tenant), price)
        if want is not None:
            return wait_for_machines(job, want, alive, attempts)
        try:
            return await self._order(context, request, attempts)
        except (ThrottledError, ProviderBusyError) as error:
            delayed = Again(delay_after(error), dict(job.progress))
            waits = may_requeue(job, attempts) and describe_want(job.progress) is not None
            return look_later(job, job.progress, alive, attempts) if waits else delayed

    async def reconcile(self, context: StepContext) -> Outcome:
        """Look for the machine of a create whose answer was lost; rent anew once a listing proves there is none."""
        dependencies, job = self._dependencies, context.job
        rental = dependencies.find_rental(job)
        if rental is None:
            return Next(step_after(context, Fact.NO_MACHINE))
        if rental.state is not RentalState.INTENDED:
            step = step_after(context, fact_of(rental, job))
            return Next(step, spending=dependencies.spending(job, rental))
        found = await dependencies.resolve_create(rental)
        if not found.is_alive:
            return Next(step_after(context, Fact.ORDER_LOST), error_type=EndReason.CREATE_LOST.value)
        if found.contract_id is None:
            return Again(5, spending=dependencies.spending(job, found))
        labels = {"contract_id": str(found.contract_id)}
        step = step_after(context, fact_of(found, job))
        return Next(step, labels=labels, spending=dependencies.spending(job, found))

    def _take_kept(self, context: StepContext, request: RentalRequest) -> Outcome | None:
        """Return the next step on a machine that the tenant keeps, if one fits and no other job takes it first.

        Raises
        ------
        LeaseLostError
            This worker stood still, and the job is another one's by now, or has ended.
        """
        job, dependencies = context.job, self._dependencies
        now = dependencies.clock.now()

        def decide(found: Rental) -> Change | None:
            if not fits_kept(found, job, request, now):
                return None
            received = bytes_to_come(found, request)
            return lifecycle.take_kept(found, job.job_id, now, received, job.borrowed_micro_usd)

        def take(found: Rental, change: Change) -> Rental | RentalRefused:
            # A worker that stood still since it read must not take a machine for a job that has ended.
            return dependencies.rental_store.take(found, change, job.job_id, Turn(job.epoch, job.seq))

        for kept in dependencies.rental_store.read_alive(job.tenant):
            try:
                taken = update_rental(dependencies.rental_store, kept, decide, take)
            except RentalContendedError:
                continue
            if taken.holder == job.job_id:
                note = Note("vastai.instance.reuse_check", {"rental_id": taken.rental_id, "found": "1"})
                step = step_after(context, fact_of(taken, job))
                return Next(step, notes=(note,), spending=dependencies.spending(job, taken))
        return None

    async def _read_account_of_waiting(self, job: Job) -> Account | None:
        """Return the account for a job that has found too little credit before; None for another job.

        Raises
        ------
        CreditReservedError
            Others still keep too much: a search would be in vain, and a key is granted few of them a day. Where the
            credit alone is too little by now, none of theirs will come back, and the search finds that out.
        """
        if CREDIT_NEEDED not in job.progress:
            return None
        account = await self._dependencies.provider.read_account()
        credit = account.credit_micro_usd
        needed = job.progress[CREDIT_NEEDED]
        reserved = self._dependencies.rental_store.read_reserved_micro_usd()
        if credit is not None and needed <= credit < reserved + needed:
            raise CreditReservedError("The account's credit is kept for machines that are rented now.")
        return account

    async def _order(
        self, context: StepContext, request: RentalRequest, attempts: tuple[Rental, ...]
    ) -> Outcome:
        began_at = self._dependencies.clock.now()
        try:
            account = await self._read_account_of_waiting(context.job)
        except CreditReservedError:
            return self._wait_for_credit(context.job, context.job.progress[CREDIT_NEEDED], attempts)
        plan = await plan_order(self._dependencies, context.job, request, attempts)
        if isinstance(plan, Failed):
            return plan
        outcome: Outcome
        try:
            account = account or await self._dependencies.provider.read_account()
            outcome = await self._buy(context, attempts, plan.order, account, began_at)
        except NoCreditError as error:
            outcome = Failed.from_error(error)
        except CreditReservedError:
            return self._wait_for_credit(context.job, plan.order.least_micro_usd, attempts)
        match outcome:
            case Next():
                return replace(outcome, notes=(plan.note,), phases_ms={"search": plan.note.duration_ms or 0})
            case Failed():
                return replace(outcome, notes=(plan.note,))
        return outcome

    def _wait_for_credit(self, job: Job, micro_usd: int, attempts: tuple[Rental, ...]) -> Outcome:
        alive = self._dependencies.rental_store.read_alive(job.tenant)
        return wait_for_credit(job, micro_usd, alive, attempts)

    async def _buy(
        self,
        context: StepContext,
        attempts: tuple[Rental, ...],
        planned: PlannedOrder,
        account: Account,
        began_at: datetime,
    ) -> Outcome:
        """Order the planned machine, if the account can pay for it and no other worker has ordered one."""
        job, provider = context.job, self._dependencies.provider
        reservation = self._reserve(job, attempts, planned, account, began_at)
        if self._dependencies.clock.now() - began_at > LONGEST_SEARCH:
            # The rest of the step's time might end during the order.
            return Again(2)
        deployment = self._dependencies.deployments.read()
        if deployment.closed_at is not None:
            sentence = "This deployment gives all its machines back and rents no more."
            return Failed("renting_closed", sentence, retryable=True)
        provider.reserve_create()
        attempt = 1 + max((rental.attempt for rental in attempts), default=0)

        def intend() -> Rental:
            return replace(
                self._intend(job, attempt, planned, deployment),
                account_id=account.account_id,
                reserved_micro_usd=reservation.micro_usd,
                is_credit_short=reservation.is_short,
                is_guarded=guard.fits(planned.template) and self._dependencies.guards(job),
                budget_at=None if job.reserved_micro_usd is None else job.created_at,
            )

        return await self._open(context, attempts, intend, planned.template, account.credit_micro_usd)

    async def _open(
        self,
        context: StepContext,
        attempts: tuple[Rental, ...],
        intend: Callable[[], Rental],
        template: Template | None,
        credit_micro_usd: int | None,
    ) -> Outcome:
        """Write the intent and send its order, if the tenant may have one more machine.

        Raises
        ------
        LeaseLostError
            This worker stood still, and the job is another one's by now, or has ended.
        """
        job = context.job
        # Read before the living rentals are: so what they leave is still there when the machine is opened.
        opened_count = self._dependencies.rental_store.read_opened_count(job.tenant)
        alive = self._dependencies.rental_store.read_alive(job.tenant, needed_by=job.job_id)
        if find_held(alive, job) is not None:
            # Another worker took this turn while this one paused.
            return Again(0)
        rental = intend()
        price = rental.prices.micro_usd_per_hour
        want = find_want(alive, self._dependencies.limits_of(job.tenant), price)
        if want is not None:
            return wait_for_machines(job, want, alive, attempts)
        key = guard.make_key() if rental.is_guarded else None
        try:
            is_new = self._dependencies.rental_store.open(
                rental,
                credit_micro_usd,
                key=key,
                opened_count=opened_count,
                turn=Turn(job.epoch, job.seq),
            )
        except RentalContendedError:
            return Again(_CONTENDED_DELAY_SECONDS, dict(job.progress))
        except StoppedError as error:
            return Failed(error.code, error.sentence, retryable=True)
        if not is_new:
            return Next(step_after(context, Fact.ORDER_UNANSWERED))
        return await self._create(context, rental, self._order_of(rental, template, key))

    def _reserve(
        self,
        job: Job,
        attempts: tuple[Rental, ...],
        planned: PlannedOrder,
        account: Account,
        now: datetime,
    ) -> Reservation:
        """Return how much of the credit is kept for the machine: all that it may cost, or what others leave of it.

        Raises
        ------
        NoCreditError, CreditReservedError
            It is less than the job is expected to cost, with all of the credit, or beside other machines.
        """
        most, least = most_cost_of_order_micro_usd(planned, now), planned.least_micro_usd
        left = left_micro_usd(job, attempts, job.borrowed_micro_usd, now)
        most = most if left is None else min(most, left)
        credit = account.credit_micro_usd
        if credit is None:
            return Reservation(most)
        if credit < least:
            raise NoCreditError(
                f"The Vast.ai account has too little credit: the job is expected to cost {_usd(least)} USD."
            )
        reserved = min(most, credit - self._dependencies.rental_store.read_reserved_micro_usd())
        if reserved < least:
            raise CreditReservedError("The account's credit is kept for machines that are rented now.")
        return Reservation(reserved, is_short=reserved < most)

    async def _create(self, context: StepContext, rental: Rental, order: Order) -> Next | Failed:
        """Send the order of a written intent, once, and return what follows from the answer."""
        job, dependencies = context.job, self._dependencies
        if dependencies.clock.now() - rental.intended_at > ORDER_FRESHNESS:
            step = step_after(context, Fact.ORDER_UNANSWERED)
            return Next(step, spending=dependencies.spending(job, rental))
        labels = _labels(rental)
        try:
            contract_id = await dependencies.provider.create(order)
        except CreateLostError as error:
            return Next(step_after(context, Fact.ORDER_UNANSWERED), labels=labels, error_type=error.code)
        except RentalError as error:
            return self._refused(context, rental, error)
        created = dependencies.adopt_contract(rental, contract_id)
        return Next(
            step_after(context, Fact.MACHINE_HELD),
            labels={**labels, "contract_id": str(contract_id)},
            spending=dependencies.spending(job, created),
        )

    def _refused(self, context: StepContext, rental: Rental, error: RentalError) -> Next | Failed:
        """Return what follows a refused order; a contract that it made all the same is released."""
        dependencies, now = self._dependencies, self._dependencies.clock.now()
        labels = _labels(rental)
        if error.contract_id is not None:
            left = dependencies.adopt_contract(rental, error.contract_id)
            dependencies.give_up(left, EndReason.CREATE_REFUSED, error.code)
            return Next(
                step_after(context, Fact.MACHINE_GIVEN_UP),
                labels=labels,
                error_type=error.code,
                spending=dependencies.spending(context.job, left),
            )
        reason = _REASONS.get(type(error), EndReason.CREATE_REFUSED)
        attempts = dependencies.rental_store.read_attempts(context.job.job_id)
        is_refused_again = is_same_again(error, reason, attempts)
        dependencies.update(rental, lambda found: record_not_made(found, now, reason, error.sentence))
        labels |= {"detail": error.sentence}
        if find_blame(error, Phase.ORDER) is Blame.OFFER and not is_refused_again:
            return Next(step_after(context, Fact.ORDER_REFUSED), labels=labels, error_type=error.code)
        if isinstance(error, ProviderBusyError):
            delay_seconds = error.retry_after_seconds or _BUSY_DELAY_SECONDS
            step = step_after(context, Fact.ORDER_REFUSED)
            return Next(step, delay_seconds=delay_seconds, labels=labels, error_type=error.code)
        return Failed.from_error(error)

    def _intend(self, job: Job, attempt: int, planned: PlannedOrder, deployment: Deployment) -> Rental:
        offer = planned.offer
        now = self._dependencies.clock.now()
        script = self_destruct.make_script(self._dependencies.settings.api_url)
        names_parallel = planned.template is not None and PARALLEL_VARIABLE in planned.template.flags
        return Rental(
            rental_id=make_rental_id(job.job_id, attempt),
            label=make_label(
                self._dependencies.settings.stage, deployment.deployment_id, job.job_id, attempt
            ),
            tenant=job.tenant,
            job_id=job.job_id,
            attempt=attempt,
            state=RentalState.INTENDED,
            version=1,
            intended_at=now,
            updated_at=now,
            machine=Machine(
                offer_id=offer.offer_id,
                machine_id=offer.machine_id,
                gpu_name=offer.gpu_name,
                gpu_count=offer.gpu_count,
                vram_mb=offer.vram_mb,
                disk_gb=planned.requirements.disk_gb,
                reliability_percent=int(offer.reliability_ratio * 100),
                place=offer.place,
            ),
            prices=offer.prices(planned.requirements.disk_gb),
            ceiling_at=planned.ceiling_at,
            due_at=now,
            holder=job.job_id,
            held_since=now,
            model=planned.model.name,
            template_hash=planned.template.template_hash if planned.template else None,
            image_bytes=planned.image_bytes,
            model_bytes=planned.model.download_gb * _BYTES_PER_GB,
            mbit_per_second=ceil(offer.download_mbit_per_second),
            choice=planned.reason,
            alternative=planned.alternative,
            expected=planned.expected,
            parallel_count=0 if names_parallel else planned.parallel_count,
            has_self_destruct=script is not None and self_destruct.fits(planned.template),
        )

    def _order_of(self, rental: Rental, template: Template | None, key: str | None) -> Order:
        settings = self._dependencies.settings
        # Of the key, the machine gets the digest alone.
        env = {guard.HOST_VARIABLE: f"0.0.0.0:{PORT}"} if key is None else guard.make_environment(key)
        if template is None or CONTEXT_VARIABLE not in template.flags:
            env[CONTEXT_VARIABLE] = str(CONTEXT_TOKENS)
        if rental.parallel_count > 1:
            env[PARALLEL_VARIABLE] = str(rental.parallel_count)
        if rental.has_self_destruct:
            env |= self_destruct.make_environment(rental.intended_at, rental.ceiling_at)
        return Order(
            offer_id=rental.machine.offer_id,
            label=rental.label,
            disk_gb=rental.machine.disk_gb,
            ports=(PORT,),
            image=None if template else settings.image,
            template_hash=template.template_hash if template else None,
            script=_make_script(rental, settings.api_url),
            env=env,
        )


def _make_script(rental: Rental, api_url: str) -> str | None:
    """Return what the machine runs in place of its image's own start; None where that start is right."""
    start = guard.guard_start(self_destruct.START) if rental.is_guarded else None
    if rental.has_self_destruct:
        return self_destruct.make_script(api_url, start or self_destruct.START)
    return start


def _usd(micro_usd: int) -> str:
    return f"{micro_usd / MICRO_USD_PER_USD:.4f}"


def _searched(job: Job, rental: Rental) -> dict[str, int]:
    """Return how long the search took of a worker that was lost after its order."""
    if rental.job_id != job.job_id:
        return {}
    took = rental.intended_at - (job.started_at or job.created_at)
    return {"search": job.phases_ms.get("search", max(0, round(took.total_seconds() * 1000)))}


def _labels(rental: Rental) -> dict[str, str]:
    price = rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD
    return {
        "rental_id": rental.rental_id,
        "machine_id": str(rental.machine.machine_id),
        "gpu": f"{rental.machine.gpu_count}x {rental.machine.gpu_name}",
        "usd_per_hour": f"{price:.4f}",
    }


def _exhausted(attempts: tuple[Rental, ...]) -> Failed:
    reasons = Counter(rental.end_reason.value for rental in attempts if rental.end_reason)
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    sentence = f"{len(attempts)} offers were ordered, and none worked: {told}."
    last = attempts[-1].end_detail
    if last:
        sentence = f"{sentence} The last: {last}"
    # The step has had its tries; another job may find other machines.
    return Failed("rental_failed", sentence, retryable=True, is_final=True)
