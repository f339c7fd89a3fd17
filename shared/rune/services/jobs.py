"""Jobs for their callers: submit, find, list, cancel."""

import hashlib
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from rune.amounts import MICRO_USD_PER_USD
from rune.clock import Clock
from rune.errors import (
    BudgetExhaustedError,
    InvalidRequestError,
    JobNotFinishedError,
    JobNotFoundError,
    SigningKeyMissingError,
    StoreContendedError,
    TenantSuspendedError,
)
from rune.jobs import lifecycle
from rune.jobs.admission import Admission
from rune.jobs.metrics import Tallies, tally
from rune.jobs.particulars import EVERYTHING, Particulars, Wanted
from rune.jobs.places import DEFAULT_TERMS, QueuePlace, RowChange, Terms
from rune.jobs.receipts import Receipt, make_receipt, read_receipt
from rune.jobs.record import Callback, Job, Kind, Status
from rune.jobs.releases import explain_hindrance
from rune.jobs.store import (
    IdempotencyKey,
    IsWanted,
    JobHistory,
    JobStore,
    StepQueue,
    StoredJob,
    Submission,
    Submitted,
)
from rune.jobs.usage import AGENT_LABEL, MODEL_LABEL
from rune.money.budgets import Budget, Budgets, BudgetStore, reserve
from rune.money.limits import NO_LIMITS_OF_ITS_OWN, SpendingLimits, TenantSpending
from rune.services.admission.requests import Admitted
from rune.settings import read_flag, read_whole_number
from rune.tenants.settings import TenantSettings

_LONGEST_JOB_ID = 64
_JOB_ID = re.compile(rf"[0-9A-Za-z_-]{{1,{_LONGEST_JOB_ID}}}")

_SUBMIT_ROUNDS = 11
"""Of a submit that meets others' writes of the same rows, with up to 7.7 s of pauses; the API has 25 s. All jobs
that may cost something write the deployment's budgets, where one transaction takes some 20 ms."""

_MICRO_USD_PER_STEP = 100
"""How exactly an amount is told to a person."""

LISTED_AT_ONCE = 100
"""Most jobs of one round of two calls. One batch read holds as many."""

LONGEST_SEARCH_PAGES = 5
"""Most rounds of one request; a filter that finds little goes on with the next page."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of each job.

    Attributes
    ----------
    queue_timeout
        For so long it may wait to be begun, unless its request asks for less.
    max_runtime
        For so long it may run, unless its request asks for less.
    retention
        After this its rows are deleted.
    max_cost_micro_usd
        So much it may cost, unless its request asks for less.
    spending
        What all jobs together may spend.
    calls_back
        Whether it may tell a `callback_url`: the deployment has a key to sign with.
    """

    queue_timeout: timedelta
    max_runtime: timedelta
    retention: timedelta
    max_cost_micro_usd: int
    calls_back: bool = False
    spending: SpendingLimits = field(default_factory=SpendingLimits)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the limits of the deployment; raises SettingsError naming the variable that is wrong."""
        return cls(
            queue_timeout=timedelta(seconds=read_whole_number(environment, "RUNE_QUEUE_TIMEOUT_SECONDS")),
            max_runtime=timedelta(seconds=read_whole_number(environment, "RUNE_MAX_RUNTIME_SECONDS")),
            retention=timedelta(days=read_whole_number(environment, "RUNE_RETENTION_DAYS")),
            max_cost_micro_usd=read_whole_number(environment, "RUNE_MAX_COST_USD") * MICRO_USD_PER_USD,
            calls_back=read_flag(environment, "RUNE_WEBHOOKS"),
            spending=SpendingLimits.from_environment(environment),
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller.

    Attributes
    ----------
    address
        The source address, as the limiter counts it; None where no limiter counts.
    terms
        How many jobs the tenant may have running and waiting, and its share beside others.
    max_runtime
        How long the tenant's jobs may run; None leaves it at the deployment's limit.
    max_cost_micro_usd
        What each of them may cost; None leaves it at the deployment's limit.
    spending
        What the tenant may spend instead of what the deployment says.
    token_name
        By which name the operator knows the token that was used; None where another service calls.
    acting
        What asks in place of a token: `schedule:<id>` or `trigger:<way>`.
    """

    tenant: str
    address: str | None = None
    terms: Terms = DEFAULT_TERMS
    max_runtime: timedelta | None = None
    max_cost_micro_usd: int | None = None
    spending: TenantSpending = NO_LIMITS_OF_ITS_OWN
    token_name: str | None = None
    acting: str | None = None

    @property
    def actor(self) -> str | None:
        """Who is told of as the one who did something; None where nothing is known."""
        return self.acting if self.token_name is None else f"token:{self.token_name}"

    @classmethod
    def of(
        cls,
        tenant: str,
        settings: TenantSettings,
        address: str | None = None,
        *,
        token_name: str | None = None,
    ) -> Self:
        """Return a caller of a tenant with the tenant's terms.

        Raises
        ------
        TenantSuspendedError
            The operator has suspended the tenant.
        """
        if settings.is_suspended:
            raise TenantSuspendedError
        terms = Terms(settings.weight, settings.max_running_jobs, settings.max_waiting_jobs)
        spending = TenantSpending.of(settings)
        return cls(
            tenant, address, terms, settings.max_runtime, settings.max_cost_micro_usd, spending, token_name
        )


