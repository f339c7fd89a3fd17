"""Whether the API is there."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """Say that the API answers; needs no token and touches nothing else."""
    return {"status": "ok"}
