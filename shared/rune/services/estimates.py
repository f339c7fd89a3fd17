"""What a job would cost, before it is posted."""

from dataclasses import replace
from datetime import timedelta

from rune.amounts import MICRO_USD_PER_USD, to_micro_usd
from rune.clock import Clock
from rune.contracts import BenchmarkRequest, LlmInstanceRequest, VastaiProvisioning, read_stored
from rune.contracts.estimates import CostEstimationRequest, CostEstimationResponse, RentalEstimate
from rune.contracts.plans import JobPlan
from rune.contracts.usage import BudgetLeft
from rune.errors import InvalidRequestError
from rune.jobs import lifecycle
from rune.jobs.record import Job, Kind, StepName
from rune.jobs.samples import SampleStore, Shape
from rune.money.budgets import Budget
from rune.money.estimates import (
    UNBOUNDED_CONFIDENCE,
    answer_rental,
    check_rental,
    choose_driver,
    estimate_cost,
)
from rune.money.sizing import SMALLEST_MODEL
from rune.rentals.hosts import HostStore
from rune.rentals.market import MarketStore, Scope
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller, Granted, JobService
from rune.tenants.settings import TenantSettings
from rune.workflows.rental.dependencies import RentalRequest
from rune.workflows.rental.estimate import Asked, Evidence, estimate_rental, find_fresh, find_needs

NO_MODEL = f"No model is named, so this is for {SMALLEST_MODEL.name}, which such a job rents a machine for."
NO_SIZE = (
    "RUNE does not know how large the model is: say in min_vram_mb how much GPU memory it needs. This is the most"
    " that a job may cost."
)
NO_TIME = "No estimated_duration_seconds is named, so this is for one question."
NO_TEMPLATE = "Your tenant may not name this template, so a job runs the plain image."

_NO_JOB = "0" * 32
_RETENTION = timedelta(days=1)


class EstimateService:
    """Estimates for callers, by what searches and past jobs have left. It reads, and spends nothing."""

    def __init__(
        self, jobs: JobService, market: MarketStore, hosts: HostStore, samples: SampleStore, clock: Clock
    ) -> None:
        self._jobs = jobs
        self._market = market
        self._hosts = hosts
        self._samples = samples
        self._clock = clock

    def estimate(
        self, caller: Caller, tenant: TenantSettings, request: CostEstimationRequest
    ) -> CostEstimationResponse:
        """Return what a run would cost; raises InvalidRequestError as `estimate_cost` and a job do."""
        if choose_driver(request) != "vastai":
            return estimate_cost(request)
        check_rental(request)
        is_allowed = request.template_hash in tenant.templates
        body = _as_benchmark(request, request.template_hash if is_allowed else None)
        micro_usd = None if request.max_cost_usd is None else to_micro_usd(request.max_cost_usd)
        admitted = Admitted(
            Kind.BENCHMARK,
            StepName.RENT,
            "",
            rents=True,
            # Without it a job takes the lower of the usual price and the tenant's limit, and is not refused.
            asked_micro_usd_per_hour=(
                to_micro_usd(request.max_dph) if "max_dph" in request.model_fields_set else None
            ),
            max_cost_micro_usd=micro_usd,
            model=body.model,
        )
        granted = self._jobs.judge(caller, admitted)
        used_for = None
        if "estimated_duration_seconds" in request.model_fields_set:
            used_for = timedelta(seconds=request.estimated_duration_seconds)
        caveats = [] if request.model else [NO_MODEL]
        if used_for is None:
            caveats.append(NO_TIME)
        if request.template_hash and not is_allowed and tenant.templates:
            caveats.append(NO_TEMPLATE)
        try:
            found = self.estimate_job(caller, admitted, body, granted, used_for)
        except InvalidRequestError as error:
            if error.specific_code != "model_size_unknown":
                raise
            return answer_rental(_most(granted.cap_micro_usd or 0), NO_SIZE, confidence=UNBOUNDED_CONFIDENCE)
        return answer_rental(found, *caveats)

    def plan(self, caller: Caller, admitted: Admitted) -> JobPlan:
        """Return what would follow if the job were posted now; raises as `JobService.submit` does."""
        preview = self._jobs.preview(caller, admitted)
        granted, after = preview.granted, preview.budgets_after
        estimate = None
        if admitted.rents:
            estimate = self.estimate_job(caller, admitted, _read_rental(admitted), granted)
        cap = granted.cap_micro_usd
        point_count, measuring_seconds = _measuring_of(admitted)
        return JobPlan(
            kind=admitted.kind.value,
            rents=admitted.rents,
            would_wait=preview.place is not None,
            waits_for=None if preview.place is None else "a GPU slot" if admitted.rents else "a slot",
            queue_position=None if preview.place is None else preview.place.position,
            queue_wait_seconds=None if preview.place is None else preview.place.wait_seconds,
            queue_timeout_seconds=int(granted.queue_timeout.total_seconds()),
            max_runtime_seconds=int(granted.max_runtime.total_seconds()),
            point_count=point_count,
            longest_measuring_seconds=measuring_seconds,
            max_cost_usd=None if cap is None else cap / MICRO_USD_PER_USD,
            estimate=estimate,
            budgets_after=[tell_budget(each) for each in (after.tenant_day, after.tenant_month)],
            warnings=list(admitted.warnings),
        )

    def estimate_job(
        self,
        caller: Caller,
        admitted: Admitted,
        request: RentalRequest,
        granted: Granted,
        used_for: timedelta | None = None,
    ) -> RentalEstimate:
        """Return what an admitted job would cost that rents a machine.

        Raises
        ------
        InvalidRequestError
            `model_size_unknown`.
        """
        asked = Asked(
            self._begun(caller, admitted, granted),
            request,
            granted.cap_micro_usd or 0,
            used_for,
            self._jobs.limits_of(caller).most_dph_micro_usd,
        )
        now = self._clock.now()
        needs, rows = find_needs(asked, now), self._market.read(now)
        machines = {offer.machine_id for offer in find_fresh(rows, now).offers}
        shape = Shape(admitted.kind, Scope.of(needs).class_gb)
        evidence = Evidence(
            rows=rows,
            hosts=self._hosts.read(machines, now) if machines else {},
            samples=self._samples.read(shape, now) if machines else (),
            now=now,
        )
        return estimate_rental(asked, evidence)

    def _begun(self, caller: Caller, admitted: Admitted, granted: Granted) -> Job:
        """Return the job as it would be if it began now."""
        now = self._clock.now()
        job, _ = lifecycle.accept(
            job_id=_NO_JOB,
            tenant=caller.tenant,
            kind=admitted.kind,
            first_step=admitted.first_step,
            now=now,
            queue_timeout=granted.queue_timeout,
            max_runtime=granted.max_runtime,
            retention=_RETENTION,
            rents=True,
            cap_micro_usd=granted.cap_micro_usd,
        )
        return replace(job, deadline_at=now + granted.max_runtime, started_at=now)


