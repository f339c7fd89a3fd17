"""Which errors of AWS may go away by themselves, for every call: of the table, the bucket, the queues and SSM."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnectionError

from rune.errors import StoreRefusedError, StoreUnavailableError

TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "InternalServerError",
        "KmsThrottled",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Codes after which the same call may succeed. Those without "Exception" are reasons of a cancelled transaction, or
S3's own; those with "Kms" and "RequestThrottled" are those of SQS.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
"""

REFUSED_METRIC = "CallsRefused"
"""Counts calls that fail each time: a permission, a key, a name or an argument is wrong. An operator must act."""

REFUSED_SENTENCE = "AWS refuses the call, and another try does not help; the deployment's log has the reason."

log = logging.getLogger(__name__)

_FIRST_SERVER_STATUS = 500
_CANCELLED = "TransactionCanceledException"
_NO_REASON = "None"


def is_transient(error: BotoCoreError | ClientError) -> bool:
    """Return whether the same call may succeed later, without any change."""
    if not isinstance(error, ClientError):
        return isinstance(error, (HTTPClientError, IncompleteReadError, NoConnectionError))
    if code_of(error) == _CANCELLED:
        codes = {reason.get("Code", _NO_REASON) for reason in cancellation_reasons(error)} - {_NO_REASON}
        return bool(codes) and codes <= TRANSIENT_CODES
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in TRANSIENT_CODES or status >= _FIRST_SERVER_STATUS


def code_of(error: ClientError) -> str:
    """Return AWS's name of the error."""
    return error.response.get("Error", {}).get("Code", "")


def cancellation_reasons(error: ClientError) -> Sequence[Mapping[str, Any]]:
    """Return why each write of a cancelled transaction was cancelled, in their order."""
    return cast("Sequence[Mapping[str, Any]]", error.response.get("CancellationReasons", ()))


@contextmanager
def store_errors(sentence: str) -> Iterator[None]:
    """Turn the SDK's errors into StoreUnavailableError with the sentence, or into StoreRefusedError.

    A refusal is no outage, so it has a sentence of its own, and its cause is logged and counted.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if is_transient(error):
            raise StoreUnavailableError(sentence) from error
        log_failed_call(log, "aws.refused", error)
        raise StoreRefusedError(REFUSED_SENTENCE) from error


def log_failed_call(
    own_log: logging.Logger,
    event: str,
    error: BotoCoreError | ClientError,
    labels: Mapping[str, object] | None = None,
) -> None:
    """Log a call that failed: a warning where it may succeed later, an error that is counted where it will not."""
    extra = {**(labels or {}), "reason": reason_of(error)}
    if is_transient(error):
        own_log.warning(event, exc_info=error, extra=extra)
    else:
        own_log.error(event, exc_info=error, extra={**extra, "metric": REFUSED_METRIC})


def reason_of(error: BotoCoreError | ClientError) -> str:
    """Return the service's code, or the type: messages may repeat what was sent."""
    return code_of(error) if isinstance(error, ClientError) else type(error).__name__
