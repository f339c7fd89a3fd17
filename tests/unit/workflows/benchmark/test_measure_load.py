"""Which step measures a point: one process, or several in a lane of their own."""

import pytest

from rune.errors import InvalidRequestError, LoadProcessError
from rune.jobs.outcomes import Again, Done, Failed, Next
from rune.jobs.record import StepName
from tests.unit.workflows.benchmark.sweeps import Bench, a_sweep, report_of

WITH_LANE = 256


def test_points_go_to_the_step_that_can_put_their_load_and_are_one_report() -> None:
    bench = Bench(most_concurrency=WITH_LANE)

    report = report_of(bench.run(a_sweep(concurrency=[1, 64, 65, 256])))

    assert [type(outcome) for outcome in bench.outcomes] == [Again, Again, Next, Again, Again, Done]
    assert bench.step is StepName.MEASURE_LOAD
    assert [run.max_concurrency for run in report.runs] == [1, 64, 65, 256]
    assert (bench.points, len(bench.spread.accesses)) == ([0, 1, 2, 3], 2)
    assert report.ended_by == "all_measured"
    assert [(run.client_process_count, run.client_processor_ratio) for run in report.runs] == [
        (1, None),
        (1, None),
        (4, 0.5),
        (4, 0.5),
    ]


def test_point_for_one_process_goes_back_from_the_lane_of_several() -> None:
    bench = Bench(most_concurrency=WITH_LANE, step=StepName.MEASURE_LOAD)

    outcome = bench.turn(a_sweep(concurrency=[1]))

    assert outcome == Next(StepName.MEASURE, phases_ms={"measure": 0})
    assert bench.points == []


def test_time_that_points_took_is_one_phase_in_whichever_steps_they_were_measured() -> None:
    bench = Bench(most_concurrency=WITH_LANE)
    bench.commit(bench.turn(a_sweep(concurrency=[1, 65])))

    assert bench.turn(a_sweep(concurrency=[1, 65])) == Next(
        StepName.MEASURE_LOAD, phases_ms={"measure": 10_000}
    )


def test_processes_open_the_server_as_the_step_does() -> None:
    bench = Bench(most_concurrency=WITH_LANE, step=StepName.MEASURE_LOAD)

    bench.turn(a_sweep(concurrency=[65]))

    (access,) = bench.spread.accesses
    assert ((access.kind, access.url), access.api_key) == (bench.server.opened[-1], None)


def test_first_point_that_the_deployment_cannot_measure_any_more_fails_the_job() -> None:
    """It had the lane when the job was accepted."""
    with pytest.raises(InvalidRequestError, match="at most 64 requests") as raised:
        Bench().turn(a_sweep(concurrency=[65]))

    assert raised.value.specific_code == "concurrency_too_high"


def test_later_point_that_the_deployment_cannot_measure_any_more_loses_none_before_it() -> None:
    bench = Bench()

    report = report_of(bench.run(a_sweep(concurrency=[1, 65])))

    assert (len(report.runs), report.ended_by) == (1, "errors")
    assert "point_given_up" in report.warnings


def test_process_that_died_fails_the_point_with_its_reason_and_loses_none_before_it() -> None:
    bench = Bench(most_concurrency=WITH_LANE)
    request = a_sweep(concurrency=[1, 65])
    for _ in range(2):
        bench.commit(bench.turn(request))
    bench.spread.raises = LoadProcessError("A process that put the load was ended by SIGKILL.")

    lost = bench.turn(request)
    report = report_of(bench.turn(request, failures=2))

    assert lost == Failed("load_process_lost", str(bench.spread.raises), retryable=True)
    assert (len(report.runs), report.ended_by) == (1, "errors")


def test_process_that_died_at_the_first_point_fails_the_job_with_its_reason() -> None:
    bench = Bench(most_concurrency=WITH_LANE, step=StepName.MEASURE_LOAD)
    bench.spread.raises = LoadProcessError("A process that put the load was ended by SIGKILL.")

    with pytest.raises(LoadProcessError, match="SIGKILL"):
        bench.turn(a_sweep(concurrency=[65]))
