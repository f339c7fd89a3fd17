"""Typical mistakes of people who call the API for the first time, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass

SENT = {"question": "q", "model": "llama3.1:8b", "backend_url": "http://127.0.0.1:11434"}
BENCHMARK = "/v1/jobs/benchmark"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A request with one mistake, and the status and sentence that answer it."""

    name: str
    status: int
    sentence: str
    body: object = None
    method: str = "POST"
    path: str = BENCHMARK
    headers: tuple[tuple[str, str], ...] = ()


def sent(**changes: object) -> dict[str, object]:
    return {**SENT, **changes}


def without(*names: str, **changes: object) -> dict[str, object]:
    return {name: value for name, value in sent(**changes).items() if name not in names}


MISTAKES = (
    Mistake(
        "the question is called prompt",
        422,
        "/question: This field is needed. /prompt: There is no such field. Did you mean 'question'?",
        without("question", prompt="q"),
    ),
    Mistake(
        "the question is called input",
        422,
        "/question: This field is needed. /input: There is no such field. Did you mean 'question'?",
        without("question", input="q"),
    ),
    Mistake(
        "a field is misspelt",
        422,
        "/modle: There is no such field. Did you mean 'model'?",
        sent(modle="x"),
    ),
    Mistake(
        "the server is called url",
        422,
        "/url: There is no such field. Did you mean 'backend_url'?",
        without("backend_url", url="http://127.0.0.1:11434"),
    ),
    Mistake(
        "a key is sent in the request",
        422,
        "/api_key: There is no such field. Did you mean 'backend_credential'?",
        sent(api_key="sk-secret"),
    ),
    Mistake(
        "a field of the workload stands beside it",
        422,
        "/prompt_set: There is no such field. It belongs into 'workload': did you mean 'workload.prompt_set'?",
        sent(prompt_set="chat"),
    ),
    Mistake(
        "the answers' length has another API's name",
        422,
        "/workload/max_tokens: There is no such field. Did you mean 'output_tokens'?",
        sent(workload={"max_tokens": 128}),
    ),
    Mistake(
        "a field has a name of nothing here",
        422,
        "/colour: There is no such field. The API's page, /docs, lists the fields.",
        sent(colour="red"),
    ),
    Mistake(
        "a number is a text",
        422,
        "/timeout_seconds: Input should be a valid integer; you sent a text. Write the number without quotes.",
        sent(timeout_seconds="60"),
    ),
    Mistake(
        "a flag is a text",
        422,
        "/vastai: Input should be a valid boolean; you sent a text. Write true or false, without quotes.",
        sent(vastai="true"),
    ),
    Mistake(
        "a text is a number",
        422,
        "/model: Input should be a valid string; you sent the number 8.",
        sent(model=8),
    ),
    Mistake(
        "a number is too small",
        422,
        "/timeout_seconds: Input should be greater than or equal to 10; you sent 5.",
        sent(timeout_seconds=5),
    ),
    Mistake(
        "a list is sent where one number is wanted",
        422,
        "/timeout_seconds: Input should be a valid integer; you sent a list.",
        sent(timeout_seconds=[60]),
    ),
    Mistake(
        "a choice is misspelt",
        422,
        "/backend_type: Input should be 'ollama', 'openai' or 'bedrock'. Did you mean 'openai'?",
        sent(backend_type="OpenAI"),
    ),
    Mistake(
        "the body is a list",
        422,
        "The body: This is to be a JSON object, in braces; you sent a list.",
        [SENT],
    ),
    Mistake("the body is missing", 422, "The body: A JSON object is needed as the body."),
    Mistake(
        "the body is not JSON",
        400,
        "The body is not JSON at character 2: Expecting property name enclosed in double quotes.",
        "{'question': 'q'}",
    ),
    Mistake(
        "the body is no UTF-8", 400, "The body is not UTF-8: byte 15 is none of its.", b'{"question": "\xff"}'
    ),
    Mistake("the body is nested too deeply", 400, "The body is nested too deeply.", "[" * 100_000),
    Mistake(
        "a number has thousands of digits",
        400,
        "The body holds a number of too many digits.",
        '{"min_dph": 1' + "0" * 5000 + "}",
    ),
    Mistake(
        "the body is compressed",
        415,
        "The body is compressed (Content-Encoding); send it as it is.",
        SENT,
        headers=(("content-encoding", "gzip"),),
    ),
    Mistake(
        "a pattern is none",
        422,
        "The pattern cannot be used: missing ), unterminated subpattern at position 0.",
        sent(expected={"regex": "(unclosed"}),
    ),
    Mistake(
        "a job is posted to the list",
        405,
        "/v1/jobs takes GET and not POST. POST goes to /v1/jobs/agentic-agent, /v1/jobs/benchmark, "
        "/v1/jobs/llm-instance.",
        SENT,
        path="/v1/jobs",
    ),
    Mistake(
        "a job is cancelled by a POST",
        404,
        "There is nothing at /v1/jobs/x/cancel. A job is cancelled by DELETE /v1/jobs/{job_id}.",
        {},
        path="/v1/jobs/x/cancel",
    ),
    Mistake(
        "a path ends with a slash",
        404,
        "There is nothing at /v1/jobs/benchmark/. Did you mean /v1/jobs/benchmark?",
        SENT,
        path="/v1/jobs/benchmark/",
    ),
    Mistake(
        "a path is misspelt",
        404,
        "There is nothing at /v1/job. Did you mean /v1/jobs?",
        method="GET",
        path="/v1/job",
    ),
)
