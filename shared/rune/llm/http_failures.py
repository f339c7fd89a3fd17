"""Finding the cause of a failure in the body that Ollama or a server with OpenAI's API sent.

Shapes and wordings are those of Ollama 0.33, vLLM and TGI of 2026, and llama.cpp, read in their sources:
https://github.com/ollama/ollama/blob/main/docs/api.md, https://docs.vllm.ai,
https://huggingface.co/docs/text-generation-inference, https://github.com/ggml-org/llama.cpp/tree/master/tools/server.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
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
    """Return whether a JSON body or frame is an error.

    It has an `error` member; or the flat form of older vLLM, of Anthropic or of FastAPI; or it is an array around
    such an object (Gemini).
    """
    if isinstance(body, list):
        return bool(body) and is_failure(body[0])
    members = as_object(body)
    if members.get("error") is not None or "error" in {members.get("object"), members.get("type")}:
        return True
    return not _ANSWERS & members.keys() and bool({"detail", "errors"} & members.keys())


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
        words=read.words,
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
    if isinstance(body, list):
        body = next((each for each in body if as_object(each)), None)
    outer = as_object(body)
    inner = as_object(_first_of(outer.get("error")))
    # Before anything is cut off, as half a key could no longer be found.
    message = _without_keys(_find_words(outer, 0), api_key)[:MAX_READ_CHARS]
    holders = (inner, outer, as_object(outer.get("message")))
    kinds = {read_text(holder, key)[:100] for holder in holders for key in _KIND_KEYS}
    status = next(
        (code for holder in holders for key in _STATUS_KEYS if (code := _read_status(holder, key))), None
    )
    return _Body(message, "; ".join([*sorted(kinds - {""}), message]).lower(), status)


def _find_words(value: object, depth: int) -> str:
    """Return the server's sentence in whatever it has put it: objects in objects, arrays, JSON as text.

    Of a validation's complaints only `msg` and the place are read, since the rest is the caller's own input.
    """
    if isinstance(value, str):
        return _find_words_within(value, depth)
    if depth == _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        found = (_find_words(each, depth + 1) for each in value[:_MAX_COMPLAINTS] if as_object(each))
        return "; ".join(filter(None, found))
    members = as_object(value)
    for key in _MESSAGE_KEYS:
        if key in members and (words := _find_words(members[key], depth + 1)):
            # A gateway's own sentence says less than that of the server behind it.
            raw = _find_words(as_object(members.get("metadata")).get("raw"), depth + 1)
            place = _place(members.get("loc")) if key == "msg" else ""
            return f"{place}{words} {raw}".rstrip()
    return ""


def _find_words_within(text: str, depth: int) -> str:
    """Return the sentence in a text that is JSON itself, as gateways pass on; else the text."""
    if depth < _MAX_DEPTH and text.lstrip().startswith(("{", "[")):
        with suppress(ValueError):
            return _find_words(parse_json(text.encode("utf-8", "replace")), depth + 1) or text
    return text


def _place(loc: object) -> str:
    """Return the field that a validation complains of, such as `stream_options.include_usage: `."""
    names = [str(each)[:100] for each in as_list(loc) if each != "body"]
    return f"{'.'.join(names)}: " if names else ""


def _first_of(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _read_status(holder: Mapping[str, object], key: str) -> int | None:
    value = holder.get(key)
    if isinstance(value, str) and re.fullmatch("[1-5][0-9]{2}", value):
        return int(value)
    return read_count(holder, key)


def _without_keys(text: str, api_key: str) -> str:
    """Return the text without the key that was sent, and without what looks like another one."""
    return _KEY.sub("***", text.replace(api_key, "***") if api_key else text)


_ANSWERS = frozenset({"choices", "message", "response", "id", "status", "done"})
"""Members of frames that are no errors although they may have a `detail`."""

_MESSAGE_KEYS = (
    *(
        "message",
        "msg",
        "error",
        "detail",
        "details",
        "error_message",
        "error_description",
        "errors",
        "reason",
    ),
    *("title", "description"),
)
_KIND_KEYS = ("type", "error_type", "code", "status", "param")
_STATUS_KEYS = ("code", "http_status_code", "status_code", "status")
_MAX_DEPTH = 6
_MAX_COMPLAINTS = 5
_KEY = re.compile(
    r"\b(?:sk|pk|gsk|xai|hf|nvapi|key)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}|(?<=Bearer )[^\s*]{8,}"
)

_SERVER_SIDE = frozenset({424, *range(500, 600)})
_CALLER_SIDE = frozenset(range(400, 500))

_OVERFLOW_STATUSES = frozenset({400, 413, 422, 500})
_TOO_LONG = (
    r"exceed_context_size_error|context[ _](?:length|size|window)|inputs\W{1,3}tokens \+ "
    r"|inputs\W{1,3}must have less than|(?:prompt|input|request) (?:is|was) too long"
    r"|too many (?:input|prompt) tokens|input (?:length|tokens?(?: count)?)\b.{0,80}\bexceed"
    r"|maximum (?:prompt|input|sequence) length"
)
_OF_THE_ANSWER = r"max_(?:completion_|new_|output_)?tokens|in the completion|for the completion|output tokens"
_NOT_READY = (
    r"\bmodel\b.{0,60}\b(?:is|being|still|currently) (?:loading|loaded|starting|initiali[sz]ing|not (?:yet )?ready)"
    r"|warming up|starting up|no healthy upstream|(?:server|model|engine) is not (?:yet )?ready"
)

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
    # That a process has ended is no cause, but the kernel kills one for its memory.
    _Rule(
        Cause.OUT_OF_MEMORY,
        _SERVER_SIDE,
        re.compile(
            r"process has terminated: (?:signal: killed|exit status (?:137|-9)\b)"
            r"|model runner has unexpectedly stopped"
        ),
    ),
    _Rule(
        Cause.MODEL_UNLOADABLE,
        _SERVER_SIDE,
        re.compile(
            r"error loading model|(?:failed|unable) to load model|invalid file magic|unsupported model"
            r"|missing tensor|wrong number of tensors"
        ),
    ),
    # A registry says so to Ollama, on whatever machine it runs: these are no words about this server's own key or
    # account. 408 and 429 concern the machine's own connection and address.
    _Rule(
        Cause.REGISTRY_REFUSED,
        _SERVER_SIDE,
        re.compile(r"pull model manifest: 4(?!08|29)[0-9]{2}\b|invalid model (?:name|path)"),
    ),
    _Rule(Cause.REGISTRY_FAILED, _SERVER_SIDE, re.compile(r"pull model manifest: 5[0-9]{2}\b")),
    _Rule(
        Cause.QUOTA_EXHAUSTED,
        frozenset({400, 401, 402, 403, 429}),
        re.compile(
            r"insufficient_quota|billing_(?:hard_limit|not_active)|insufficient (?:balance|credits?|funds)"
            r"|credit balance|(?:out of|more|no|not enough) credits|payment required|spend(?:ing)? limit"
            # Also said of a limit per minute, which names when it ends.
            r"|(?:exceeded your current quota|check your plan and billing|account is not active)"
            r"(?!.*(?:retry|try again) in )",
            re.DOTALL,
        ),
    ),
    _Rule(
        Cause.ACCESS_DENIED,
        frozenset({400, 403, 500, 502}),
        re.compile(
            r"api key not (?:valid|found)|(?:invalid|incorrect|missing|no|expired|wrong) (?:api )?(?:key|token)\b"
            r"|(?:invalid|incorrect)_api_key|api_key_invalid|authentication_?error|unauthenticated|unauthorized"
        ),
    ),
    _Rule(
        Cause.FORBIDDEN,
        frozenset({400, 403, 421}),
        re.compile(
            r"\b(?:invalid|unknown|disallowed|blocked|misdirected)\b.{0,40}\bhost\b|\bhost\b.{0,60}not allowed"
        ),
    ),
    _Rule(
        Cause.ANSWER_OVERFLOW,
        _OVERFLOW_STATUSES,
        re.compile(rf"(?=.*(?:{_TOO_LONG})).*(?:{_OF_THE_ANSWER})", re.DOTALL),
    ),
    _Rule(Cause.CONTEXT_OVERFLOW, _OVERFLOW_STATUSES, re.compile(_TOO_LONG)),
    _Rule(
        Cause.LOADING, frozenset({503}), re.compile(r"(?<!error )(?<!failed )\bloading model|" + _NOT_READY)
    ),
    _Rule(Cause.LOADING, frozenset({409, 425, 429, 502}), re.compile(_NOT_READY)),
    _Rule(
        Cause.OVERLOADED,
        frozenset({429, 503}),
        re.compile(r"server busy|maximum pending requests|\boverloaded\b"),
    ),
    _Rule(
        Cause.MODEL_NOT_FOUND,
        frozenset({400, 403, 404, 422, 500}),
        re.compile(
            r"\b(?:model|deployment)\b.{1,300}\b(?:not found|(?:does )?not exist|could not be found)"
            r"|try pulling it first|pull model manifest: file does not exist|model_not_found|deploymentnotfound"
            r"|(?:unknown|no such|unrecognized|invalid|unable to access) model\b(?! (?:name|path))"
            r"|not a valid model|no endpoints found|decommissioned"
        ),
    ),
    # vLLM without its flags for tools, llama-server without its own; older llama-server calls that 500.
    _Rule(
        Cause.MODEL_UNSUPPORTED,
        _CALLER_SIDE | {500, 501},
        re.compile(r"tool choice requires|--enable-auto-tool-choice|requires --jinja"),
    ),
    # A parameter that a model does not take is no model that does not chat.
    _Rule(
        Cause.REJECTED,
        _CALLER_SIDE | {501},
        re.compile(r"unsupported_(?:parameter|value)|unsupported (?:parameter|value)"),
    ),
    _Rule(
        Cause.MODEL_UNSUPPORTED,
        _CALLER_SIDE | {501},
        re.compile(r"does not support|chat template|only supported in|not a chat model"),
    ),
)
