"""Every error that RUNE raises on purpose.

RuneError
├── RequestError                 the caller can correct it; raised before anything is stored
│   ├── InvalidRequestError      a field is wrong or two fields contradict each other
│   ├── InvalidDocumentError     the same, of several fields of a document that another service sent
│   ├── NotJsonError             what another service sent is not JSON
│   ├── UnauthorizedError        no token, or one that does not belong to the tenant
│   ├── TokenExpiredError        the time of a token is over
│   ├── LinkExpiredError         the time of a link is over
│   ├── SigningKeyMissingError   the deployment has no key to sign with
│   ├── InsufficientScopeError   the token may not do this
│   ├── TenantSuspendedError     the operator has suspended the tenant
│   ├── TenantUnknownError       an intake names a tenant that has no document
│   ├── RateLimitedError         too many failed authentications from the caller's address
│   ├── JobNotFoundError         no such job for this tenant
│   ├── JobFinishedError         the job has ended, so it can no longer be changed
│   ├── JobNotFinishedError      the job has no result yet
│   ├── NotABenchmarkError       the job is of another kind
│   ├── NoReportError            the benchmark ended without a report
│   ├── RentalNotFoundError      no such rental for this tenant, or it is gone
│   ├── RentalInUseError         a job uses the rental
│   ├── RentalEndingError        the rental is being given back
│   ├── ScheduleNotFoundError    no such schedule for this tenant
│   ├── ScheduleNameTakenError   another schedule of the tenant has the name
│   ├── TooManySchedulesError    the tenant has as many schedules as it may have
│   ├── SuiteNotFoundError       no such suite of cases for this tenant
│   ├── TooManySuitesError       the tenant has as many suites as it may have
│   ├── WebhookNotFoundError     no such webhook for this tenant, or it is removed
│   ├── DeliveryNotFoundError    the webhook never got the event, or it is too long ago
│   ├── WebhookDisabledError     the webhook gets no events now
│   ├── TooManyWebhooksError     the tenant has as many webhooks as it may have
│   ├── TooManyWaitingJobsError  the tenant has as many waiting jobs as it may have
│   ├── BudgetExhaustedError     a budget has too little left for what the job may cost
│   ├── IdempotencyKeysDifferError  the request has two keys
│   ├── StoppedError             everything of the tenant, or of all tenants, is stopped
│   └── IdempotencyKeyReusedError  the key was used before, with another request
├── AddressError                 an address that a caller chose
│   ├── AddressRefusedError      RUNE does not connect to it
│   └── AddressUnresolvedError   its name has no address
├── ModelServerError             a model server answered badly, or not at all
│   ├── ServerUnreachableError   no connection
│   ├── ServerTimeoutError       connected, then silent for too long
│   ├── ServerOverloadedError    429, 503, a full queue, a model still loading
│   ├── QuotaExhaustedError      the account with the server has no money or quota left
│   ├── ServerAccessError        401 or 403
│   ├── ServerFailedError        any other 5xx
│   ├── ModelNotFoundError       the server does not have the model
│   ├── ModelUnsupportedError    the server has the model, but it cannot do what was asked
│   ├── OutOfMemoryError         the model does not fit the server's memory
│   ├── DiskFullError            the model does not fit the server's disk
│   ├── RegistryFailedError      the registry that the server asked for the model fails
│   ├── ContextOverflowError     the question is longer than the model's context
│   ├── RequestRejectedError     any other 4xx
│   ├── ClusterNotUsableError    what is stored of a cluster cannot be used, or its certificate does not fit
│   ├── StreamTruncatedError     the answer broke off before its end marker
│   ├── StreamFailedError        an error arrived inside a 200
│   ├── PullStalledError         a model's download makes no progress
│   ├── PullTooSlowError         a model's download makes too little of it
│   │   └── PullTooLateError     and misses the job's deadline
│   └── BadResponseError         not the protocol: wrong type, not JSON, over a limit
│       └── UnknownPathError     the server does not have the route
├── RentalError                  the provider of GPUs
│   ├── OfferGoneError           the offer was taken
│   ├── NoCreditError            the account cannot pay, or may not yet
│   ├── CreditReservedError      the account's credit is kept for other machines
│   ├── ProviderKeyError         the key is wrong, or may not do this
│   ├── ProviderBusyError        429: too many calls; try again later
│   ├── SearchQuotaError         the day's searches are used up
│   ├── CreateLostError          it is unknown whether a machine was made
│   ├── ProviderRefusedError     any other 4xx
│   └── ProviderFailedError      5xx, no connection, or an unreadable answer
├── LoadProcessError             one of the processes that put a load has ended before its time
├── CostCapReachedError          the job's cap does not leave enough for the next call
├── StoreUnavailableError        the table or the bucket cannot be reached now
│   ├── StoreRefusedError        it refuses the call, and would refuse it again
│   ├── StoreContendedError      others write the same rows all the time
│   ├── RentalContendedError     others write the rental all the time
│   └── SettingsUnavailableError  a tenant's settings cannot be read now
├── UnreadableRowError           this version does not understand a row of the table, or a document in one
├── LeaseLostError               another worker has taken over the step
└── SettingsError                the deployment is configured wrongly; the function refuses to start
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

_OWN_ID = re.compile(r"([a-z]{1,8}_){0,2}[0-9a-f]{32}([-_][0-9]{1,6})?")
_SHORTEST_SECRET_CHARS = 32
"""A token has as many at least (`rune.tenants.tokens`)."""


def quote(text: str) -> str:
    """Return a caller's text in quotes; dots for one that is as long as a token, and is no id of ours."""
    return repr(text if is_shown(text) else "…")


