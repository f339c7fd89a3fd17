"""A rented benchmark that another server judges: the machine is given back first, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.simulators.vastai import VastaiFault, VastaiFaultKind
from rune.contracts import StoredBenchmarkResult
from rune.jobs.record import Status, StepName
from rune.workflows import graph
from tests.simulation.faults import Fault, Odds
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import MODEL, SWEEP, rented_benchmark
from tests.simulation.sampling import stride
from tests.simulation.world import World

type RecordProperty = Callable[[str, object], None]

ANSWERS = Odds(answer_seconds=(4.0, 4.0))
JUDGE = {"model": MODEL, "rubric": "Is it simulated?", "backend_url": "http://sim.example:11434"}
REQUEST = rented_benchmark(workload=SWEEP, expected={"judge": JUDGE})
ANSWER_COUNT = 9
"""Of `SWEEP`."""


def run(planned: dict[int, Fault] | None = None, *faults: VastaiFault) -> World:
    world = World(0, ANSWERS, planned, vastai=SETTINGS)
    assert world.account is not None
    world.account.vastai.faults.add(*faults)
    world.submit(REQUEST)
    return world.run(until_redelivered=False)


def billed_seconds(world: World) -> float:
    """Return for how long the GPU of the one machine was billed."""
    assert world.account is not None
    (contract,) = world.account.vastai.instances.values()
    bill = world.account.vastai.bill(contract.contract_id)
    assert bill.running_at is not None
    assert bill.destroyed_at is not None
    return bill.destroyed_at - bill.running_at


def result_of(world: World) -> StoredBenchmarkResult:
    (job,) = world.table.jobs.values()
    assert job.status is Status.SUCCEEDED
    return StoredBenchmarkResult.model_validate_json(world.table.result_of(job.job_id) or "")


def judging_seconds(world: World) -> float:
    (phase,) = [each for each in result_of(world).telemetry.latency if each.phase == "judge"]
    return phase.ms / 1000


def test_machine_is_not_billed_while_another_server_judges(
    monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    after = run()
    waiting = tuple(edge for edge in graph.EDGES if edge.to is not StepName.GIVE_BACK)
    monkeypatch.setattr(graph, "EDGES", waiting)
    before = run()

    record_property(
        "figures",
        {
            "billed_seconds_before": round(billed_seconds(before), 1),
            "billed_seconds_after": round(billed_seconds(after), 1),
            "judging_seconds": round(judging_seconds(after), 1),
            "usd_before": result_of(before).telemetry.cost_estimate_usd,
            "usd_after": result_of(after).telemetry.cost_estimate_usd,
        },
    )
    assert (before.violations, after.violations) == ([], [])
    assert judging_seconds(after) >= 4 * ANSWER_COUNT
    assert billed_seconds(before) - billed_seconds(after) >= judging_seconds(after) - 5


def test_receipt_is_closed_when_the_machine_is_given_back() -> None:
    world = run()

    (job,) = world.table.jobs.values()
    receipt = result_of(world).rental
    assert receipt is not None
    assert receipt.released_at is not None
    assert job.finished_at is not None
    assert (job.finished_at - receipt.released_at).total_seconds() >= judging_seconds(world)
    assert round(receipt.cost_usd * 1_000_000) == job.cost_micro_usd


def test_judging_goes_on_when_the_end_of_the_machine_is_proven_late() -> None:
    slow = VastaiFault(kind=VastaiFaultKind.DESTROY_SLOW, delay_seconds=400.0)
    world = run(None, slow)

    receipt = result_of(world).rental
    (job,) = world.table.jobs.values()
    assert world.violations == []
    assert receipt is not None
    assert receipt.released_at is not None
    judged = [each for each in world.table.events_of(job.job_id) if each.name == "benchmark.judge"]
    assert judged
    assert judged[-1].recorded_at < receipt.released_at


@pytest.mark.slow
def test_no_machine_is_lost_and_every_answer_judged_when_a_process_dies() -> None:
    cut_points = run().cut_points
    first = next(number for number, (place, _) in enumerate(cut_points) if place == "before file")
    crashes = [
        number
        for number, (place, possible) in enumerate(cut_points)
        if number >= first and Fault.CRASH in possible and place != "in step"
    ]

    broken = {}
    for number in crashes[:: stride(2)]:
        world = run({number: Fault.CRASH})
        report = result_of(world).report
        assert report is not None
        judged = [
            each.quality.judged_count + each.quality.unjudged_count for each in report.runs if each.quality
        ]
        if world.violations or world.leaked or sum(judged) != ANSWER_COUNT:
            broken[number] = (world.violations, judged)

    assert len(crashes) > 20
    assert broken == {}
