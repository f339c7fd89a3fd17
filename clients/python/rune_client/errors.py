"""Every error that the client raises.

RuneError
├── InvalidArgumentError         an argument can be no part of a request; nothing was sent
├── SettingsError                a settings file, a variable or a token cannot be used; nothing was sent
├── NetworkError                 no answer: no connection, cut off, too slow
├── WaitTimedOutError            the time to wait is over; the job goes on
└── ApiError                     RUNE answered with an error
    ├── NotAuthorizedError       401, 403: no token, a wrong one, or one that may not do this
    ├── BudgetError              402, and refusals for the cap of a job's cost
    ├── RateLimitedError         429: the same may be asked after `retry_after_seconds`
    ├── RefusedError             every other 4xx: the request must change
    │   ├── NotFoundError        404: nothing of this name belongs to the tenant
    │   └── ConflictError        409, 412: the state of things does not allow it
    └── ServerError              5xx: RUNE, or what stands before it, failed
        └── UnreadableAnswerError  an answer that is not RUNE's, with any status

None of them holds the token, and none repeats what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

_COST_CODES = frozenset(
    {
        "bedrock_budget_exceeded",
        "budget_exhausted",
        "cost_cap_reached",
        "cost_cap_too_high",
        "cost_cap_too_low",
    }
)


class RuneError(Exception):
    """The base of all."""


class InvalidArgumentError(RuneError, ValueError):
    """An argument can be no part of a request. Nothing was sent."""


class SettingsError(RuneError):
    """A settings file, a variable or a token cannot be used. Nothing was sent."""


class NetworkError(RuneError):
    """There is no answer: no connection, a connection that was cut off, or nothing for too long.

    Attributes
    ----------
    may_have_arrived
        Whether RUNE may have got the request. False where there was no connection.
    idempotency_key
        The key of a submission. The same submission under the same key is the same job, so it may be sent again.
    """

    def __init__(
        self, message: str, *, may_have_arrived: bool = True, idempotency_key: str | None = None
    ) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived
        self.idempotency_key = idempotency_key


class WaitTimedOutError(RuneError):
    """The time to wait is over. The job goes on, and may cost money.

    Attributes
    ----------
    job_id
        The job.
    timeout_seconds
        How long was waited.
    """

    def __init__(self, job_id: str, timeout_seconds: float) -> None:
        super().__init__(f"Job {job_id} has not ended within {timeout_seconds:g} s. It goes on.")
        self.job_id = job_id
        self.timeout_seconds = timeout_seconds


class ApiError(RuneError):
    """RUNE answered with an error.

    Attributes
    ----------
    status
        The HTTP status.
    code
        Stable name of the error, from the table in RUNE's `docs/api.md`; None where the answer names none, as
        those of API Gateway and of proxies.
    title, detail
        The error in general, and a sentence on this one.
    pointer
        JSON pointer to the first field that is wrong; None where none is named.
    errors
        Every field that is wrong, each with `pointer` and `detail`.
    request_id
        What to tell the operator.
    retry_after_seconds
        In how many seconds the same request may be sent again; None where nothing is said.
    problem
        The whole document of the error; empty where the answer has none.
    """

    def __init__(
        self,
        status: int,
        code: str | None,
        detail: str,
        *,
        title: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.problem = dict(problem or {})

    @property
    def pointer(self) -> str | None:
        """JSON pointer to the first field that is wrong."""
        return self.errors[0].get("pointer") if self.errors else None

    def __str__(self) -> str:
        known = [f"{self.status} {self.code}" if self.code else str(self.status)]
        known += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.detail} ({', '.join(known)})"


class NotAuthorizedError(ApiError):
    """401 or 403: there is no token, it is a wrong one, or it may not do this."""


class BudgetError(ApiError):
    """402, or a refusal for the cap of a job's cost. `problem` has what is left of the budget."""


class RateLimitedError(ApiError):
    """429: too many requests, or too many waiting jobs."""


class RefusedError(ApiError):
    """Any other 4xx: the same request will be refused again."""


class NotFoundError(RefusedError):
    """404: nothing of this name belongs to the tenant."""


class ConflictError(RefusedError):
    """409 or 412: the state of things does not allow it."""


class ServerError(ApiError):
    """5xx: RUNE failed, or what stands before it. Another try may help."""


class UnreadableAnswerError(ServerError):
    """An answer that is not RUNE's: no JSON where JSON was promised, or a redirect. Look at the base URL."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: NotAuthorizedError,
    402: BudgetError,
    403: NotAuthorizedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    429: RateLimitedError,
}


def class_of(status: int, code: str | None) -> type[ApiError]:
    """Return the class of an answer from 400 on."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError
    return BudgetError if code in _COST_CODES else _BY_STATUS.get(status, RefusedError)
