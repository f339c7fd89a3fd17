"""What an answer of RUNE says: a document, a text, an error, and when to come again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from rune_client.errors import ApiError, UnreadableAnswerError, class_of


def read_document(response: httpx.Response) -> Any:  # noqa: ANN401  # the type is the call's
    """Return the JSON object of an answer.

    Raises
    ------
    UnreadableAnswerError
        It has none, as the page of a proxy.
    """
    document = _object_of(response)
    if document is None:
        raise _unreadable(response, "has no JSON object in it")
    return document


def read_text(response: httpx.Response) -> str:
    """Return the text of an answer."""
    return response.text


def read_nothing(response: httpx.Response) -> None:
    """Return nothing: the status said it all."""
    del response


def read_raw(response: httpx.Response) -> httpx.Response:
    """Return the answer itself."""
    return response


def error_of(response: httpx.Response) -> ApiError | None:
    """Return the error that an answer stands for; None for 2xx and 304."""
    status = response.status_code
    if response.is_success or status == HTTPStatus.NOT_MODIFIED:
        return None
    if not response.is_error:
        return _unreadable(response, "leads to another address")
    problem = _object_of(response) or {}
    code = _text_of(problem, "code")
    detail = _text_of(problem, "detail") or _text_of(problem, "error") or _text_of(problem, "message")
    errors = problem.get("errors")
    return class_of(status, code)(
        status,
        code,
        detail or f"The answer to {_request_of(response)} was {status}{_phrase_of(status)}.",
        title=_text_of(problem, "title") or "",
        errors=[each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else (),
        request_id=_text_of(problem, "request_id") or response.headers.get("X-Request-Id"),
        retry_after_seconds=retry_after_seconds(response),
        problem=problem,
    )


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return in how many seconds to come again, by `Retry-After`; None where it says nothing that can be read.

    It is a number of seconds or a date (RFC 9110, 10.2.3). A date counts from the answer's own `Date`, as the
    clock of this machine may be wrong.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    moment = _moment_of(value)
    if moment is None:
        return None
    now = _moment_of(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (moment - now).total_seconds())


def _moment_of(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _object_of(response: httpx.Response) -> dict[str, Any] | None:
    try:
        document = response.json()
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text_of(problem: Mapping[str, Any], name: str) -> str | None:
    value = problem.get(name)
    return value if isinstance(value, str) and value else None


def _phrase_of(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _request_of(response: httpx.Response) -> str:
    """Return method and path. The query stays out: it may hold a link's signature."""
    return f"{response.request.method} {response.request.url.path}"


def _unreadable(response: httpx.Response, what: str) -> UnreadableAnswerError:
    content_type = response.headers.get("Content-Type", "no content type").split(";")[0]
    return UnreadableAnswerError(
        response.status_code,
        None,
        f"The answer to {_request_of(response)} {what} ({content_type}). Is this RUNE's address?",
        request_id=response.headers.get("X-Request-Id"),
    )
