from rune.bench.points import runs_by_point
from tests.measured_builders import a_completed, a_report, a_run


def test_point_that_was_measured_again_is_its_run_with_the_most_answers() -> None:
    counts = (2, 5, 5, 3)
    runs = [
        a_run(*(a_completed(n, sent_ms=400 * n) for n in range(count))).model_copy(update={"index": index})
        for index, count in enumerate(counts)
    ]

    (kept,) = runs_by_point(a_report(*runs)).values()

    assert kept.index == 1
