"""How large a request may be."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem

LARGEST_BODY_BYTES = 10 * 1024 * 1024
"""API Gateway itself refuses more than 10 MB, and Lambda an event of more than 6 MB (Lambda quotas)."""


class BodyLimit:
    """Answers 413 to a longer body, before anything reads it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and _announced_bytes(scope) > LARGEST_BODY_BYTES:
            response = Problem(413, "body_too_large", "The body is larger than 10 MiB.").as_response()
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _announced_bytes(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0
