"""Every error as RFC 9457 problem+json, and the table from errors to statuses.

Besides the standard members each problem has `code`, a stable name for comparing, and `error`, the sentence again,
which existing clients read first.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from rune.contracts import Document
from rune.errors import (
    AddressError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobFinishedError,
    JobNotFinishedError,
    JobNotFoundError,
    ModelServerError,
    NoReportError,
    NotABenchmarkError,
    RateLimitedError,
    RentalEndingError,
    RentalInUseError,
    RentalNotFoundError,
    RuneError,
    StoreUnavailableError,
    TenantSuspendedError,
    TooManyWaitingJobsError,
    UnauthorizedError,
    UnreadableRowError,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[type[RuneError], int] = {
    InvalidRequestError: 422,
    UnauthorizedError: 401,
    RateLimitedError: 401,
    TenantSuspendedError: 403,
    TooManyWaitingJobsError: 429,
    IdempotencyKeyReusedError: 422,
    JobNotFoundError: 404,
    JobFinishedError: 409,
    JobNotFinishedError: 409,
    NotABenchmarkError: 404,
    NoReportError: 409,
    RentalNotFoundError: 404,
    RentalInUseError: 409,
    RentalEndingError: 409,
    StoreUnavailableError: 503,
    UnreadableRowError: 503,
    # Of a server that the caller named, called while the caller waits.
    AddressError: 422,
    ModelServerError: 502,
}

HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="rune"'},
    503: {"Retry-After": "1"},
}

CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


class ProblemField(Document):
    """A field that is wrong."""

    pointer: str
    """JSON pointer (RFC 6901) into the body, or the name of a parameter."""
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as a caller sees it.

    Attributes
    ----------
    extra
        Further members: `errors` lists the fields that are wrong, each with a JSON pointer and a sentence.
    """

    status: int
    code: str
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_response(self) -> Response:
        """Return the problem as a response of the app."""
        headers = {**HEADERS.get(self.status, {}), **self.headers}
        return Response(self._body(), self.status, headers, media_type=MEDIA_TYPE)

    def as_lambda_response(self) -> dict[str, object]:
        """Return the problem as API Gateway takes it, for requests that the app cannot read."""
        return {"statusCode": self.status, "headers": {"content-type": MEDIA_TYPE}, "body": self._body()}

    def _body(self) -> str:
        members = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "error": self.detail,
        }
        return json.dumps({**members, **self.extra})


class ProblemDocument(Document):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    """Stable name, for comparing."""
    detail: str
    """One sentence for a person."""
    error: str
    """The same as `detail`."""
    errors: list[ProblemField] | None = None
    """Which fields are wrong."""
    retry_after_seconds: int | None = None
    """When to ask again."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems with these statuses for a route's documentation."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""
    app.add_exception_handler(RuneError, _answer_rune_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unforeseen)


def as_response(error: RuneError) -> Response:
    """Return the problem that stands for an error of RUNE's."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
    if status is None:
        return _unforeseen(error)
    if isinstance(error, InvalidRequestError):
        errors = [{"pointer": error.pointer, "detail": error.sentence}]
        return Problem(status, error.specific_code, error.sentence, {"errors": errors}).as_response()
    if isinstance(error, (RateLimitedError, JobNotFinishedError, TooManyWaitingJobsError)):
        extra = {"retry_after_seconds": error.retry_after_seconds}
        headers = {"Retry-After": str(error.retry_after_seconds)}
        return Problem(status, error.code, error.sentence, extra, headers).as_response()
    if isinstance(error, (StoreUnavailableError, UnreadableRowError)):
        log.error("request.failed", exc_info=error, extra={"code": error.code})
    return Problem(status, error.code, error.sentence).as_response()


async def _answer_rune_error(_request: Request, error: Exception) -> Response:
    return as_response(error) if isinstance(error, RuneError) else _unforeseen(error)


async def _answer_validation_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        return _unforeseen(error)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem(400, "invalid_json", "The body is not JSON.").as_response()
    # Neither the input nor pydantic's context is repeated: they may hold a secret, or NaN.
    errors = [{"pointer": _pointer(item["loc"]), "detail": _sentence(item)} for item in found]
    first = errors[0]
    detail = f"{first['pointer'] or 'The body'}: {first['detail']}"
    return Problem(422, "invalid_request", detail, {"errors": errors}).as_response()


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return _unforeseen(error)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI's answer to a body that breaks the parser in another way: it is no UTF-8, is nested too deeply, or
        # has a number of more than 4,300 digits. Nothing else here raises a 400.
        return Problem(400, "invalid_json", "The body cannot be read as JSON.").as_response()
    code = CODES.get(error.status_code, "bad_request")
    phrase = HTTPStatus(error.status_code).phrase
    headers = {**(error.headers or {})}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
    return Problem(error.status_code, code, f"{phrase}.", headers=headers).as_response()


async def _answer_unforeseen(_request: Request, error: Exception) -> Response:
    return _unforeseen(error)


def _unforeseen(error: Exception) -> Response:
    log.error("request.crashed", exc_info=error)
    return Problem(500, "internal_error", "RUNE failed; the log has the details.").as_response()


def _allowed_methods(request: Request) -> set[str]:
    """Return the methods of all routes at the path; Starlette names only the first route's."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    at_path = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    exactly = [route for route in at_path if route.path == request.url.path]
    return {method for route in exactly or at_path for method in route.methods or ()}


def _pointer(location: Sequence[str | int]) -> str:
    """Return a JSON pointer into the body (RFC 6901), empty for the body itself."""
    inside = [part for part in location if part not in {"body", "query", "path"}]
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in inside)


def _sentence(item: Mapping[str, object]) -> str:
    if item["type"] == "extra_forbidden":
        return "There is no such field."
    return str(item["msg"]).removeprefix("Value error, ")
