"""What the driver asks and keeps, with a server in memory; its timing is held to the truth elsewhere."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest

from rune.bench import load_runner as window
from rune.bench.driver import learn_tokens_per_word, measure_point
from rune.bench.prompts import add_nonce
from rune.bench.records import MeasuredPoint, Point
from rune.bench.tasks import Task
from rune.bench.turns import opening_of
from rune.contracts.workloads import Expectation
from rune.errors import CostCapReachedError, RuneError, ServerOverloadedError, ServerUnreachableError
from rune.llm.protocol import ChatRequest, Generation, OnChunk, Stamps
from tests.fake_model_server import GENERATION, FakeModelServer

pytestmark = pytest.mark.alone

TASK = Task(
    model="llama3.1:8b",
    prompts=("One?", "Two?", "Three?"),
    repetitions=4,
    warmup_count=2,
    max_output_tokens=32,
    temperature=0.5,
    ignore_eos=True,
    context_tokens=4096,
    is_cache_busted=True,
    seed=1,
    nonce_seed=9,
)
CLOSED = Point(index=3, concurrency=2)
OPEN = Point(index=3, concurrency=2, request_rate_per_s=500.0)


@dataclass
class WatchedServer(FakeModelServer):
    """Answers after a while, the first ones at once, unless `fail` has something against it."""

    answer_seconds: float = 0.0
    quick_count: int = 0
    fail: Callable[[str], Exception | None] = lambda _: None
    under_way_count: int = 0
    most_under_way_count: int = 0
    listing_count: int = 0
    broken_off: list[str] = field(default_factory=list)

    async def list_models(self) -> tuple[str, ...]:
        self.listing_count += 1
        return await super().list_models()

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        prompt = request.messages[-1].content
        self.under_way_count += 1
        self.most_under_way_count = max(self.most_under_way_count, self.under_way_count)
        try:
            is_quick = len(self.chats) < self.quick_count
            await asyncio.sleep(0 if is_quick else self.answer_seconds)
            if error := self.fail(prompt):
                raise error
            return await super().chat(request, on_chunk)
        except asyncio.CancelledError:
            self.broken_off.append(prompt)
            raise
        finally:
            self.under_way_count -= 1


def measure(
    server: FakeModelServer,
    task: Task = TASK,
    point: Point = CLOSED,
    *,
    time_limit_seconds: float = 10.0,
    on_progress: Callable[[int, int], None] = lambda _ended, _chunks: None,
) -> MeasuredPoint:
    return asyncio.run(
        measure_point(server, task, point, time_limit_seconds=time_limit_seconds, on_progress=on_progress)
    )


def prompts_of(chats: Iterable[ChatRequest]) -> list[str]:
    return [chat.messages[-1].content for chat in chats]


@pytest.mark.parametrize("point", [CLOSED, OPEN])
def test_point_asks_each_prompt_as_often_as_told_with_numbers_of_their_own(point: Point) -> None:
    server = FakeModelServer()

    measured = measure(server, point=point)

    assert [record.number for record in measured.records] == list(range(12))
    asked = {
        add_nonce(opening_of(TASK.prompts[record.prompt_index]), 9, 3, record.number): record.prompt_chars
        for record in measured.records
    }
    assert sorted(prompts_of(server.chats[2:])) == sorted(asked)
    assert all(chars == len(prompt) for prompt, chars in asked.items())
    assert sorted(record.prompt_index for record in measured.records) == [0] * 4 + [1] * 4 + [2] * 4


def test_server_that_wants_to_be_left_alone_beyond_the_end_is_not_asked_again() -> None:
    """Of 190 requests two are under way when the first is refused; before, all were sent within a second."""
    error = ServerOverloadedError("Too many.", retry_after_seconds=60)
    server = WatchedServer(answer_seconds=0.05, fail=lambda _: error)
    began = time.monotonic()

    measured = measure(server, replace(TASK, prompts=("One?",), repetitions=190, warmup_count=0))

    assert [record.error_code for record in measured.records] == ["server_overloaded"] * 2
    assert measured.unsent_count == 188
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("point", [CLOSED, OPEN])
def test_point_ends_with_what_is_paid_for_when_the_cap_leaves_no_more(point: Point) -> None:
    """The third request is refused; those under way are waited for, and no later one is sent."""
    server = CappedServer(answer_seconds=0.05, calls_left=2)
    began = time.monotonic()

    measured = measure(server, replace(TASK, repetitions=60, warmup_count=0), point)

    assert {record.status for record in measured.records} <= {"completed"}
    assert len(measured.records) == len(server.chats)
    assert measured.unsent_count == 180 - len(server.chats)
    assert (measured.first_errors, server.broken_off) == ({}, [])
    assert time.monotonic() - began < 5


@dataclass
class CappedServer(WatchedServer):
    """Stands for one whose calls are bounded by a job's cap."""

    calls_left: int = 0

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        if not self.calls_left:
            raise CostCapReachedError
        self.calls_left -= 1
        return await super().chat(request, on_chunk)


