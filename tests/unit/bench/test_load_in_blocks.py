"""What a block asks, in virtual time: every answer takes ten seconds."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from rune.bench.driver import measure_point
from rune.bench.records import MeasuredPoint, Point
from rune.bench.tasks import BLOCK_WARM_UP_TOKENS, BlockShare, Task
from rune.llm.protocol import ChatRequest, Generation, OnChunk
from rune.workflows.benchmark.state import left_after
from tests.fake_model_server import GENERATION, FakeModelServer
from tests.virtual_time import virtual_time

TASK = Task(
    model="llama3.1:8b",
    prompts=("One?", "Two?", "Three?"),
    repetitions=4,
    warmup_count=2,
    max_output_tokens=8192,
    temperature=None,
    ignore_eos=True,
    context_tokens=None,
    is_cache_busted=True,
    seed=1,
    nonce_seed=9,
)
CLOSED, OPEN = Point(1, 2), Point(1, 2, 0.4)
NO_WARM_UP = replace(TASK, warmup_count=0)
WHOLE = BlockShare(0, TASK.order(), 0)


@dataclass
class SlowServer(FakeModelServer):
    """Takes ten seconds for an answer, or as long as `seconds` says by its place; a warm-up takes none."""

    seconds: dict[int, float] = field(default_factory=dict)
    asked_count: int = 0

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        self.chats.append(request)
        if request.max_output_tokens == TASK.max_output_tokens:
            self.asked_count += 1
            await asyncio.sleep(self.seconds.get(self.asked_count - 1, 10.0))
        return GENERATION


def measure(
    task: Task, point: Point = CLOSED, *, seconds: float = 25.0, server: SlowServer | None = None
) -> MeasuredPoint:
    with virtual_time() as clock:
        measuring = measure_point(
            server or SlowServer(), task, point, time_limit_seconds=seconds, on_progress=lambda *_: None
        )
        return asyncio.run(measuring, loop_factory=clock.make_loop)


def statuses(measured: MeasuredPoint) -> list[str]:
    return [record.status for record in measured.records]


def test_block_leaves_to_the_next_what_would_not_end_within_its_time() -> None:
    measured = measure(replace(NO_WARM_UP, block=WHOLE))

    assert statuses(measured) == ["completed"] * 4
    assert measured.unsent_count == 8


def test_point_of_one_run_uses_all_of_its_time() -> None:
    measured = measure(NO_WARM_UP)

    assert statuses(measured) == ["completed"] * 4 + ["cut_off"] * 2


def test_block_goes_by_its_longest_answer() -> None:
    """The slots' first answers take four seconds, later ones ten: after 4, 14 and 24 no other fits into 33."""
    measured = measure(
        replace(NO_WARM_UP, block=WHOLE), seconds=33.0, server=SlowServer(seconds={0: 4.0, 1: 4.0})
    )

    assert statuses(measured) == ["completed"] * 6
    assert measured.unsent_count == 6


def test_block_of_an_open_load_asks_what_is_due_until_its_end() -> None:
    measured = measure(replace(NO_WARM_UP, block=WHOLE), OPEN)

    assert "cut_off" in statuses(measured)


def test_next_block_asks_what_is_left_with_numbers_and_prompts_of_its_own() -> None:
    first_task = replace(NO_WARM_UP, block=WHOLE)
    server = SlowServer()
    first = measure(first_task, server=server)
    left = left_after(first_task, first)

    second = measure(replace(NO_WARM_UP, block=BlockShare(1, left, 4)), seconds=1000.0, server=server)

    assert [record.number for record in (*first.records, *second.records)] == [*range(12)]
    assert [record.prompt_index for record in (*first.records, *second.records)] == [*TASK.order()]
    prompts = [chat.messages[-1].content for chat in server.chats]
    assert len({*prompts}) == 12


@pytest.mark.parametrize(
    ("status", "left"), [("cut_off", (0, 1, 2)), ("failed", (1, 2)), ("completed", (1, 2))]
)
def test_block_leaves_what_was_cut_off_and_not_what_failed(status: str, left: tuple[int, ...]) -> None:
    task = replace(TASK, block=BlockShare(1, (0, 1, 2), 5))
    measured = measure(replace(NO_WARM_UP, block=WHOLE))
    record = replace(measured.records[0], number=5, status=status)  # type: ignore[arg-type]  # one of them

    assert left_after(task, replace(measured, records=(record,))) == left


def test_warm_up_of_a_block_is_short() -> None:
    server = SlowServer()

    measure(replace(TASK, block=WHOLE), server=server)

    told = [chat.max_output_tokens for chat in server.chats]
    assert told == [BLOCK_WARM_UP_TOKENS] * 2 + [8192] * 4
