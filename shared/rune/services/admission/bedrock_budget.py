"""What a job may buy from Amazon Bedrock, which bills the operator's account by the token: in tokens and in money.

Every kind of job is counted here before it is accepted, by upper bounds: each call that the job could make, its
prompt at one token for each byte (`most_tokens`), and its longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rune.bench.token_bounds import (
    CHAT_FRAME_TOKENS,
    UNLIMITED_ANSWER_TOKENS,
    most_synthetic_tokens,
    most_tokens,
)
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, JudgeModel, LlmInstanceRequest, Workload
from rune.errors import InvalidRequestError
from rune.money.token_prices import TokenPrice
from rune.services.admission.workloads import count_judged, count_prompts
from rune.tenants.backends import TenantBackends
from rune.tenants.document import BedrockSettings
from rune.workflows.graph import Request

if TYPE_CHECKING:
    from rune.agents.protocol import NeededCall

WARM_UP_TOKENS = CHAT_FRAME_TOKENS + 3
"""Of the request that warms a model up: two letters, and one token of an answer."""


@dataclass(frozen=True, slots=True)
class TokenMoney:
    """What a job's tokens may cost, in millionths of a dollar.

    Attributes
    ----------
    most_micro_usd
        Every call once, and the dearest turn once more, since a turn that fails is taken again.
    least_micro_usd
        What the job needs to have a result: its first requests, at their upper bounds.
    """

    most_micro_usd: int
    least_micro_usd: int


@dataclass(frozen=True, slots=True)
class _Calls:
    """Some calls that are alike: how many, and the most tokens of each."""

    count: int
    prompt_tokens: int
    answer_tokens: int

    @property
    def tokens(self) -> int:
        return self.count * (self.prompt_tokens + self.answer_tokens)

    def cost_micro_usd(self, price: TokenPrice) -> int:
        return self.count * price.cost_micro_usd(self.prompt_tokens, self.answer_tokens)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a job asks of one model.

    Attributes
    ----------
    once
        All calls, each once.
    turns
        Those of each turn that could be taken again.
    least
        Those without which there is no result.
    pointer
        JSON pointer of the document that names the model.
    """

    model: str
    url: str
    once: Sequence[_Calls]
    turns: Sequence[Sequence[_Calls]]
    least: Sequence[_Calls]
    pointer: str = ""


_WARM_UP = _Calls(1, WARM_UP_TOKENS - 1, 1)


def check_bedrock_budget(request: Request, backends: TenantBackends) -> TokenMoney | None:
    """Return what a job may cost in tokens of Bedrock; None where it asks no model there.

    Parameters
    ----------
    request
        Its servers have been admitted.

    Raises
    ------
    InvalidRequestError
        It could take more than `max_tokens_per_job`, in and out together; a workload's answers have no limit; or no
        price is known for a model.
    """
    if backends.bedrock is None:
        return None
    parts = _parts_of(request)
    could_take_tokens = sum(calls.tokens for part in parts for calls in part.once)
    limit_tokens = backends.bedrock.max_tokens_per_job
    if could_take_tokens > limit_tokens:
        pointer = "/question"
        if isinstance(request, BenchmarkRequest) and (request.suite or request.workload):
            pointer = "/suite" if request.suite else "/workload"
        raise InvalidRequestError(
            f"The job could take {could_take_tokens:,} tokens from Bedrock; your tenant may take "
            f"{limit_tokens:,} a job.",
            pointer=pointer,
            code="bedrock_budget_exceeded",
        )
    return _price(parts, backends.bedrock) if parts else None


def _price(parts: Sequence[_Part], bedrock: BedrockSettings) -> TokenMoney:
    # Imported here: only who uses Bedrock needs it.
    from rune.workflows.token_meter import find_price, price_unknown  # noqa: PLC0415

    once = least = dearest = 0
    for part in parts:
        price = find_price(bedrock, part.model, part.url)
        if price is None:
            raise price_unknown(part.model, part.pointer)
        once += _cost(part.once, price)
        least = least or _cost(part.least, price)
        dearest = max(dearest, *(_cost(turn, price) for turn in part.turns))
    return TokenMoney(once + dearest, least)


def _cost(calls: Sequence[_Calls], price: TokenPrice) -> int:
    return sum(each.cost_micro_usd(price) for each in calls)


