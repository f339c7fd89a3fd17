"""From an error code of Bedrock's to one typed error with a sentence for people.

A code is written `ThrottlingException` before an answer and `throttlingException` inside one, so case and ending
do not count. What is recognised gets a sentence of our own; what is not quotes AWS briefly, without the account
numbers and ARNs that its sentences hold.
"""

import re
from collections.abc import Callable, Mapping

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
from rune.llm.failures import FailureContext, excerpt

_MAX_READ_CHARS = 4096
_ARN = re.compile(r"\barn:[\w-]*:\S+")
_ACCOUNT = re.compile(r"\b\d{12}\b")

# Each family of models has its own words for it (seen in AWS's forum and in clients' trackers, 2024 to 2026).
# Not "the maximum tokens you requested exceeds the model limit": that is the answer's limit and not the question.
_CONTEXT_OVERFLOW = re.compile(
    r"(?:input|prompt|request) (?:is|was) too long|too many (?:input|prompt|total) tokens"
    r"|context (?:length|window|size|limit)|input (?:length|tokens?)\b.{0,80}\b(?:exceed|maximum)"
    r"|maximum (?:number of )?(?:input|prompt) tokens",
    re.IGNORECASE,
)
_MODEL_NOT_FOUND = re.compile(
    r"model identifier is invalid"
    r"|\bmodel\b.{0,300}\b(?:not found|does not exist|could not be found|end of its life)",
    re.IGNORECASE,
)
_MODEL_UNSUPPORTED = re.compile(
    r"on-demand throughput isn.t supported|does(?:n.t| not) support|is not supported|isn.t supported",
    re.IGNORECASE,
)

type _Describe = Callable[[FailureContext], ModelServerError]


def describe_bedrock_failure(
    code: str, message: str, status: int | None, context: FailureContext
) -> ModelServerError:
    """Return the error that an answer of Bedrock's stands for.

    Parameters
    ----------
    code, message
        Of botocore's `response["Error"]`.
    status
        Of the answer; None for an error inside a 200.

    Notes
    -----
    Codes: botocore's service model of `bedrock-runtime` and `bedrock`, 1.44.5, and AWS's common errors. An error
    inside an answer is a failed stream unless it says that a later try can help.
    """
    cause = code.lower().removesuffix("exception").removesuffix("error")
    if cause == "validation":
        return _describe_validation(message[:_MAX_READ_CHARS], context)
    if cause in _BY_CODE:
        return _BY_CODE[cause](context)
    said = _quote(message)
    if status is None:
        return StreamFailedError(f"Bedrock broke its answer off with an error.{said}")
    if cause not in _FAILED_INSIDE and status in _BY_STATUS:
        return _BY_STATUS[status](context)
    if cause in _FAILED_INSIDE or status >= 500:  # noqa: PLR2004 RFC 9110, 15.6
        return ServerFailedError(f"Bedrock failed inside ({status}).{said}")
    return RequestRejectedError(f"Bedrock refused the request ({status}).{said}")


def _describe_validation(message: str, context: FailureContext) -> ModelServerError:
    if _MODEL_NOT_FOUND.search(message):
        return _model_not_found(context)
    if _CONTEXT_OVERFLOW.search(message):
        return ContextOverflowError(f"The question is longer than the context of {_named(context)}.")
    if _MODEL_UNSUPPORTED.search(message):
        hint = " Ask for its inference profile instead." if "on-demand" in message.lower() else ""
        return ModelUnsupportedError(f"Bedrock has {_named(context)}, but not for a chat as asked.{hint}")
    return RequestRejectedError(f"Bedrock refused the request as invalid.{_quote(message)}")


def _quote(message: str) -> str:
    said = excerpt(_ACCOUNT.sub("…", _ARN.sub("…", message[:_MAX_READ_CHARS])))
    return f" It said: {said}" if said else ""


def _named(context: FailureContext) -> str:
    return "the model" if context.model is None else f'the model "{excerpt(context.model)}"'


def _overloaded(context: FailureContext) -> ModelServerError:
    return ServerOverloadedError(
        "Bedrock has too much to do, or the account's quota is used up, and asks to come later.",
        retry_after_seconds=context.retry_after_seconds,
    )


def _not_ready(context: FailureContext) -> ModelServerError:
    return ServerOverloadedError(
        f"Bedrock is still getting {_named(context)} ready.", retry_after_seconds=context.retry_after_seconds
    )


def _access_denied(_context: FailureContext) -> ModelServerError:
    # Nothing of AWS's own sentence, which names the account and the role.
    return ServerAccessError(
        "AWS refuses this deployment: its role, or its account, lacks access to the model."
    )


def _model_not_found(context: FailureContext) -> ModelServerError:
    return ModelNotFoundError(f"Bedrock does not have {_named(context)} in this region.")


def _timed_out(_context: FailureContext) -> ModelServerError:
    return ServerTimeoutError("Bedrock gave up waiting for the model.")


_BY_CODE: Mapping[str, _Describe] = {
    "throttling": _overloaded,
    "throttled": _overloaded,
    "requestlimitexceeded": _overloaded,
    "toomanyrequests": _overloaded,
    "servicequotaexceeded": _overloaded,
    "serviceunavailable": _overloaded,
    "slowdown": _overloaded,
    "modelnotready": _not_ready,
    "accessdenied": _access_denied,
    "unrecognizedclient": _access_denied,
    "invalidclienttokenid": _access_denied,
    "invalidsignature": _access_denied,
    "signaturedoesnotmatch": _access_denied,
    "incompletesignature": _access_denied,
    "missingauthenticationtoken": _access_denied,
    "expiredtoken": _access_denied,
    "notauthorized": _access_denied,
    "optinrequired": _access_denied,
    "resourcenotfound": _model_not_found,
    "modeltimeout": _timed_out,
}

_FAILED_INSIDE = frozenset({"model", "modelstream", "internalserver", "internalfailure"})

_BY_STATUS: Mapping[int, _Describe] = {
    401: _access_denied,
    403: _access_denied,
    404: _model_not_found,
    408: _timed_out,
    429: _overloaded,
    503: _overloaded,
    504: _timed_out,
}
