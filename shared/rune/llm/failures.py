"""From whatever a model server answers instead of an answer to one typed error with a sentence for people.

Six servers, six shapes and many wordings; they are told apart here and nowhere else. Recognised causes get a
sentence of our own. Only a cause that is not recognised quotes the server, briefly, since its text may echo
the question.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from rune.errors import (
    BadResponseError,
    ContextOverflowError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    OutOfMemoryError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    StreamFailedError,
)
from rune.llm.fields import as_list, as_object, parse_json, read_count, read_text

MAX_EXCERPT_CHARS = 200
"""Of the server's own words in a sentence."""

# Enough to recognise a cause, little enough for a regular expression.
_MAX_READ_CHARS = 4096


@dataclass(frozen=True, slots=True)
class FailureContext:
    """What was asked when the failure came.

    Attributes
    ----------
    model
        As the caller named it; None where the request was about no model.
    retry_after_seconds
        From the answer's head, or None.
    """

    model: str | None = None
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What a failure's body says.

    `message` is the server's own sentence; `words` all that may tell the cause, in lower case; `status` what
    the body itself gives as such.
    """

    message: str
    words: str
    status: int | None


@dataclass(frozen=True, slots=True)
class _Cause:
    """A cause that is known by its wording, within the statuses in which that wording is no echo."""

    pattern: re.Pattern[str]
    statuses: frozenset[int]
    describe: Callable[[FailureContext], ModelServerError]


def is_failure(body: object) -> bool:
    """Return whether a JSON body or event is an error: an `error` member, or the flat form of older vLLM."""
    members = as_object(body)
    return members.get("error") is not None or members.get("object") == "error"


def describe_failure(status: int | None, body: object, context: FailureContext) -> ModelServerError:
    """Return the error that an answer stands for.

    Parameters
    ----------
    status
        Of the answer; None for an error inside a 200.
    body
        Bytes, or a value that has been parsed already.

    Notes
    -----
    Shapes and wordings: llm-backends facts, section 5, of Ollama 0.33, vLLM and TGI of 2026, llama.cpp.
    """
    complaint = _read_complaint(body)
    effective_status = status or complaint.status
    for cause in _CAUSES:
        # An error inside a 200 has often no status at all; then the wording alone decides.
        fits_status = effective_status is None or effective_status in cause.statuses
        if fits_status and cause.pattern.search(complaint.words):
            return cause.describe(context)
    if effective_status in _BY_STATUS:
        return _BY_STATUS[effective_status](context)
    if status in {404, 405}:
        return BadResponseError(
            "The server does not know the path RUNE asked for: is it a model server of the kind given?"
        )
    said = _quote(complaint.message)
    if status is None:
        return StreamFailedError(f"The model server broke its answer off with an error.{said}")
    if status >= 500 or status in {424, 499}:  # noqa: PLR2004 TGI's failed generation, Ollama's own cancel
        return ServerFailedError(f"The model server failed inside ({status}).{said}")
    return RequestRejectedError(f"The model server refused the request ({status}).{said}")


def excerpt(text: str) -> str:
    """Return at most `MAX_EXCERPT_CHARS` characters on one line, without control or invisible ones."""
    cleaned = "".join(character if character.isprintable() else " " for character in text[:_MAX_READ_CHARS])
    line = " ".join(cleaned.split())
    return line if len(line) <= MAX_EXCERPT_CHARS else line[: MAX_EXCERPT_CHARS - 1] + "…"


def _read_complaint(body: object) -> _Complaint:
    if isinstance(body, bytes):
        try:
            return _read_complaint(parse_json(body))
        except ValueError:
            # A proxy's page or plain text: good for recognising a cause, never to be quoted.
            return _Complaint("", body[:_MAX_READ_CHARS].decode("utf-8", "replace").lower(), None)
    outer = as_object(body)
    inner = as_object(outer.get("error"))
    message = (
        read_text(inner, "message")
        or read_text(outer, "error")
        or read_text(outer, "message")
        or _read_detail(outer.get("detail"))
    )[:_MAX_READ_CHARS]
    kind = read_text(inner, "type") or read_text(outer, "error_type") or read_text(outer, "type")
    status = read_count(inner, "code") or read_count(inner, "http_status_code") or read_count(outer, "code")
    return _Complaint(message, f"{kind[:100]} {message}".lower(), status)


def _read_detail(detail: object) -> str:
    """Read FastAPI's `detail`: a string, or a list of which only `msg` is not the caller's own input."""
    if isinstance(detail, str):
        return detail
    return "; ".join(read_text(as_object(problem), "msg") for problem in as_list(detail))


def _quote(message: str) -> str:
    said = excerpt(message)
    return f" It said: {said}" if said else ""


def _named(context: FailureContext) -> str:
    return "the model" if context.model is None else f'the model "{excerpt(context.model)}"'


def _out_of_memory(context: FailureContext) -> ModelServerError:
    return OutOfMemoryError(f"The model server has too little memory for {_named(context)}.")


def _context_overflow(context: FailureContext) -> ModelServerError:
    return ContextOverflowError(f"The question is longer than the context of {_named(context)}.")


def _loading(context: FailureContext) -> ModelServerError:
    return ServerOverloadedError(
        f"The model server is still loading {_named(context)}.",
        retry_after_seconds=context.retry_after_seconds,
    )


def _overloaded(context: FailureContext) -> ModelServerError:
    return ServerOverloadedError(
        "The model server has too much to do and asks to come later.",
        retry_after_seconds=context.retry_after_seconds,
    )


def _model_not_found(context: FailureContext) -> ModelServerError:
    return ModelNotFoundError(f"The model server does not have {_named(context)}.")


def _model_unsupported(context: FailureContext) -> ModelServerError:
    return ModelUnsupportedError(f"The model server has {_named(context)}, but it cannot chat as asked.")


def _access_denied(_context: FailureContext) -> ModelServerError:
    return ServerAccessError("The model server wants a credential that RUNE does not have.")


def _gave_up_waiting(_context: FailureContext) -> ModelServerError:
    return ServerTimeoutError("The model server, or a proxy before it, gave up waiting for the answer.")


_SERVER_SIDE = frozenset({424, *range(500, 600)})
_CALLER_SIDE = frozenset(range(400, 500))

# In this order: an exhausted memory may come with any 5xx, and a refused request may name the model too.
_CAUSES = (
    _Cause(
        re.compile(
            r"out of memory|cudamalloc failed|failed to allocate|more system memory"
            r"|llama-server process has terminated|llama runner process has terminated"
            r"|model runner has unexpectedly stopped"
        ),
        _SERVER_SIDE,
        _out_of_memory,
    ),
    _Cause(
        re.compile(
            r"exceed_context_size_error|context (?:length|size|window)"
            r"|inputs\W{1,3}tokens \+ |inputs\W{1,3}must have less than"
        ),
        frozenset({400, 413, 422, 500}),
        _context_overflow,
    ),
    _Cause(re.compile(r"loading model|model is loading"), frozenset({503}), _loading),
    _Cause(
        re.compile(r"server busy|maximum pending requests|\boverloaded\b"), frozenset({429, 503}), _overloaded
    ),
    _Cause(
        re.compile(
            r"\bmodel\b.{1,300}\b(?:not found|does not exist)|try pulling it first"
            r"|pull model manifest: file does not exist"
        ),
        frozenset({400, 404, 500}),
        _model_not_found,
    ),
    # vLLM without its flags for tools, llama-server without its own; older llama-server calls that 500.
    _Cause(
        re.compile(r"tool choice requires|--enable-auto-tool-choice|requires --jinja"),
        _CALLER_SIDE | {500, 501},
        _model_unsupported,
    ),
    _Cause(re.compile(r"does not support|chat template"), _CALLER_SIDE | {501}, _model_unsupported),
)

_BY_STATUS: dict[int, Callable[[FailureContext], ModelServerError]] = {
    401: _access_denied,
    403: _access_denied,
    408: _gave_up_waiting,
    429: _overloaded,
    503: _overloaded,
    504: _gave_up_waiting,
}
