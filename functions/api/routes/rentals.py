"""Routes that list, extend and end rentals."""

from datetime import timedelta

from fastapi import APIRouter, Request

from api.auth import admitted_caller_of
from api.problems import responses
from api.services import services_of
from rune.contracts import RentalExtension, RentalList, RentalRecord
from rune.rentals.record import MICRO_USD_PER_USD, Rental, RentalState

router = APIRouter(prefix="/v1/rentals", tags=["rentals"], responses=responses(401, 403, 422, 503))


@router.get("")
async def list_rentals(request: Request) -> RentalList:
    """Return the tenant's machines that are not proven gone, oldest first, each with its cost so far."""
    rentals = services_of(request).rentals().list_rentals(admitted_caller_of(request).tenant)
    return RentalList(rentals=[_record(request, rental) for rental in rentals])


@router.get("/{rental_id}", responses=responses(404))
async def get_rental(request: Request, rental_id: str) -> RentalRecord:
    """Return a machine that is not proven gone."""
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


def _record(request: Request, rental: Rental) -> RentalRecord:
    cost_micro_usd = services_of(request).rentals().cost_micro_usd(rental)
    machine = rental.machine
    return RentalRecord(
        rental_id=rental.rental_id,
        state=rental.state.value,  # type: ignore[arg-type]  # all states but the last, which the service hides
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
    )
