import pytest

from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest
from rune.workflows.benchmark.context_size import (
    context_for,
    context_tokens_of,
    judges_on_own_server,
    parallel_count_of,
    room_for,
)


def a_request(**members: object) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate({"question": "Why?", "model": "llama3.1:8b", **members})


AGENTS = AgenticAgentRequest(question="Why?", model="llama3.1:8b")
INSTANCE = LlmInstanceRequest()


@pytest.mark.parametrize(
    ("request_", "rents", "context_tokens"),
    [
        (a_request(), False, None),
        (a_request(context_tokens=4096), False, 4096),
        (a_request(context_tokens=4096), True, 4096),
        (a_request(), True, 8192),
        # 8192 less the frame, the number and 2048 for the answer leave 6004: two letters each, or a byte of others.
        (a_request(question="q" * 12_008), True, 8192),
        (a_request(question="q" * 12_010), True, 16_384),
        (a_request(workload={"prompts": ["a", "é" * 3002], "output_tokens": 2048}), True, 8192),
        (a_request(workload={"prompts": ["a", "é" * 3003], "output_tokens": 2048}), True, 16_384),
        (a_request(workload={"output_tokens": 8192}), True, 16_384),
        (a_request(workload={"prompt_set": "synthetic", "input_tokens": 4000}), True, 8192),
        (a_request(workload={"prompt_set": "synthetic", "input_tokens": 6000}), True, 16_384),
        # Several contexts are smaller, but hold the longest prompt all the same.
        (a_request(workload={"concurrency": [4], "output_tokens": 64}), True, 2048),
        (a_request(workload={"concurrency": [1, 4], "output_tokens": 4096}), True, 8192),
        (a_request(workload={"request_rates": [1.0], "output_tokens": 64}), True, 2048),
        (AGENTS, False, None),
        (INSTANCE, True, None),
    ],
)
def test_context_holds_the_longest_prompt_with_its_answer_on_a_rented_machine(
    request_: BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest,
    context_tokens: int | None,
    *,
    rents: bool,
) -> None:
    assert context_tokens_of(request_, rents=rents) == context_tokens


@pytest.mark.parametrize(
    ("tokens", "room"),
    [(0, 8192), (8052, 8192), (8053, 16_384), (100_000, 131_072), (1_000_000, 131_072)],
)
def test_room_is_a_power_of_two_within_what_is_sensible(tokens: int, room: int) -> None:
    assert room_for(tokens) == room


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        (a_request(), 1),
        (a_request(workload={"output_tokens": 64}), 1),
        (a_request(workload={"concurrency": [1, 8], "output_tokens": 64}), 8),
        (a_request(workload={"sweep": True, "max_concurrency": 48, "output_tokens": 64}), 48),
        (a_request(workload={"request_rates": [1.0], "max_concurrency": 20, "output_tokens": 64}), 20),
        # Contexts of 16,384 tokens: eight of them are all that is asked for.
        (a_request(workload={"concurrency": [64], "output_tokens": 8192}), 8),
        (a_request(context_tokens=262_144, workload={"concurrency": [4]}), 1),
        (AGENTS, 1),
        (INSTANCE, 1),
    ],
)
def test_server_of_a_rented_machine_answers_as_many_as_the_workload_has_under_way(
    request_: BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest, count: int
) -> None:
    assert parallel_count_of(request_) == count


def test_context_for_nothing_is_the_smallest() -> None:
    assert context_for((), 1) == 8192


@pytest.mark.parametrize(
    ("judge", "is_own"),
    [
        (None, True),
        ({}, True),
        ({"backend_url": "http://judge.example"}, False),
        ({"backend_type": "bedrock"}, False),
    ],
)
def test_judge_is_on_the_measured_server_unless_another_is_named(
    judge: dict[str, object] | None, *, is_own: bool
) -> None:
    expected = None if judge is None else {"judge": {"model": "j", "rubric": "r", **judge}}

    assert judges_on_own_server(a_request(expected=expected)) is is_own
