import json
from collections.abc import Callable

import pytest
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
from rune.llm import http_failures
from rune.llm.failures import MAX_EXCERPT_CHARS, FailureContext
from rune.llm.http_failures import describe_failure, is_failure

CONTEXT = FailureContext(model="llama3", retry_after_seconds=9)
TOO_LONG_RAW = '{"error": {"message": "maximum context length is 4096 tokens"}}'
BUSY = "server busy, please try again.  maximum pending requests exceeded"
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."

TOO_NEW = "pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama."
UNKNOWN_KIND = "error loading model architecture: unknown model architecture: 'qwen9'"
TOO_LONG_NOW = "The prompt is 5000 tokens, which exceeds the model's context length of 4096 tokens."


def ollama(message: str) -> object:
    return {"error": message}


def openai(message: str, kind: str = "", code: int | None = None, **more: object) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def gemini(code: int, message: str) -> object:
    return {"error": {"code": code, "message": message, "status": "X"}}


def flat_vllm(message: str, kind: str, code: int) -> object:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def tgi(message: str, kind: str) -> object:
    return {"error": message, "error_type": kind}


@pytest.mark.parametrize(
    ("status", "body", "error_type"),
    [
        (404, ollama("model 'llama3' not found"), ModelNotFoundError),
        (404, ollama('model "llama3" not found, try pulling it first'), ModelNotFoundError),
        (500, ollama("pull model manifest: file does not exist"), ModelNotFoundError),
        (404, openai("The model `llama3` does not exist.", "NotFoundError", 404), ModelNotFoundError),
        (404, flat_vllm("The model `llama3` does not exist.", "NotFoundError", 404), ModelNotFoundError),
        (400, openai("model 'llama3' not found", "invalid_request_error", 400), ModelNotFoundError),
        (404, openai("File Not Found", "not_found_error", 404), UnknownPathError),
        (404, {"detail": "Not Found"}, UnknownPathError),
        (404, b"404 page not found", UnknownPathError),
        (405, {"detail": "Method Not Allowed"}, UnknownPathError),
        (400, ollama('"llama3" does not support chat'), ModelUnsupportedError),
        (400, ollama("registry.ollama.ai/library/llama3 does not support tools"), ModelUnsupportedError),
        (400, openai("a chat template must be provided", "BadRequestError", 400), ModelUnsupportedError),
        (501, openai("This server does not support chat", "not_supported_error", 501), ModelUnsupportedError),
        (400, ollama('"llama3" does not support thinking'), ModelUnsupportedError),
        (400, openai(NO_PARSER, "BadRequestError", 400), ModelUnsupportedError),
        (400, flat_vllm(NO_PARSER, "BadRequestError", 400), ModelUnsupportedError),
        (500, openai("tools param requires --jinja flag", "server_error", 500), ModelUnsupportedError),
        (400, openai("model is already running", "invalid_request_error", 400), RequestRejectedError),
        (404, openai("model is not found", "not_found_error", 404), ModelNotFoundError),
        (400, openai("model is not found", "invalid_request_error", 400), ModelNotFoundError),
        (400, ollama("invalid options: num_ctx"), RequestRejectedError),
        (
            422,
            tgi("Input validation error: `temperature` must be positive", "validation"),
            RequestRejectedError,
        ),
        (422, {"detail": [{"msg": "Field required", "input": "out of memory"}]}, RequestRejectedError),
        (400, ollama("the input length exceeds the context length"), ContextOverflowError),
        (400, openai(TOO_LONG, "BadRequestError", 400), ContextOverflowError),
        (400, flat_vllm(TOO_LONG, "BadRequestError", 400), ContextOverflowError),
        (400, openai(TOO_LONG_NOW, "BadRequestError", 400), ContextOverflowError),
        (400, ollama("the prompt is longer than the context length of the model"), ContextOverflowError),
        (
            400,
            openai("the request exceeds it", "exceed_context_size_error", 400, n_prompt_tokens=9, n_ctx=8),
            ContextOverflowError,
        ),
        (
            422,
            tgi("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", "validation"),
            ContextOverflowError,
        ),
        (500, openai("Requested tokens (5000) exceed context window of 2048"), ContextOverflowError),
        (500, ollama("CUDA error: out of memory"), OutOfMemoryError),
        (500, ollama("cudaMalloc failed: out of memory"), OutOfMemoryError),
        (500, ollama("ggml: failed to allocate buffer of size 9"), OutOfMemoryError),
        (500, ollama("llama-server process has terminated: signal: killed"), OutOfMemoryError),
        (500, ollama("llama runner process has terminated: exit status 137"), OutOfMemoryError),
        (500, ollama("llama-server process has terminated: exit status 2"), ServerFailedError),
        (500, ollama("llama runner process has terminated: exit status 127"), ServerFailedError),
        (500, ollama("llama-server process has terminated: error loading model: x"), ModelUnsupportedError),
        (500, ollama("unable to load model: /root/.ollama/models/blobs/sha256-1"), ModelUnsupportedError),
        (500, ollama("model runner has unexpectedly stopped, this may be due to ..."), OutOfMemoryError),
        (500, openai("cudaMalloc failed: out of memory", "server_error", 500), OutOfMemoryError),
        (
            500,
            ollama("model requires more system memory (9 GiB) than is available (4 GiB)"),
            OutOfMemoryError,
        ),
        (424, tgi("Request failed during generation: CUDA out of memory", "generation"), OutOfMemoryError),
        (400, ollama("invalid value: out of memory"), RequestRejectedError),
        (503, ollama(BUSY), ServerOverloadedError),
        (429, tgi("Model is overloaded", "overloaded"), ServerOverloadedError),
        (503, openai("Loading model", "unavailable_error", 503), ServerOverloadedError),
        (503, openai("The model is still loading", "x", 503), ServerOverloadedError),
        (503, openai("error loading model", "x", 503), ModelUnsupportedError),
        (503, b"no healthy upstream", ServerOverloadedError),
        (502, {"detail": "model is loading"}, ServerOverloadedError),
        (429, openai("You exceeded your current quota.", "insufficient_quota"), QuotaExhaustedError),
        (429, openai("You exceeded your current quota. Retry in 32s."), ServerOverloadedError),
        (429, openai("You exceeded your current quota, check your plan."), QuotaExhaustedError),
        (402, openai("Insufficient Balance", "unknown_error"), QuotaExhaustedError),
        (402, b"", QuotaExhaustedError),
        (400, openai("Your credit balance is too low"), QuotaExhaustedError),
        (429, openai("Rate limit reached", "rate_limit_exceeded", 429), ServerOverloadedError),
        (429, b"", ServerOverloadedError),
        (503, b"<html>Service Unavailable</html>", ServerOverloadedError),
        (401, {"error": "unauthorized", "signin_url": "https://ollama.com/x"}, ServerAccessError),
        (401, openai("Invalid API Key", "authentication_error", 401), ServerAccessError),
        (403, b"", ServerAccessError),
        (400, [gemini(400, "API key not valid. Please pass a valid API key.")], ServerAccessError),
        (500, {"detail": "litellm.AuthenticationError: Invalid API key"}, ServerAccessError),
        (400, b"Invalid Host header", ServerAccessError),
        (400, [gemini(400, "Something else")], RequestRejectedError),
        (404, [gemini(404, "models/m is not found for API version v1main")], UnknownPathError),
        (404, [gemini(404, "model models/m is not found")], ModelNotFoundError),
        (404, openai("The API deployment for this resource does not exist."), ModelNotFoundError),
        (404, openai("Resource", code=None) | {"code": "DeploymentNotFound"}, ModelNotFoundError),
        (400, openai("Model Not Exist", "invalid_request_error"), ModelNotFoundError),
        (400, {"object": "error", "message": "Invalid model: m"}, ModelNotFoundError),
        (404, openai("No endpoints found for vendor/m:nitro."), ModelNotFoundError),
        (400, openai("vendor/m is not a valid model ID"), ModelNotFoundError),
        (403, openai("Project has no access", "x") | {"code": "model_not_found"}, ModelNotFoundError),
        (404, openai("This is not a chat model"), ModelUnsupportedError),
        (400, openai("Unsupported value: 'temperature' does not support 0.3"), RequestRejectedError),
        (501, openai("Not implemented"), RequestRejectedError),
        (400, openai("Provider returned error", metadata={"raw": TOO_LONG_RAW}), ContextOverflowError),
        (500, openai("EngineCore died", "InternalServerError", 500), ServerFailedError),
        (500, b"", ServerFailedError),
        (502, b"<html>Bad Gateway</html>", ServerFailedError),
        (424, tgi("Request failed during generation", "generation"), ServerFailedError),
        (499, ollama("request canceled"), ServerFailedError),
        (408, b"", ServerTimeoutError),
        (504, b"<html>", ServerTimeoutError),
        (418, b"", RequestRejectedError),
        (None, ollama("something broke"), StreamFailedError),
        (None, openai("something broke", "InternalServerError", 500), StreamFailedError),
        (None, {"error": {"message": "Input validation error", "http_status_code": 422}}, StreamFailedError),
        (None, {"error": {}}, StreamFailedError),
        (None, {"error": True}, StreamFailedError),
        (None, b"not json", StreamFailedError),
        (None, openai("no such thing", "NotFoundError", 404), StreamFailedError),
        (None, ollama("CUDA error: out of memory"), OutOfMemoryError),
        (None, openai(TOO_LONG, "BadRequestError", 400), ContextOverflowError),
        (None, ollama(BUSY), ServerOverloadedError),
        (None, openai("slow down", "RateLimitError", 429), ServerOverloadedError),
        (None, ollama("model 'llama3' not found"), ModelNotFoundError),
        (None, ollama(TOO_NEW), ModelUnsupportedError),
        (500, ollama(f"llama runner process has terminated: {UNKNOWN_KIND}"), ModelUnsupportedError),
        (None, ollama("max retries exceeded: write /root/.ollama: no space left on device"), DiskFullError),
        (None, ollama("pull model manifest: 401: {}"), RequestRejectedError),
        (None, ollama("pull model manifest: 401: unauthorized"), RequestRejectedError),
        (500, ollama("pull model manifest: 403: unauthenticated"), RequestRejectedError),
        (None, ollama("pull model manifest: 402: payment required"), RequestRejectedError),
        (None, ollama("pull model manifest: 408: "), StreamFailedError),
        (None, ollama("pull model manifest: 429: too many requests"), StreamFailedError),
        (None, ollama("pull model manifest: 503: unavailable"), RegistryFailedError),
        (None, ollama('pull model manifest: Get "https://r": dial tcp: no such host'), StreamFailedError),
        (None, ollama("invalid model name"), RequestRejectedError),
        (
            500,
            ollama("llama runner process has terminated: CUDA error: no kernel image is available"),
            ServerFailedError,
        ),
    ],
)
@pytest.mark.parametrize("is_raw", [False, True])
def test_failure_has_its_type_when_told_in_any_server_s_words(
    status: int | None, body: object, error_type: type[ModelServerError], is_raw: bool
) -> None:
    told = json.dumps(body).encode() if is_raw and not isinstance(body, bytes) else body

    error = describe_failure(status, told, CONTEXT)

    assert type(error) is error_type
    assert error.sentence[0].isupper()