def is_shown(text: str) -> bool:
    """Return whether a caller's text may stand in answers and logs: too short for a token, or an id of ours."""
    return len(text) < _SHORTEST_SECRET_CHARS or _OWN_ID.fullmatch(text) is not None


class RuneError(Exception):
    """Base of all errors raised on purpose.

    Attributes
    ----------
    code
        Stable snake_case name, part of the API: clients may compare it.
    retryable
        Whether the same call can succeed later without any change.
    sentence
        One sentence for people. Never holds a secret, a prompt or a server's raw body.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __reduce__(self) -> tuple[object, ...]:
        """Return how pickle makes the error anew: by its members, since constructors differ."""
        return _remake, (type(self), self.args, self.__dict__)


def _remake(kind: type[RuneError], arguments: tuple[object, ...], members: dict[str, object]) -> RuneError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(members)
    return error


class RequestError(RuneError):
    """The caller's request is refused; raised before anything is stored."""

    code = "bad_request"


class InvalidRequestError(RequestError):
    """A field is wrong, or two fields contradict each other.

    Parameters
    ----------
    pointer
        JSON pointer (RFC 6901) of the field in the request body.
    code
        More specific than `invalid_request`; None for that.
    """

    code = "invalid_request"

    def __init__(self, sentence: str, *, pointer: str, code: str | None = None) -> None:
        super().__init__(sentence)
        self.pointer = pointer
        self.specific_code = code or self.code


