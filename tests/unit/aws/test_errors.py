import logging

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from rune.aws.errors import REFUSED_SENTENCE, is_transient, reason_of, store_errors
from rune.errors import StoreRefusedError, StoreUnavailableError


def a_client_error(code: str, status: int = 400, *reasons: str) -> ClientError:
    response = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return ClientError(response, "AnyOperation")  # type: ignore[arg-type]  # what is read of it


CANCELLED = "TransactionCanceledException"
TRANSIENT: list[BotoCoreError | ClientError] = [
    a_client_error("ProvisionedThroughputExceededException"),
    a_client_error("ThrottlingException"),
    a_client_error("TransactionConflictException"),
    a_client_error("RequestThrottled"),
    a_client_error("KmsThrottled"),
    a_client_error("TooManyRequestsException"),
    a_client_error("SlowDown", 503),
    a_client_error("Unknown", 500),
    a_client_error(CANCELLED, 400, "None", "ThrottlingError"),
    a_client_error(CANCELLED, 400, "ProvisionedThroughputExceeded", "TransactionConflict"),
    EndpointConnectionError(endpoint_url="https://dynamodb"),
    ConnectTimeoutError(endpoint_url="https://dynamodb"),
    ReadTimeoutError(endpoint_url="https://dynamodb"),
]
PERMANENT: list[BotoCoreError | ClientError] = [
    a_client_error("AccessDeniedException"),
    a_client_error("ValidationException"),
    a_client_error("ResourceNotFoundException"),
    a_client_error("NoSuchKey", 404),
    a_client_error(CANCELLED, 400, "None", "ValidationError"),
    a_client_error(CANCELLED, 400, "ThrottlingError", "ValidationError"),
    a_client_error(CANCELLED),
    NoCredentialsError(),
    ParamValidationError(report="a faulty call"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_store_is_unavailable_when_the_error_may_go_away(
    error: BotoCoreError | ClientError, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreUnavailableError, match="Away") as raised, store_errors("Away."):
        raise error

    assert (is_transient(error), raised.value.retryable) == (True, True)
    assert caplog.records == []


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_store_refuses_when_another_try_does_not_help(
    error: BotoCoreError | ClientError, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreRefusedError) as raised, store_errors("Away."):
        raise error

    assert (is_transient(error), raised.value.retryable) == (False, False)
    # It is not named an outage, and an operator is told.
    assert raised.value.sentence == REFUSED_SENTENCE
    (record,) = caplog.records
    assert (record.levelno, record.msg, record.__dict__["metric"]) == (
        logging.ERROR,
        "aws.refused",
        "CallsRefused",
    )
    assert record.__dict__["reason"] == reason_of(error)
