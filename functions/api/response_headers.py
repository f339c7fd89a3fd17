"""Headers that do not depend on the answer: how browsers and caches are to treat it."""

from collections.abc import Mapping, MutableMapping

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

ON_EVERY_ANSWER: Mapping[str, str] = {
    # A year, and this host alone: others of the operator's domain are not RUNE's. Without effect over plain HTTP.
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    # An address may hold a link.
    "referrer-policy": "no-referrer",
}

SECRETIVE = frozenset(
    {
        ("GET", "/v1/benchmarks/{job_id}/records"),
        ("GET", "/v1/jobs/{job_id}/artifacts"),
        ("POST", "/v1/benchmarks/{job_id}/links"),
        ("POST", "/v1/jobs/{job_id}/links"),
        ("POST", "/v1/rentals/{rental_id}/key"),
        ("POST", "/v1/webhooks"),
        ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"),
        ("GET", "/v1/webhooks/callback-secret"),
        ("POST", "/v1/webhooks/callback-secret/rotate-secret"),
    }
)
"""Calls whose answers hold a secret, or a link that stands in for one: no cache may keep them."""

CORS_EXPOSED = (
    "Allow",
    "Deprecation",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "Sunset",
    "Token-Expires-At",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""What scripts of an allowed origin may read of an answer, besides what they always may."""

CORS_TAKEN = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-API-Key",
    "X-Idempotency-Key",
    "X-Tenant-ID",
)
"""What they may send."""

CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

CORS_MAX_AGE_SECONDS = 7200
"""For so long a browser need not ask again; Chrome takes no more."""


def complete(headers: MutableMapping[str, str], *, varies_by_origin: bool) -> None:
    """Add what every answer has to one's headers, by their names in lower case.

    Parameters
    ----------
    varies_by_origin
        Whether there are origins whose scripts may read answers: then no cache may give one origin's to another.
    """
    for name, value in ON_EVERY_ANSWER.items():
        headers.setdefault(name, value)
    vary = headers.get("vary", "")
    if varies_by_origin and "origin" not in vary.lower():
        headers["vary"] = f"{vary}, Origin" if vary else "Origin"


def not_stored(send: Send) -> Send:
    """Return a way to answer that lets nobody keep the answer."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Cache-Control"] = "no-store"
        await send(message)

    return tell