class InvalidDocumentError(RequestError):
    """Fields of a document that another service sent are wrong.

    Parameters
    ----------
    errors
        Each as `{"pointer", "detail"}`, at least one; the pointers are JSON pointers (RFC 6901) into the document.
    """

    code = "invalid_request"

    def __init__(self, sentence: str, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(sentence)
        self.errors = tuple(errors)


class NotJsonError(RequestError):
    """What another service sent cannot be read as JSON, or could be read in two ways."""

    code = "invalid_json"

    def __init__(self, what: str = "The body", *, repeated: str | None = None) -> None:
        is_wrong = "is not JSON" if repeated is None else f"has {repeated!r} twice in one object"
        super().__init__(f"{what} {is_wrong}.")


class UnauthorizedError(RequestError):
    """The request has no token, or one that does not belong to the named tenant."""

    code = "unauthorized"


class TokenExpiredError(RequestError):
    """The token is the tenant's, and its time is over."""

    code = "token_expired"

    def __init__(self) -> None:
        super().__init__("The token has expired; ask the operator for a new one.")


class LinkExpiredError(RequestError):
    """The link is one that RUNE has made, and its time is over."""

    code = "link_expired"

    def __init__(self) -> None:
        super().__init__("The time of this link is over; ask for a new one.")


class SigningKeyMissingError(RequestError):
    """The request needs a signature, and the operator has given the deployment no key."""

    code = "signing_key_missing"

    def __init__(self) -> None:
        super().__init__("This deployment has no key to sign with, so it cannot do that.")


class InsufficientScopeError(RequestError):
    """The token is the tenant's, and may not do what was asked; one with more scopes may.

    Attributes
    ----------
    needed
        The scope that it lacks.
    """

    code = "insufficient_scope"

    def __init__(self, token_name: str, *, needed: str, granted: Sequence[str]) -> None:
        has = f"has {', '.join(granted)}" if granted else "has none"
        super().__init__(f"This needs the scope {needed!r}, and your token {token_name!r} {has}.")
        self.needed = needed


class TenantSuspendedError(RequestError):
    """The token is valid, and the operator has suspended its tenant."""

    code = "tenant_suspended"

    def __init__(self) -> None:
        super().__init__("The operator has suspended this tenant.")


class TenantUnknownError(RequestError):
    """Something came in for a tenant that has no document."""

    code = "tenant_unknown"

    def __init__(self) -> None:
        super().__init__("The tenant is not known here: it has no document.")


class TooManyWaitingJobsError(RequestError):
    """The tenant has as many waiting jobs as it may have.

    Parameters
    ----------
    limit
        How many that is.
    """

    code = "too_many_waiting_jobs"
    retryable = True
    retry_after_seconds: ClassVar[int] = 60

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs of your tenant wait already; post this one when some have begun.")


class StoppedError(RequestError):
    """Everything of the tenant, or of all tenants, is stopped. Nothing was stored; it may be asked again later.

    Parameters
    ----------
    of_tenant
        Whether it is the tenant's own stop, and not the one of all tenants.
    """

    code = "stopped"
    retryable = True

    def __init__(self, *, of_tenant: bool) -> None:
        self.of_tenant = of_tenant
        super().__init__(
            "Everything of your tenant is stopped, so no job is accepted; DELETE /v1/stop ends that."
            if of_tenant
            else "The operator has stopped everything, so no job is accepted until that is taken back."
        )


class TooManyRequestsError(RequestError):
    """The tenant has sent as many requests as it may send within some seconds; nothing was read or written.

    Parameters
    ----------
    limit, window_seconds
        How many that is, and within how many seconds.
    retry_after_seconds
        Until the window ends, at least 1.
    """

    code = "too_many_requests"
    retryable = True
    what: ClassVar[str] = "requests"

    def __init__(self, limit: int, window_seconds: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"Your tenant may send {limit} {self.what} in {window_seconds} s and has; "
            f"go on in {retry_after_seconds} s."
        )
        self.retry_after_seconds = retry_after_seconds


class TooManyPollsError(TooManyRequestsError):
    """Too many requests that read."""

    code = "too_many_polls"
    what = "requests that read (GET)"


class TooManySubmitsError(TooManyRequestsError):
    """Too many requests that submit or change something."""

    code = "too_many_submits"
    what = "requests that submit or change (POST, PUT, PATCH, DELETE)"


class BudgetExhaustedError(RequestError):
    """A budget has less left than the job may cost. Nothing was stored; a job that may cost less may be accepted.

    Parameters
    ----------
    of_tenant
        Whether it is the tenant's own budget; otherwise it is that of the whole deployment.
    period
        `day` or `month`, in UTC.
    limit_micro_usd, left_micro_usd
        The whole budget, and what of it is neither spent nor reserved; negative where more was spent.
    reserved_micro_usd
        What of it jobs and kept machines hold: what they do not cost comes back.
    needed_micro_usd
        What the job may cost.
    renews_at
        When the next day or month begins, as text.
    """

    code = "budget_exhausted"
    retryable = True

    def __init__(
        self,
        *,
        of_tenant: bool,
        period: str,
        limit_micro_usd: int,
        left_micro_usd: int,
        reserved_micro_usd: int,
        needed_micro_usd: int,
        renews_at: str,
    ) -> None:
        whose = "Your tenant's" if of_tenant else "The whole deployment's"
        needed, left, reserved, limit = (
            f"{Decimal(micro_usd) / 1_000_000:f}"
            for micro_usd in (needed_micro_usd, left_micro_usd, reserved_micro_usd, limit_micro_usd)
        )
        lower = "A job with a lower max_cost_usd may be accepted. " if left_micro_usd > 0 else ""
        held = (
            f"{reserved} USD are reserved for jobs and kept machines; what they do not cost comes back. "
            if reserved_micro_usd > 0
            else ""
        )
        super().__init__(
            f"{whose} budget for this {period} has {left} of {limit} USD left, and the job may cost {needed}. "
            f"{lower}{held}The budget renews at {renews_at}."
        )
        self.of_tenant = of_tenant
        self.period = period
        self.limit_micro_usd = limit_micro_usd
        self.left_micro_usd = left_micro_usd
        self.reserved_micro_usd = reserved_micro_usd
        self.needed_micro_usd = needed_micro_usd
        self.renews_at = renews_at


class RateLimitedError(RequestError):
    """Too many authentications failed from the caller's address; valid tokens are refused too.

    Parameters
    ----------
    retry_after_seconds
        Until the block ends, at least 1.
    """

    code = "rate_limit_exceeded"
    retryable = True

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "Ten failed authentications came from your address within 60 seconds. "
            f"It is blocked for {retry_after_seconds} seconds more, for valid tokens too."
        )
        self.retry_after_seconds = retry_after_seconds


