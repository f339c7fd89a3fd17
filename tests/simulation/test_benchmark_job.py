"""One benchmark job on a model server, with one fault at every place where one can happen.

Of two faults at once a sample is run; `RUNE_SIMULATED_STRIDE=1` runs all.
"""

from itertools import combinations

import pytest

from rune.jobs.record import Status
from tests.simulation.faults import CALM, Fault, Odds
from tests.simulation.sampling import stride
from tests.simulation.world import World

LONGEST_RECOVERY_SECONDS = 180.0
"""What the engine promises after the loss of one process or message: lease, tick, and the step once more."""


def run_one_job(planned: dict[int, Fault] | None = None, odds: Odds = CALM, seed: int = 0) -> World:
    world = World(seed, odds, planned)
    world.submit()
    return world.run()


def list_cells() -> list[tuple[int, str, Fault]]:
    """Return every cut point of an undisturbed run with each fault that is possible there."""
    cut_points = run_one_job().cut_points
    return [(n, place, fault) for n, (place, faults) in enumerate(cut_points) for fault in sorted(faults)]


CELLS = list_cells()


def test_job_succeeds_once_when_nothing_happens() -> None:
    world = run_one_job()

    (job,) = world.table.jobs.values()
    assert world.violations == []
    assert (job.status, job.seq, job.epoch) == (Status.SUCCEEDED, 5, 4)
    assert world.model_calls == {
        "has_model": 1,
        "capabilities": 1,
        "warm_up": 1,
        "chat": 1,
        "describe_server": 2,
        "describe_model": 2,
    }


@pytest.mark.parametrize(("number", "place", "fault"), CELLS, ids=[f"{n}-{p}-{f}" for n, p, f in CELLS])
def test_job_ends_well_when_one_thing_goes_wrong(number: int, place: str, fault: Fault) -> None:
    undisturbed = run_one_job()
    world = run_one_job({number: fault})

    assert world.violations == []
    if fault in (Fault.DELAY, Fault.PAUSE):
        return  # how late is then the fault's own doing
    for job in world.table.jobs.values():
        (calm_job,) = undisturbed.table.jobs.values()
        assert job.status is Status.SUCCEEDED
        assert job.finished_at
        assert calm_job.finished_at
        lost_seconds = (job.finished_at - calm_job.finished_at).total_seconds()
        assert lost_seconds < LONGEST_RECOVERY_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.DUPLICATE, Fault.DELAY, Fault.LOSE_MESSAGE, Fault.PAUSE])
def test_job_ends_well_when_a_crash_meets_another_fault_everywhere(fault: Fault) -> None:
    odds = Odds(chances={fault: 0.3}, skew_seconds=5.0)

    cells = [
        (number, cell_fault, seed)
        for number, _, cell_fault in CELLS
        if cell_fault in (Fault.CRASH, Fault.LOST_ANSWER)
        for seed in range(5)
    ]
    runs = [run_one_job({number: cell_fault}, odds, seed) for number, cell_fault, seed in cells[:: stride(2)]]

    assert [run.violations for run in runs if run.violations] == []


@pytest.mark.slow
def test_job_ends_well_when_any_two_processes_die() -> None:
    crashes = [number for number, _, fault in CELLS if fault is Fault.CRASH]

    pairs = [*combinations(crashes, 2)]
    runs = [run_one_job(dict.fromkeys(pair, Fault.CRASH)) for pair in pairs[:: stride(10)]]

    assert [run.violations for run in runs if run.violations] == []
