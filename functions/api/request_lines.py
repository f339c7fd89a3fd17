"""What the log has of each request: one line for its answer, and one for each change that was accepted.

The gateway's access log has the same `request_id`, and knows the caller's address and the path as it was sent.
"""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rune.errors import is_shown
from rune.services.jobs import Caller

log = logging.getLogger(__name__)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})

_CHANGES_NOTHING = "changes_nothing"

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""What may be an id of ours. Anything else in a path is the caller's own text, and is not logged."""

_IDS = ("job_id", "rental_id", "schedule_id", "webhook_id")

_MADE = re.compile(rb"/v1/(job|schedule|webhook)s/([0-9A-Za-z_-]{1,64})")
"""Where what a request has made stands, as `Location` tells it."""


class RequestLines:
    """Writes `request.answered` for each request, and `audit` for each that changed something.

    A request of another method than GET counts as a change where it succeeds, unless its route says otherwise
    (`changes_nothing`) or it repeats an earlier one. So a new route cannot be forgotten.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and tell of its answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        headers: Mapping[bytes, bytes] = {}

        async def note(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], dict(message.get("headers", ()))
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            _tell(scope, status, headers)


def changes_nothing(request: Request) -> None:
    """Note that a request that is not GET only asks for something."""
    request.scope[_CHANGES_NOTHING] = True


def _tell(scope: Scope, status: int, headers: Mapping[bytes, bytes]) -> None:
    method: str = scope["method"]
    extra = {"method": method, "status": status, **_route_in(scope), **_caller_in(scope), **_ids_in(scope)}
    if made := _MADE.match(headers.get(b"location", b"")):
        extra[f"{made[1].decode()}_id"] = made[2].decode()
    log.info("request.answered", extra=extra)
    is_change = method not in _READING and not scope.get(_CHANGES_NOTHING)
    if is_change and status < HTTPStatus.MULTIPLE_CHOICES and b"idempotency-replayed" not in headers:
        log.info("audit", extra={**extra, "action": scope["route"].name})


def _route_in(scope: Scope) -> dict[str, object]:
    """Return the path as it is declared; nothing where no route was found."""
    route = scope.get("route")
    return {"route": route.path} if isinstance(route, APIRoute) else {}


def _caller_in(scope: Scope) -> dict[str, object]:
    caller = scope.get("caller")
    return {"tenant": caller.tenant, "token_name": caller.token_name} if isinstance(caller, Caller) else {}


def _ids_in(scope: Scope) -> dict[str, object]:
    given: Mapping[str, str] = scope.get("path_params", {})
    return {name: given[name] for name in _IDS if name in given and _is_id(given[name])}


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None and is_shown(text)