def _parts_of(request: Request) -> list[_Part]:
    """Return what is asked of each model on Bedrock, in the order in which it is."""
    match request:
        case LlmInstanceRequest():
            return []  # it lists models, and asks none
        case AgenticAgentRequest():
            # An agent with a server of its own has no backend_url.
            is_bedrocks = request.backend_type == "bedrock" and request.backend_url is not None
            return [_part_of_agent(request)] if is_bedrocks else []
        case BenchmarkRequest():
            judge = request.expected.judge if request.expected else None
            part_of = _part_of_suite if request.suite else _part_of_work
            parts = [part_of(request)] if request.backend_type == "bedrock" else []
            if judge is not None and _judges_on_bedrock(judge, request):
                parts.append(_part_of_judging(request, judge))
            return parts


def _judges_on_bedrock(judge: JudgeModel, request: BenchmarkRequest) -> bool:
    if judge.backend_type == "bedrock":
        return True
    return judge.backend_url is None and request.backend_type == "bedrock"


def _part_of_agent(request: AgenticAgentRequest) -> _Part:
    # Imported here, as where the request is admitted.
    from rune.agents.protocol import TURN_ANSWER_TOKENS  # noqa: PLC0415
    from rune.agents.registry import known_agent  # noqa: PLC0415
    from rune.workflows.benchmark.context_size import LARGEST_CONTEXT_TOKENS  # noqa: PLC0415

    kind = known_agent(request.agent)
    question_tokens = most_tokens(request.question) + CHAT_FRAME_TOKENS
    url = request.backend_url or ""
    if kind is None or not kind.asks_often:
        asked = _Calls(1, question_tokens, UNLIMITED_ANSWER_TOKENS)
        once = [_WARM_UP, asked]
        return _Part(request.model, url, once, [[asked]], once)
    answer_tokens = min(request.max_turns * TURN_ANSWER_TOKENS, request.max_tokens)
    all_turns = _Calls(1, request.max_tokens - answer_tokens, answer_tokens)
    dearest = _Calls(1, min(request.max_tokens, LARGEST_CONTEXT_TOKENS), TURN_ANSWER_TOKENS)
    least = [_WARM_UP, *_calls_of(kind.least_calls(request.question))]
    return _Part(request.model, url, [_WARM_UP, all_turns], [[dearest]], least)


def _calls_of(needed: Sequence[NeededCall]) -> list[_Calls]:
    return [_Calls(1, each.prompt_tokens + CHAT_FRAME_TOKENS, each.answer_tokens) for each in needed]


def _part_of_suite(request: BenchmarkRequest) -> _Part:
    """Return what all runs of a suite's cases could take."""
    from rune.agents.kubernetes import least_calls  # noqa: PLC0415  # as below
    from rune.agents.protocol import TURN_ANSWER_TOKENS  # noqa: PLC0415  # as above
    from rune.workflows.benchmark.context_size import LARGEST_CONTEXT_TOKENS  # noqa: PLC0415

    run_count = len(request.cases or ()) * (request.runs or 0)
    max_turns, max_tokens = request.max_turns or 0, request.max_tokens or 0
    # One more answer is asked for at a bound.
    answer_tokens = min((max_turns + 1) * TURN_ANSWER_TOKENS, max_tokens)
    run = _Calls(run_count, max_tokens - answer_tokens, answer_tokens)
    dearest = _Calls(1, min(max_tokens, LARGEST_CONTEXT_TOKENS), TURN_ANSWER_TOKENS)
    least = [_WARM_UP, *_calls_of(least_calls(request.question))]
    return _Part(request.model, request.backend_url or "", [_WARM_UP, run], [[dearest]], least)