def test_server_that_asks_for_a_second_gets_it() -> None:
    refused = ServerOverloadedError("Too many.", retry_after_seconds=1)
    errors = [refused, refused]
    server = WatchedServer(fail=lambda _: errors.pop() if errors else None)

    measured = measure(server, replace(TASK, warmup_count=0))

    sent_s = [(record.sent_ns or 0) / 1e9 for record in measured.records]
    assert [record.status for record in measured.records] == ["failed"] * 2 + ["completed"] * 10
    assert 1 <= min(sent_s[2:]) - max(sent_s[:2]) < 1.5


def test_point_repeats_prompts_as_they_are_when_the_cache_may_help() -> None:
    server = FakeModelServer()

    measure(server, replace(TASK, is_cache_busted=False))

    assert set(prompts_of(server.chats)) == {"One?", "Two?", "Three?"}


def test_point_asks_with_the_options_of_the_task() -> None:
    server = FakeModelServer()

    measure(server, time_limit_seconds=7.0)

    [options] = {replace(chat, messages=()) for chat in server.chats[2:]}
    assert options == ChatRequest(
        model="llama3.1:8b",
        messages=(),
        timeout_seconds=7.0,
        idle_timeout_seconds=60.0,
        context_tokens=4096,
        max_output_tokens=32,
        temperature=0.5,
        ignore_eos=True,
    )


def test_numbers_are_drawn_anew_for_each_task() -> None:
    assert replace(TASK).nonce_seed == 9
    fresh = [Task("m", ("One?",), 1, 0, None, None, False, None, True, 1).nonce_seed for _ in range(2)]
    assert fresh[0] != fresh[1]


@pytest.mark.parametrize(("warmup_count", "concurrency"), [(0, 4), (2, 4), (9, 4)])
def test_warm_up_is_over_and_connections_are_open_before_anything_is_measured(
    warmup_count: int, concurrency: int
) -> None:
    server = WatchedServer(answer_seconds=0.002)
    point = Point(0, concurrency)

    measured = measure(server, replace(TASK, warmup_count=warmup_count), point)

    assert (measured.warmup_count, measured.warmup_output_tokens) == (warmup_count, 21 * warmup_count)
    assert server.listing_count == concurrency + 1  # for the server's metrics
    assert server.most_under_way_count == concurrency
    assert len(server.chats) == warmup_count + 12
    warmup_prompts = prompts_of(server.chats[:warmup_count])
    assert not set(warmup_prompts) & set(prompts_of(server.chats[warmup_count:]))


def test_warm_up_that_fails_is_left_to_the_measured_requests_to_tell() -> None:
    server = FakeModelServer(error=ServerUnreachableError("Down."))

    measured = measure(server)

    assert (measured.warmup_count, measured.warmup_output_tokens) == (2, 0)
    assert {(record.status, record.error_code) for record in measured.records} == {
        ("failed", "server_unreachable")
    }


def test_closed_load_keeps_all_slots_busy_until_the_last_request() -> None:
    server = WatchedServer(answer_seconds=0.004)

    measured = measure(server, replace(TASK, repetitions=8, warmup_count=0), Point(0, 5))

    assert server.most_under_way_count == 5
    assert all(record.sent_ns is not None and record.due_ns <= record.sent_ns for record in measured.records)
    begun_ns = sorted(record.sent_ns or 0 for record in measured.records)
    ended_ns = sorted(record.ended_ns for record in measured.records)
    # Five are sent at once, and one more whenever one ends.
    assert all(begun >= ended for begun, ended in zip(begun_ns[5:], ended_ns, strict=False))


def test_open_load_keeps_due_times_when_slots_are_taken() -> None:
    server = WatchedServer(answer_seconds=0.02)

    measured = measure(server, replace(TASK, warmup_count=0), OPEN)

    assert server.most_under_way_count == 2
    waits_ms = [((record.sent_ns or 0) - record.due_ns) / 1e6 for record in measured.records]
    assert min(waits_ms) >= 0
    # Twelve are due within some 24 ms, two are answered every 20: the last waits for about five rounds.
    assert 60 < waits_ms[-1] < 400


@pytest.mark.parametrize("point", [CLOSED, Point(3, 2, 100.0)])
def test_point_breaks_off_what_is_under_way_when_its_time_is_over(point: Point) -> None:
    server = WatchedServer(answer_seconds=5.0, quick_count=3)

    measured = measure(server, replace(TASK, warmup_count=0), point, time_limit_seconds=0.7)

    statuses = [record.status for record in measured.records]
    assert statuses.count("completed") == 3
    assert len(server.broken_off) == 2
    never_sent = [record for record in measured.records if record.sent_ns is None]
    assert statuses.count("cut_off") == 2 + len(never_sent)
    assert bool(never_sent) == (point.request_rate_per_s is not None)
    assert all(record.ended_ns < 1e9 for record in measured.records)


