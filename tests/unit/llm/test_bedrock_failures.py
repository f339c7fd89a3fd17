import pytest

from rune.errors import (
    ContextOverflowError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    StreamFailedError,
)
from rune.llm.bedrock_failures import describe_bedrock_failure
from rune.llm.failures import FailureContext

CONTEXT = FailureContext("nova", retry_after_seconds=9)


@pytest.mark.parametrize(
    ("code", "status", "error_type"),
    [
        ("ThrottlingException", 429, ServerOverloadedError),
        ("throttlingException", None, ServerOverloadedError),
        ("ServiceQuotaExceededException", 400, ServerOverloadedError),
        ("ModelNotReadyException", 429, ServerOverloadedError),
        ("ExpiredTokenException", 400, ServerAccessError),
        ("ResourceNotFoundException", 404, ModelNotFoundError),
        ("ModelTimeoutException", 408, ServerTimeoutError),
        ("ModelErrorException", 424, ServerFailedError),
        ("InternalServerException", 503, ServerFailedError),
        ("internalServerException", None, StreamFailedError),
        ("modelStreamErrorException", None, StreamFailedError),
        ("SomethingNewException", None, StreamFailedError),
        ("SomethingNewException", 401, ServerAccessError),
        ("SomethingNewException", 404, ModelNotFoundError),
        ("SomethingNewException", 418, RequestRejectedError),
        ("SomethingNewException", 429, ServerOverloadedError),
        ("SomethingNewException", 502, ServerFailedError),
        ("SomethingNewException", 504, ServerTimeoutError),
        ("", 500, ServerFailedError),
    ],
)
def test_failure_has_its_type_by_code_and_then_by_status(
    code: str, status: int | None, error_type: type[ModelServerError]
) -> None:
    assert type(describe_bedrock_failure(code, "Later.", status, CONTEXT)) is error_type


@pytest.mark.parametrize("status", [400, None])
@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        ("The provided model identifier is invalid.", ModelNotFoundError),
        ("This model version has reached the end of its life.", ModelNotFoundError),
        ("Input is too long for requested model.", ContextOverflowError),
        ("prompt is too long: 9 tokens > 8 maximum", ContextOverflowError),
        ("This model doesn't support tool use.", ModelUnsupportedError),
        ("The maximum tokens you requested exceeds the model limit of 2048.", RequestRejectedError),
        ("A conversation must start with a user message.", RequestRejectedError),
    ],
)
def test_validation_has_its_type_by_its_wording(
    message: str, status: int | None, error_type: type[ModelServerError]
) -> None:
    assert type(describe_bedrock_failure("ValidationException", message, status, CONTEXT)) is error_type


def test_overload_keeps_the_wait_that_bedrock_asked_for() -> None:
    error = describe_bedrock_failure("ThrottlingException", "", 429, CONTEXT)

    assert isinstance(error, ServerOverloadedError)
    assert error.retry_after_seconds == 9


def test_model_that_needs_a_profile_is_refused_with_that_hint() -> None:
    message = "Invocation of model ID nova with on-demand throughput isn't supported."

    error = describe_bedrock_failure("ValidationException", message, 400, CONTEXT)

    assert error.sentence == (
        'Bedrock has the model "nova", but it cannot chat as asked. Ask for its inference profile instead.'
    )


def test_quote_holds_neither_account_nor_arn() -> None:
    message = "User arn:aws:sts::123456789012:assumed-role/x of 123456789012 is strange."

    error = describe_bedrock_failure("SomethingNewException", message, 418, CONTEXT)

    assert error.sentence == "Bedrock refused the request (418). It said: User … of … is strange."


def test_denied_access_quotes_nothing() -> None:
    error = describe_bedrock_failure("AccessDeniedException", "User strange.", 403, CONTEXT)

    assert "strange" not in error.sentence
