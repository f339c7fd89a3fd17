"""Routes that list, extend and end rentals."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api import documents
from api.auth import admitted_caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.amounts import MICRO_USD_PER_USD
from rune.contracts import RentalExtension, RentalKey, RentalList, RentalRecord
from rune.contracts.rentals import RentalStateName
from rune.errors import JobNotFoundError
from rune.rentals.record import Rental, RentalState

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/rentals", tags=["rentals"], responses=responses(401, 403, 422, 503)
)


@router.get("")
async def list_rentals(  # the query, one parameter each
    request: Request,
    state: Annotated[
        RentalStateName | None,
        Query(description="Only those in this state; `released` lists ended ones, newest first."),
    ] = None,
    job_id: Annotated[
        str | None,
        Query(
            max_length=64,
            description="All that this job has rented, in order, in any state, and the kept one that it used last.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Longest page of ended ones.")] = 20,
    cursor: Annotated[
        str | None, Query(max_length=128, description="`next_cursor` of the page before.")
    ] = None,
) -> RentalList:
    """Return the tenant's machines that are not proven gone, oldest first, each with its cost so far."""
    service, tenant = services_of(request).rentals(), admitted_caller_of(request).tenant
    position = None
    # Refused wherever it stands, though only ended ones have pages.
    before = None if cursor is None else documents.from_cursor(cursor)
    if job_id is not None:
        found = service.list_of_job(tenant, job_id, _used_last(request, job_id))
        rentals = tuple(rental for rental in found if state in (None, rental.state.value))
    elif state == RentalState.RELEASED.value:
        page = service.list_ended(tenant, before=before, limit=limit)
        rentals, position = page.rentals, page.position
    else:
        rentals = service.list_rentals(tenant, None if state is None else RentalState(state))
    return RentalList(
        rentals=[_record(request, rental) for rental in rentals],
        next_cursor=None if position is None else documents.to_cursor(position),
    )


@router.get("/{rental_id}", responses=responses(404))
async def get_rental(request: Request, rental_id: str) -> RentalRecord:
    """Return a machine: one that ended stays for 30 days, with its whole bill."""
    tenant = admitted_caller_of(request).tenant
    return _record(request, services_of(request).rentals().find(tenant, rental_id))


@router.delete("/{rental_id}", status_code=202, responses=responses(404, 409))
async def end_rental(request: Request, rental_id: str) -> RentalRecord:
    """End a kept machine: it is destroyed within a minute or two, and listed until it is proven gone."""
    tenant = admitted_caller_of(request).tenant
    return _record(request, services_of(request).rentals().end(tenant, rental_id))


@router.post("/{rental_id}/extend", responses=responses(400, 404, 409, 413, 415))
async def extend_rental(request: Request, rental_id: str, body: RentalExtension) -> RentalRecord:
    """Keep a kept machine for `keep_seconds` from now, at most until its `ceiling_at`."""
    tenant = admitted_caller_of(request).tenant
    keep = timedelta(seconds=body.keep_seconds)
    return _record(request, services_of(request).rentals().extend(tenant, rental_id, keep))


@router.post("/{rental_id}/key", responses=responses(404, 409))
async def get_rental_key(request: Request, rental_id: str) -> RentalKey:
    """Tell the key that the machine's server asks for; it opens this one machine alone."""
    tenant = admitted_caller_of(request).tenant
    rental, key = services_of(request).rentals().read_key(tenant, rental_id)
    return RentalKey(
        rental_id=rental.rental_id, backend_url=rental.url, key=key, authorization=f"Bearer {key}"
    )


def _used_last(request: Request, job_id: str) -> str | None:
    try:
        stored = services_of(request).jobs.find(admitted_caller_of(request), job_id, lambda _job: False)
    except JobNotFoundError:
        return None
    return stored.job.rental_id


def _record(request: Request, rental: Rental) -> RentalRecord:
    cost_micro_usd = services_of(request).rentals().cost_micro_usd(rental)
    machine = rental.machine
    return RentalRecord(
        rental_id=rental.rental_id,
        state=rental.state.value,
        job_id=rental.job_id,
        used_by_job_id=rental.holder,
        contract_id=rental.contract_id,
        gpu_name=machine.gpu_name,
        gpu_count=machine.gpu_count,
        vram_mb=machine.vram_mb,
        place=machine.place,
        model=rental.model,
        backend_url=rental.url,
        price_usd_per_hour=rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD,
        cost_usd=cost_micro_usd / MICRO_USD_PER_USD,
        rented_at=rental.intended_at,
        # A job that found the machine kept gives it back until the same moment, so the row keeps that.
        kept_until=rental.kept_until if rental.state is RentalState.KEPT else None,
        ceiling_at=rental.ceiling_at,
        is_open_to_the_world=rental.is_open,
        destroys_itself=rental.destroys_itself,
        billed_usd=None if rental.billed is None else rental.billed.micro_usd / MICRO_USD_PER_USD,
        released_at=rental.released_at,
        end_reason=None if rental.end_reason is None else rental.end_reason.value,
    )
