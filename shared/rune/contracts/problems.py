"""Every error as RFC 9457 problem+json, and the table from errors to statuses.

The API answers with these documents, and so does every other way in. Besides the standard members each problem has
`code`, a stable name for comparing, and `error`, the sentence again, which existing clients read first.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.document import Document
from rune.contracts.faults import describe_fault
from rune.errors import (
    AddressError,
    BaselineChangedError,
    BaselineNotFoundError,
    BudgetExhaustedError,
    DeliveryNotFoundError,
    IdempotencyKeyReusedError,
    IdempotencyKeysDifferError,
    InsufficientScopeError,
    InvalidDocumentError,
    InvalidRequestError,
    JobFinishedError,
    JobNotFinishedError,
    JobNotFoundError,
    LinkExpiredError,
    ModelServerError,
    NoReportError,
    NotABenchmarkError,
    NotJsonError,
    RateLimitedError,
    RentalEndingError,
    RentalInUseError,
    RentalNotFoundError,
    RentalOpenError,
    RuneError,
    ScheduleNameTakenError,
    ScheduleNotFoundError,
    SigningKeyMissingError,
    StoppedError,
    StoreUnavailableError,
    SuiteNotFoundError,
    TenantSuspendedError,
    TenantUnknownError,
    TokenExpiredError,
    TooManyBaselinesError,
    TooManyRequestsError,
    TooManySchedulesError,
    TooManySuitesError,
    TooManyWaitingJobsError,
    TooManyWebhooksError,
    UnauthorizedError,
    UnreadableRowError,
    WebhookDisabledError,
    WebhookNotFoundError,
    is_shown,
)

STATUSES: Mapping[type[RuneError], int] = {
    InvalidRequestError: 422,
    InvalidDocumentError: 422,
    NotJsonError: 400,
    IdempotencyKeysDifferError: 400,
    UnauthorizedError: 401,
    RateLimitedError: 401,
    TokenExpiredError: 401,
    LinkExpiredError: 401,
    SigningKeyMissingError: 409,
    InsufficientScopeError: 403,
    TenantSuspendedError: 403,
    TenantUnknownError: 403,
    TooManyWaitingJobsError: 429,
    TooManyRequestsError: 429,
    BudgetExhaustedError: 402,
    StoppedError: 409,
    IdempotencyKeyReusedError: 422,
    JobNotFoundError: 404,
    JobFinishedError: 409,
    JobNotFinishedError: 409,
    NotABenchmarkError: 404,
    NoReportError: 409,
    RentalNotFoundError: 404,
    RentalInUseError: 409,
    RentalEndingError: 409,
    RentalOpenError: 409,
    ScheduleNotFoundError: 404,
    ScheduleNameTakenError: 409,
    TooManySchedulesError: 409,
    BaselineNotFoundError: 404,
    BaselineChangedError: 412,
    TooManyBaselinesError: 409,
    SuiteNotFoundError: 404,
    TooManySuitesError: 409,
    WebhookNotFoundError: 404,
    DeliveryNotFoundError: 404,
    WebhookDisabledError: 409,
    TooManyWebhooksError: 409,
    StoreUnavailableError: 503,
    UnreadableRowError: 503,
    # Of a server that the caller named, called while the caller waits.
    AddressError: 422,
    ModelServerError: 502,
}


class ProblemField(Document):
    """A field that is wrong."""

    pointer: str
    """JSON pointer (RFC 6901) into the body, or the name of a parameter."""
    detail: str


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
    """The same as `detail`, except where the specification gives it other words: `rate limit exceeded`."""
    request_id: str | None = None
    """Under which the operator finds the request in the logs; also the header `X-Request-Id` of every answer."""
    errors: list[ProblemField] | None = None
    """Which fields are wrong."""
    retry_after_seconds: int | None = None
    """When to ask again."""
    budget: Literal["tenant", "deployment"] | None = None
    """Whose budget has too little left."""
    period: Literal["day", "month"] | None = None
    """For how long that budget is, in UTC."""
    limit_usd: float | None = None
    """The whole budget."""
    left_usd: float | None = None
    """What of it is neither spent nor reserved."""
    reserved_usd: float | None = None
    """What of it jobs and kept machines hold; what they do not cost comes back."""
    needed_usd: float | None = None
    """What the job may cost at most."""
    renews_at: str | None = None
    """When the next day or month begins."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as a caller sees it.

    Attributes
    ----------
    extra
        Further members: `errors` lists the fields that are wrong, each with a JSON pointer and a sentence.
    headers
        What an answer over HTTP says besides.
    """

    status: int
    code: str
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_document(self, request_id: str | None = None) -> dict[str, object]:
        """Return the members of the document.

        Parameters
        ----------
        request_id
            What the lines of the request carry; None where no log has them under one.
        """
        of_request = {} if request_id is None else {"request_id": request_id}
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "error": self.detail,
            **of_request,
            **self.extra,
        }

    def as_json(self, request_id: str | None = None) -> str:
        """Return the document as JSON; `request_id` is as in `as_document`."""
        return json.dumps(self.as_document(request_id))


UNFORESEEN = Problem(500, "internal_error", "RUNE failed; the log has the details.")

_TOLD_AT_ONCE = 3
"""Wrong fields that the sentence names."""


def problem_of(error: RuneError) -> Problem:
    """Return the problem that stands for an error of RUNE's; `UNFORESEEN` for one that no caller should meet."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
    if status is None:
        return UNFORESEEN
    if isinstance(error, InvalidRequestError):
        errors = [{"pointer": error.pointer, "detail": error.sentence}]
        return Problem(status, error.specific_code, error.sentence, {"errors": errors})
    if isinstance(error, InvalidDocumentError):
        return Problem(status, error.code, error.sentence, {"errors": [*error.errors]})
    extra, headers = _told_besides(error)
    return Problem(status, error.code, error.sentence, extra, headers)