@dataclass(frozen=True, slots=True)
class Granted:
    """The time and money that a job may take.

    Attributes
    ----------
    cap_micro_usd
        None for a job that neither rents nor buys tokens.
    token_cap_micro_usd
        What tokens may cost of it, for a job that rents too.
    """

    queue_timeout: timedelta
    max_runtime: timedelta
    cap_micro_usd: int | None
    token_cap_micro_usd: int | None = None

    @property
    def reserved_micro_usd(self) -> int | None:
        """What is reserved for it in the budgets; None where it can cost nothing."""
        return self.cap_micro_usd or None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would follow if a job were posted.

    Attributes
    ----------
    budgets_after
        With what it would reserve.
    place
        Where it would wait for a slot; None where it would not.
    """

    granted: Granted
    budgets_after: Budgets
    place: QueuePlace | None


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job in a page, and what tells it from others."""

    job: Job
    particulars: Particulars


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of a tenant's jobs, and the position after which older ones follow; None where there are none."""

    lines: tuple[FoundJob, ...]
    position: str | None

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs alone."""
        return tuple(line.job for line in self.lines)


class JobService:
    """The jobs of the caller's own tenant; a job of another tenant counts as not found."""

    def __init__(
        self,
        store: JobStore,
        queue: StepQueue,
        clock: Clock,
        limits: JobLimits,
        slot_count: int,
        *,
        budgets: BudgetStore,
    ) -> None:
        self._budgets = budgets
        self._store = store
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._admission = Admission(store, queue, clock, slot_count)

    def submit(
        self,
        caller: Caller,
        admitted: Admitted,
        idempotency_key: str | None = None,
        callback: Callback | None = None,
    ) -> Submitted:
        """Accept a job, or return the one that was accepted for the same key, whose callback stays as it was.

        Raises
        ------
        IdempotencyKeyReusedError
            The key was used before with another request.
        RateLimitedError
            The caller's address is blocked.
        InvalidRequestError
            It asks for more time or money than the tenant may have, or for a callback that could not be signed.
        TooManyWaitingJobsError
            The tenant has as many waiting jobs as it may have.
        BudgetExhaustedError
            A budget has too little left for what the job may cost.
        """
        granted = self.judge(caller, admitted)
        if admitted.callback_url is not None:
            callback = replace(callback or Callback(), callback_url=admitted.callback_url)
        job, event = lifecycle.accept(
            job_id=uuid.uuid4().hex,
            tenant=caller.tenant,
            kind=admitted.kind,
            first_step=admitted.first_step,
            now=self._clock.now(),
            queue_timeout=granted.queue_timeout,
            max_runtime=granted.max_runtime,
            retention=self._limits.retention,
            rents=admitted.rents,
            cap_micro_usd=granted.cap_micro_usd,
            reserved_micro_usd=granted.reserved_micro_usd,
            token_cap_micro_usd=granted.token_cap_micro_usd,
            warnings=admitted.warnings,
            calls_back=callback is not None,
            labels=_labels_of(admitted),
        )
        key = None
        if idempotency_key is not None:
            sent = None if admitted.sent_json is None else _digest(admitted.sent_json)
            understood = admitted.request_json + (admitted.callback_url or "")
            key = IdempotencyKey(idempotency_key, _digest(understood), sent)
        submission = Submission(
            job,
            admitted.request_json,
            event,
            key,
            caller.address,
            callback=callback,
            particulars=_particulars_of(admitted, caller),
        )
        for number in range(_SUBMIT_ROUNDS):
            # Each round looks at budgets and slots again. Of many at once, those that find no money left stop here,
            # and no longer stand in the others' way.
            reserving = self._reserve(submission, caller)
            if isinstance(reserving, Submitted):
                return reserving
            again = replace(submission, companions=reserving, round=number)
            with suppress(StoreContendedError):
                submitted = self._admission.submit(again, self._terms_of(caller))
                if isinstance(submitted, Submitted):
                    return submitted
        raise StoreContendedError("The budgets change all the time; try again.")

    def _reserve(self, submission: Submission, caller: Caller) -> Submitted | tuple[RowChange, ...]:
        """Return the writes that reserve what the job may cost, or its earlier job if the request came before.

        Raises
        ------
        BudgetExhaustedError
            Too little is left.
        """
        job = submission.job
        if not job.reserved_micro_usd:
            return ()
        limits = self.limits_of(caller).budgets
        found = self._budgets.read(job.tenant, job.created_at)
        exhausted = found.under(limits).find_exhausted(job.reserved_micro_usd)
        if exhausted is not None:
            replay = self._store.find_replay(submission)
            if replay is not None:
                return replay
            raise _refuse(exhausted, job.reserved_micro_usd)
        changes = reserve(job.tenant, limits, job.reserved_micro_usd, job.created_at)
        return tuple(RowChange(each.row, each.change) for each in changes)

    def preview(self, caller: Caller, admitted: Admitted) -> Preview:
        """Return what would follow if the job were posted now; raise as `submit` does, but for a repetition."""
        granted = self.judge(caller, admitted)
        micro_usd, budgets = granted.reserved_micro_usd or 0, self.find_budgets(caller)
        exhausted = budgets.find_exhausted(micro_usd) if micro_usd else None
        if exhausted is not None:
            raise _refuse(exhausted, micro_usd)
        place = self._admission.would_wait(caller.tenant, self._terms_of(caller), rents=admitted.rents)
        return Preview(granted, budgets.after(micro_usd), place)

    def _terms_of(self, caller: Caller) -> Terms:
        return replace(caller.terms, max_machines=self.limits_of(caller).max_machines)

    def limits_of(self, caller: Caller) -> SpendingLimits:
        """Return what the caller's tenant may spend."""
        return self._limits.spending.for_tenant(caller.spending)

    def find_budgets(self, caller: Caller) -> Budgets:
        """Return the budgets of this moment under the limits of now."""
        budgets = self._budgets.read(caller.tenant, self._clock.now())
        return budgets.under(self.limits_of(caller).budgets)

    def judge(self, caller: Caller, admitted: Admitted) -> Granted:
        """Return the time and money that a job may take.

        Raises
        ------
        InvalidRequestError
            More is asked for, or a callback that could not be signed.
        """
        if admitted.callback_url is not None:
            self._require_key()
        return Granted(
            _within(self._limits.queue_timeout, admitted.queue_timeout, "queue_timeout_seconds"),
            _within(
                caller.max_runtime or self._limits.max_runtime, admitted.max_runtime, "max_runtime_seconds"
            ),
            *self._money_of(caller, admitted),
        )

    def _require_key(self) -> None:
        if not self._limits.calls_back:
            raise InvalidRequestError(
                SigningKeyMissingError().sentence, pointer="/callback_url", code=SigningKeyMissingError.code
            )

    def _money_of(self, caller: Caller, admitted: Admitted) -> tuple[int | None, int | None]:
        """Return what a job may cost, and what its tokens may where it rents too; raises InvalidRequestError."""
        tokens = admitted.tokens
        if not admitted.rents and tokens is None:
            return None, None
        if admitted.rents:
            self._check_machine(caller, admitted)
        cap = self._cap_of(caller, admitted)
        if tokens is None:
            return cap, None
        # The machine gets what the tokens leave.
        least = tokens.most_micro_usd + 1 if admitted.rents else tokens.least_micro_usd
        if cap < least:
            usd = math.ceil(least / _MICRO_USD_PER_STEP) * _MICRO_USD_PER_STEP / MICRO_USD_PER_USD
            raise InvalidRequestError(
                f"The job's tokens alone may cost up to {usd:g} USD, and it may cost "
                f"{cap / MICRO_USD_PER_USD:g}; ask for fewer or shorter answers, or raise max_cost_usd.",
                pointer="/max_cost_usd",
                code="cost_cap_too_low",
            )
        return (cap, tokens.most_micro_usd) if admitted.rents else (min(cap, tokens.most_micro_usd), None)

    def _check_machine(self, caller: Caller, admitted: Admitted) -> None:
        """Refuse a job that would wait in vain; raises InvalidRequestError."""
        limits = self.limits_of(caller)
        if limits.max_machines == 0 or limits.most_dph_micro_usd == 0:
            raise InvalidRequestError(
                "Your tenant may rent no machine; name a running model server in backend_url.",
                pointer="/vastai",
                code="renting_not_allowed",
            )
        asked = admitted.asked_micro_usd_per_hour
        if asked is not None and asked > limits.most_dph_micro_usd:
            raise InvalidRequestError(
                f"max_dph may be at most {limits.most_dph_micro_usd / MICRO_USD_PER_USD:g} here.",
                pointer="/max_dph",
                code="max_dph_too_high",
            )

    def _cap_of(self, caller: Caller, admitted: Admitted) -> int:
        """Return what a job may cost; raises InvalidRequestError where more is asked for."""
        limit = caller.max_cost_micro_usd
        if limit is None:
            limit = self._limits.max_cost_micro_usd
        asked = admitted.max_cost_micro_usd
        if asked is not None and asked > limit:
            raise InvalidRequestError(
                f"max_cost_usd may be at most {limit / MICRO_USD_PER_USD:g} here.",
                pointer="/max_cost_usd",
                code="cost_cap_too_high",
            )
        return limit if asked is None else asked

    def find(
        self,
        caller: Caller,
        job_id: str,
        is_wanted: IsWanted = lambda _job: True,
        wants_request: IsWanted | None = None,
    ) -> StoredJob:
        """Return the job, and its result if it has ended; raises JobNotFoundError, RateLimitedError.

        Parameters
        ----------
        is_wanted
            Whether the result of the job is wanted. It may be in the bucket, which is another call.
        wants_request
            The same of its request; None for never.
        """

        def has_wanted_result(job: Job) -> bool:
            return self._has_result_for(caller, job) and is_wanted(job)

        def has_wanted_request(job: Job) -> bool:
            return wants_request is not None and self._is_visible(job, caller.tenant) and wants_request(job)

        stored = self._store.read_with_result(
            _known_shape(job_id),
            caller.address,
            has_wanted_result,
            None if wants_request is None else has_wanted_request,
        )
        if stored is None or not self._is_visible(stored.job, caller.tenant):
            raise JobNotFoundError(job_id)
        return stored

    def find_receipt(self, caller: Caller, job_id: str) -> tuple[Job, Receipt]:
        """Return a job that has ended, with its receipt; of one that an earlier version ended, made from its row.

        Raises
        ------
        JobNotFoundError
            The tenant has no such job.
        JobNotFinishedError
            It has not ended.
        RateLimitedError
            The caller's address is blocked.
        """
        job = self.find(caller, job_id, lambda _job: False).job
        if job.is_active:
            raise JobNotFinishedError(job_id, self.seconds_until_news(job) or 1)
        stored = self._store.read_receipt(job.job_id)
        return job, make_receipt(job, ()) if stored is None else read_receipt(stored)

    def find_many(self, caller: Caller, job_ids: Sequence[str]) -> tuple[StoredJob, ...]:
        """Return up to 40 different jobs and their results, in the order of their ids, from one read.

        Raises
        ------
        JobNotFoundError
            The tenant does not have one of them.
        RateLimitedError
            The caller's address is blocked.
        """

        def has_result(job: Job) -> bool:
            return self._has_result_for(caller, job)

        known = [_known_shape(job_id) for job_id in job_ids]
        found = {
            stored.job.job_id: stored
            for stored in self._store.read_results(known, caller.address, has_result)
            if self._is_visible(stored.job, caller.tenant)
        }
        for job_id in known:
            if job_id not in found:
                raise JobNotFoundError(job_id)
        return tuple(found[job_id] for job_id in job_ids)

    def list_jobs(
        self,
        tenant: str,
        *,
        before: str | None,
        limit: int,
        status: Status | None = None,
        kind: Kind | None = None,
        wanted: Wanted = EVERYTHING,
    ) -> JobPage:
        """Return the tenant's jobs from newest to oldest, up to `limit`, after a position.

        A page may be shorter than `limit` and not be the last one: a request looks at a bounded number of jobs. The
        page's position says where the next one goes on.
        """
        found: list[FoundJob] = []
        # One line more than asked for shows whether there are older ones.
        is_filtered = bool(status or kind) or not wanted.is_everything
        at_once = LISTED_AT_ONCE if is_filtered else min(LISTED_AT_ONCE, limit + 1)
        for _ in range(LONGEST_SEARCH_PAGES):
            lines = self._store.list_jobs(tenant, before, at_once)
            looked_at = [
                line.job_id for line in lines if kind in (None, line.kind) and wanted.takes(line.particulars)
            ]
            jobs = {job.job_id: job for job in self._store.read_many(looked_at)}
            for line in lines:
                before = line.position
                job = jobs.get(line.job_id)
                if job and self._is_visible(job, tenant) and status in (None, job.status):
                    found.append(FoundJob(job, line.particulars))
                if len(found) == limit:
                    is_last = len(lines) < at_once and line is lines[-1]
                    return JobPage(tuple(found), None if is_last else before)
            if len(lines) < at_once:
                return JobPage(tuple(found), None)
        return JobPage(tuple(found), before)

    def summarize(self, tenant: str, job_id: str | None = None) -> Tallies:
        """Return the tallies of one job, or of all that have ended; raises JobNotFoundError."""
        if job_id is None:
            return self._store.read_tallies(tenant, self._clock.now())
        return tally(self.find_events(tenant, job_id).events)

    def find_events(self, tenant: str, job_id: str, after: int = 0) -> JobHistory:
        """Return the job and its events numbered above `after`; raises JobNotFoundError."""
        history = self._store.read_events(_known_shape(job_id), after)
        if history is None or not self._is_visible(history.job, tenant):
            raise JobNotFoundError(job_id)
        return history

    def cancel(self, tenant: str, job_id: str, by: str | None = None) -> Job:
        """Cancel a job that no worker has claimed, or request it of a running one; return the job as it then is.

        Parameters
        ----------
        by
            Who asks; see `Job.cancelled_by`. The first one stays.

        Raises
        ------
        JobNotFoundError
            The tenant has no such job.
        JobFinishedError
            The job had ended before.
        """
        job = self._store.read(_known_shape(job_id))
        if job is None or not self._is_visible(job, tenant):
            raise JobNotFoundError(job_id)
        # Imported here: outcomes of steps are no matter of the other requests.
        from rune.jobs.cancelling import Cancelling  # noqa: PLC0415

        return Cancelling(self._store, self._queue, self._clock, self._admission).cancel(job, by)

    def find_hindrance(self, job: Job) -> str | None:
        """Return why a job's machine is not given back yet, where its last event tells; None otherwise."""
        if not job.is_releasing or not job.is_active:
            return None
        history = self._store.read_events(job.job_id, after=job.event_count - 1)
        return None if history is None else explain_hindrance(history.events)

    def find_place(self, job: Job) -> QueuePlace | None:
        """Return where a waiting job stands; None for a job that does not wait."""
        return self._admission.find_place(job)

    def cost_moment(self, job: Job) -> datetime | None:
        """Return up to which moment the cost of a job with a machine is shown; None for any other job."""
        return lifecycle.cost_moment(job, self._clock.now())

    def seconds_until_news(self, job: Job) -> int | None:
        """Return when to ask for the job again, in seconds; None once it has ended."""
        return lifecycle.seconds_until_news(job, self._clock.now())

    def _has_result_for(self, caller: Caller, job: Job) -> bool:
        # Before a job's end its result is a draft.
        return not job.is_active and self._is_visible(job, caller.tenant)

    def _is_visible(self, job: Job, tenant: str) -> bool:
        # TTL deletes rows days late, so expired ones are hidden here.
        return job.tenant == tenant and job.expires_at > self._clock.now()


