"""A point in several runs: its blocks survive all that comes after them."""

import json

import pytest

from rune.contracts import RunReport
from rune.errors import ServerOverloadedError, ServerUnreachableError, StoreUnavailableError
from rune.jobs.lifecycle import MAX_ATTEMPTS
from rune.jobs.outcomes import Again, Failed
from tests.builders import JOB_ID
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, key_of, report_of, result_of

BLOCKS = a_sweep(concurrency=[1], max_blocks=4, point_seconds=800)
"""One point of ten requests."""


def a_bench(longest_block: int = 4, *, cuts_last: bool = False) -> Bench:
    bench = Bench()
    bench.measure.longest_block, bench.measure.cuts_last = longest_block, cuts_last
    return bench


def blocks_of(run: RunReport) -> list[tuple[int, int]]:
    return [(block.completed, block.cut_off) for block in run.blocks or ()]


def block_key(point: int, epoch: int) -> str:
    return f"results/{JOB_ID}/blocks/{point:02d}-{epoch}.json"


def test_point_goes_on_in_the_next_turns_until_all_its_requests_have_ended() -> None:
    bench = a_bench()

    report = report_of(bench.run(BLOCKS))

    (run,) = report.runs
    assert (run.completed, run.num_prompts, blocks_of(run)) == (10, 10, [(4, 0), (4, 0), (2, 0)])
    assert run.num_warmups == 6
    assert not {"few_samples", "cut_short"} & {*run.warnings}
    assert report.ended_by == "all_measured"
    shares = [task.block for _, task, _ in bench.measure.measured]
    assert [(share.index, share.first_number, len(share.left)) for share in shares if share] == [
        (0, 0, 10),
        (1, 4, 6),
        (2, 8, 2),
    ]


def test_every_prompt_is_asked_as_often_as_the_workload_says() -> None:
    bench = a_bench(cuts_last=True)

    bench.run({**BLOCKS, "workload": {**BLOCKS["workload"], "max_blocks": 9}})  # type: ignore[dict-item]  # it is a mapping

    lines = [json.loads(line) for text in files(bench, "records") for line in text.splitlines()]
    asked = [line["prompt_index"] for line in lines if line["status"] == "completed"]
    assert sorted(asked) == [0] * 5 + [1] * 5
    numbers = [line["number"] for line in lines]
    assert numbers == [*range(len(lines))]
    assert {line["block"] for line in lines} == {0, 1, 2}


def files(bench: Bench, folder: str) -> list[str]:
    return [text for key, text in sorted(bench.records.files.items()) if f"/{folder}/" in key]


def test_answer_that_was_cut_off_is_asked_again_in_the_next_block() -> None:
    bench = a_bench(cuts_last=True)

    report = report_of(bench.run(BLOCKS))

    (run,) = report.runs
    assert blocks_of(run) == [(3, 1), (3, 1), (4, 0)]
    assert (run.completed, run.cut_off, run.num_prompts) == (10, 2, 12)
    assert "cut_short" not in run.warnings


def test_point_ends_with_the_last_of_its_blocks() -> None:
    bench = a_bench(longest_block=2)

    report = report_of(bench.run(BLOCKS))

    (run,) = report.runs
    assert blocks_of(run) == [(2, 0)] * 4
    assert {"few_samples", "cut_short"} <= {*run.warnings}


def test_point_whose_requests_end_in_one_run_has_no_blocks() -> None:
    bench = a_bench(longest_block=10)

    report = report_of(bench.run(BLOCKS))

    assert [(run.completed, run.blocks) for run in report.runs] == [(10, None)]
    assert files(bench, "blocks") == []


def test_points_follow_each_other_with_their_blocks() -> None:
    bench = a_bench()

    report = report_of(bench.run(a_sweep(max_blocks=3, concurrency=[1, 2])))

    assert [(run.index, run.max_concurrency, len(run.blocks or ())) for run in report.runs] == [
        (0, 1, 3),
        (1, 2, 3),
    ]
    assert bench.points == [0, 0, 0, 1, 1, 1]
    assert result_of(bench.outcomes[-1]).bookkeeping.record_keys == tuple(
        key_of(point, epoch) for point, epoch in ((0, 1), (0, 2), (0, 3), (1, 5), (1, 6), (1, 7))
    )


def test_turn_tells_of_its_block_and_folds_in_a_turn_of_its_own() -> None:
    bench = a_bench(longest_block=5)

    bench.run(BLOCKS)

    told = [
        (outcome.progress, [note.name for note in outcome.notes])
        for outcome in bench.outcomes
        if isinstance(outcome, Again)
    ]
    assert told == [
        ({"point": 0, "points": 1, "block": 1, "blocks": 4}, ["benchmark.block"]),
        ({"point": 0, "points": 1, "block": 2, "blocks": 4}, ["benchmark.block"]),
        ({"point": 1, "points": 1}, ["benchmark.point"]),
    ]


def test_worker_that_is_lost_costs_its_block_alone() -> None:
    bench = a_bench()
    bench.commit(bench.turn(BLOCKS, epoch=1))

    bench.turn(BLOCKS, epoch=2)
    bench.commit(bench.turn(BLOCKS, epoch=3, attempts=2))
    (run,) = report_of(bench.run(BLOCKS, first_epoch=4)).runs

    assert (run.completed, blocks_of(run)) == (10, [(4, 0), (4, 0), (2, 0)])


