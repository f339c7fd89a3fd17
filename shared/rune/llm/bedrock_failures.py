"""Finding the cause of a failure in an error code of Bedrock's.

A code is written `ThrottlingException` before an answer and `throttlingException` inside one, so case and ending do
not count. Codes: botocore's service models of `bedrock-runtime` and `bedrock`, 1.44.5, and AWS's common errors
(https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html).
"""

import re
from collections.abc import Mapping

from rune.errors import ModelServerError
from rune.llm.failures import MAX_READ_CHARS, Cause, Complaint, FailureContext, Wording, make_error

_WORDING = Wording(
    "Bedrock",
    {
        # Nothing of AWS's own sentence, which names the account and the role.
        Cause.ACCESS_DENIED: "AWS refuses this deployment: its role, or its account, lacks access to the model.",
        Cause.MODEL_NOT_FOUND: "Bedrock does not have {model} in this region.",
        Cause.MODEL_UNSUPPORTED: "Bedrock has {model}, but it cannot chat as asked.",
        Cause.OVERLOADED: "Bedrock is overloaded, or the account's quota is used up; try again later.",
        Cause.TIMED_OUT: "Bedrock gave up waiting for the model.",
    },
)

_ARN = re.compile(r"\barn:[\w-]*:\S+")
_ACCOUNT = re.compile(r"\b\d{12}\b")

# Each family of models has its own wording (seen in AWS's forum and in clients' trackers, 2024 to 2026).
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
_NEEDS_PROFILE = re.compile(r"on-demand", re.IGNORECASE)
_MODEL_UNSUPPORTED = re.compile(
    r"on-demand throughput isn.t supported|does(?:n.t| not) support|is not supported|isn.t supported",
    re.IGNORECASE,
)

_BY_CODE: Mapping[str, Cause] = {
    "throttling": Cause.OVERLOADED,
    "throttled": Cause.OVERLOADED,
    "requestlimitexceeded": Cause.OVERLOADED,
    "toomanyrequests": Cause.OVERLOADED,
    "servicequotaexceeded": Cause.OVERLOADED,
    "serviceunavailable": Cause.OVERLOADED,
    "slowdown": Cause.OVERLOADED,
    "modelnotready": Cause.LOADING,
    "accessdenied": Cause.ACCESS_DENIED,
    "unrecognizedclient": Cause.ACCESS_DENIED,
    "invalidclienttokenid": Cause.ACCESS_DENIED,
    "invalidsignature": Cause.ACCESS_DENIED,
    "signaturedoesnotmatch": Cause.ACCESS_DENIED,
    "incompletesignature": Cause.ACCESS_DENIED,
    "missingauthenticationtoken": Cause.ACCESS_DENIED,
    "expiredtoken": Cause.ACCESS_DENIED,
    "notauthorized": Cause.ACCESS_DENIED,
    "optinrequired": Cause.ACCESS_DENIED,
    "resourcenotfound": Cause.MODEL_NOT_FOUND,
    "modeltimeout": Cause.TIMED_OUT,
}

_FAILED_CODES = frozenset({"model", "modelstream", "internalserver", "internalfailure"})


def describe_bedrock_failure(
    code: str, message: str, status: int | None, context: FailureContext
) -> ModelServerError:
    """Return the error that an answer of Bedrock's stands for.

    Parameters
    ----------
    code, message
        Of botocore's `response["Error"]`.
    status
        Of the answer; None for an error inside a 200, which is a failed stream unless its code says more.
    """
    words = message[:MAX_READ_CHARS]
    cause = _find_cause(code.lower().removesuffix("exception").removesuffix("error"), words, status)
    needs_profile = cause is Cause.MODEL_UNSUPPORTED and _NEEDS_PROFILE.search(words)
    complaint = Complaint(
        # Without the account numbers and ARNs that AWS's sentences hold.
        _ACCOUNT.sub("…", _ARN.sub("…", words)),
        status,
        cause,
        is_in_stream=status is None,
        hint="Ask for its inference profile instead." if needs_profile else "",
    )
    return make_error(complaint, context, _WORDING)


def _find_cause(code: str, words: str, status: int | None) -> Cause | None:
    if code == "validation":
        return _cause_of_validation(words)
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status is None:
        return None
    if code in _FAILED_CODES:
        return Cause.SERVER_FAILED
    return Cause.MODEL_NOT_FOUND if status == 404 else None  # noqa: PLR2004 RFC 9110, 15.5.5


def _cause_of_validation(words: str) -> Cause:
    if _MODEL_NOT_FOUND.search(words):
        return Cause.MODEL_NOT_FOUND
    if _CONTEXT_OVERFLOW.search(words):
        return Cause.CONTEXT_OVERFLOW
    return Cause.MODEL_UNSUPPORTED if _MODEL_UNSUPPORTED.search(words) else Cause.REJECTED
