"""Health of the API."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """Return that the API answers; needs no token and calls no other service."""
    return {"status": "ok"}
