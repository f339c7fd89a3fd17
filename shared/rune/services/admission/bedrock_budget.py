"""How many tokens a benchmark may buy from Amazon Bedrock, which bills the operator's account by the token."""

import math

from rune.contracts import BenchmarkRequest, JudgeModel, Workload
from rune.errors import InvalidRequestError
from rune.tenants.backends import TenantBackends

UNLIMITED_ANSWER_TOKENS = 65_536
"""Of one answer that nobody limits: about the most that a model on Bedrock writes (model cards, November 2026)."""

_CHARS_PER_TOKEN = 2
"""Fewer than any tokenizer takes on average for prose or code, so that the count is at its dear end."""

_PREAMBLE_CHARS = 4000
"""RUNE's own words to the judge, and the longest prompts that it brings."""

_NONCE_CHARS = 16
_SYNTHETIC_SLACK = 1.25
"""Synthetic prompts meet their length within a few percent."""


def check_budget(request: BenchmarkRequest, request_count: int, backends: TenantBackends) -> None:
    """Refuse a benchmark that could buy more of Bedrock than its tenant may have for one job.

    Parameters
    ----------
    request_count
        Measured requests, all points together.

    Raises
    ------
    InvalidRequestError
        It could take more than `max_tokens_per_job`, in and out together; or its answers have no limit, so that
        nobody knows how many it could take.
    """
    judge = request.expected.judge if request.expected else None
    judges_on_bedrock = judge is not None and _is_bedrocks(judge, request)
    if backends.bedrock is None or not (request.backend_type == "bedrock" or judges_on_bedrock):
        return
    most_tokens = 0
    if request.backend_type == "bedrock":
        most_tokens += _most_tokens_of_work(request, request_count)
    if judge is not None and judges_on_bedrock:
        most_tokens += _most_tokens_of_judging(request, judge, request_count)
    limit_tokens = backends.bedrock.max_tokens_per_job
    if most_tokens > limit_tokens:
        raise InvalidRequestError(
            f"The job could take {most_tokens:,} tokens from Bedrock; your tenant may take {limit_tokens:,} a job.",
            pointer="/workload",
            code="bedrock_budget_exceeded",
        )


def _is_bedrocks(judge: JudgeModel, request: BenchmarkRequest) -> bool:
    if judge.backend_type == "bedrock":
        return True
    return judge.backend_url is None and request.backend_type == "bedrock"


def _most_tokens_of_work(request: BenchmarkRequest, request_count: int) -> int:
    workload = request.workload
    if workload is None:
        return _tokens_of(len(request.question)) + UNLIMITED_ANSWER_TOKENS
    if workload.output_tokens is None:
        raise InvalidRequestError(
            "Bedrock bills every token, so a workload there needs output_tokens.",
            pointer="/workload/output_tokens",
            code="output_tokens_missing",
        )
    warmup_count = workload.point_count * max(workload.warmup_requests, 1)
    longest = _most_tokens_of_prompt(request.question, workload) + workload.output_tokens
    return (request_count + warmup_count) * longest


def _most_tokens_of_prompt(question: str, workload: Workload) -> int:
    if workload.input_tokens is not None:
        return math.ceil(workload.input_tokens * _SYNTHETIC_SLACK)
    # Imported at the first workload, with the prompts that RUNE brings.
    from rune.bench.prompts import make_prompts  # noqa: PLC0415

    return _tokens_of(max(len(prompt) for prompt in make_prompts(question, workload)) + _NONCE_CHARS)


def _most_tokens_of_judging(request: BenchmarkRequest, judge: JudgeModel, request_count: int) -> int:
    # Imported here: only who has answers judged on Bedrock needs it.
    from rune.workflows.benchmark.context_size import VERDICT_TOKENS  # noqa: PLC0415
    from rune.workflows.benchmark.state import LONGEST_JUDGED_CHARS  # noqa: PLC0415

    question_chars = len(request.question)
    if request.workload is not None and request.workload.prompts:
        question_chars = max(map(len, request.workload.prompts))
    asked_chars = question_chars + len(judge.rubric) + LONGEST_JUDGED_CHARS + _PREAMBLE_CHARS
    return request_count * (_tokens_of(asked_chars) + VERDICT_TOKENS)


def _tokens_of(chars: int) -> int:
    return math.ceil(chars / _CHARS_PER_TOKEN)
