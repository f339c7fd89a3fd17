"""Rented machines are looked at, kept longer, and given back."""

from datetime import timedelta

from fastapi import APIRouter, Request

from api import documents
from api.auth import admitted_caller_of
from api.problems import responses
from api.services import services_of
from rune.contracts import RentalExtension, RentalList, RentalRecord
from rune.rentals.record import Rental

router = APIRouter(prefix="/v1/rentals", tags=["rentals"], responses=responses(401, 422, 503))


@router.get("")
async def list_rentals(request: Request) -> RentalList:
    """Return own machines that are not proven gone, oldest first, each with what it has cost so far."""
    rentals = services_of(request).rentals.list_rentals(admitted_caller_of(request).tenant)
    return RentalList(rentals=[_record(request, rental) for rental in rentals])


@router.get("/{rental_id}", responses=responses(404))
async def get_rental(request: Request, rental_id: str) -> RentalRecord:
    """Return a machine that is not proven gone."""
    tenant = admitted_caller_of(request).tenant
    return _record(request, services_of(request).rentals.find(tenant, rental_id))


@router.delete("/{rental_id}", status_code=202, responses=responses(404, 409))
async def end_rental(request: Request, rental_id: str) -> RentalRecord:
    """Give back a machine that is kept: it is destroyed within a minute or two, and listed until that is proven."""
    tenant = admitted_caller_of(request).tenant
    return _record(request, services_of(request).rentals.end(tenant, rental_id))


@router.post("/{rental_id}/extend", responses=responses(400, 404, 409, 413, 415))
async def extend_rental(request: Request, rental_id: str, body: RentalExtension) -> RentalRecord:
    """Keep a kept machine for so many seconds from now, at most until its `ceiling_at`."""
    tenant = admitted_caller_of(request).tenant
    keep = timedelta(seconds=body.keep_seconds)
    return _record(request, services_of(request).rentals.extend(tenant, rental_id, keep))


def _record(request: Request, rental: Rental) -> RentalRecord:
    return documents.rental_record(rental, services_of(request).rentals.cost_micro_usd(rental))
