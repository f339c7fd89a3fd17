"""Which machine a job needs, and which offers and kept machines fit. Plain functions over plain data."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

from rune.amounts import MICRO_USD_PER_USD
from rune.bench.prompts import make_prompts
from rune.bench.turns import turn_count_of
from rune.contracts import BenchmarkRequest
from rune.jobs.record import Job
from rune.llm.names import is_same_model
from rune.money.catalog import SizedModel
from rune.money.sizing import context_vram_mb, estimate_weights_gb
from rune.rentals.forecast import START_SECONDS, ExpectedUse, Forecast
from rune.rentals.images import find_gpu_needs
from rune.rentals.lifecycle import RELEASE_MARGIN
from rune.rentals.market import Scope
from rune.rentals.offers import VRAM_MARGIN_PERCENT, Offer, Requirements
from rune.rentals.provider import Template
from rune.rentals.ranking import Selection, explain_choice, name_gpus
from rune.rentals.record import Alternative, EndReason, Expected, Rental, RentalState
from rune.workflows.benchmark.context_size import context_tokens_of, parallel_count_of
from rune.workflows.rental.dependencies import RentalRequest, required_model

_LISTED_REJECTIONS = 40
_BYTES_PER_GB = 1_000_000_000

LIKELY_INVESTIGATION_TOKENS = 2000
"""That a model writes in one run of a case: eight calls of 100 tokens, some text, and a report."""

LIKELY_OUTPUT_TOKENS = 500
"""Of an answer whose length is not limited: a page."""

_SPARE_DISK_GB = 8
"""Room on a machine's disk for logs and parts of a download."""


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """What is to be ordered, for which model, and why.

    Attributes
    ----------
    parallel_count
        Requests that the server is to answer at a time.
    least_micro_usd
        What the job is expected to cost on it, in millionths of a dollar: with less money it is not ordered.
    """

    offer: Offer
    requirements: Requirements
    model: SizedModel
    template: Template | None
    ceiling_at: datetime
    reason: str
    alternative: Alternative | None = None
    image_bytes: int = 0
    least_micro_usd: int = 0
    expected: Expected | None = None
    parallel_count: int = 1


def latest_end(job: Job, request: RentalRequest) -> datetime:
    """Return the latest moment at which the machine may still be needed, by what the request itself asks for.

    The machine's own net is set from it, and cannot be moved later.
    """
    ends_at = job.deadline_at + RELEASE_MARGIN
    return ends_at + timedelta(seconds=request.keep_seconds) if keeps(job, request) else ends_at


def describe_needs(
    request: RentalRequest, template: Template | None, image: str, time_needed: timedelta
) -> Requirements:
    """Return what an offer must have."""
    model, terms = required_model(request), request.rental_terms
    return Requirements(
        vram_mb=required_vram_mb(request, model),
        disk_gb=max(model.required_disk_gb, template.disk_gb if template else 0),
        download_gb=model.download_gb,
        min_usd_per_hour=Decimal(repr(terms.min_dph)),
        max_usd_per_hour=Decimal(repr(terms.max_dph)),
        reliability_ratio=terms.reliability,
        port_count=1,
        time_needed=time_needed,
        gpu=find_gpu_needs(image),
    )


def hold_to_limit(requirements: Requirements, most_micro_usd_per_hour: int) -> Requirements:
    """Return the requirements with no higher price than the tenant may rent at, in millionths of a dollar."""
    most_usd = Decimal(most_micro_usd_per_hour) / MICRO_USD_PER_USD
    return replace(requirements, max_usd_per_hour=min(requirements.max_usd_per_hour, most_usd))


def required_vram_mb(request: RentalRequest, model: SizedModel) -> int:
    """Return the memory for the model with all contexts in which the job loads it."""
    context_tokens = context_tokens_of(request, rents=True) or 0
    return model.vram_mb + context_vram_mb(model, context_tokens * parallel_count_of(request))


def describe_use(
    job: Job, request: RentalRequest, model: SizedModel, image_bytes: int, left_micro_usd: int | None = None
) -> ExpectedUse:
    """Return what the job will do with its machine, as far as its request tells.

    Parameters
    ----------
    left_micro_usd
        What it may still cost, in millionths of a dollar; None for no limit.
    """
    kept = timedelta(seconds=request.keep_seconds) if keeps(job, request) else timedelta(0)
    tokens = count_output_tokens(request) if isinstance(request, BenchmarkRequest) else 0
    most_usd = None if left_micro_usd is None else Decimal(left_micro_usd) / MICRO_USD_PER_USD
    return ExpectedUse(image_bytes / _BYTES_PER_GB, estimate_weights_gb(model), tokens, kept, most_usd)


def count_output_tokens(request: BenchmarkRequest) -> int:
    """Return how many tokens the model will probably write, warm-ups included."""
    if request.suite is not None:
        return len(request.cases or ()) * (request.runs or 0) * LIKELY_INVESTIGATION_TOKENS
    workload = request.measured
    prompts = make_prompts(request.question, workload)
    turn_count = sum(map(turn_count_of, prompts))
    asked_count = workload.request_count(len(prompts), grows=request.grows, turn_count=turn_count)
    asked_count += workload.warmup_count
    return asked_count * (workload.output_tokens or LIKELY_OUTPUT_TOKENS)


