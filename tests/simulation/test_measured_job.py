"""A sweep, point by point, with one fault at every place where one can happen: every point is measured once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from local.simulators.vastai import Loss
from rune.contracts import StoredBenchmarkResult
from rune.jobs.plan import CLOSING_GRACE
from rune.jobs.record import Job, Status
from rune.services.admission.requests import Admitted
from tests.simulation.faults import Fault, Odds
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import MEASURED, SWEEP, rented_benchmark
from tests.simulation.test_random_days import STORMY, run_day
from tests.simulation.world import World

pytestmark = pytest.mark.slow

QUICK = Odds(answer_seconds=(4.0, 4.0))
LONGEST_RECOVERY_SECONDS = 180.0
POINTS, REQUESTS = 3, 3
"""Of `SWEEP`."""

RENTED = rented_benchmark(workload=SWEEP)
JUDGED = replace(
    MEASURED,
    request_json=json.dumps(
        {
            **json.loads(MEASURED.request_json),
            "expected": {"judge": {"model": "llama3.1:8b", "rubric": "Is it simulated?"}},
        }
    ),
)
SLOW = replace(
    MEASURED,
    request_json=json.dumps(
        {
            **json.loads(MEASURED.request_json),
            "workload": {**SWEEP, "concurrency": [*range(1, 13)], "point_seconds": 800},
        }
    ),
)


def run_sweep(
    planned: dict[int, Fault] | None = None, odds: Odds = QUICK, seed: int = 0, request: Admitted = MEASURED
) -> World:
    world = World(seed, odds, planned, vastai=SETTINGS if request is RENTED else None)
    world.submit(request)
    return world.run(until_redelivered=False)


def the_job(world: World) -> Job | None:
    return next(iter(world.table.jobs.values()), None)


def flaws(world: World, *, must_be_whole: bool = True) -> Iterator[str]:
    """Yield what is wrong with a sweep that was not cancelled.

    Parameters
    ----------
    must_be_whole
        Whether no misfortune can have kept it from measuring every point.
    """
    yield from world.violations
    job = the_job(world)
    if job is None:
        return
    if job.status is not Status.SUCCEEDED:
        if must_be_whole:
            yield f"ended {job.status}: {job.failure}"
        return
    result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert result.report is not None
    runs = result.report.runs
    if [(run.completed, run.failed, run.index) for run in runs] != [
        (REQUESTS, 0, index) for index in range(POINTS if must_be_whole else len(runs))
    ]:
        yield f"measured {[(run.index, run.completed) for run in runs]}"
    keys = [*result.bookkeeping.record_keys]
    if keys and "judgements" in keys[-1]:
        judged = world.files[keys.pop()].count("\n")
        if judged != REQUESTS * len(runs):
            yield f"judged {judged} answers"
        if any(run.quality is None or run.quality.unjudged_count != run.completed for run in runs):
            yield "a point has no quality"
    lines = [world.files[key].count("\n") for key in keys]
    if lines != [REQUESTS] * len(runs):
        yield f"records of {lines} requests"
    told = [
        each.labels["point"] for each in world.table.events_of(job.job_id) if each.name == "benchmark.point"
    ]
    if told != [str(index) for index in range(len(runs))]:
        yield f"events of points {told}"


@cache
def list_cells(request: Admitted = MEASURED) -> list[tuple[int, str, Fault]]:
    """Return every cut point of an undisturbed run with each fault that is possible there."""
    cut_points = run_sweep(request=request).cut_points
    return [(n, place, fault) for n, (place, faults) in enumerate(cut_points) for fault in sorted(faults)]


@pytest.mark.parametrize("request_", [MEASURED, RENTED], ids=["standing", "rented"])
def test_sweep_measures_every_point_once_when_nothing_happens(request_: Admitted) -> None:
    assert [*flaws(run_sweep(request=request_))] == []


def test_sweep_measures_every_point_once_when_one_thing_goes_wrong() -> None:
    calm = the_job(run_sweep())
    assert calm
    assert calm.finished_at
    broken = []
    for number, place, fault in list_cells():
        world = run_sweep({number: fault})
        broken += [f"{fault} {place} (#{number}): {flaw}" for flaw in flaws(world)]
        job = the_job(world)
        if job and job.finished_at and fault not in (Fault.DELAY, Fault.PAUSE):
            late_seconds = (job.finished_at - calm.finished_at).total_seconds()
            broken += [f"{fault} {place} (#{number}): late"] * (late_seconds > LONGEST_RECOVERY_SECONDS)

    assert broken == []


@pytest.mark.parametrize("fault", [Fault.DUPLICATE, Fault.DELAY, Fault.LOSE_MESSAGE, Fault.PAUSE])
def test_sweep_measures_every_point_once_when_a_crash_meets_another_fault(fault: Fault) -> None:
    odds = Odds(chances={fault: 0.3}, skew_seconds=5.0, answer_seconds=(4.0, 4.0))
    crashes = [number for number, _, cell in list_cells() if cell is Fault.CRASH]

    runs = {number: run_sweep({number: Fault.CRASH}, odds, seed=number) for number in crashes}

    broken = {number: [*flaws(world, must_be_whole=False)] for number, world in runs.items()}
    assert {number: found for number, found in broken.items() if found} == {}
    assert any(not [*flaws(world)] for world in runs.values())


def test_rented_sweep_measures_every_point_once_when_a_process_dies() -> None:
    # What comes before the first point is the fault table's matter.
    crashes = [(number, place) for number, place, fault in list_cells(RENTED) if fault is Fault.CRASH]
    first = next(number for number, place in crashes if place == "before file")
    cells = [number for number, place in crashes if number >= first and place != "in step"]

    broken = {number: [*flaws(run_sweep({number: Fault.CRASH}, request=RENTED))] for number in cells}

    assert {number: found for number, found in broken.items() if found} == {}


def test_rules_hold_at_rest_when_sweeps_meet_stormy_days() -> None:
    stormy = replace(STORMY, answer_seconds=(1.0, 60.0))

    worlds = [run_day(seed, odds=stormy, requests=(MEASURED, JUDGED)) for seed in range(20)]

    assert [world.violations for world in worlds if world.violations] == []
    ends = {job.status for world in worlds for job in world.table.jobs.values()}
    assert ends == {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}


def test_judged_sweep_judges_every_answer_once_when_a_process_dies() -> None:
    cells = [number for number, _, fault in list_cells(JUDGED) if fault is Fault.CRASH]

    broken = {number: [*flaws(run_sweep({number: Fault.CRASH}, request=JUDGED))] for number in cells}

    assert {number: found for number, found in broken.items() if found} == {}


def test_sweep_ends_as_it_was_cancelled_at_any_moment() -> None:
    ends = []
    for seconds in (1.0, 35.0, 45.0, 55.0, 75.0):
        world = World(0, QUICK)
        job_id = world.submit(MEASURED)
        assert job_id
        world.plan(seconds, lambda world=world, job_id=job_id: world.cancel(job_id))  # type: ignore[misc]
        world.run()
        ends.append((world.violations, world.table.jobs[job_id].status))

    assert ends == [([], Status.CANCELLED)] * 5


@pytest.mark.parametrize("answer_seconds", [99.0, 150.0])
def test_sweep_ends_well_with_what_is_measured_when_the_jobs_hour_is_over(answer_seconds: float) -> None:
    world = run_sweep(odds=Odds(answer_seconds=(answer_seconds, answer_seconds)), request=SLOW)

    job = the_job(world)
    assert job
    report = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "").report
    assert report
    assert (world.violations, report.ended_by) == ([], "time_over")
    assert job.finished_at
    assert job.finished_at < job.deadline_at + CLOSING_GRACE


def test_rented_sweep_keeps_what_is_measured_when_its_machine_is_lost() -> None:
    world = World(0, QUICK, vastai=SETTINGS)
    world.submit(RENTED)
    account = world.account
    assert account is not None

    def lose() -> None:
        (contract,) = (contract for contract, _ in account.our_contracts())
        account.vastai.lose(contract.contract_id, Loss.STOPPED)

    world.plan(lost_at_seconds(), lose)
    world.run()

    job = the_job(world)
    assert job
    report = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "").report
    assert report
    assert (world.violations, job.status, report.ended_by) == ([], Status.SUCCEEDED, "errors")
    assert 1 <= len(report.runs) < POINTS + 1


def lost_at_seconds() -> float:
    """Return a moment in the middle of the second point of a rented sweep."""
    world = run_sweep(request=RENTED)
    job = the_job(world)
    assert job
    first, *_ = [each for each in world.table.events_of(job.job_id) if each.name == "benchmark.point"]
    return world.seconds_since_start(first.recorded_at) + 6