@pytest.mark.parametrize("message", ["Loading model", "slow down"])
def test_overload_keeps_the_wait_that_the_server_asked_for(message: str) -> None:
    error = describe_failure(503, openai(message), CONTEXT)

    assert isinstance(error, ServerOverloadedError)
    assert error.retry_after_seconds == 9
    assert error.is_loading is (message == "Loading model")


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (402, "", "quota_exhausted"),
        (403, "", "server_access_denied"),
        (501, "", "request_rejected"),
        (404, "The model `m` does not exist", "model_not_found"),
    ],
)
def test_lasting_cause_is_not_tried_again(status: int, words: str, code: str) -> None:
    error = describe_failure(status, openai(words), CONTEXT)

    assert (error.code, error.retryable) == (code, False)


EXTRA = {
    "type": "extra_forbidden",
    "loc": ["body", "stream_options"],
    "msg": "Not permitted",
    "input": "secret",
}
WORDS = "Only the default (1) value is supported."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([gemini(400, WORDS)], WORDS),
        ({"error": [{"message": WORDS}]}, WORDS),
        ({"message": {"detail": [EXTRA]}, "object": "error"}, "stream_options: Not permitted"),
        ({"detail": [EXTRA, EXTRA]}, "stream_options: Not permitted; stream_options: Not permitted"),
        ({"error": {"message": {"text": "x", "message": WORDS}}}, WORDS),
        ({"error": {"message": f'{{"error": {{"message": "{WORDS}"}}}}'}}, WORDS),
        ({"error": {"message": "Provider failed", "metadata": {"raw": WORDS}}}, f"Provider failed {WORDS}"),
        ({"errors": [{"message": WORDS}]}, WORDS),
        ({"msg": WORDS, "success": False}, WORDS),
        ({"error": {"code": "BadRequest", "details": [{"message": WORDS}]}}, WORDS),
        ({"message": WORDS, "code": "400"}, WORDS),
    ],
)
def test_failure_quotes_the_server_s_words_wherever_they_stand(body: object, words: str) -> None:
    assert describe_failure(400, body, CONTEXT).sentence.endswith(f"(400). It said: {words}")


