"""How much of Bedrock a job may take, counted before it begins."""

from dataclasses import replace

import pytest

from rune.agents import registry
from rune.agents.kubernetes import least_calls
from rune.agents.protocol import TURN_ANSWER_TOKENS
from rune.bench.prompts import learning_prompts, make_prompts
from rune.bench.token_bounds import CHAT_FRAME_TOKENS, UNLIMITED_ANSWER_TOKENS, most_tokens
from rune.bench.turns import texts_of
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest, Workload
from rune.errors import InvalidRequestError
from rune.money.token_prices import TokenPrice
from rune.net.addresses import AddressPolicy
from rune.services.admission.bedrock_budget import (
    WARM_UP_TOKENS,
    TokenMoney,
    check_bedrock_budget,
)
from rune.services.admission.requests import admit_agentic_agent, admit_benchmark, admit_llm_instance
from rune.tenants.backends import NO_BACKENDS, TenantBackends
from rune.tenants.document import TenantAgents
from tests.builders import a_benchmark_request
from tests.tenant_builders import a_tenant

ON_BEDROCK: dict[str, object] = {"backend_type": "bedrock", "backend_url": None, "question": "12345678"}
JUDGED_THERE = {"judge": {"model": "m", "rubric": "r" * 1000, "backend_type": "bedrock"}}


def allowing(max_tokens_per_job: int) -> TenantBackends:
    share = {
        "regions": ["us-east-1"],
        "models": ["*"],
        "max_tokens_per_job": max_tokens_per_job,
        "prices": {"*": {"input_usd_per_million_tokens": 1.0, "output_usd_per_million_tokens": 2.0}},
    }
    return a_tenant({"bedrock": share}, home_region="us-east-1").backends


def check(limit_tokens: int, **overrides: object) -> None:
    check_bedrock_budget(
        BenchmarkRequest.model_validate(a_benchmark_request(**overrides)), allowing(limit_tokens)
    )


FRAME = CHAT_FRAME_TOKENS
LONGEST_CHAT_BYTES = max(map(most_tokens, texts_of(make_prompts("", Workload(prompt_set="chat")))))
LEARNING_BYTES = sum(map(len, learning_prompts(0)))

MOST_TOKENS = [
    pytest.param(
        # The question, and once more for a token of an answer where its prompt seems to be cut.
        {**ON_BEDROCK},
        (8 + FRAME + UNLIMITED_ANSWER_TOKENS) + (8 + FRAME + 1),
        id="a question",
    ),
    pytest.param(
        {**ON_BEDROCK, "question": "问题"},
        (6 + FRAME + UNLIMITED_ANSWER_TOKENS) + (6 + FRAME + 1),
        id="a question in Chinese",
    ),
    pytest.param(
        # Three requests and two warm-ups one at a time, then 20 and 4; the question has 8 bytes, its number 12.
        {**ON_BEDROCK, "workload": {"repetitions": 3, "concurrency": [1, 2], "output_tokens": 100}},
        (3 + 2 + 20 + 4) * (20 + FRAME + 100) + 2 * (20 + FRAME + 1),
        id="a workload",
    ),
    pytest.param(
        {**ON_BEDROCK, "workload": {"prompt_set": "synthetic", "input_tokens": 400, "output_tokens": 50}},
        (16 + 2) * (500 + FRAME + 50) + (500 + FRAME + 1) + LEARNING_BYTES + 2 * (12 + FRAME + 1),
        id="synthetic prompts",
    ),
    pytest.param(
        {**ON_BEDROCK, "workload": {"prompt_set": "chat", "output_tokens": 1, "warmup_requests": 0}},
        (16 + 1) * (LONGEST_CHAT_BYTES + 12 + FRAME + 1),
        id="prompts that RUNE brings",
    ),
]


@pytest.mark.parametrize(("asked", "most_tokens"), MOST_TOKENS)
def test_benchmark_on_bedrock_may_take_exactly_what_it_could(
    asked: dict[str, object], most_tokens: int
) -> None:
    most_tokens += WARM_UP_TOKENS
    check(most_tokens, **asked)

    with pytest.raises(InvalidRequestError, match=f"{most_tokens:,}") as refused:
        check(most_tokens - 1, **asked)
    pointer = "/workload" if "workload" in asked else "/question"
    assert (refused.value.specific_code, refused.value.pointer) == ("bedrock_budget_exceeded", pointer)


def test_chinese_workload_of_millions_of_tokens_is_refused_under_a_budget_of_one_million() -> None:
    # 933,000 characters, of which a tokenizer that does not know them makes three tokens each: 2.8 million.
    prompts = ["字" * 93_300] * 10

    with pytest.raises(InvalidRequestError) as refused:
        check(
            1_000_000, **ON_BEDROCK, workload={"prompts": prompts, "output_tokens": 1, "warmup_requests": 0}
        )

    assert refused.value.specific_code == "bedrock_budget_exceeded"


def test_workload_on_bedrock_is_refused_when_its_answers_have_no_limit() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check(10**9, **ON_BEDROCK, workload={"repetitions": 2})

    assert refused.value.specific_code == "output_tokens_missing"


