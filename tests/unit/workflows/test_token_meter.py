"""A server that bills by the token: what a call may cost before it, and what it has cost after it."""

import asyncio
from dataclasses import replace

import pytest

from rune.bench.token_bounds import CHAT_FRAME_TOKENS, UNLIMITED_ANSWER_TOKENS
from rune.errors import (
    CostCapReachedError,
    InvalidRequestError,
    RequestRejectedError,
    RuneError,
    ServerTimeoutError,
)
from rune.jobs.outcomes import Done, Next
from rune.jobs.record import Kind, StepName
from rune.jobs.step import StepContext
from rune.jobs.tokens import TokenAccount
from rune.llm.protocol import (
    ChatRequest,
    Generation,
    Message,
    OnChunk,
    Role,
    TokenCounts,
    TokenCountSource,
    WarmUpRequest,
)
from rune.money.token_prices import TokenPrice
from rune.net.addresses import AddressPolicy
from rune.tenants.document import BedrockSettings
from rune.workflows.agent import AgenticAgent
from rune.workflows.model_servers import Backends, ModelServerSteps
from rune.workflows.rental.dependencies import left_micro_usd
from rune.workflows.token_meter import MeteredServer, find_price
from tests.builders import NOW, FakeClock, a_claimed_job
from tests.fake_model_server import GENERATION, FakeModelServer
from tests.tenant_builders import tenants_with
from tests.unit.workflows.turns import a_context, run

PRICE = TokenPrice.of_usd(1.0, 2.0)
"""One and two millionths of a dollar a token."""

QUESTION = ChatRequest("m", (Message(Role.USER, "12345678"),), 60.0, max_output_tokens=100)
MOST = 8 + CHAT_FRAME_TOKENS + 2 * 100
COST = 12 + 2 * 21
"""Of `GENERATION`, by the server's counts."""


def an_account(cap_micro_usd: int | None = 1_000_000) -> TokenAccount:
    return TokenAccount(a_claimed_job(cap_micro_usd=cap_micro_usd))


def ask(server: FakeModelServer, account: TokenAccount, request: ChatRequest = QUESTION) -> None:
    metered = MeteredServer(server, account, lambda _: PRICE)
    asyncio.run(metered.chat(request, lambda _: None))


def test_call_costs_what_the_server_has_counted() -> None:
    account = an_account()

    ask(FakeModelServer(), account)

    assert account.spent_micro_usd == COST


def test_call_that_the_server_did_not_count_costs_the_most_that_it_can() -> None:
    account = an_account()
    uncounted = TokenCounts(None, 3, None, None, TokenCountSource.CHUNKS)

    ask(FakeModelServer(generation=replace(GENERATION, tokens=uncounted)), account)

    assert account.spent_micro_usd == MOST


def a_refusal() -> RuneError:
    error = RequestRejectedError("No.")
    error.may_be_billed = False
    return error


@pytest.mark.parametrize(
    ("error", "cost"), [(ServerTimeoutError("Silent."), MOST), (a_refusal(), 0)], ids=["broke off", "refused"]
)
def test_call_that_failed_costs_its_bound_unless_it_was_refused(error: RuneError, cost: int) -> None:
    account = an_account()

    with pytest.raises(type(error)):
        ask(FakeModelServer(error=error), account)

    assert account.spent_micro_usd == cost


class SilentServer(FakeModelServer):
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        await asyncio.sleep(3600)
        return await super().chat(request, on_chunk)


def test_call_that_was_broken_off_costs_its_bound() -> None:
    account = an_account()

    async def main() -> None:
        async with asyncio.timeout(0):
            await MeteredServer(SilentServer(), account, lambda _: PRICE).chat(QUESTION, lambda _: None)

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert (account.spent_micro_usd, account.to_commit_micro_usd) == (MOST, MOST)


def test_call_beyond_the_cap_is_not_made() -> None:
    server = FakeModelServer()

    with pytest.raises(CostCapReachedError):
        ask(server, an_account(MOST - 1))
    assert server.chats == []

    ask(server, an_account(MOST))


def test_answer_without_a_limit_counts_at_the_longest() -> None:
    unlimited = ChatRequest("m", QUESTION.messages, 60.0)
    most = 8 + CHAT_FRAME_TOKENS + 2 * UNLIMITED_ANSWER_TOKENS

    with pytest.raises(CostCapReachedError):
        ask(FakeModelServer(), an_account(most - 1), unlimited)
    ask(FakeModelServer(), an_account(most), unlimited)