def describe_expected(requirements: Requirements, use: ExpectedUse, told: Forecast) -> Expected:
    """Return what is written down of the forecast of a chosen offer."""
    spans, kept_hours = told.spans, Decimal(use.kept / timedelta(hours=1))
    return Expected(
        class_gb=Scope.of(requirements).class_gb,
        micro_usd=ceil((told.once_usd - told.usd_per_hour * kept_hours) * MICRO_USD_PER_USD),
        boot_ms=_to_ms(spans.image) + round(START_SECONDS * 1000),
        pull_ms=_to_ms(spans.pull),
        load_ms=_to_ms(spans.load),
        work_ms=_to_ms(spans.work),
    )


def _to_ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def keeps(job: Job, request: RentalRequest) -> bool:
    """Return whether the machine is kept after the job succeeds."""
    return job.kind.hands_over or not request.rental_terms.stop_instance


def fits_kept(rental: Rental, job: Job, request: RentalRequest, now: datetime) -> bool:
    """Return whether a tenant's kept machine fits a job until its deadline."""
    terms, model = request.rental_terms, required_model(request)
    vram_mb = required_vram_mb(request, model)
    usd_per_hour = rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD
    return (
        rental.state is RentalState.KEPT
        and not job.kind.hands_over
        and rental.unfit_for != job.job_id
        and rental.kept_until is not None
        and rental.kept_until > now
        and rental.ceiling_at >= job.deadline_at
        and rental.template_hash == terms.template_hash
        and rental.machine.vram_mb * 100 >= vram_mb * (100 + VRAM_MARGIN_PERCENT)
        and rental.machine.disk_gb >= model.required_disk_gb
        and _has_room(rental, model)
        and rental.machine.reliability_percent >= int(terms.reliability * 100)
        and terms.min_dph <= usd_per_hour <= terms.max_dph
    )


def _has_room(rental: Rental, model: SizedModel) -> bool:
    """Return whether the disk holds the model beside all earlier downloads; nothing is ever deleted."""
    if _is_there(rental, model):
        return True
    taken_gb = -(-(rental.downloaded_bytes + rental.pulling_bytes) // _BYTES_PER_GB)
    return taken_gb + model.download_gb + _SPARE_DISK_GB <= rental.machine.disk_gb


def most_cost_of_order_micro_usd(planned: PlannedOrder, now: datetime) -> int:
    """Return the most that a machine may cost from its order to its ceiling, the downloads included."""
    prices = planned.offer.prices(planned.requirements.disk_gb)
    hours = max(timedelta(0), planned.ceiling_at - now) / timedelta(hours=1)
    traffic_gb = planned.image_bytes / _BYTES_PER_GB + planned.model.download_gb
    return ceil(prices.micro_usd_per_hour * hours + prices.download_micro_usd_per_gb * traffic_gb)


def bytes_to_come(rental: Rental, request: RentalRequest) -> int:
    """Return the most that a job's model takes on a kept machine; 0 where it is there."""
    model = required_model(request)
    return 0 if _is_there(rental, model) else model.download_gb * _BYTES_PER_GB


def _is_there(rental: Rental, model: SizedModel) -> bool:
    """Return whether the machine was rented for the model, or had it put there last."""
    names = (rental.model, rental.pulling_model)
    return any(name is not None and is_same_model(name, model.name) for name in names)


def failed_machines(attempts: Iterable[Rental]) -> frozenset[int]:
    """Return the machines that failed in this job; one that was rented by others, or not ordered, did not fail."""
    return frozenset(
        rental.machine.machine_id
        for rental in attempts
        if rental.end_reason not in (EndReason.OFFER_GONE, EndReason.CREATE_PUT_OFF)
    )


def describe_selection(selection: Selection) -> dict[str, str]:
    """Return the labels of the search's event: the chosen machine, and why each other was rejected."""
    listed = [f"{machine_id} {reason}" for machine_id, reason in selection.rejections]
    labels = {
        "fitting": str(len(selection.candidates)),
        "rejected": "; ".join(listed[:_LISTED_REJECTIONS]),
    }
    if len(listed) > _LISTED_REJECTIONS:
        labels["also_rejected"] = str(len(listed) - _LISTED_REJECTIONS)
    if selection.floor is not None:
        labels["floor"] = (
            f"min_dph excluded {selection.floor.count} cheaper offers,"
            f" from {selection.floor.from_usd_per_hour:.4f} USD per hour"
        )
    if selection.is_last_resort:
        labels["last_resort"] = "every host that fits failed a job lately"
    if selection.candidates:
        offer = selection.candidates[0].offer
        labels["chosen"] = f"{offer.machine_id} {name_gpus(offer)}"
        labels["why"] = explain_choice(selection)
    return labels


def summarize_rejections(selection: Selection) -> str:
    """Return how many offers were rejected for which reason, most frequent first."""
    counts = Counter(reason.value for _, reason in selection.rejections)
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
