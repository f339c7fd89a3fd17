"""Every error of the API as a response; what stands in it says `rune.contracts.problems`."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from api.nearest_routes import explain_method, explain_path, list_routes
from rune import logs
from rune.contracts.problems import (
    UNFORESEEN,
    Problem,
    problem_of,
    refuse_document,
)
from rune.errors import NotJsonError, RuneError, StoreUnavailableError, UnreadableRowError
from rune.json_members import RepeatedMemberError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="rune"'},
    503: {"Retry-After": "1"},
}

CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def respond(problem: Problem) -> Response:
    """Return the problem as a response of the app."""
    headers = {**HEADERS.get(problem.status, {}), **problem.headers}
    return Response(problem.as_json(logs.request_id()), problem.status, headers, media_type=MEDIA_TYPE)


def respond_to_lambda(problem: Problem) -> dict[str, object]:
    """Return the problem as API Gateway takes it, for requests that the app cannot read."""
    return {
        "statusCode": problem.status,
        "headers": {"content-type": MEDIA_TYPE},
        "body": problem.as_json(logs.request_id()),
    }


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
    problem = problem_of(error)
    if problem is UNFORESEEN:
        return _unforeseen(error)
    if isinstance(error, (StoreUnavailableError, UnreadableRowError)):
        log.error("request.failed", exc_info=error, extra={"code": error.code})
    return respond(problem)


async def _answer_rune_error(_request: Request, error: Exception) -> Response:
    return as_response(error) if isinstance(error, RuneError) else _unforeseen(error)


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        return _unforeseen(error)
    found = error.errors()
    for item in found:
        if item["type"] == "json_invalid":
            return respond(_not_json(item))
    is_of_body = all(item["loc"][:1] == ("body",) for item in found)
    inside = [{**item, "loc": _inside(item["loc"])} for item in found]
    return respond(problem_of(refuse_document(inside, _body_of(request) if is_of_body else None)))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return _unforeseen(error)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI's answer to a body that breaks the parser in another way. Nothing else here raises a 400.
        return respond(Problem(400, "invalid_json", _why_unreadable(error.__cause__)))
    code = CODES.get(error.status_code, "bad_request")
    sentence = f"{HTTPStatus(error.status_code).phrase}."
    headers = {**(error.headers or {})}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = sorted(_allowed_methods(request))
        headers["Allow"] = ", ".join(allowed)
        sentence = explain_method(request.method, request.url.path, allowed, list_routes(request.app))
    elif error.status_code == HTTPStatus.NOT_FOUND:
        sentence = explain_path(request.method, request.url.path, list_routes(request.app))
    return respond(Problem(error.status_code, code, sentence, headers=headers))


def _not_json(item: Mapping[str, Any]) -> Problem:
    """Return where a body stops to be JSON, and why; the parser's reasons hold nothing of the body."""
    reason, position = item.get("ctx", {}).get("error", ""), item["loc"][-1]
    place = f" at character {position + 1}" if isinstance(position, int) else ""
    return Problem(400, "invalid_json", f"The body is not JSON{place}: {reason or 'it cannot be read'}.")


def _why_unreadable(cause: BaseException | None) -> str:
    match cause:
        case RepeatedMemberError():
            return str(NotJsonError(repeated=cause.name))
        case UnicodeDecodeError():
            return f"The body is not UTF-8: byte {cause.start + 1} is none of its."
        case RecursionError():
            return "The body is nested too deeply."
        case ValueError():
            return "The body holds a number of too many digits."
        case _:
            return "The body cannot be read as JSON."


def _body_of(request: Request) -> type[BaseModel] | None:
    """Return the kind of document that the route takes as its body."""
    field = getattr(request.scope.get("route"), "body_field", None)
    kind = getattr(getattr(field, "field_info", None), "annotation", None)
    kinds = [
        each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, BaseModel)
    ]
    return kinds[0] if kinds else None


async def _answer_unforeseen(_request: Request, error: Exception) -> Response:
    return _unforeseen(error)


def _unforeseen(error: Exception) -> Response:
    log.error("request.crashed", exc_info=error)
    return respond(UNFORESEEN)


def _allowed_methods(request: Request) -> set[str]:
    """Return the methods of all routes at the path; Starlette names only the first route's."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    at_path = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    exactly = [route for route in at_path if route.path == request.url.path]
    return {method for route in exactly or at_path for method in route.methods or ()}


def _inside(location: Sequence[str | int]) -> list[str | int]:
    """Return where in the body, query or path something is, without the name of the part."""
    return [part for part in location if part not in {"body", "query", "path"}]
