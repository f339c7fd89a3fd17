"""Cost estimates."""

from fastapi import APIRouter, Request

from api.auth import admitted_caller_of, tenant_settings_of
from api.problems import responses
from api.queries import StrictRoute
from api.request_lines import changes_nothing
from api.services import services_of
from rune.contracts.estimates import CostEstimationRequest, CostEstimationResponse

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/estimates",
    tags=["money"],
    responses=responses(400, 401, 403, 413, 415, 422, 503),
)


@router.post("")
async def estimate_cost(request: Request, body: CostEstimationRequest) -> CostEstimationResponse:
    """Return what a run would cost, by the market as last seen and what past jobs took."""
    changes_nothing(request)
    services = services_of(request)
    return services.estimates().estimate(admitted_caller_of(request), tenant_settings_of(request), body)