def test_judge_on_bedrock_counts_whatever_server_is_measured() -> None:
    # Each answer: at most 8000 bytes, the rubric's 1000, RUNE's own words, and 2048 tokens of a reply.
    judged = {"expected": JUDGED_THERE, "workload": {"repetitions": 100}}
    check(100 * 12_500, **judged)

    with pytest.raises(InvalidRequestError, match="Bedrock"):
        check(100 * 11_500, **judged)


def test_judge_on_the_measured_server_counts_when_that_is_bedrock() -> None:
    judge = {"model": "m", "rubric": "r"}
    workload = {"repetitions": 10, "output_tokens": 1}
    check(50_000, **ON_BEDROCK, workload=workload)

    with pytest.raises(InvalidRequestError, match="Bedrock"):
        check(50_000, **ON_BEDROCK, workload=workload, expected={"judge": judge})


def test_benchmark_elsewhere_has_no_budget() -> None:
    workload = {"repetitions": 1000, "output_tokens": 100}
    elsewhere = BenchmarkRequest.model_validate(a_benchmark_request(workload=workload))

    check_bedrock_budget(elsewhere, allowing(1))
    check_bedrock_budget(elsewhere, NO_BACKENDS)
    with pytest.raises(InvalidRequestError, match="Bedrock"):
        check(1, **ON_BEDROCK, workload=workload)


PRICE = TokenPrice.of_usd(1.0, 2.0)
WARM_UP_COST = PRICE.cost_micro_usd(WARM_UP_TOKENS - 1, 1)

ANYWHERE = AddressPolicy.parse("127.0.0.0/8")
ASKED = {"question": "12345678", "model": "m", "backend_type": "bedrock"}


def test_agents_job_on_bedrock_may_take_exactly_what_it_could() -> None:
    most_tokens = 8 + FRAME + UNLIMITED_ANSWER_TOKENS + WARM_UP_TOKENS
    request = AgenticAgentRequest.model_validate(ASKED)

    admit_agentic_agent(request, ANYWHERE, TenantAgents(), allowing(most_tokens))
    with pytest.raises(InvalidRequestError) as refused:
        admit_agentic_agent(request, ANYWHERE, TenantAgents(), allowing(most_tokens - 1))

    assert (refused.value.specific_code, refused.value.pointer) == ("bedrock_budget_exceeded", "/question")


def test_agent_that_asks_often_is_counted_at_the_tokens_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._KINDS, "ask", replace(registry._KINDS["ask"], asks_often=True))
    request = AgenticAgentRequest.model_validate({**ASKED, "max_turns": 2, "max_tokens": 10_000})
    priced = allowing(10_000 + WARM_UP_TOKENS)
    with_address = request.model_copy(
        update={"backend_url": "https://bedrock-runtime.eu-central-1.amazonaws.com"}
    )

    money = check_bedrock_budget(with_address, priced)

    answers = 2 * TURN_ANSWER_TOKENS
    first = PRICE.cost_micro_usd(8 + FRAME, TURN_ANSWER_TOKENS)
    turns = PRICE.cost_micro_usd(10_000 - answers, answers)
    again = PRICE.cost_micro_usd(10_000, TURN_ANSWER_TOKENS)
    assert money == TokenMoney(WARM_UP_COST + turns + again, WARM_UP_COST + first)
    with pytest.raises(InvalidRequestError, match="could take"):
        check_bedrock_budget(with_address, allowing(10_000 + WARM_UP_TOKENS - 1))


def test_investigation_on_bedrock_needs_a_turn_that_reads_and_its_report() -> None:
    asked = {**ASKED, "agent": "kubernetes", "cluster": "prod", "max_tokens": 100_000}
    request = AgenticAgentRequest.model_validate(asked).model_copy(
        update={"backend_url": "https://bedrock-runtime.eu-central-1.amazonaws.com"}
    )

    money = check_bedrock_budget(request, allowing(10**9))

    needed = sum(
        PRICE.cost_micro_usd(call.prompt_tokens + FRAME, call.answer_tokens)
        for call in least_calls(request.question)
    )
    assert money is not None
    assert money.least_micro_usd == WARM_UP_COST + needed > 20_000


def test_suite_on_bedrock_is_counted_at_the_tokens_that_all_runs_may_take() -> None:
    suite = {
        **ON_BEDROCK,
        "question": "s",
        "suite": "s",
        "cases": ["a", "b"],
        "runs": 3,
        "max_turns": 4,
        "max_tokens": 50_000,
    }
    could_take = WARM_UP_TOKENS + 2 * 3 * 50_000

    check(could_take, **suite)
    with pytest.raises(InvalidRequestError, match=f"could take {could_take:,} tokens") as raised:
        check(could_take - 1, **suite)

    assert (raised.value.pointer, raised.value.specific_code) == ("/suite", "bedrock_budget_exceeded")
    money = check_bedrock_budget(
        BenchmarkRequest.model_validate(a_benchmark_request(**suite)), allowing(could_take)
    )
    # One dollar a million tokens in, and two out: each run has five answers at most, one for a bound.
    answers = 5 * TURN_ANSWER_TOKENS
    assert money is not None
    assert money.most_micro_usd >= 6 * (50_000 - answers + 2 * answers)