@pytest.mark.parametrize(
    ("message", "is_blamed"),
    [
        (TOO_LONG_NOW, True),
        ("maximum context length is 2048 tokens. You have 8 input tokens plus 2045 'max_tokens'.", False),
        ("`inputs` tokens + `max_new_tokens` must be <= 4096", False),
    ],
)
def test_question_is_blamed_only_when_it_alone_is_too_long(message: str, is_blamed: bool) -> None:
    error = describe_failure(400, openai(message), CONTEXT)

    assert error.code == "context_overflow"
    assert ("The question is longer" in error.sentence) is is_blamed
    assert ("output_tokens" in error.sentence) is not is_blamed


def test_refused_access_without_a_word_does_not_blame_a_credential_alone() -> None:
    assert "Host header" in describe_failure(403, b"", CONTEXT).sentence
    assert "Host header" not in describe_failure(401, b"", CONTEXT).sentence


def test_failure_looks_into_nothing_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    find_words = http_failures._find_words

    def count(value: object, depth: int) -> str:
        looks.append(depth)
        return find_words(value, depth)

    monkeypatch.setattr(http_failures, "_find_words", count)
    inner: dict[str, object] = {"message": {"error": {}}, "error": {"message": {}}}
    nested: dict[str, object] = {"detail": inner, "errors": inner}

    describe_failure(404, nested, CONTEXT)

    assert len(looks) < 20


