import pytest

from rune.bench.records import MeasuredPoint, Point
from rune.bench.runs import fold_run
from rune.bench.sweeps import next_point
from rune.contracts.benchmarks import EndedBy, RunReport
from rune.contracts.workloads import Workload, question_once

NOTHING = fold_run(MeasuredPoint(Point(0, 1), 0, (), 0, 0, None, None), None, None)
SWEEP: dict[str, object] = {"sweep": True, "max_concurrency": 12}
GOODPUT: dict[str, object] = {**SWEEP, "goodput": {"ttft_ms": 100.0}}


def run(
    throughput: float | None = 100.0,
    *,
    failed: int = 0,
    cut_off: int = 0,
    completed: int = 10,
    good_ratio: float | None = None,
    steady: float | None = None,
    slots: int = 1,
) -> RunReport:
    """Return a report of a point, with no more in it than a sweep looks at."""
    return NOTHING.model_copy(
        update={
            "num_prompts": completed + failed + cut_off,
            "completed": completed,
            "failed": failed,
            "cut_off": cut_off,
            "good_ratio": good_ratio,
            "output_throughput_tokens_per_s": throughput,
            "steady_output_throughput_tokens_per_s": steady,
            "max_concurrency": slots,
        }
    )


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (None, [Point(0, 1)]),
        ({}, [Point(0, 1)]),
        ({"concurrency": [2, 3, 64]}, [Point(0, 2), Point(1, 3), Point(2, 64)]),
        (
            {"request_rates": [0.5, 4.0], "max_concurrency": 20},
            [Point(0, 20, 0.5), Point(1, 20, 4.0)],
        ),
        (SWEEP, [Point(0, 1), Point(1, 2), Point(2, 4), Point(3, 8), Point(4, 12)]),
        ({**SWEEP, "max_concurrency": 8}, [Point(0, 1), Point(1, 2), Point(2, 4), Point(3, 8)]),
        ({**SWEEP, "max_concurrency": 1}, [Point(0, 1)]),
    ],
)
def test_points_follow_each_other_until_all_are_measured(
    workload: dict[str, object] | None, expected: list[Point]
) -> None:
    given = question_once() if workload is None else Workload.model_validate(workload)
    points: list[Point] = []

    runs: list[RunReport] = []
    while isinstance(point := next_point(given, runs), Point):
        points.append(point)
        runs.append(run(100.0 * 2 ** len(runs)))

    assert (points, point) == (expected, "all_measured")


@pytest.mark.parametrize(
    ("workload", "runs", "expected"),
    [
        (SWEEP, [run(100), run(105)], Point(2, 4)),
        (SWEEP, [run(100), run(104.9)], "throughput_flat"),
        (SWEEP, [run(100), run(90)], "throughput_flat"),
        (SWEEP, [run(100), run(None)], "throughput_flat"),
        (SWEEP, [run(None), run(1)], Point(2, 4)),
        (SWEEP, [run(100), run(200), run(205), run(500)], Point(4, 12)),
        (SWEEP, [run(300), run(200), run(310)], "throughput_flat"),  # the best before is the first
        # Ramp and drain took a third of the second point's throughput.
        (SWEEP, [run(100, steady=100), run(101, steady=150)], Point(2, 4)),
        (SWEEP, [run(100, steady=150), run(140, steady=151)], "throughput_flat"),
        (SWEEP, [run(100), run(100, slots=16)], "too_few_requests"),
        (SWEEP, [run(100), run(100, slots=10)], "throughput_flat"),
        ({"concurrency": [1, 16, 32]}, [run(100), run(100, slots=16)], Point(2, 32)),  # asked for
        ({"concurrency": [1, 2, 4]}, [run(100), run(100)], Point(2, 4)),  # asked for, so measured
        (GOODPUT, [run(good_ratio=0.9)], Point(1, 2)),
        (GOODPUT, [run(good_ratio=0.89)], "goodput_failed"),
        (GOODPUT, [run(good_ratio=None)], Point(1, 2)),
        (SWEEP, [run(good_ratio=0.1)], Point(1, 2)),
        ({"concurrency": [1, 2]}, [run(good_ratio=0.1)], Point(1, 2)),
        (SWEEP, [run(completed=5, failed=5)], Point(1, 2)),
        (SWEEP, [run(completed=5, failed=6)], "errors"),
        (GOODPUT, [run(completed=5, failed=6, good_ratio=0.1)], "errors"),
        ({"request_rates": [1.0, 2.0]}, [run(completed=0, failed=9)], "errors"),
        ({"concurrency": [1, 2]}, [run(None, completed=0, cut_off=2)], "time_over"),
        ({"concurrency": [1, 2]}, [run(completed=1, cut_off=2)], Point(1, 2)),
        (SWEEP, [run(100), run(None, completed=0)], "time_over"),  # no time was left to send any
        ({}, [run(completed=0, failed=1)], "errors"),
    ],
)
def test_workload_ends_when_more_load_would_show_nothing(
    workload: dict[str, object], runs: list[RunReport], expected: Point | EndedBy
) -> None:
    assert next_point(Workload.model_validate(workload), runs) == expected
