"""Cost estimates."""

from fastapi import APIRouter, Request

from api.auth import admitted_caller_of
from api.problems import responses
from rune.contracts.estimates import CostEstimationRequest, CostEstimationResponse
from rune.money.estimates import estimate_cost

router = APIRouter(
    prefix="/v1/estimates", tags=["money"], responses=responses(400, 401, 403, 413, 415, 422, 503)
)


@router.post("")
async def post_estimate(request: Request, body: CostEstimationRequest) -> CostEstimationResponse:
    """Return an upper bound of a run's cost, or a refusal where RUNE cannot know it."""
    admitted_caller_of(request)
    return estimate_cost(body)
