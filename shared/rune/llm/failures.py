"""The one table from what a server said to an error of `rune.errors`.

Each technology has a reader that finds the cause in its own wording: `http_failures` for Ollama and the servers
with OpenAI's API, `bedrock_failures` for Amazon Bedrock. A recognised cause gets a sentence of RUNE's, and the
server's own words after it, briefly and without keys, where they can say more. A cause that lies in the question
quotes nothing, since such words may repeat it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from pydantic import SecretStr

from rune.errors import (
    ContextOverflowError,
    DiskFullError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    OutOfMemoryError,
    QuotaExhaustedError,
    RegistryFailedError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    StreamFailedError,
    UnknownPathError,
)

MAX_EXCERPT_CHARS = 200
"""Of the server's own words in a sentence."""

MAX_READ_CHARS = 4096
"""Of the server's own words, searched for a cause: few enough for regular expressions."""


class Cause(Enum):
    """Why a server did not answer as asked."""

    ACCESS_DENIED = auto()
    ANSWER_OVERFLOW = auto()
    """The question fits the context, perhaps; with the longest answer it does not."""
    CONTEXT_OVERFLOW = auto()
    DISK_FULL = auto()
    FORBIDDEN = auto()
    """Access is refused, and not for a credential, as far as that is known."""
    LOADING = auto()
    MODEL_NOT_FOUND = auto()
    MODEL_UNLOADABLE = auto()
    """The server's version does not know this kind of model."""
    MODEL_UNSUPPORTED = auto()
    OUT_OF_MEMORY = auto()
    OVERLOADED = auto()
    QUOTA_EXHAUSTED = auto()
    REGISTRY_FAILED = auto()
    REGISTRY_REFUSED = auto()
    REJECTED = auto()
    SERVER_FAILED = auto()
    STREAM_FAILED = auto()
    TIMED_OUT = auto()
    UNKNOWN_PATH = auto()


