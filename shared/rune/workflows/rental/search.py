"""Looking at the market for a job, and planning its order."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import StoreUnavailableError
from rune.jobs.outcomes import Failed, Note
from rune.jobs.record import Job
from rune.rentals import self_destruct
from rune.rentals.hosts import HostRecord, HostStore
from rune.rentals.market import make_market_row
from rune.rentals.offers import Offer, Requirements
from rune.rentals.provider import Template
from rune.rentals.ranking import (
    Market,
    Selection,
    explain_choice,
    find_alternative,
    is_settled,
    least_usd_of,
    select_offers,
)
from rune.rentals.record import OLLAMA_IMAGE_BYTES, Rental
from rune.tenants.settings import TEMPLATE_NOT_ALLOWED
from rune.workflows.benchmark.context_size import parallel_count_of
from rune.workflows.rental.dependencies import (
    RentalDependencies,
    RentalRequest,
    left_micro_usd,
    required_model,
)
from rune.workflows.rental.selection import (
    PlannedOrder,
    describe_expected,
    describe_needs,
    describe_selection,
    describe_use,
    failed_machines,
    hold_to_limit,
    latest_end,
    summarize_rejections,
)

log = logging.getLogger(__name__)

MOST_IMAGE_BYTES = 15_000_000_000
"""Upper bound of the download of a template's image. Its size is unknown before the order, and traffic is billed;
images with CUDA and a server have 5 to 12 GB compressed (vllm/vllm-openai, nvcr.io/nvidia/pytorch)."""


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """The order to send, and the event that tells of the search."""

    order: PlannedOrder
    note: Note


class _KnownHosts:
    """What earlier jobs know of the hosts of a search, each read once."""

    def __init__(self, hosts: HostStore, now: datetime) -> None:
        self._hosts = hosts
        self._now = now
        self._asked: set[int] = set()
        self._records: dict[int, HostRecord] = {}

    def records_of(self, offers: Iterable[Offer]) -> Mapping[int, HostRecord]:
        new = {offer.machine_id for offer in offers} - self._asked
        if new:
            self._asked |= new
            try:
                self._records |= self._hosts.read(new, self._now)
            except StoreUnavailableError:
                # A choice without it is still a good one.
                log.warning("hosts.unread", exc_info=True)
        return self._records


async def plan_order(
    dependencies: RentalDependencies, job: Job, request: RentalRequest, attempts: tuple[Rental, ...]
) -> OrderPlan | Failed:
    """Search the market, and return what to order for the job; a failure where nothing fits."""
    began_at = dependencies.clock.now()
    tenant, template_hash = dependencies.tenants.of(job.tenant), request.rental_terms.template_hash
    template = None
    if template_hash:
        if template_hash not in tenant.templates:
            return Failed("template_not_allowed", TEMPLATE_NOT_ALLOWED, retryable=False)
        template = await dependencies.provider.find_template(template_hash)
        if template is None:
            return Failed("template_not_found", "Vast.ai has no such template.", retryable=False)
    ceiling_at = latest_end(job, request)
    image = image_of(dependencies, template)
    requirements = describe_needs(request, template, image, ceiling_at - began_at)
    asked_usd = requirements.max_usd_per_hour
    requirements = hold_to_limit(requirements, dependencies.limits_of(job.tenant).most_dph_micro_usd)
    left = left_micro_usd(job, attempts, job.borrowed_micro_usd, began_at)
    if left is not None and left <= 0:
        return Failed("cost_cap_reached", "The job has cost as much as it may.", retryable=False)
    model = required_model(request)
    time_left = job.deadline_at - began_at
    use = replace(describe_use(job, request, model, most_image_bytes(image), left), time_left=time_left)
    known = _KnownHosts(dependencies.hosts, began_at)

    def look(offers: tuple[Offer, ...]) -> Market:
        return Market(failed_machines(attempts), known.records_of(offers), began_at)

    def select(offers: tuple[Offer, ...]) -> Selection:
        return select_offers(offers, requirements, use, look(offers))

    offers = await dependencies.provider.search(
        requirements, lambda found, usd: is_settled(select(found), use, usd)
    )
    selection = select(offers)
    _note_market(dependencies, requirements, offers, selection)
    took_ms = round((dependencies.clock.now() - began_at).total_seconds() * 1000)
    note = Note("vastai.offer_search", describe_selection(selection), duration_ms=took_ms)
    if not selection.candidates:
        failed = _explain_failure(job, selection, len(offers), left or 0, time_left)
        if failed.code == "no_offer_fits" and requirements.max_usd_per_hour < asked_usd:
            limit = f" Your tenant may rent at {requirements.max_usd_per_hour:f} USD an hour at most."
            failed = replace(failed, sentence=failed.sentence + limit)
        return replace(failed, notes=(note,))
    offer = selection.candidates[0].offer
    alternative = find_alternative(selection, look(offers), requirements.disk_gb)
    reason = explain_choice(selection)
    image_bytes = most_image_bytes(image)
    least = ceil(least_usd_of(selection.candidates[0].forecast) * MICRO_USD_PER_USD)
    order = PlannedOrder(
        offer,
        requirements,
        model,
        template,
        ceiling_at,
        reason,
        alternative,
        image_bytes,
        least,
        describe_expected(requirements, use, selection.candidates[0].forecast),
        parallel_count_of(request),
    )
    return OrderPlan(order, note)


def _note_market(
    dependencies: RentalDependencies,
    requirements: Requirements,
    offers: tuple[Offer, ...],
    selection: Selection,
) -> None:
    """Keep what the search has seen for who asks for a price, if that is possible now."""
    try:
        dependencies.market.note(make_market_row(requirements, offers, selection, dependencies.clock.now()))
    except StoreUnavailableError:
        log.warning("market.unkept", exc_info=True)


def _explain_failure(
    job: Job, selection: Selection, offer_count: int, left_micro_usd: int, time_left: timedelta
) -> Failed:
    """Return the failure of a job for which no offer fits."""
    if selection.least_usd_beyond_cap is not None:
        return too_dear(job, selection.least_usd_beyond_cap, left_micro_usd)
    if selection.least_loaded_after is not None:
        return too_late(selection.least_loaded_after, time_left)
    if not offer_count:
        sentence = "Vast.ai has no offer with the memory, disk, reliability and price that the job asks for."
    else:
        sentence = f"None of {offer_count} offers fits: {summarize_rejections(selection)}."
    return Failed("no_offer_fits", sentence, retryable=True)


def too_dear(job: Job, least_usd: Decimal, left: int) -> Failed:
    """Return the failure of a job for which every machine that fits would cost too much."""
    left_usd = Decimal(left) / MICRO_USD_PER_USD
    sentence = (
        f"It would cost {least_usd:.4f} USD on the cheapest offer, and only {left_usd:.4f} USD is left of its"
        " max_cost_usd."
    )
    if job.cost_micro_usd:
        return Failed("cost_cap_reached", sentence, retryable=False)
    return Failed("cost_cap_too_low", sentence, retryable=True, is_final=True)


def too_late(loaded_after: timedelta, time_left: timedelta) -> Failed:
    """Return the failure of a job whose time is over before any machine that fits has the model."""
    sentence = (
        f"The model would be loaded after some {loaded_after.total_seconds():.0f} s on the fastest offer that fits,"
        f" and the job has {max(0.0, time_left.total_seconds()):.0f} s left."
    )
    return Failed("max_runtime_too_short", sentence, retryable=True, is_final=True)


def image_of(dependencies: RentalDependencies, template: Template | None) -> str:
    """Return which image the machine is made from."""
    return template.image if template else dependencies.settings.image


def most_image_bytes(image: str) -> int:
    """Return the most that an image's download takes."""
    return OLLAMA_IMAGE_BYTES if self_destruct.is_ollama(image) else MOST_IMAGE_BYTES