class IdempotencyKeysDifferError(RequestError):
    """The request has two idempotency keys; which of them names it is unknown."""

    code = "idempotency_keys_differ"

    def __init__(self) -> None:
        super().__init__("Idempotency-Key and X-Idempotency-Key are two different keys; send one of them.")


class IdempotencyKeyReusedError(RequestError):
    """The idempotency key was used before, with another request."""

    code = "idempotency_key_reused"


class JobNotFoundError(RequestError):
    """No such job, or it belongs to another tenant; the caller cannot tell the two apart."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {quote(job_id)}.")
        self.job_id = job_id


class JobFinishedError(RequestError):
    """The job has reached a terminal status, so it can no longer be changed."""

    code = "job_finished"

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"Job {job_id!r} has already ended: {status}.")
        self.job_id = job_id
        self.status = status


class JobNotFinishedError(RequestError):
    """The job has no result yet.

    Parameters
    ----------
    retry_after_seconds
        When to ask again.
    """

    code = "job_not_finished"
    retryable = True

    def __init__(self, job_id: str, retry_after_seconds: int) -> None:
        super().__init__(f"Job {job_id!r} has not ended yet.")
        self.job_id = job_id
        self.retry_after_seconds = retry_after_seconds


class NotABenchmarkError(RequestError):
    """The job is of another kind, which has no report."""

    code = "not_a_benchmark"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id!r} is not a benchmark.")
        self.job_id = job_id


class NoReportError(RequestError):
    """The benchmark failed, was cancelled, or has no report that this version can read."""

    code = "no_report"

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"Job {job_id!r} has no report: {reason}.")
        self.job_id = job_id


class RentalNotFoundError(RequestError):
    """No such rental, proven gone, or another tenant's; the caller cannot tell the three apart."""

    code = "rental_not_found"

    def __init__(self, rental_id: str) -> None:
        super().__init__(f"There is no rental {quote(rental_id)}.")
        self.rental_id = rental_id