@pytest.mark.parametrize("left_seconds", [34.9, 15.0])
def test_blocks_are_reported_when_the_jobs_time_is_over(left_seconds: float) -> None:
    bench = a_bench()
    for epoch in (1, 2):
        bench.commit(bench.turn(BLOCKS, epoch=epoch))

    report = report_of(bench.turn(BLOCKS, left_seconds))

    (run,) = report.runs
    assert (run.completed, blocks_of(run), report.ended_by) == (8, [(4, 0), (4, 0)], "time_over")
    assert "cut_short" in run.warnings


def test_no_block_is_begun_that_is_shorter_than_an_answer() -> None:
    bench = a_bench()
    bench.measure.seconds_per_answer = 100
    bench.commit(bench.turn(BLOCKS))

    assert report_of(bench.turn(BLOCKS, 110.0)).ended_by == "time_over"
    assert isinstance(bench.turn(BLOCKS, 120.0), Again)


@pytest.mark.parametrize(
    "overrides", [{"attempts": MAX_ATTEMPTS}, {"failures": 2}], ids=["workers lost", "failures"]
)
def test_blocks_are_reported_when_the_next_one_is_given_up(overrides: dict[str, object]) -> None:
    bench = a_bench()
    bench.commit(bench.turn(BLOCKS))

    report = report_of(bench.turn(BLOCKS, 870.0, **overrides))

    assert ([run.completed for run in report.runs], report.ended_by) == ([4], "errors")
    assert "point_given_up" in report.warnings


def test_blocks_are_reported_when_the_server_is_gone() -> None:
    bench = a_bench()
    bench.commit(bench.turn(BLOCKS))
    bench.measure.raises = ServerUnreachableError("Nobody.")

    assert bench.turn(BLOCKS) == Failed("server_unreachable", "Nobody.", retryable=True)
    assert [run.completed for run in report_of(bench.turn(BLOCKS, failures=2)).runs] == [4]


def test_block_without_an_answer_is_the_last_of_its_point() -> None:
    bench = a_bench()
    bench.commit(bench.turn(BLOCKS))
    bench.measure.failing[0] = ServerOverloadedError("Full.")

    report = report_of(bench.run(BLOCKS, first_epoch=2))

    (run,) = report.runs
    assert [(block.completed, block.failed) for block in run.blocks or ()] == [(4, 0), (0, 4)]
    assert "errors" in run.warnings


def test_first_block_without_an_answer_fails_as_a_first_point_does() -> None:
    bench = a_bench()
    bench.measure.failing[0] = ServerOverloadedError("Full.")

    with pytest.raises(ServerOverloadedError, match="4 of 4"):
        bench.turn(BLOCKS)


def test_blocks_wait_for_the_bucket_and_are_reported_by_the_fullest_when_it_does_not_come_back() -> None:
    bench = a_bench()
    for epoch in (1, 2, 3):
        bench.commit(bench.turn(BLOCKS, epoch=epoch))
    bench.records.is_down = True

    with pytest.raises(StoreUnavailableError):
        bench.turn(BLOCKS)
    bench.commit(bench.turn(BLOCKS, failures=2))
    (run,) = report_of(bench.turn(BLOCKS)).runs

    assert (run.completed, run.blocks) == (4, None)
    assert "blocks_lost" in run.warnings


@pytest.mark.parametrize("text", [None, "{}"], ids=["missing", "unreadable"])
def test_block_whose_file_is_no_more_costs_no_other_try(text: str | None) -> None:
    bench = a_bench()
    for epoch in (1, 2, 3):
        bench.commit(bench.turn(BLOCKS, epoch=epoch))
    if text is None:
        del bench.records.files[block_key(0, 2)]
    else:
        bench.records.files[block_key(0, 2)] = text

    bench.commit(bench.turn(BLOCKS))

    assert "blocks_lost" in report_of(bench.turn(BLOCKS)).runs[0].warnings


def test_blocks_of_another_machine_are_no_part_of_a_point() -> None:
    bench = a_bench()
    bench.commit(bench.turn(BLOCKS, rental_id="a-1"))

    bench.commit(bench.turn(BLOCKS, rental_id="a-2"))

    assert [task.block.index for _, task, _ in bench.measure.measured if task.block] == [0, 0]


def test_block_draws_its_arrivals_anew() -> None:
    bench = a_bench()

    bench.run(BLOCKS)

    seeds = [task.seed for _, task, _ in bench.measure.measured]
    assert seeds[0] == 0
    assert len({*seeds}) == 3


def test_answers_of_all_blocks_are_judged() -> None:
    bench = a_bench()
    judge = {"model": "judge", "rubric": "Right?", "backend_url": "http://127.0.0.1:1"}

    for epoch in range(1, 6):
        bench.commit(bench.turn({**BLOCKS, "expected": {"judge": judge}}, epoch=epoch))

    assert bench.state_json is not None
    answers = json.loads(bench.state_json)["answers"]
    assert [(each["run_index"], each["number"]) for each in answers] == [(0, number) for number in range(10)]