def _read_rental(admitted: Admitted) -> RentalRequest:
    """Return the request as the job would keep it."""
    if admitted.kind is Kind.BENCHMARK:
        return read_stored(BenchmarkRequest, admitted.request_json)
    return read_stored(LlmInstanceRequest, admitted.request_json)


def _measuring_of(admitted: Admitted) -> tuple[int | None, int | None]:
    """Return how many points a benchmark has at most, and how many seconds they may take; None for other jobs."""
    if admitted.kind is not Kind.BENCHMARK:
        return None, None
    request = read_stored(BenchmarkRequest, admitted.request_json)
    workload = request.workload
    if request.suite is not None:
        run_count = len(request.cases or ()) * (request.runs or 0)
        return run_count, run_count * request.timeout_seconds
    return (
        (1, request.timeout_seconds) if workload is None else (workload.point_count, workload.longest_seconds)
    )


def _as_benchmark(request: CostEstimationRequest, template_hash: str | None) -> BenchmarkRequest:
    """Return the job that the estimate is of: one question to the model, under these terms."""
    usual = VastaiProvisioning()
    # Every value was validated as a field of the estimate's request, with the same bounds.
    return BenchmarkRequest.model_construct(
        question="?",
        model=request.model or SMALLEST_MODEL.name,
        vastai=True,
        template_hash=template_hash,
        min_dph=request.min_dph,
        max_dph=request.max_dph,
        reliability=usual.reliability if not request.reliability else request.reliability,
        min_vram_mb=request.min_vram_mb,
    )


def tell_budget(budget: Budget) -> BudgetLeft:
    """Return a budget as a document."""
    return BudgetLeft(
        window=budget.window.period.value,
        limit_usd=budget.limit_micro_usd / MICRO_USD_PER_USD,
        spent_usd=budget.spent_micro_usd / MICRO_USD_PER_USD,
        reserved_usd=budget.reserved_micro_usd / MICRO_USD_PER_USD,
        remaining_usd=max(0, budget.free_micro_usd) / MICRO_USD_PER_USD,
        renews_at=budget.renews_at,
    )


def _most(cap_micro_usd: int) -> RentalEstimate:
    return RentalEstimate(
        low_usd=None,
        likely_usd=None,
        high_usd=cap_micro_usd / MICRO_USD_PER_USD,
        confidence_score=UNBOUNDED_CONFIDENCE,
        basis="limits",
        sample_count=0,
        phases=[],
        offer=None,
        refused=[],
        as_of=None,
        notes=[],
    )