class RentalInUseError(RequestError):
    """A job uses the rental and ends it; until then no request may change it."""

    code = "rental_in_use"

    def __init__(self, rental_id: str, job_id: str) -> None:
        super().__init__(f"Job {job_id!r} uses rental {rental_id!r}: cancel the job, or wait until it ends.")
        self.rental_id = rental_id
        self.job_id = job_id


class RentalEndingError(RequestError):
    """The rental is being given back, which cannot be undone, or has been."""

    code = "rental_ending"

    def __init__(self, rental_id: str, *, is_over: bool = False) -> None:
        super().__init__(f"Rental {rental_id!r} {'has been' if is_over else 'is being'} given back.")
        self.rental_id = rental_id


class RentalOpenError(RequestError):
    """The rented machine's server asks for no key, so there is none to tell."""

    code = "rental_has_no_key"

    def __init__(self, rental_id: str) -> None:
        super().__init__(f"The server of rental {rental_id!r} asks for no key.")
        self.rental_id = rental_id


class ScheduleNotFoundError(RequestError):
    """No such schedule, deleted, or another tenant's; the caller cannot tell the three apart."""

    code = "schedule_not_found"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"There is no schedule {quote(schedule_id)}.")
        self.schedule_id = schedule_id


class ScheduleNameTakenError(RequestError):
    """Another schedule of the tenant has the name."""

    code = "schedule_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"Your tenant has a schedule {name!r} already.")
        self.name = name


class TooManySchedulesError(RequestError):
    """The tenant has as many schedules as it may have.

    Parameters
    ----------
    limit
        How many that is.
    """

    code = "too_many_schedules"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Your tenant has {limit} schedules already; delete one that is no longer needed.")


class BaselineNotFoundError(RequestError):
    """No such baseline, or another tenant's; the caller cannot tell the two apart."""

    code = "baseline_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no baseline {quote(name)}.")
        self.name = name


class BaselineChangedError(RequestError):
    """The baseline is not what the caller expected it to be; nothing was written."""

    code = "precondition_failed"

    def __init__(self, name: str) -> None:
        super().__init__(f"Baseline {name!r} is another one than you expect.")
        self.name = name


class TooManyBaselinesError(RequestError):
    """The tenant has as many baselines as it may have.

    Parameters
    ----------
    limit
        How many that is.
    """

    code = "too_many_baselines"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Your tenant has {limit} baselines already; delete one that is no longer needed.")


class SuiteNotFoundError(RequestError):
    """No such suite, or another tenant's; the caller cannot tell the two apart."""

    code = "suite_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no suite {quote(name)}.")
        self.name = name


class TooManySuitesError(RequestError):
    """The tenant has as many suites as it may have.

    Parameters
    ----------
    limit
        How many that is.
    """

    code = "too_many_suites"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Your tenant has {limit} suites already; delete one that is no longer needed.")


class WebhookNotFoundError(RequestError):
    """No such webhook, removed, or another tenant's; the caller cannot tell the three apart."""

    code = "webhook_not_found"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {quote(webhook_id)}.")
        self.webhook_id = webhook_id


class DeliveryNotFoundError(RequestError):
    """The webhook never got the event, or its delivery is no longer kept."""

    code = "delivery_not_found"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"There is no delivery of {quote(event_id)}.")
        self.event_id = event_id


class WebhookDisabledError(RequestError):
    """The webhook gets no events until it is enabled."""

    code = "webhook_disabled"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"Webhook {webhook_id!r} is disabled: enable it first.")
        self.webhook_id = webhook_id