def test_every_kind_of_job_passes_the_budget() -> None:
    """An instance asks no model; the other two are refused under a budget of one token."""
    benchmark, agent = BenchmarkRequest.model_validate(ASKED), AgenticAgentRequest.model_validate(ASKED)
    instance = LlmInstanceRequest(backend_type="bedrock")

    with pytest.raises(InvalidRequestError, match="tokens from Bedrock"):
        admit_benchmark(benchmark, ANYWHERE, backends=allowing(1))
    with pytest.raises(InvalidRequestError, match="tokens from Bedrock"):
        admit_agentic_agent(agent, ANYWHERE, TenantAgents(), allowing(1))
    assert admit_llm_instance(instance, ANYWHERE, backends=allowing(1)).rents is False


def money(asked: dict[str, object], backends: TenantBackends | None = None) -> TokenMoney | None:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**asked))
    return check_bedrock_budget(request, backends or allowing(10**9))


def test_question_may_cost_its_tokens_once_and_once_more() -> None:
    asked = PRICE.cost_micro_usd(8 + FRAME, UNLIMITED_ANSWER_TOKENS)
    cut = PRICE.cost_micro_usd(8 + FRAME, 1)

    assert money(ON_BEDROCK) == TokenMoney(WARM_UP_COST + 2 * (asked + cut), WARM_UP_COST + asked)


def test_workload_may_cost_each_point_once_and_the_dearest_once_more() -> None:
    workload = {"repetitions": 3, "concurrency": [1, 2], "output_tokens": 100, "warmup_requests": 1}
    each, cut = PRICE.cost_micro_usd(20 + FRAME, 100), PRICE.cost_micro_usd(20 + FRAME, 1)
    # At two slots a point asks six instead of three, as no judge reads the answers.
    request = BenchmarkRequest.model_validate(a_benchmark_request(**{**ON_BEDROCK, "workload": workload}))
    counts = [1 + request.measured.repetitions_at(level, 1, grows=True) for level in (1, 2)]

    assert money({**ON_BEDROCK, "workload": workload}) == TokenMoney(
        WARM_UP_COST + (sum(counts) + max(counts)) * each + 3 * cut, WARM_UP_COST + 2 * each
    )


def test_blocks_may_cost_warm_ups_and_what_they_ask_again() -> None:
    """Three runs of a point with two slots: what two of them cut off is asked again."""
    workload = {
        "repetitions": 30,
        "concurrency": [2],
        "output_tokens": 100,
        "warmup_requests": 1,
        "max_blocks": 3,
    }
    each, cut = PRICE.cost_micro_usd(20 + FRAME, 100), PRICE.cost_micro_usd(20 + FRAME, 1)

    asked = money({**ON_BEDROCK, "workload": workload})

    assert asked == TokenMoney(WARM_UP_COST + 2 * ((30 + 3 + 4) * each + 3 * cut), WARM_UP_COST + 2 * each)


def test_judge_on_bedrock_has_the_price_of_its_own_model() -> None:
    prices = {
        "judge": {"input_usd_per_million_tokens": 0, "output_usd_per_million_tokens": 1},
        "llama3.1:8b": {"input_usd_per_million_tokens": 0, "output_usd_per_million_tokens": 0},
    }
    share = {"regions": ["us-east-1"], "models": ["*"], "prices": prices}
    backends = a_tenant({"bedrock": share}, home_region="us-east-1").backends
    judged = {"judge": {"model": "judge", "rubric": "r", "backend_type": "bedrock"}}

    asked = {"expected": judged, "workload": {"repetitions": 30}}
    assert money(asked, backends) == TokenMoney(50 * 2048, 2048)


def test_job_that_asks_nothing_of_bedrock_costs_no_tokens() -> None:
    assert money({}) is None
    assert check_bedrock_budget(LlmInstanceRequest(backend_type="bedrock"), allowing(1)) is None


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        (ON_BEDROCK, "/model"),
        (
            {"expected": {"judge": {"model": "m", "rubric": "r", "backend_type": "bedrock"}}},
            "/expected/judge/model",
        ),
    ],
    ids=["measured", "judge"],
)
def test_model_without_a_price_is_refused(asked: dict[str, object], pointer: str) -> None:
    share = {"regions": ["us-east-1"], "models": ["*"]}
    backends = a_tenant({"bedrock": share}, home_region="us-east-1").backends

    with pytest.raises(InvalidRequestError) as refused:
        money(asked, backends)

    assert (refused.value.specific_code, refused.value.pointer) == ("price_unknown", pointer)


def test_cap_of_a_job_that_buys_tokens_counts_and_is_not_warned_of() -> None:
    request = BenchmarkRequest.model_validate(
        a_benchmark_request(**ON_BEDROCK, max_cost_usd=1.0, keep_seconds=600)
    )

    admitted = admit_benchmark(request, ANYWHERE, backends=allowing(10**9))

    assert (admitted.max_cost_micro_usd, admitted.warnings) == (1_000_000, ("keep_seconds_ignored",))
