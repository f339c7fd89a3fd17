"""Points in several runs, with a fault at places where one can happen: no block is lost, and none counts twice.

`RUNE_EVERY_CELL=1` takes every place and every fault, which is half a minute of processor time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache

import pytest

from local.simulators.vastai import Loss
from rune.contracts import RunReport, StoredBenchmarkResult
from rune.jobs.record import Job, Kind, Status, StepName
from rune.services.admission.requests import Admitted
from tests.simulation.faults import Fault, Odds
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import QUESTION_JSON, rented_benchmark
from tests.simulation.world import World

pytestmark = pytest.mark.slow

EVERY_CELL = bool(os.environ.get("RUNE_EVERY_CELL"))
OF_FILES = ("before file", "after file", "before reading")

QUICK = Odds(answer_seconds=(4.0, 4.0))
REQUESTS, POINTS = 4, 2
IN_BLOCKS = {
    "prompts": ["One?", "Two?"],
    "concurrency": [1, 2],
    "repetitions": 2,
    "min_waves": 0,
    "warmup_requests": 0,
    "point_seconds": 10,
    "max_blocks": 4,
}
"""In ten seconds two answers of four seconds end, and a third is cut off."""
STANDING = Admitted(
    Kind.BENCHMARK, StepName.CHECK, json.dumps({**json.loads(QUESTION_JSON), "workload": IN_BLOCKS})
)
RENTED = rented_benchmark(workload=IN_BLOCKS)


def run_blocks(planned: dict[int, Fault] | None = None, request: Admitted = STANDING) -> World:
    world = World(0, QUICK, planned, vastai=SETTINGS if request is RENTED else None)
    world.submit(request)
    return world.run(until_redelivered=False)


def the_job(world: World) -> Job:
    (job,) = world.table.jobs.values()
    return job


def flaws(world: World) -> Iterator[str]:
    """Yield what is wrong with a benchmark in which every request must have its answer, once."""
    yield from world.violations
    if not world.table.jobs:
        return  # the submit itself was lost
    job = the_job(world)
    if job.status is not Status.SUCCEEDED:
        yield f"ended {job.status}: {job.failure}"
        return
    result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert result.report is not None
    runs = result.report.runs
    if [(run.index, run.completed, blocks_of(run)) for run in runs] != [
        (index, REQUESTS, [(2, 1), (2, 0)]) for index in range(POINTS)
    ]:
        yield f"measured {[(run.index, run.completed, blocks_of(run)) for run in runs]}"
    lines = [
        json.loads(line) for key in result.bookkeeping.record_keys for line in world.files[key].splitlines()
    ]
    numbers = [(line["run"], line["number"]) for line in lines]
    if len(set(numbers)) != len(numbers):
        yield f"requests {numbers}"
    asked = sorted((line["run"], line["prompt_index"]) for line in lines if line["status"] == "completed")
    if asked != [(run, prompt) for run in range(POINTS) for prompt in (0, 0, 1, 1)]:
        yield f"asked {asked}"
    told = [each.name for each in world.table.events_of(job.job_id) if each.name.startswith("benchmark.")]
    if told.count("benchmark.block") != 2 * POINTS or told.count("benchmark.point") != POINTS:
        yield f"events {told}"


def blocks_of(run: RunReport) -> list[tuple[int, int]]:
    return [(block.completed, block.cut_off) for block in run.blocks or ()]


@cache
def list_cells(request: Admitted) -> list[tuple[int, str, Fault]]:
    """Return every cut point of an undisturbed run with each fault that is possible there."""
    cut_points = run_blocks(request=request).cut_points
    return [(n, place, fault) for n, (place, faults) in enumerate(cut_points) for fault in sorted(faults)]


@pytest.mark.parametrize("request_", [STANDING, RENTED], ids=["standing", "rented"])
def test_blocks_are_all_there_when_nothing_happens(request_: Admitted) -> None:
    world = run_blocks(request=request_)

    assert [*flaws(world)] == []
    assert {place for place, _ in world.cut_points} >= {"before file", "after file", "before reading"}


def test_no_block_is_lost_when_one_thing_goes_wrong() -> None:
    cells = list_cells(STANDING)
    chosen = [each for each in cells if EVERY_CELL or each[1] in OF_FILES] + cells[:: 1 if EVERY_CELL else 40]

    broken = [
        f"{fault} {place} (#{number}): {flaw}"
        for number, place, fault in chosen
        for flaw in flaws(run_blocks({number: fault}))
    ]

    assert broken == []
    assert {place for _, place, _ in chosen} >= {*OF_FILES}


def test_no_block_is_lost_on_a_rented_machine_when_a_process_dies_or_the_bucket_is_away() -> None:
    of_files = [(number, fault) for number, place, fault in list_cells(RENTED) if place in OF_FILES]
    cells = of_files if EVERY_CELL else of_files[::5]

    broken = {
        number: found
        for number, fault in cells
        if (found := [*flaws(run_blocks({number: fault}, request=RENTED))])
    }

    assert broken == {}
    assert len(cells) >= len(OF_FILES)


def test_blocks_are_reported_when_their_machine_is_lost() -> None:
    """In the middle of the first point's second block: the first one is the result."""
    calm = run_blocks(request=RENTED)
    first, *_ = [
        each for each in calm.table.events_of(the_job(calm).job_id) if each.name == "benchmark.block"
    ]
    world = World(0, QUICK, vastai=SETTINGS)
    world.submit(RENTED)
    account = world.account
    assert account is not None

    def lose() -> None:
        (contract,) = (contract for contract, _ in account.our_contracts())
        account.vastai.lose(contract.contract_id, Loss.STOPPED)

    world.plan(calm.seconds_since_start(first.recorded_at) + 2, lose)
    world.run()

    job = the_job(world)
    report = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "").report
    assert report
    assert (world.violations, job.status, report.ended_by) == ([], Status.SUCCEEDED, "errors")
    assert report.runs[0].completed >= 2