def _told_besides(error: RuneError) -> tuple[Mapping[str, object], Mapping[str, str]]:
    """Return further members of an error's document, and headers."""
    if isinstance(error, BudgetExhaustedError):
        return _budget_members(error), {}
    if isinstance(error, InsufficientScopeError):
        # RFC 6750, 3.1.
        wanted = f'Bearer realm="rune", error="insufficient_scope", scope="{error.needed}"'
        return {}, {"WWW-Authenticate": wanted}
    if isinstance(
        error, (RateLimitedError, JobNotFinishedError, TooManyWaitingJobsError, TooManyRequestsError)
    ):
        extra: dict[str, object] = {"retry_after_seconds": error.retry_after_seconds}
        if isinstance(error, RateLimitedError):
            extra["error"] = "rate limit exceeded"
        return extra, {"Retry-After": str(error.retry_after_seconds)}
    return {}, {}


def _budget_members(error: BudgetExhaustedError) -> Mapping[str, object]:
    return {
        "budget": "tenant" if error.of_tenant else "deployment",
        "period": error.period,
        "limit_usd": error.limit_micro_usd / MICRO_USD_PER_USD,
        "left_usd": error.left_micro_usd / MICRO_USD_PER_USD,
        "reserved_usd": error.reserved_micro_usd / MICRO_USD_PER_USD,
        "needed_usd": error.needed_micro_usd / MICRO_USD_PER_USD,
        "renews_at": error.renews_at,
    }


MOST_TOLD = 50
"""Wrong fields that one answer names. Who mends them learns of the next ones."""


def refuse_document(
    found: Sequence[Mapping[str, object]],
    document: type[BaseModel] | None = None,
    *,
    inside: str = "",
) -> InvalidDocumentError:
    """Return the error for what pydantic has found in a document, of which there is at least one thing.

    Neither a text of the input nor pydantic's context is repeated: they may hold a secret, or NaN.

    Parameters
    ----------
    document
        What kind of document it is, if that is known; then fields that do not exist get hints.
    inside
        Where it stands in what was sent, as a JSON pointer.
    """
    errors = [
        {"pointer": inside + _pointer(_shown(item)), "detail": describe_fault(item, document)}
        for item in found[:MOST_TOLD]
    ]
    told = " ".join(f"{each['pointer'] or 'The body'}: {each['detail']}" for each in errors[:_TOLD_AT_ONCE])
    rest = len(found) - _TOLD_AT_ONCE
    more = f" {rest} more: see `errors`." if rest > 0 else ""
    return InvalidDocumentError(told + more, errors)


def _shown(item: Mapping[str, object]) -> object:
    """Return the place of a fault; dots for the name of a field that does not exist and is as long as a secret."""
    location = item["loc"]
    parts = list(location) if isinstance(location, (list, tuple)) else []
    # Pydantic's own mark of a member's name, which is no place in a document.
    parts = [part for part in parts if part != "[key]"]
    if item["type"] == "extra_forbidden" and parts and not is_shown(str(parts[-1])):
        parts[-1] = "…"
    return parts


def _pointer(location: object) -> str:
    """Return a JSON pointer into the body (RFC 6901), empty for the body itself."""
    parts = location if isinstance(location, (list, tuple)) else ()
    # Those that begin so name a branch of a union (`rune.contracts.workloads`), and are no place in a document.
    parts = [part for part in parts if not str(part).startswith("|")]
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