@dataclass(frozen=True, slots=True)
class FailureContext:
    """What was asked when the failure came.

    Attributes
    ----------
    model
        As the caller named it; None where the request was about no model.
    retry_after_seconds
        From the answer's head, or None.
    api_key
        The key that was sent to the server; a server that repeats it is quoted without it.
    """

    model: str | None = None
    retry_after_seconds: int | None = None
    api_key: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server said, as its reader understood it.

    Attributes
    ----------
    message
        The server's own sentence, without secrets.
    status
        HTTP status of the answer, or the one that an error inside a 200 names; None where neither is known.
    cause
        None where the wording tells nothing, so that the status decides.
    is_in_stream
        Whether the error came inside a 200.
    hint
        What to do about it; a sentence, or empty.
    words
        All that the server said and that may tell a cause, in lower case.
    """

    message: str
    status: int | None
    cause: Cause | None = None
    is_in_stream: bool = False
    hint: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Wording:
    """How sentences name a technology.

    Attributes
    ----------
    server
        Their subject.
    sentences
        Those that say more than the common one.
    """

    server: str
    sentences: Mapping[Cause, str] = field(default_factory=dict)


_ERRORS: Mapping[Cause, tuple[type[ModelServerError], str]] = {
    Cause.ACCESS_DENIED: (ServerAccessError, "{server} wants a credential that RUNE does not have.{quote}"),
    Cause.ANSWER_OVERFLOW: (
        ContextOverflowError,
        "The question and the longest answer (output_tokens) are together more than the context of {model}.",
    ),
    Cause.CONTEXT_OVERFLOW: (ContextOverflowError, "The question is longer than the context of {model}."),
    Cause.DISK_FULL: (DiskFullError, "{server} has too little disk.{quote}"),
    Cause.FORBIDDEN: (
        ServerAccessError,
        (
            "{server} refuses access{status}: it wants another credential, or does not take the name of its host,"
            " which a tunnel or proxy before it must set (Host header).{quote}"
        ),
    ),
    Cause.LOADING: (ServerOverloadedError, "{server} is still loading {model}."),
    Cause.MODEL_NOT_FOUND: (ModelNotFoundError, "{server} does not have {model}."),
    Cause.MODEL_UNLOADABLE: (ModelUnsupportedError, "{server} cannot run the model.{quote}"),
    Cause.MODEL_UNSUPPORTED: (
        ModelUnsupportedError,
        "{server} has {model}, but it cannot chat as asked.{quote}",
    ),
    Cause.OUT_OF_MEMORY: (OutOfMemoryError, "{server} has too little memory for {model}.{quote}"),
    Cause.OVERLOADED: (ServerOverloadedError, "{server} is overloaded; try again later.{quote}"),
    Cause.QUOTA_EXHAUSTED: (
        QuotaExhaustedError,
        "The account with {server_there} has no quota or money left.{quote}",
    ),
    Cause.REGISTRY_FAILED: (RegistryFailedError, "The model's registry fails.{quote}"),
    Cause.REGISTRY_REFUSED: (RequestRejectedError, "The registry refuses the model.{quote}"),
    Cause.REJECTED: (RequestRejectedError, "{server} refused the request{status}.{quote}"),
    Cause.SERVER_FAILED: (ServerFailedError, "{server} failed{status}.{quote}"),
    Cause.STREAM_FAILED: (StreamFailedError, "{server} ended its answer with an error.{quote}"),
    Cause.TIMED_OUT: (
        ServerTimeoutError,
        "{server}, or a proxy before it, gave up waiting for the answer.",
    ),
    Cause.UNKNOWN_PATH: (
        UnknownPathError,
        "The server does not know the path RUNE asked for: is it a model server of the kind given?{quote}",
    ),
}

_BY_STATUS: Mapping[int, Cause] = {
    401: Cause.ACCESS_DENIED,
    402: Cause.QUOTA_EXHAUSTED,
    403: Cause.FORBIDDEN,
    408: Cause.TIMED_OUT,
    429: Cause.OVERLOADED,
    501: Cause.REJECTED,  # not implemented, and so it stays
    503: Cause.OVERLOADED,
    504: Cause.TIMED_OUT,
}

_FAILED_STATUSES = frozenset({424, 499, *range(500, 600)})
"""RFC 9110, 15.6, besides TGI's failed generation (424) and Ollama's own cancel (499)."""


def make_error(complaint: Complaint, context: FailureContext, wording: Wording) -> ModelServerError:
    """Return the error that a complaint stands for, with a sentence for people."""
    cause = complaint.cause or _cause_of_status(complaint)
    error_type, sentence = _ERRORS[cause]
    sentence = wording.sentences.get(cause, sentence).format(
        server=wording.server,
        server_there=wording.server[:1].lower() + wording.server[1:]
        if " " in wording.server
        else wording.server,
        model="the model" if context.model is None else f'the model "{excerpt(context.model)}"',
        status="" if complaint.status is None else f" ({complaint.status})",
        quote=_quote(complaint.message),
    )
    if complaint.hint:
        sentence = f"{sentence} {complaint.hint}"
    if error_type is ServerOverloadedError:
        error: ModelServerError = ServerOverloadedError(
            sentence, retry_after_seconds=context.retry_after_seconds
        )
    else:
        error = error_type(sentence)
    error.told = complaint.words or complaint.message.lower()
    error.is_loading = cause is Cause.LOADING
    return error


def excerpt(text: str) -> str:
    """Return at most `MAX_EXCERPT_CHARS` characters on one line, without control or invisible ones."""
    cleaned = "".join(character if character.isprintable() else " " for character in text[:MAX_READ_CHARS])
    line = " ".join(cleaned.split())
    return line if len(line) <= MAX_EXCERPT_CHARS else line[: MAX_EXCERPT_CHARS - 1] + "…"


def _cause_of_status(complaint: Complaint) -> Cause:
    status = complaint.status
    if status is not None and status in _BY_STATUS:
        return _BY_STATUS[status]
    if complaint.is_in_stream:
        return Cause.STREAM_FAILED
    return Cause.SERVER_FAILED if status in _FAILED_STATUSES else Cause.REJECTED


def _quote(message: str) -> str:
    said = excerpt(message)
    return f" It said: {said}" if said else ""