def test_failure_repeats_nothing_that_looks_like_a_key() -> None:
    body = openai("upstream said: Bearer abcdefgh1234 and sk-proj-abcdefghijklmnop are wrong")

    assert describe_failure(500, body, CONTEXT).sentence.endswith("Bearer *** and *** are wrong")


def test_failure_keeps_the_names_of_what_the_server_refuses() -> None:
    body = {"error": {"message": "Unsupported.", "param": "max_tokens", "code": "unsupported_parameter"}}

    assert "max_tokens" in describe_failure(400, body, CONTEXT).told


def test_failure_names_the_model_when_the_server_does_not_have_it() -> None:
    error = describe_failure(404, ollama("model 'llama3' not found"), CONTEXT)

    assert error.sentence == 'The model server does not have the model "llama3".'


def test_failure_keeps_the_server_s_words_when_it_cannot_have_the_model() -> None:
    error = describe_failure(None, ollama(TOO_NEW), CONTEXT)

    assert error.sentence == f"The model server cannot run the model. It said: {TOO_NEW}"


def test_failure_quotes_the_server_briefly_when_the_cause_is_unknown() -> None:
    error = describe_failure(500, ollama("strange\r\n\x1b[31m thing\u202e " + "x" * 1000), CONTEXT)

    assert error.sentence.startswith("The model server failed (500). It said: strange [31m thing x")
    assert len(error.sentence) < MAX_EXCERPT_CHARS + 60


@pytest.mark.parametrize(
    "body", [b"<html>secret</html>", b"secret", {"secret": "secret"}, ["secret"], "secret"]
)
def test_failure_quotes_nothing_when_the_body_has_no_message(body: object) -> None:
    assert "secret" not in describe_failure(500, body, CONTEXT).sentence


def test_failure_quotes_nothing_of_the_caller_s_input_when_validation_echoes_it() -> None:
    body = {"detail": [{"msg": "Field required", "input": "secret"}]}

    assert describe_failure(422, body, CONTEXT).sentence.endswith("(422). It said: Field required")


@pytest.mark.parametrize("padding", ["", "x" * 190])
@pytest.mark.parametrize("told", [ollama, openai])
def test_failure_does_not_repeat_the_key_that_the_server_was_shown(
    told: Callable[[str], object], padding: str
) -> None:
    key = "sk-hidden" * 300
    context = FailureContext("llama3", api_key=SecretStr(key))

    error = describe_failure(500, told(f"{padding} Bearer {key} is strange"), context)

    assert "sk-" not in error.sentence + repr(context)
    assert "***" in error.sentence or padding


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "x"}, True),
        ({"error": {}}, True),
        ({"object": "error", "message": "x"}, True),
        ({"type": "error", "message": "x"}, True),
        ([{"error": {"message": "x"}}], True),
        ({"detail": "x"}, True),
        ({"detail": "x", "choices": []}, False),
        ({"error": None, "choices": []}, False),
        ({"object": "chat.completion.chunk"}, False),
        (None, False),
        ([], False),
    ],
)
def test_body_is_a_failure_when_it_holds_an_error(body: object, expected: bool) -> None:
    assert is_failure(body) is expected
