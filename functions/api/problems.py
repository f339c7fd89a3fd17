"""Every error as RFC 9457 problem+json; the one place that maps errors to statuses.

Beside the standard members each problem has `code`, stable and made for comparing, and `error`, the sentence once
more as a string, which clients in the field look for first.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rune.errors import (
    InvalidRequestError,
    JobFinishedError,
    JobNotFoundError,
    RequestError,
    RuneError,
    StoreUnavailableError,
    UnauthorizedError,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[type[RuneError], int] = {
    InvalidRequestError: 422,
    UnauthorizedError: 401,
    JobNotFoundError: 404,
    JobFinishedError: 409,
    StoreUnavailableError: 503,
}

HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="rune"'},
    503: {"Retry-After": "1"},
}

CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


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
        """Return the problem for the app to send."""
        headers = {**HEADERS.get(self.status, {}), **self.headers}
        return Response(self._body(), self.status, headers, media_type=MEDIA_TYPE)

    def as_lambda_response(self) -> dict[str, object]:
        """Return the problem for API Gateway, where the app cannot be reached."""
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


def install(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""
    app.add_exception_handler(RuneError, _answer_rune_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unforeseen)


async def _answer_rune_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RuneError) or type(error) not in STATUSES:
        return await _answer_unforeseen(_request, error)
    if isinstance(error, InvalidRequestError):
        errors = [{"pointer": error.pointer, "detail": error.sentence}]
        return Problem(422, error.specific_code, error.sentence, {"errors": errors}).as_response()
    if not isinstance(error, RequestError):
        log.error("request.failed", exc_info=error, extra={"code": error.code})
    return Problem(STATUSES[type(error)], error.code, error.sentence).as_response()


async def _answer_validation_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        return await _answer_unforeseen(_request, error)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem(400, "invalid_json", "The body is not JSON.").as_response()
    # Neither the input nor pydantic's context is repeated: they may hold a secret, or NaN.
    errors = [{"pointer": _pointer(item["loc"]), "detail": _sentence(item)} for item in found]
    first = errors[0]
    detail = f"{first['pointer'] or 'The body'}: {first['detail']}"
    return Problem(422, "invalid_request", detail, {"errors": errors}).as_response()


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _answer_unforeseen(_request, error)
    code = CODES.get(error.status_code, "bad_request")
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(error.status_code, code, f"{phrase}.", headers=error.headers or {}).as_response()


async def _answer_unforeseen(_request: Request, error: Exception) -> Response:
    log.error("request.crashed", exc_info=error)
    return Problem(500, "internal_error", "RUNE failed inside; the log has the details.").as_response()


def _pointer(location: Sequence[str | int]) -> str:
    """Return a JSON pointer into the body (RFC 6901), empty for the body itself."""
    inside = [part for part in location if part != "body"]
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in inside)


def _sentence(item: Mapping[str, object]) -> str:
    if item["type"] == "extra_forbidden":
        return "There is no such field."
    return str(item["msg"]).removeprefix("Value error, ")