def test_prompt_that_was_made_to_a_length_counts_by_it() -> None:
    account = an_account(CHAT_FRAME_TOKENS + 5 + 200)
    metered = MeteredServer(FakeModelServer(), account, lambda _: PRICE).with_prompts_of(5)

    asyncio.run(metered.chat(QUESTION, lambda _: None))

    assert account.spent_micro_usd == COST


def test_warm_up_costs_what_its_token_does() -> None:
    account = an_account()
    metered = MeteredServer(FakeModelServer(), account, lambda _: PRICE)

    asyncio.run(metered.warm_up(WarmUpRequest("m", 60.0)))

    assert account.spent_micro_usd == COST


def test_model_whose_price_is_gone_is_asked_only_for_jobs_without_a_cap() -> None:
    server = FakeModelServer()

    async def chat(account: TokenAccount) -> None:
        await MeteredServer(server, account, lambda _: None).chat(QUESTION, lambda _: None)

    with pytest.raises(InvalidRequestError) as refused:
        asyncio.run(chat(an_account()))
    assert (refused.value.specific_code, server.chats) == ("price_unknown", [])

    old = an_account(None)
    asyncio.run(chat(old))
    assert (len(server.chats), old.spent_micro_usd) == (1, 0)


HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
URL = "https://bedrock-runtime.us-east-1.amazonaws.com"
STATED = {
    "anthropic.*": {"input_usd_per_million_tokens": 7, "output_usd_per_million_tokens": 8},
    "*": {"input_usd_per_million_tokens": 1, "output_usd_per_million_tokens": 9},
    "exact": {"input_usd_per_million_tokens": 0.5, "output_usd_per_million_tokens": 0.5},
}


def test_price_is_the_operators_and_then_the_list_price() -> None:
    stating = BedrockSettings.model_validate({"regions": ["us-east-1"], "models": ["*"], "prices": STATED})
    silent = BedrockSettings.model_validate({"regions": ["us-east-1"], "models": ["*"]})

    assert find_price(stating, "exact", URL) == TokenPrice.of_usd(0.5, 0.5)
    assert find_price(stating, HAIKU, URL) == TokenPrice.of_usd(7, 9)
    assert find_price(stating, "other", URL) == TokenPrice.of_usd(1, 9)
    assert find_price(silent, HAIKU, URL) == TokenPrice.of_usd(0.25, 1.25)
    assert find_price(silent, "other", URL) is None


LENT = tenants_with(
    {
        "bedrock": {
            "regions": ["us-east-1"],
            "models": ["*"],
            "prices": {"*": {"input_usd_per_million_tokens": 1, "output_usd_per_million_tokens": 2}},
        }
    }
)
ON_BEDROCK = {"backend_type": "bedrock", "backend_url": URL, "model": "m"}


def on_bedrock(kind: Kind, server: FakeModelServer, step: StepName) -> tuple[StepContext, object]:
    context = a_context(kind, 600.0, **ON_BEDROCK)
    context.job = a_claimed_job(kind=kind, cap_micro_usd=1_000_000)
    context.tokens = TokenAccount(context.job)
    backends = Backends(server.open, None, LENT)
    steps = {
        **ModelServerSteps(backends).steps,
        **AgenticAgent(backends, LENT, AddressPolicy(), FakeClock()).steps,
    }
    return context, run(steps, step, context)


def test_warm_up_on_bedrock_is_noted() -> None:
    context, outcome = on_bedrock(Kind.AGENTIC_AGENT, FakeModelServer(models=("m",)), StepName.WARM_UP)

    assert isinstance(outcome, Next)
    assert context.tokens is not None
    assert context.tokens.to_commit_micro_usd == COST


def test_agents_question_on_bedrock_is_noted_and_in_its_result() -> None:
    context, outcome = on_bedrock(Kind.AGENTIC_AGENT, FakeModelServer(models=("m",)), StepName.RUN_AGENT)

    assert isinstance(outcome, Done)
    assert context.tokens is not None
    assert context.tokens.to_commit_micro_usd == COST
    assert '"cost_estimate_usd":0.000054' in outcome.result_json


def test_machine_of_a_job_gets_what_its_tokens_leave() -> None:
    job = a_claimed_job(rents=True, cap_micro_usd=10_000, token_cap_micro_usd=3_000, token_micro_usd=1_000)

    assert left_micro_usd(job, (), 500, NOW) == 6_500
    assert left_micro_usd(replace(job, token_micro_usd=4_000), (), 500, NOW) == 5_500
