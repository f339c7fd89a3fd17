"""A tenant's own limit of requests, so that one that floods leaves the API to the others."""

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import event_streams, problems
from rune.errors import TooManyRequestsError
from rune.tenants.rates import TenantRates

STOP = "/v1/stop"
"""Counts against no limit: it is most needed where a client of the tenant's runs away."""


class TenantRateLimit:
    """Answers 429 to a tenant that sends more than it may, before anything is read or written for it.

    It stands behind the authentication, since strangers have no tenant; those the gateway's throttle bounds.
    """

    def __init__(self, app: ASGIApp, rates: TenantRates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        caller = scope.get("caller")
        if caller is not None and scope["path"] != STOP:
            try:
                self._rates.take(caller.tenant, scope["tenant_settings"], scope["method"])
            except TooManyRequestsError as error:
                await _refusal(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(request: Request, error: TooManyRequestsError) -> Response:
    """Return a problem; to a stream a pause, as a problem would end it for good."""
    paused = event_streams.pause(error) if event_streams.is_asked_for(request) else None
    return problems.as_response(error) if paused is None else paused