class TooManyWebhooksError(RequestError):
    """The tenant has as many webhooks as it may have.

    Parameters
    ----------
    limit
        How many that is.
    """

    code = "too_many_webhooks"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Your tenant has {limit} webhooks already; remove one first.")


class AddressError(RuneError):
    """An address that a caller chose cannot be used."""

    code = "address_error"


class AddressRefusedError(AddressError):
    """The address, or one that its name resolves to, is in a network to which RUNE does not connect."""

    code = "address_refused"


class AddressUnresolvedError(AddressError):
    """The host name has no usable address at the moment."""

    code = "address_unresolved"
    retryable = True


class ModelServerError(RuneError):
    """A model server answered badly, or not at all.

    Attributes
    ----------
    may_be_billed
        Whether a server that bills by the token may have billed the call. False where it refused to begin.
    told
        The server's words in lower case, with the names of fields that it complains of; for finding a cause, and
        shown to nobody.
    is_loading
        Whether the server is there and its model is not loaded yet.
    """

    code = "model_server_error"
    may_be_billed: bool = True
    told: str = ""
    is_loading: bool = False


class ServerUnreachableError(ModelServerError):
    """No connection could be made, or it broke before an answer began."""

    code = "server_unreachable"
    retryable = True


class ServerTimeoutError(ModelServerError):
    """The server was silent for too long, or the whole answer took longer than allowed."""

    code = "server_timeout"


