"""Stop everything of one's tenant, and take that back."""

from datetime import timedelta

from fastapi import APIRouter, Request

from api.auth import admitted_caller_of
from api.problems import responses
from api.queries import StrictRoute
from api.request_lines import changes_nothing
from api.services import services_of
from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.stops import StoppedMachine, StopReport, StopRequest
from rune.services.stopping import Left

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/stop", tags=["stop"], responses=responses(401, 403, 422, 503)
)

LONGEST_CALL = timedelta(seconds=5)
"""Of a call that cancels jobs; the janitor goes on with the rest each minute."""


@router.get("")
async def get_stop(request: Request) -> StopReport:
    """Return whether everything of your tenant is stopped, and what is left."""
    return _report(services_of(request).stopping().find_left(admitted_caller_of(request).tenant))


@router.post("", status_code=202, responses=responses(400, 413, 415))
async def stop_everything(request: Request, body: StopRequest | None = None) -> StopReport:
    """Accept no more jobs of your tenant, cancel all, and destroy all machines, kept ones too.

    It may be sent again: what has not ended is asked to end again. It needs no body.
    """
    del body  # which says nothing: one that says something is refused
    services, caller = services_of(request), admitted_caller_of(request)
    tenant = caller.tenant
    stopping, ends_at = services.stopping(), services.clock.now() + LONGEST_CALL
    if not stopping.begin(tenant, caller.actor or "tenant"):
        changes_nothing(request)
    stopping.go_on_with(tenant, lambda: services.clock.now() < ends_at)
    return _report(stopping.find_left(tenant))


@router.delete("")
async def end_stop(request: Request) -> StopReport:
    """Accept jobs of your tenant again. What was cancelled stays so; the operator's stop is not taken back."""
    stopping, tenant = services_of(request).stopping(), admitted_caller_of(request).tenant
    if not stopping.end(tenant):
        changes_nothing(request)
    return _report(stopping.find_left(tenant))


def _report(left: Left) -> StopReport:
    stop = left.stop
    return StopReport(
        stopped_by=None if stop is None else ("operator" if stop.tenant is None else "tenant"),
        since=None if stop is None else stop.stopped_at,
        done=left.is_done,
        running_job_count=left.running_count,
        waiting_job_count=left.waiting_count,
        machines=[
            StoppedMachine(
                rental_id=rental.rental_id,
                state=rental.state.value,
                price_usd_per_hour=rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD,
            )
            for rental in left.machines
        ],
        usd_per_hour=left.micro_usd_per_hour / MICRO_USD_PER_USD,
    )
