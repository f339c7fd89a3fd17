"""Prompts of several turns: what each request holds, how long it can be, and how a point asks them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import override

import pytest
from pydantic import ValidationError

from rune.bench.block_files import read_block, write_block
from rune.bench.driver import measure_point
from rune.bench.prompts import add_nonce, make_prompts
from rune.bench.records import MeasuredPoint, Point
from rune.bench.records_file import record_lines
from rune.bench.reports import fingerprint
from rune.bench.runs import fold_run
from rune.bench.server_load import ServerReading
from rune.bench.tasks import BlockShare, Task
from rune.bench.turns import NO_ANSWER, TURN_FRAME_TOKENS, as_text, longest_tokens, tokens_by_turn
from rune.contracts import BenchmarkRequest, Expectation, Workload
from rune.contracts.problems import refuse_document
from rune.errors import InvalidDocumentError, ServerFailedError
from rune.llm.protocol import ChatRequest, Generation, Message, OnChunk, Role, ServerMetrics
from rune.workflows.benchmark.state import left_after
from tests.fake_model_server import GENERATION, FakeModelServer

USER, ASSISTANT = Role.USER, Role.ASSISTANT
FIXED = {"role": "assistant", "content": "Fixed."}
TALK = ["One?", "Two?", FIXED, "Three?"]
MIXED = Workload.model_validate({"prompts": [TALK, "Alone?"]})


def a_task(workload: Workload = MIXED, **overrides: object) -> Task:
    task = Task("m", make_prompts("", workload), 2, 0, None, None, False, None, True, 1, nonce_seed=9)
    return replace(task, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


@dataclass
class Talking(FakeModelServer):
    """Answers each turn with how many messages it has seen, and takes a moment."""

    failing: str = "none"
    seconds: float = 0.001
    under_way: list[str] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        opening = request.messages[0].content
        if opening in self.under_way:
            self.crossed.append(opening)
        self.under_way.append(opening)
        try:
            await asyncio.sleep(self.seconds)
            if request.messages[-1].content == self.failing:
                raise ServerFailedError("No.")
            answer = await super().chat(request, on_chunk)
        finally:
            self.under_way.remove(opening)
        return replace(answer, text=f"Answer {len(request.messages)}.")


def measure(server: Talking, task: Task, point: Point = Point(0, 2), seconds: float = 10.0) -> MeasuredPoint:  # noqa: B008 frozen
    return asyncio.run(
        measure_point(
            server, task, point, time_limit_seconds=seconds, on_progress=lambda _ended, _chunks: None
        )
    )


def talks_of(server: Talking) -> list[list[str]]:
    return [[message.content for message in chat.messages] for chat in server.chats]


def test_workload_takes_turns_beside_texts() -> None:
    talk, alone = make_prompts("", MIXED)

    assert not isinstance(talk, str)
    assert talk.turns == (
        Message(USER, "One?"),
        Message(USER, "Two?"),
        Message(ASSISTANT, "Fixed."),
        Message(USER, "Three?"),
    )
    assert talk.asked == (0, 3)
    assert alone == "Alone?"


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ([FIXED, "One?"], "the first and the last turn are the user's"),
        (["One?", FIXED], "the first and the last turn are the user's"),
        (["One?", FIXED, FIXED, "Two?"], "no two turns of the assistant follow each other"),
    ],
)
def test_conversation_that_no_server_takes_is_refused(prompt: list[object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Workload.model_validate({"prompts": [prompt]})


@pytest.mark.parametrize(
    ("prompt", "pointer"),
    [
        (7, "/prompts/0"),
        ([], "/prompts/0"),
        ("", "/prompts/0"),
        (["One?", 7], "/prompts/0/1"),
        (["One?", ""], "/prompts/0/1"),
        (["One?", {"role": "tool", "content": "x"}], "/prompts/0/1/role"),
        (["One?", {"role": "user"}], "/prompts/0/1/content"),
        (["x"] * 51, "/prompts/0"),
    ],
)
def test_problem_names_the_place_of_a_wrong_turn(prompt: object, pointer: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Workload.model_validate({"prompts": [prompt]})

    refused = refuse_document(raised.value.errors())
    assert isinstance(refused, InvalidDocumentError)
    assert [error["pointer"] for error in refused.errors] == [pointer]


def test_turns_count_among_the_characters_of_all_prompts() -> None:
    with pytest.raises(ValidationError, match="longer than 1000000 characters"):
        Workload.model_validate({"prompts": [["x" * 100_000] * 11]})


def test_first_turn_stands_for_the_question() -> None:
    request = BenchmarkRequest.model_validate({"model": "m", "workload": {"prompts": [TALK]}})

    assert request.question == "One?"


def test_request_holds_all_turns_and_answers_before_it() -> None:
    talk, _ = make_prompts("", MIXED)
    assert not isinstance(talk, str)

    assert talk.messages("n One?") == (Message(USER, "n One?"),)
    assert talk.messages("n One?", [" "]) == (
        Message(USER, "n One?"),
        Message(ASSISTANT, NO_ANSWER),
        *talk.turns[1:],
    )


def test_bounds_grow_by_the_answers_that_are_sent_again() -> None:
    prompts = make_prompts("", MIXED)

    # 4 letters; then an answer of 100 tokens with a margin, "Two?", "Fixed." and "Three?", each framed.
    later = 4 + (125 + TURN_FRAME_TOKENS) + 4 + 6 + 6 + 3 * TURN_FRAME_TOKENS
    assert tokens_by_turn(prompts[0], len, 100) == (4, later)
    assert longest_tokens(prompts, len, 100) == later
    assert tokens_by_turn("Alone?", len, 100) == (6,)


def test_judge_and_fingerprint_have_the_turns_as_the_workload_gives_them() -> None:
    prompts = make_prompts("", MIXED)

    assert as_text(prompts[0]) == "User: One?\n\nUser: Two?\n\nAssistant: Fixed.\n\nUser: Three?"
    assert fingerprint(prompts) == sha256(json.dumps([TALK, "Alone?"]).encode()).hexdigest()


def test_conversation_is_asked_in_one_slot_turn_by_turn() -> None:
    server = Talking()

    measured = measure(server, a_task())

    assert server.crossed == []
    by_number = {record.number: record for record in measured.records}
    assert sorted(by_number) == list(range(6))
    for record in measured.records:
        place = (record.prompt_index, record.conversation is None, record.turn, record.turns_left)
        assert place in {(0, False, 0, 1), (0, False, 1, 0), (1, True, 0, 0)}
        if record.turn:
            assert record.due_ns >= by_number[record.number - 1].ended_ns
    talks = talks_of(server)
    for record in measured.records:
        if record.conversation is not None and record.turn == 0:
            opening = add_nonce("One?", 9, 0, record.number)
            assert [opening] in talks
            assert [opening, "Answer 1.", "Two?", "Fixed.", "Three?"] in talks
            assert by_number[record.number + 1].prompt_chars == len(opening) + len(
                "Answer 1.Two?Fixed.Three?"
            )


def test_open_load_is_a_rate_of_conversations() -> None:
    server = Talking()

    measured = measure(server, a_task(repetitions=20), Point(0, 8, 400.0))
    run = fold_run(measured, None, None)

    assert (run.num_prompts, run.completed) == (60, 60)
    last_ns = max(record.sent_ns or 0 for record in measured.records if record.turn == 0)
    assert run.achieved_request_rate_per_s == pytest.approx(40 / last_ns * 1e9)
    assert run.client_queue_time_ms is not None
    assert run.client_queue_time_ms.count == 40


def test_turns_after_one_that_failed_are_not_asked_and_nothing_was_cut_short() -> None:
    run = fold_run(measure(Talking(failing="Three?"), a_task()), None, None)
    at_first = Talking(failing=add_nonce("One?", 9, 0, 0))
    begun = fold_run(measure(at_first, a_task(repetitions=1, seed=0)), None, None)

    assert (run.completed, run.failed, run.num_prompts) == (4, 2, 6)
    assert {"errors"} == {"errors", "cut_short"} & set(run.warnings)
    assert "cut_short" not in begun.warnings
    assert begun.num_prompts in {2, 3}


def test_conversation_that_is_cut_off_says_so() -> None:
    measured = measure(Talking(seconds=0.4), a_task(repetitions=1), Point(0, 1), seconds=0.6)

    assert {record.status for record in measured.records} >= {"cut_off"}
    assert "cut_short" in fold_run(measured, None, None).warnings


def test_report_has_a_row_for_each_turn() -> None:
    run = fold_run(measure(Talking(), a_task()), None, None)

    assert run.turns is not None
    rows = [(row.turn, row.num_prompts, row.completed, row.cached_input_ratio) for row in run.turns]
    # 4 of 12 tokens came from the cache, as each answer says.
    assert rows == [(0, 4, 4, 0.333333), (1, 2, 2, 0.333333)]
    assert (run.cached_input_ratio, run.cached_input_source) == (0.333333, "usage")
    assert fold_run(measure(Talking(), a_task(prompts=("Alone?",))), None, None).turns is None


@pytest.mark.parametrize(("cached", "warns"), [((0, 12), False), ((12, 12), True)])
def test_only_first_turns_that_hit_the_cache_are_doubtful(cached: tuple[int, int], warns: bool) -> None:
    measured = measure(Talking(), a_task())
    records = tuple(
        replace(
            record,
            generation=replace(
                GENERATION, tokens=replace(GENERATION.tokens, cached_count=cached[min(record.turn, 1)])
            ),
        )
        for record in measured.records
    )

    assert ("prefix_cache_hits" in fold_run(replace(measured, records=records), None, None).warnings) == warns


def test_answers_are_judged_at_the_end_of_a_conversation() -> None:
    expected = Expectation(contains=["answer 5"])
    task = a_task(Workload.model_validate({"prompts": [TALK]}), expected=expected)

    measured = measure(Talking(), task)
    quality = fold_run(measured, None, expected).quality

    assert [record.score for record in measured.records] == [None, 1.0, None, 1.0]
    assert quality is not None
    assert (quality.judged_count, quality.passed_count, quality.unjudged_count) == (2, 2, 0)


def test_records_name_conversation_and_turn() -> None:
    lines = [json.loads(line) for line in record_lines(0, measure(Talking(), a_task()).records).splitlines()]

    told = {(line["prompt_index"], line["conversation"] is None, line["turn"]) for line in lines}
    assert told == {(0, False, 0), (0, False, 1), (1, True, 0)}


def test_block_numbers_its_requests_and_leaves_what_did_not_end() -> None:
    task = a_task(repetitions=1, block=BlockShare(1, (0, 1, 0), 40))
    measured = measure(Talking(), task, Point(0, 1))

    numbers = [(record.number, record.conversation, record.turn) for record in measured.records]
    assert numbers == [(40, 40, 0), (41, 40, 1), (42, None, 0), (43, 43, 0), (44, 43, 1)]
    assert left_after(task, measured) == ()
    # The first conversation was cut off at its second turn, and the last one never began.
    first, second, alone = measured.records[:3]
    cut = replace(measured, records=(first, replace(second, status="cut_off", generation=None), alone))
    assert left_after(task, cut) == (0, 0)
    failed = replace(measured, records=(replace(first, status="failed", generation=None), alone))
    assert left_after(task, failed) == (0,)


def test_block_file_keeps_conversations_and_what_the_server_said() -> None:
    reading = ServerReading(5, "during", ServerMetrics("vllm", running_count=2))
    measured = replace(measure(Talking(), a_task()), server_readings=(reading,))

    assert read_block(write_block(measured)) == measured