def test_warm_up_is_broken_off_when_it_takes_half_of_the_time() -> None:
    server = WatchedServer(answer_seconds=0.15)

    measured = measure(server, TASK, time_limit_seconds=0.2)

    assert (measured.warmup_count, measured.warmup_output_tokens) == (2, 0)
    assert {record.status for record in measured.records} == {"cut_off"}


@pytest.mark.parametrize("silent", ["list_models", "round_trip_ms"])
def test_point_keeps_its_time_when_the_server_is_silent_before_it(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    async def hang(_self: FakeModelServer) -> None:
        await asyncio.sleep(5.0)

    monkeypatch.setattr(FakeModelServer, silent, hang)
    began_s = time.monotonic()

    measured = measure(FakeModelServer(), time_limit_seconds=1.2)

    assert time.monotonic() - began_s < 3
    assert [record.status for record in measured.records] == ["completed"] * 12


def test_point_tells_how_many_requests_had_no_time() -> None:
    """Twelve due within some 1200 ms on average, of which the time lets a few be sent."""
    measured = measure(
        FakeModelServer(), replace(TASK, warmup_count=0), Point(3, 2, 10.0), time_limit_seconds=0.4
    )

    assert 0 < measured.unsent_count == 12 - len(measured.records)
    assert {record.status for record in measured.records} <= {"completed"}


def test_point_ends_when_it_has_as_many_chunks_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_CHUNKS", 13)  # an answer has 3

    server = WatchedServer(answer_seconds=0.02)

    measured = measure(server, replace(TASK, warmup_count=0), replace(CLOSED, concurrency=1))

    assert [record.status for record in measured.records] == ["completed"] * 5 + ["cut_off"]
    assert measured.unsent_count == 6


def test_point_keeps_what_failed_by_its_code_and_goes_on() -> None:
    def fail(prompt: str) -> RuneError | None:
        return ServerOverloadedError("Full.") if prompt.endswith("Two?") else None

    measured = measure(WatchedServer(fail=fail))

    assert {code: error.sentence for code, error in measured.first_errors.items()} == {
        "server_overloaded": "Full."
    }
    found = {(record.prompt_index, record.status, record.error_code) for record in measured.records}
    assert found == {(0, "completed", None), (1, "failed", "server_overloaded"), (2, "completed", None)}


@pytest.mark.parametrize("point", [CLOSED, OPEN])
@pytest.mark.parametrize("warmup_count", [0, 2])
def test_point_raises_what_is_no_failure_of_the_server(point: Point, warmup_count: int) -> None:
    server = WatchedServer(fail=lambda _: ZeroDivisionError("a defect"))

    with pytest.raises(ZeroDivisionError, match="a defect"):
        measure(server, replace(TASK, warmup_count=warmup_count), point)

    assert server.under_way_count == 0


@pytest.mark.parametrize("point", [CLOSED, OPEN])
@pytest.mark.parametrize("warmup_count", [0, 2])
def test_point_ends_at_once_when_it_is_cancelled(point: Point, warmup_count: int) -> None:
    server = WatchedServer(answer_seconds=5.0)

    async def go() -> int:
        measuring = asyncio.create_task(
            measure_point(
                server,
                replace(TASK, warmup_count=warmup_count),
                point,
                time_limit_seconds=20.0,
                on_progress=lambda _ended, _chunks: None,
            )
        )
        async with asyncio.timeout(5):
            while server.under_way_count < 2:  # noqa: ASYNC110 nobody tells
                await asyncio.sleep(0.01)
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring
        return len(asyncio.all_tasks())

    assert asyncio.run(go()) == 1
    assert (len(server.broken_off), server.under_way_count) == (2, 0)


def test_record_takes_the_stamps_of_the_connection_for_those_around_the_call() -> None:
    @dataclass
    class Stamping(FakeModelServer):
        async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
            await asyncio.sleep(0.002)  # building the request, say
            began_ns = time.monotonic_ns()
            stamps = Stamps(began_ns, began_ns, began_ns, began_ns, began_ns, began_ns, began_ns + 1000)
            await asyncio.sleep(0.002)  # and draining the connection
            return replace(
                await super().chat(request, on_chunk), stamps=stamps, chunk_arrivals_ns=(began_ns,)
            )

    measured = measure(Stamping())

    for record in measured.records:
        assert record.generation is not None
        stamps = record.generation.stamps
        assert (record.sent_ns, record.ended_ns) == (stamps.sent_ns, stamps.ended_ns)
        assert record.generation.chunk_arrivals_ns == (stamps.sent_ns,)
        assert record.due_ns < stamps.sent_ns < stamps.ended_ns < 10e9


def test_collector_is_off_within_the_window_and_on_again_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool | str] = []
    server = WatchedServer(fail=lambda _: seen.append(gc.isenabled()))
    # In these tests what is frozen stays so (`tests/conftest.py`), so the calls are looked at.
    monkeypatch.setattr(gc, "freeze", lambda: seen.append("frozen"))
    monkeypatch.setattr(gc, "unfreeze", lambda: seen.append("unfrozen"))

    measure(server, replace(TASK, repetitions=1))

    assert seen == [True, True, "frozen", False, False, False, "unfrozen"]
    assert gc.isenabled()


