"""Which errors of AWS may go away by themselves, for every call of the table and the bucket."""

from __future__ import annotations

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
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Codes after which the same call may succeed. Those without "Exception" are reasons of a cancelled transaction, or
S3's own.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

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
    """Turn the SDK's errors into StoreUnavailableError with the sentence, or into StoreRefusedError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        kind = StoreUnavailableError if is_transient(error) else StoreRefusedError
        raise kind(sentence) from error
