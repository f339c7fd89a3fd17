"""RUNE's client of servers with OpenAI's API, before a real one with one model."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from rune.errors import ContextOverflowError, ServerAccessError
from rune.llm.protocol import (
    Capabilities,
    FinishReason,
    Message,
    ModelFacts,
    ModelServer,
    Role,
    ServerFacts,
    TokenCounts,
    TokenCountSource,
    ToolSpec,
    WarmUpRequest,
)
from tests.e2e.waiting import wait_until
from tests.real.asking import QUESTION, ask, chat, ignore_chunk
from tests.real.llama_server import API_KEY, MODEL, SLOT_COUNT, LlamaServer

# A choice and no free text: half a character within a call is what the server cannot read itself.
LOOK_UP = ToolSpec(
    "look_up",
    "Look a word up.",
    {"type": "object", "properties": {"word": {"enum": ["fox", "cloud"]}}, "required": ["word"]},
)


def test_server_says_what_it_is(llama: LlamaServer) -> None:
    facts = ask(llama, lambda client: client.describe_server())

    assert facts.version is not None
    assert facts == ServerFacts("llama.cpp", facts.version, SLOT_COUNT)


def test_model_is_described(llama: LlamaServer) -> None:
    facts = ask(llama, lambda client: client.describe_model(MODEL))

    assert facts == ModelFacts(
        quantization="all F32",
        parameter_size="129.3K",
        context_tokens_trained=4096,
        context_tokens_loaded=8192 // SLOT_COUNT,
        size_bytes=facts.size_bytes,
    )
    assert facts.size_bytes == pytest.approx(129_344 * 4, rel=0.05)


def test_model_is_listed(llama: LlamaServer) -> None:
    async def look(client: ModelServer) -> tuple[object, ...]:
        return (
            await client.list_models(),
            await client.list_running(),
            await client.has_model(MODEL),
            await client.has_model("other"),
        )

    assert ask(llama, look) == ((MODEL,), (MODEL,), True, False)


def test_capabilities_follow_the_template(llama: LlamaServer, calling_llama: LlamaServer) -> None:
    plain, calling = (
        ask(server, lambda client: client.capabilities(MODEL)) for server in (llama, calling_llama)
    )

    assert plain == Capabilities(calls_tools=False, ignores_eos=True)
    assert calling == Capabilities(calls_tools=True, ignores_eos=True)


def test_tokens_are_those_that_the_server_counts(llama: LlamaServer) -> None:
    before = llama.read_counters()

    answers = [
        chat(llama, replace(QUESTION, messages=(Message(Role.USER, text),))) for text in ("Who?", "Which?")
    ]

    counters = llama.read_counters() - before
    counted = [answer.tokens for answer in answers]
    assert {tokens.source for tokens in counted} == {TokenCountSource.USAGE}
    assert [tokens.output_count for tokens in counted] == [48, 48]
    assert counters.output_tokens == 96
    # The server's counter leaves out what its cache already had.
    evaluated = sum((tokens.prompt_count or 0) - (tokens.cached_count or 0) for tokens in counted)
    assert counters.prompt_tokens == evaluated


def test_chunks_are_not_taken_for_tokens(llama: LlamaServer) -> None:
    """The model says halves of characters, which the server keeps until they are whole."""
    answer = chat(llama)

    assert answer.tokens.output_count == 48
    assert 0 < len(answer.chunk_arrivals_ns) < 48


def test_stamps_follow_the_stream(llama: LlamaServer) -> None:
    answer = chat(llama)

    stamps = answer.stamps
    assert stamps.sent_ns < stamps.headers_ns <= stamps.first_chunk_ns <= (stamps.first_content_ns or 0)
    assert (stamps.first_content_ns, stamps.last_content_ns) == (
        answer.chunk_arrivals_ns[0],
        answer.chunk_arrivals_ns[-1],
    )
    assert answer.chunk_arrivals_ns[-1] <= stamps.ended_ns
    assert answer.server_timings.prompt_eval_ms
    assert answer.server_timings.eval_ms


def test_repeated_prompt_comes_from_the_cache(llama: LlamaServer) -> None:
    question = replace(QUESTION, messages=(Message(Role.USER, "Once more: the fox and the cloud?"),))

    first, again = (chat(llama, question).tokens for _ in range(2))

    assert again == TokenCounts(
        first.prompt_count, 48, (first.prompt_count or 0) - 1, None, TokenCountSource.USAGE
    )
    assert (first.cached_count or 0) < (again.cached_count or 0)


@pytest.mark.parametrize(
    ("ignore_eos", "ending"), [(False, (FinishReason.STOP, 1)), (True, (FinishReason.LENGTH, 48))]
)
def test_answer_goes_on_past_its_end_when_asked(
    calling_llama: LlamaServer, ignore_eos: bool, ending: tuple[FinishReason, int]
) -> None:
    answer = chat(calling_llama, replace(QUESTION, ignore_eos=ignore_eos))

    assert (answer.finish_reason, answer.tokens.output_count) == ending


def test_seed_repeats_an_answer(llama: LlamaServer) -> None:
    texts = [chat(llama, replace(QUESTION, temperature=1.0, seed=seed)).text for seed in (5, 5, 6)]

    assert texts[0] == texts[1] != texts[2]


def test_required_tool_is_called_and_its_result_taken(calling_llama: LlamaServer) -> None:
    asked = replace(QUESTION, tools=(LOOK_UP,), max_output_tokens=300)

    calling = chat(calling_llama, replace(asked, tool_choice="required"))

    (call,) = calling.tool_calls
    assert calling.finish_reason is FinishReason.TOOL_CALLS
    assert call.name == "look_up"
    assert call.arguments in ({"word": "fox"}, {"word": "cloud"})
    turns = (
        *asked.messages,
        Message(Role.ASSISTANT, "", tool_calls=calling.tool_calls),
        Message(Role.TOOL, "an animal", tool_call_id=call.id, tool_name=call.name),
    )
    answer = chat(calling_llama, replace(asked, messages=turns, tool_choice="none", ignore_eos=True))
    assert (answer.finish_reason, answer.tool_calls) == (FinishReason.LENGTH, ())
    assert (answer.tokens.prompt_count or 0) > (calling.tokens.prompt_count or 0)


def test_question_longer_than_the_context_is_that_error(llama: LlamaServer) -> None:
    with pytest.raises(ContextOverflowError):
        chat(llama, replace(QUESTION, messages=(Message(Role.USER, "word " * 1000),)))


def test_answer_ends_with_the_context(llama: LlamaServer) -> None:
    answer = chat(llama, replace(QUESTION, max_output_tokens=None, ignore_eos=True))

    assert answer.finish_reason is FinishReason.LENGTH
    assert answer.tokens.output_count + (answer.tokens.prompt_count or 0) == 8192 // SLOT_COUNT


@pytest.mark.parametrize("api_key", [None, "another-key"])
def test_server_with_a_key_refuses_who_has_not_got_it(locked_llama: LlamaServer, api_key: str | None) -> None:
    with pytest.raises(ServerAccessError):
        chat(locked_llama, api_key=api_key)


def test_server_with_a_key_answers_who_has_it(locked_llama: LlamaServer) -> None:
    answer = chat(locked_llama, api_key=API_KEY)

    assert answer.tokens.output_count == 48


def test_warm_up_asks_for_one_token(llama: LlamaServer) -> None:
    before = llama.read_counters()

    warm_up = ask(llama, lambda client: client.warm_up(WarmUpRequest(MODEL, timeout_seconds=30)))

    assert (llama.read_counters() - before).output_tokens == 1
    assert warm_up.load_ms == 0.0
    assert warm_up.first_token_ms > 0


def test_server_stops_when_its_answer_is_left(llama: LlamaServer) -> None:
    async def leave_early(client: ModelServer) -> None:
        begun = asyncio.Event()
        long = replace(QUESTION, max_output_tokens=2000, ignore_eos=True)
        asking = asyncio.create_task(client.chat(long, lambda _count: begun.set()))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    ask(llama, leave_early)

    def is_idle() -> bool:
        slots = httpx.get(f"{llama.url}/slots", timeout=10, trust_env=False).json()
        return not any(slot["is_processing"] for slot in slots)

    before = llama.read_counters()
    wait_until(is_idle, "all slots are idle", limit_seconds=10)
    assert (llama.read_counters() - before).output_tokens < 1500


def test_slots_answer_side_by_side(llama: LlamaServer) -> None:
    async def ask_all(client: ModelServer) -> list[FinishReason]:
        long = replace(QUESTION, max_output_tokens=400, ignore_eos=True)
        answers = await asyncio.gather(*(client.chat(long, ignore_chunk) for _ in range(SLOT_COUNT)))
        starts = [answer.chunk_arrivals_ns[0] for answer in answers]
        ends = [answer.chunk_arrivals_ns[-1] for answer in answers]
        assert max(starts) < min(ends)
        return [answer.finish_reason for answer in answers]

    assert ask(llama, ask_all) == [FinishReason.LENGTH] * SLOT_COUNT


def test_round_trip_to_this_machine_is_short(llama: LlamaServer) -> None:
    round_trip_ms = ask(llama, lambda client: client.round_trip_ms())

    assert round_trip_ms is not None
    assert 0 < round_trip_ms < 100
