"""Finding the cause of a failure in the body that Ollama or a server with OpenAI's API sent.

Shapes and wordings are those of Ollama 0.33, vLLM and TGI of 2026, and llama.cpp, read in their sources:
https://github.com/ollama/ollama/blob/main/docs/api.md, https://docs.vllm.ai,
https://huggingface.co/docs/text-generation-inference, https://github.com/ggml-org/llama.cpp/tree/master/tools/server.
"""

import re
from dataclasses import dataclass

from rune.errors import ModelServerError
from rune.llm.failures import MAX_READ_CHARS, Cause, Complaint, FailureContext, Wording, make_error
from rune.llm.fields import as_list, as_object, parse_json, read_count, read_text

_WORDING = Wording("The model server")


@dataclass(frozen=True, slots=True)
class _Body:
    """What a failure's body says.

    Attributes
    ----------
    message
        The server's own sentence.
    words
        Everything that may tell the cause, in lower case.
    status
        What the body itself gives as HTTP status.
    """

    message: str
    words: str
    status: int | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A cause by its wording, within the statuses in which these words are the server's and not an echo."""

    cause: Cause
    statuses: frozenset[int]
    pattern: re.Pattern[str]


def is_failure(body: object) -> bool:
    """Return whether a JSON body or frame is an error: an `error` member, or the flat form of older vLLM."""
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
    """
    read = _read_body(body, context.api_key.get_secret_value() if context.api_key else "")
    complaint = Complaint(
        read.message,
        status or read.status,
        _find_cause(read.words, status or read.status) or _cause_of_path(status),
        is_in_stream=status is None,
    )
    return make_error(complaint, context, _WORDING)


def _find_cause(words: str, status: int | None) -> Cause | None:
    for rule in _RULES:
        # An error inside a 200 often has no status at all; then the wording alone decides.
        if (status is None or status in rule.statuses) and rule.pattern.search(words):
            return rule.cause
    return None


def _cause_of_path(status: int | None) -> Cause | None:
    return Cause.UNKNOWN_PATH if status in {404, 405} else None


def _read_body(body: object, api_key: str) -> _Body:
    if isinstance(body, bytes):
        try:
            return _read_body(parse_json(body), api_key)
        except ValueError:
            # A proxy's page or plain text: a cause may be recognised in it, but it is never quoted.
            return _Body("", body[:MAX_READ_CHARS].decode("utf-8", "replace").lower(), None)
    outer = as_object(body)
    inner = as_object(outer.get("error"))
    told = (
        read_text(inner, "message")
        or read_text(outer, "error")
        or read_text(outer, "message")
        or _read_detail(outer.get("detail"))
    )
    # Before anything is cut off, as half a key could no longer be found.
    message = (told.replace(api_key, "***") if api_key else told)[:MAX_READ_CHARS]
    kind = read_text(inner, "type") or read_text(outer, "error_type") or read_text(outer, "type")
    status = read_count(inner, "code") or read_count(inner, "http_status_code") or read_count(outer, "code")
    return _Body(message, f"{kind[:100]} {message}".lower(), status)


def _read_detail(detail: object) -> str:
    """Read FastAPI's `detail`: a string, or a list of which only `msg` is not the caller's own input."""
    if isinstance(detail, str):
        return detail
    return "; ".join(read_text(as_object(problem), "msg") for problem in as_list(detail))


_SERVER_SIDE = frozenset({424, *range(500, 600)})
_CALLER_SIDE = frozenset(range(400, 500))

# In this order: an exhausted memory may come with any 5xx, a process that ended names its cause or none, and a
# refused request may name the model too. What Ollama says of a download: server/download.go and server/images.go.
_RULES = (
    _Rule(Cause.DISK_FULL, _SERVER_SIDE, re.compile(r"no space left on device|disk quota exceeded")),
    _Rule(
        Cause.MODEL_UNLOADABLE,
        _SERVER_SIDE | {412},
        re.compile(
            r"requires a newer version of ollama|unknown model architecture|unsupported model architecture"
        ),
    ),
    _Rule(
        Cause.OUT_OF_MEMORY,
        _SERVER_SIDE,
        re.compile(r"out of memory|cudamalloc failed|failed to allocate|more system memory"),
    ),
    # A GPU or driver that does not work; the process ends then too.
    _Rule(
        Cause.SERVER_FAILED,
        _SERVER_SIDE,
        re.compile(r"cuda error|cuda driver|no cuda-capable device|no kernel image|nvml|ecc error"),
    ),
    _Rule(
        Cause.OUT_OF_MEMORY,
        _SERVER_SIDE,
        re.compile(
            r"llama-server process has terminated|llama runner process has terminated"
            r"|model runner has unexpectedly stopped"
        ),
    ),
    _Rule(
        Cause.CONTEXT_OVERFLOW,
        frozenset({400, 413, 422, 500}),
        re.compile(
            r"exceed_context_size_error|context (?:length|size|window)"
            r"|inputs\W{1,3}tokens \+ |inputs\W{1,3}must have less than"
        ),
    ),
    _Rule(Cause.LOADING, frozenset({503}), re.compile(r"loading model|model is loading")),
    _Rule(
        Cause.OVERLOADED,
        frozenset({429, 503}),
        re.compile(r"server busy|maximum pending requests|\boverloaded\b"),
    ),
    _Rule(
        Cause.MODEL_NOT_FOUND,
        frozenset({400, 404, 500}),
        re.compile(
            r"\bmodel\b.{1,300}\b(?:not found|does not exist)|try pulling it first"
            r"|pull model manifest: file does not exist"
        ),
    ),
    # 408 and 429 concern the machine's own connection and address.
    _Rule(
        Cause.REGISTRY_REFUSED,
        _SERVER_SIDE,
        re.compile(r"pull model manifest: 4(?!08|29)[0-9]{2}\b|invalid model (?:name|path)"),
    ),
    _Rule(Cause.REGISTRY_FAILED, _SERVER_SIDE, re.compile(r"pull model manifest: 5[0-9]{2}\b")),
    # vLLM without its flags for tools, llama-server without its own; older llama-server calls that 500.
    _Rule(
        Cause.MODEL_UNSUPPORTED,
        _CALLER_SIDE | {500, 501},
        re.compile(r"tool choice requires|--enable-auto-tool-choice|requires --jinja"),
    ),
    _Rule(Cause.MODEL_UNSUPPORTED, _CALLER_SIDE | {501}, re.compile(r"does not support|chat template")),
)