class ServerOverloadedError(ModelServerError):
    """The server is busy: 429, 503, a full queue or a model that is still loading.

    Parameters
    ----------
    retry_after_seconds
        What the server asked for, or None.
    """

    code = "server_overloaded"
    retryable = True

    def __init__(self, sentence: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after_seconds


class QuotaExhaustedError(ModelServerError):
    """The account whose key was sent has no money or quota left, which no waiting mends."""

    code = "quota_exhausted"


class ServerAccessError(ModelServerError):
    """The server refuses access: 401, 403, or a key that it calls invalid."""

    code = "server_access_denied"


class ServerFailedError(ModelServerError):
    """The server failed: a 5xx without a cause that RUNE recognises."""

    code = "server_failed"
    retryable = True


class ModelNotFoundError(ModelServerError):
    """The server does not have the model."""

    code = "model_not_found"


class ModelUnsupportedError(ModelServerError):
    """The server has the model, but it cannot do what was asked (an embedding model cannot chat)."""

    code = "model_unsupported"


class OutOfMemoryError(ModelServerError):
    """The model does not fit the server's memory, or its runner was killed for memory."""

    code = "out_of_memory"


class DiskFullError(ModelServerError):
    """The model does not fit the disk of its server."""

    code = "disk_full"


class RegistryFailedError(ModelServerError):
    """The registry from which the server downloads the model fails; every other server asks the same one."""

    code = "registry_failed"
    retryable = True


class ContextOverflowError(ModelServerError):
    """The question, or it and the longest answer, are more than the context in which the model is loaded."""

    code = "context_overflow"


class ClusterNotUsableError(ModelServerError):
    """What the operator has stored of a cluster cannot be used: not complete, over, or not what it shows."""

    code = "cluster_not_usable"


class RequestRejectedError(ModelServerError):
    """The server refused the request as invalid: a 4xx without a cause that RUNE recognises."""

    code = "request_rejected"


class StreamTruncatedError(ModelServerError):
    """The answer ended before its end marker or without a finish reason."""

    code = "stream_truncated"
    retryable = True


class StreamFailedError(ModelServerError):
    """An error arrived inside an answer that had begun with 200."""

    code = "stream_failed"


class PullStalledError(ModelServerError):
    """The server's download of a model made no progress; another try continues from there."""

    code = "pull_stalled"
    retryable = True


class PullTooSlowError(ModelServerError):
    """The server's download of a model is so slow that another machine is expected to cost less."""

    code = "pull_too_slow"


class PullTooLateError(PullTooSlowError):
    """The download misses the job's deadline, and no other machine is expected to make it."""

    code = "pull_too_late"
    retryable = True


class BadResponseError(ModelServerError):
    """The answer does not follow the protocol: wrong content type, not JSON, fields missing, over a size limit."""

    code = "bad_response"


class UnknownPathError(BadResponseError):
    """The server does not have the route that was asked: 404 or 405 without a word on the model, or a page."""


class RentalError(RuneError):
    """The provider of GPUs refused, failed, or did not tell what it did.

    Attributes
    ----------
    contract_id
        A contract that a refusal names: it exists, bills, and must be destroyed.
    """

    code = "provider_error"

    def __init__(self, sentence: str, contract_id: int | None = None) -> None:
        super().__init__(sentence)
        self.contract_id = contract_id


class OfferGoneError(RentalError):
    """The offer was taken between the search and the order; another one may be ordered."""

    code = "offer_gone"
    retryable = True


class NoCreditError(RentalError):
    """The account has too little credit, no billing, or is new and limited; another offer does not help."""

    code = "no_credit"


class CreditReservedError(RentalError):
    """The account could pay for the machine, but not beside what others may still cost; nothing was done."""

    code = "credit_reserved"
    retryable = True


class ProviderKeyError(RentalError):
    """The provider does not know RUNE's key, or the key lacks a permission."""

    code = "provider_key"


class ProviderBusyError(RentalError):
    """The provider limits calls per key and refused this one; nothing was done.

    Attributes
    ----------
    retry_after_seconds
        What the provider asked for, or None.
    """

    code = "provider_busy"
    retryable = True

    def __init__(
        self, sentence: str, retry_after_seconds: int | None = None, contract_id: int | None = None
    ) -> None:
        super().__init__(sentence, contract_id)
        self.retry_after_seconds = retry_after_seconds


class SearchQuotaError(RentalError):
    """The key has no searches left until midnight UTC."""

    code = "search_quota"


class CreateLostError(RentalError):
    """An order without a readable answer: it may have been carried out, and is never repeated."""

    code = "create_lost"


class ProviderRefusedError(RentalError):
    """The provider refused for a reason that RUNE does not recognise; nothing was done."""

    code = "provider_refused"


class ProviderFailedError(RentalError):
    """The provider failed, could not be reached, or gave an unreadable answer."""

    code = "provider_failed"
    retryable = True


class LoadProcessError(RuneError):
    """One of the processes that put a load on a server has ended before its time; a later try may succeed."""

    code = "load_process_lost"
    retryable = True


class CostCapReachedError(RuneError):
    """The job's cap does not leave enough for the next call of a server that bills by the token."""

    code = "cost_cap_reached"

    def __init__(self) -> None:
        super().__init__("The job would have cost more than its cap.")


class StoreUnavailableError(RuneError):
    """The table or the bucket cannot be reached now; nothing was changed."""

    code = "store_unavailable"
    retryable = True


class StoreRefusedError(StoreUnavailableError):
    """The table or the bucket refuses the call, and another try does not help: a permission, or a faulty call."""

    retryable = False


class StoreContendedError(StoreUnavailableError):
    """Others wrote the same rows at each of several tries; nothing was changed, and a later try may succeed."""


class RentalContendedError(StoreUnavailableError):
    """Others wrote the rental first at each of several tries; nothing was changed, and a later try may succeed."""


class SettingsUnavailableError(StoreUnavailableError):
    """A tenant's settings, or the provider's key, cannot be read now, and the last reading is too old."""


class UnreadableRowError(RuneError):
    """A row, or a document in one, that this version does not understand, such as one that a later version wrote.

    It is left as it is: the version that wrote it can go on with it.
    """

    code = "row_unreadable"
    retryable = True


class LeaseLostError(RuneError):
    """Another worker has taken over the step; this worker's outcome may not be committed."""

    code = "lease_lost"


class SettingsError(RuneError):
    """The deployment is configured wrongly; the function refuses to start."""

    code = "bad_settings"