def _part_of_work(request: BenchmarkRequest) -> _Part:
    """Return what warming up, measuring, and learning how the model counts could take."""
    workload = request.measured
    if request.workload is not None and workload.output_tokens is None:
        raise InvalidRequestError(
            "Bedrock bills every token, so a workload there needs output_tokens.",
            pointer="/workload/output_tokens",
            code="output_tokens_missing",
        )
    answer_tokens = workload.output_tokens or UNLIMITED_ANSWER_TOKENS
    by_turn = _bounds_by_turn(request.question, workload, answer_tokens)
    opening_tokens, prompt_tokens = by_turn[0].prompt_tokens, max(calls.prompt_tokens for calls in by_turn)
    prompt_count, _ = count_prompts(workload)
    learning = _calls_of_learning(workload)
    turns = []
    for level in workload.levels:
        repetitions = workload.repetitions_at(level, prompt_count, grows=request.grows)
        again_count = workload.asked_again_at(level)
        asked = [replace(calls, count=calls.count * repetitions + again_count) for calls in by_turn]
        warm_ups = _Calls(workload.max_blocks * workload.warmups_at(level), opening_tokens, answer_tokens)
        # A run whose prompts seem to be cut sends a part of one again, for one token.
        turns.append([*asked, warm_ups, _Calls(workload.max_blocks, prompt_tokens, 1)])
    first = _Calls(1 + workload.warmups_at(workload.levels[0]), opening_tokens, answer_tokens)
    return _Part(
        request.model,
        request.backend_url or "",
        once=[_WARM_UP, *learning, *(calls for turn in turns for calls in turn)],
        turns=[[*learning, *turn] for turn in turns],
        least=[_WARM_UP, *learning, first],
    )


def _bounds_by_turn(question: str, workload: Workload, answer_tokens: int) -> list[_Calls]:
    """Return the calls that ask each prompt once, those of each turn of conversations together, with numbers."""
    if workload.input_tokens is not None:
        prompt_count, _ = count_prompts(workload)
        return [
            _Calls(
                prompt_count, most_synthetic_tokens(workload.input_tokens) + CHAT_FRAME_TOKENS, answer_tokens
            )
        ]
    # Imported at the first benchmark on Bedrock, with the prompts that RUNE brings.
    from rune.bench.prompts import NONCE_BYTES, make_prompts  # noqa: PLC0415
    from rune.bench.turns import tokens_by_turn  # noqa: PLC0415

    around_tokens = CHAT_FRAME_TOKENS + (NONCE_BYTES if workload.prefix_cache == "busted" else 0)
    bounds = [
        tokens_by_turn(prompt, most_tokens, answer_tokens) for prompt in make_prompts(question, workload)
    ]
    calls: list[_Calls] = []
    for turn in range(max(map(len, bounds))):
        at_turn = [each[turn] for each in bounds if turn < len(each)]
        calls.append(_Calls(len(at_turn), max(at_turn) + around_tokens, answer_tokens))
    return calls


def _calls_of_learning(workload: Workload) -> list[_Calls]:
    """Return what it takes to learn how many tokens a synthetic word is."""
    if workload.input_tokens is None:
        return []
    from rune.bench.prompts import NONCE_BYTES, learning_prompts  # noqa: PLC0415  # as above

    around = NONCE_BYTES + CHAT_FRAME_TOKENS
    return [_Calls(1, most_tokens(prompt) + around, 1) for prompt in learning_prompts(workload.seed)]


def _part_of_judging(request: BenchmarkRequest, judge: JudgeModel) -> _Part:
    # Imported here: only who has answers judged on Bedrock needs it.
    from rune.bench.judging import judge_messages  # noqa: PLC0415
    from rune.bench.prompts import make_prompts  # noqa: PLC0415
    from rune.bench.turns import as_text  # noqa: PLC0415
    from rune.workflows.benchmark.context_size import JUDGE_REPLY_TOKENS  # noqa: PLC0415
    from rune.workflows.benchmark.judge import SLICE_ANSWERS  # noqa: PLC0415
    from rune.workflows.benchmark.state import LONGEST_JUDGED_BYTES  # noqa: PLC0415

    workload = request.measured
    longest_prompt = max(map(as_text, make_prompts(request.question, workload)), key=most_tokens)
    chat = judge_messages(judge, longest_prompt, "")
    asked_tokens = sum(most_tokens(message.content) for message in chat) + LONGEST_JUDGED_BYTES
    count = count_judged(workload)

    def calls(number: int) -> list[_Calls]:
        return [_Calls(number, asked_tokens + CHAT_FRAME_TOKENS, JUDGE_REPLY_TOKENS)]

    url = judge.backend_url or request.backend_url or ""
    turns = [calls(min(count, SLICE_ANSWERS))]
    return _Part(judge.model, url, calls(count), turns, calls(1), "/expected/judge")