def _labels_of(admitted: Admitted) -> dict[str, str]:
    """Return what a job's first event tells of its request, and its usage is counted by."""
    named = {MODEL_LABEL: admitted.model, AGENT_LABEL: admitted.agent}
    return {label: name for label, name in named.items() if name}


def _particulars_of(admitted: Admitted, caller: Caller) -> Particulars:
    return Particulars(
        admitted.name, admitted.metadata, admitted.model, admitted.agent, admitted.backend, caller.actor
    )


def _digest(document_json: str) -> str:
    return hashlib.sha256(document_json.encode()).hexdigest()


def _refuse(budget: Budget, needed_micro_usd: int) -> BudgetExhaustedError:
    return BudgetExhaustedError(
        of_tenant=budget.window.tenant is not None,
        period=budget.window.period.value,
        limit_micro_usd=budget.limit_micro_usd,
        left_micro_usd=budget.free_micro_usd,
        reserved_micro_usd=budget.reserved_micro_usd,
        needed_micro_usd=needed_micro_usd,
        renews_at=f"{budget.renews_at:%Y-%m-%dT%H:%M:%SZ}",
    )


def _within(limit: timedelta, asked: timedelta | None, field: str) -> timedelta:
    """Return the time that is asked for, or the limit; raises InvalidRequestError where more is asked for."""
    if asked is not None and asked > limit:
        raise InvalidRequestError(
            f"{field} may be at most {int(limit.total_seconds())} here.",
            pointer=f"/{field}",
            code="time_too_long",
        )
    return limit if asked is None else asked


def _known_shape(job_id: str) -> str:
    """Return the id if it has the form of one; raises JobNotFoundError.

    DynamoDB refuses keys that are too long with an error of its own.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise JobNotFoundError(job_id[:_LONGEST_JOB_ID])
    return job_id