def test_progress_tells_requests_ended_and_chunks_of_all() -> None:
    told: list[tuple[int, int]] = []

    measure(FakeModelServer(), on_progress=lambda ended, chunks: told.append((ended, chunks)))

    assert told[-1] == (12, 36)
    assert told == sorted(told)


def test_answers_are_judged_when_something_is_expected() -> None:
    expected = Expectation(contains=["pods", "nodes"])

    judged = measure(FakeModelServer(), replace(TASK, expected=expected))
    by_model = Expectation.model_validate({"judge": {"model": "judge", "rubric": "Be strict."}})
    left = measure(FakeModelServer(), replace(TASK, expected=by_model))

    assert {record.score for record in judged.records} == {0.5}
    assert {record.score for record in left.records} == {None}


@pytest.mark.parametrize(("prompt_bytes", "is_suspect"), [(1988, False), (20_000, True)])
def test_bytes_per_token_are_learnt_after_the_point_when_too_few_tokens_were_counted(
    prompt_bytes: int, is_suspect: bool
) -> None:
    server = FakeModelServer()  # counts 12 tokens for every prompt

    measured = measure(server, replace(TASK, prompts=("short", "x" * prompt_bytes), warmup_count=1))

    tiny = [chat for chat in server.chats if chat.max_output_tokens == 1]
    assert tiny == server.chats[9:]
    assert [len(chat.messages[0].content) for chat in tiny] == [1012] * is_suspect
    assert all((chat.context_tokens, chat.ignore_eos) == (4096, False) for chat in tiny)
    assert (measured.warmup_count, measured.warmup_output_tokens) == (1, 21 * (1 + is_suspect))
    assert {record.is_truncated for record in measured.records if record.prompt_index} == {is_suspect}


def test_prompt_is_not_called_truncated_when_the_server_counts_its_beginning_alike() -> None:
    """Letters that repeat have many bytes a token in every part of a prompt."""

    class Dense(FakeModelServer):
        async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
            answer = await super().chat(request, on_chunk)
            count = len(request.messages[-1].content) // 16
            return replace(answer, tokens=replace(answer.tokens, prompt_count=count))

    server = Dense()

    measured = measure(server, replace(TASK, prompts=("x" * 20_000,), warmup_count=0))

    assert len(server.chats) == 4 + 1
    assert {record.is_truncated for record in measured.records} == {False}


def test_request_has_a_limit_of_its_own_when_the_task_says_so() -> None:
    server = FakeModelServer()

    measure(server, replace(TASK, request_timeout_seconds=3.0, warmup_count=0), time_limit_seconds=10.0)

    assert {chat.timeout_seconds for chat in server.chats} == {3.0}


class Counting(FakeModelServer):
    """Counts prompts as it is told, one after another."""

    def __init__(self, *counts: int) -> None:
        super().__init__()
        self.counts = iter(counts)

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        answer = await super().chat(request, on_chunk)
        return replace(answer, tokens=replace(answer.tokens, prompt_count=next(self.counts)))


def test_tokens_per_word_come_from_two_lengths() -> None:
    assert asyncio.run(learn_tokens_per_word(Counting(40, 360), TASK)) == 320 / 256


@pytest.mark.parametrize("many", [41, 40 + 127, 40 + 4097])
def test_tokens_per_word_are_unknown_when_no_tokenizer_counts_so(many: int) -> None:
    """A server that drops or caches a part of a prompt; by one token for 256 words a prompt would fill 50 MB."""
    assert asyncio.run(learn_tokens_per_word(Counting(40, many), TASK)) is None


@pytest.mark.parametrize("prompt_count", [None, 12])
def test_tokens_per_word_are_unknown_when_the_server_does_not_count(prompt_count: int | None) -> None:
    generation = replace(GENERATION, tokens=replace(GENERATION.tokens, prompt_count=prompt_count))

    assert asyncio.run(learn_tokens_per_word(FakeModelServer(generation=generation), TASK)) is None
