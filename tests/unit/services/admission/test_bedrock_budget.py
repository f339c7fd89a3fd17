"""How much of Bedrock a benchmark may take, counted before it begins."""

import json

import pytest

from rune.bench.prompts import make_prompts
from rune.contracts import BenchmarkRequest, Workload
from rune.errors import InvalidRequestError
from rune.net.addresses import AddressPolicy
from rune.services.admission.bedrock_budget import UNLIMITED_ANSWER_TOKENS, check_budget
from rune.services.admission.workloads import count_requests
from rune.tenants.backends import NO_BACKENDS, BackendSettings, TenantBackends
from tests.builders import a_benchmark_request

ON_BEDROCK: dict[str, object] = {"backend_type": "bedrock", "backend_url": None, "question": "12345678"}
JUDGED_THERE = {"judge": {"model": "m", "rubric": "r" * 1000, "backend_type": "bedrock"}}


def allowing(max_tokens_per_job: int) -> TenantBackends:
    share = {"regions": ["us-east-1"], "models": ["*"], "max_tokens_per_job": max_tokens_per_job}
    text = json.dumps({"default": {"bedrock": share}})
    return BackendSettings.parse(text, AddressPolicy.parse(""), has_bedrock=True).of("default")


def check(limit_tokens: int, **overrides: object) -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**overrides))
    check_budget(request, count_requests(request.workload), allowing(limit_tokens))


LONGEST_CHAT_CHARS = max(map(len, make_prompts("", Workload(prompt_set="chat"))))

MOST_TOKENS = [
    pytest.param({**ON_BEDROCK}, 4 + UNLIMITED_ANSWER_TOKENS, id="a question"),
    pytest.param(
        # Two points of three requests and two warm-ups each; 8 + 16 characters are 12 tokens.
        {**ON_BEDROCK, "workload": {"repetitions": 3, "concurrency": [1, 2], "output_tokens": 100}},
        2 * (3 + 2) * (12 + 100),
        id="a workload",
    ),
    pytest.param(
        {**ON_BEDROCK, "workload": {"prompt_set": "synthetic", "input_tokens": 400, "output_tokens": 50}},
        (16 + 2) * (500 + 50),
        id="synthetic prompts",
    ),
    pytest.param(
        {**ON_BEDROCK, "workload": {"prompt_set": "chat", "output_tokens": 1, "warmup_requests": 0}},
        (16 + 1) * (-(-(LONGEST_CHAT_CHARS + 16) // 2) + 1),
        id="prompts that RUNE brings",
    ),
]


@pytest.mark.parametrize(("asked", "most_tokens"), MOST_TOKENS)
def test_benchmark_on_bedrock_may_take_exactly_what_it_could(
    asked: dict[str, object], most_tokens: int
) -> None:
    check(most_tokens, **asked)

    with pytest.raises(InvalidRequestError, match=f"{most_tokens:,}") as refused:
        check(most_tokens - 1, **asked)
    assert (refused.value.specific_code, refused.value.pointer) == ("bedrock_budget_exceeded", "/workload")


def test_workload_on_bedrock_is_refused_when_its_answers_have_no_limit() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check(10**9, **ON_BEDROCK, workload={"repetitions": 2})

    assert refused.value.specific_code == "output_tokens_missing"


def test_judge_on_bedrock_counts_whatever_server_is_measured() -> None:
    judged = {"expected": JUDGED_THERE, "workload": {"repetitions": 100}}
    check(10**6, **judged)

    with pytest.raises(InvalidRequestError, match="Bedrock"):
        check(100 * 6500, **judged)


def test_benchmark_elsewhere_has_no_budget() -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(workload={"repetitions": 1000}))

    check_budget(request, 1000, allowing(1))
    check_budget(request, 1000, NO_BACKENDS)
