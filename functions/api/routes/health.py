"""Health of the API."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """Return that the API answers; needs no token and calls no other service."""
    return {"status": "ok"}


@router.get("/v1/healthz")
async def get_health_of_v1() -> dict[str, str]:
    """Return the same as `/healthz`, whose other name this is for some clients."""
    return await get_health()
