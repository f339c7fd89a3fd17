"""A suite of cases, turn by turn, with one fault at every place: no run is lost, and none is counted twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import pytest

from rune.contracts import BenchmarkRequest, StoredBenchmarkResult
from rune.jobs.record import Job, Status
from rune.kubernetes.recorded import cluster
from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.staging import Stage, stage
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import admit_benchmark
from tests.simulation.faults import Fault, Odds
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import QUESTION_JSON, rented_benchmark
from tests.simulation.world import World

pytestmark = pytest.mark.slow

OF_SUITE = {"suite": "kubernetes-classics", "cases": ["case-20"], "runs": 2}
ASKED = {name: value for name, value in json.loads(QUESTION_JSON).items() if name != "question"}
STANDING = admit_benchmark(
    BenchmarkRequest.model_validate({**ASKED, **OF_SUITE}), AddressPolicy.parse("0.0.0.0/0")
)
RENTED = rented_benchmark(
    question=OF_SUITE["suite"], suite=OF_SUITE["suite"], cases=OF_SUITE["cases"], runs=OF_SUITE["runs"]
)
PLANNED = [("case-20", 0), ("case-20", 1)]
QUICK = Odds(answer_seconds=(4.0, 4.0))


@pytest.fixture(scope="module", autouse=True)
def _clusters_made_once() -> Iterator[None]:
    """Make each cluster once: they are read alone, and hundreds of worlds have the same."""
    made: dict[tuple[str, int], Stage] = {}

    def stage_once(case: Case, seed: int = 0) -> Stage:
        if (case.id, seed) not in made:
            made[case.id, seed] = stage(case, seed)
        return made[case.id, seed]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "stage", stage_once)
        yield


def run_suite(planned: dict[int, Fault] | None = None, *, is_rented: bool = False) -> World:
    world = World(0, QUICK, planned, vastai=SETTINGS if is_rented else None)
    world.submit(RENTED if is_rented else STANDING)
    return world.run(until_redelivered=False)


def the_job(world: World) -> Job | None:
    return next(iter(world.table.jobs.values()), None)


def flaws(world: World) -> Iterator[str]:
    """Yield what is wrong with a suite that was run."""
    yield from world.violations
    job = the_job(world)
    if job is None:
        return
    if job.status is not Status.SUCCEEDED:
        yield f"ended {job.status}: {job.failure}"
        return
    result = StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")
    assert result.report is not None
    diagnosis = result.report.diagnosis
    assert diagnosis is not None
    if diagnosis.outcomes != {"correct": len(PLANNED)}:
        yield f"counted {diagnosis.outcomes}"
    (key,) = result.bookkeeping.record_keys
    records = [json.loads(line) for line in world.files[key].splitlines()]
    if [(each["case_id"], each["run"]) for each in records] != PLANNED:
        yield f"records of {records}"
    if any(each["turns"] != 2 for each in records):
        yield f"turns {[each['turns'] for each in records]}"
    events = [each for each in world.table.events_of(job.job_id) if each.name == "benchmark.case"]
    if [(each.labels["case"], int(each.labels["run"])) for each in events] != PLANNED:
        yield f"events {[each.labels for each in events]}"


@cache
def list_cells(*, is_rented: bool = False) -> list[tuple[int, str, Fault]]:
    """Return every cut point of an undisturbed run with each fault that is possible there."""
    cut_points = run_suite(is_rented=is_rented).cut_points
    return [(n, place, fault) for n, (place, faults) in enumerate(cut_points) for fault in sorted(faults)]


@pytest.mark.parametrize("is_rented", [False, True], ids=["standing", "rented"])
def test_suite_runs_every_case_when_nothing_happens(is_rented: bool) -> None:
    assert [*flaws(run_suite(is_rented=is_rented))] == []


def test_suite_counts_every_run_once_when_one_thing_goes_wrong() -> None:
    """The engine's own tests put each other fault everywhere; here each fifth is enough."""
    cells = list_cells()
    crashes = [each for each in cells if each[2] is Fault.CRASH]
    broken = []
    for number, place, fault in [*crashes, *cells[::5]]:
        broken += [f"{fault} {place} (#{number}): {flaw}" for flaw in flaws(run_suite({number: fault}))]

    assert broken == []
    assert len(crashes) > 20


def test_crash_costs_one_turn_of_the_model_at_most() -> None:
    calm = run_suite().model_calls["chat"]
    crashes = [number for number, _, fault in list_cells() if fault is Fault.CRASH][::3]

    worlds = [run_suite({number: Fault.CRASH}) for number in crashes]
    # A crash before the job was stored leaves none.
    calls = {world.model_calls["chat"] for world in worlds if the_job(world)}

    assert calls == {calm, calm + 1}
