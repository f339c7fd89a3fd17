"""A search against servers of which it is known what they carry."""

import random
from collections.abc import Callable

import pytest

from rune.bench.capacity import LEAST_RATE_PER_S, MAX_TRIES, capacity_of, try_loads, wilson_interval
from rune.bench.records import MeasuredPoint, Point
from rune.bench.runs import fold_run
from rune.bench.sweeps import next_point
from rune.contracts import Distribution, RunReport, Workload
from rune.contracts.benchmarks import EndedBy

NOTHING = fold_run(MeasuredPoint(Point(0, 1), 0, (), 0, 0, None, None), None, None)
LIMITS = {"limits": {"ttft_ms": 500.0}}

type Server = Callable[[float], float]
"""Share of good requests at a load."""


def a_workload(*, max_concurrency: int = 64, **search: object) -> Workload:
    return Workload.model_validate({"search": {**LIMITS, **search}, "max_concurrency": max_concurrency})


def a_run(point: Point, good_count: int, bad_count: int, /, **overrides: object) -> RunReport:
    """Return a report of a point, with no more in it than a search looks at."""
    known_count = good_count + bad_count
    given = {
        "index": point.index,
        "load": "closed" if point.request_rate_per_s is None else "open",
        "max_concurrency": point.concurrency,
        "request_rate_per_s": point.request_rate_per_s,
        "num_prompts": known_count,
        "completed": known_count,
        "good_count": good_count,
        "bad_count": bad_count,
        "good_ratio": good_count / known_count if known_count else None,
        "goodput_requests_per_s": float(good_count),
        "ttft_ms": None,
        "e2el_ms": None,
    }
    return NOTHING.model_copy(update={**given, **overrides})


def search(workload: Workload, server: Server, count: int = 200) -> tuple[list[RunReport], EndedBy]:
    """Return the runs of a whole search, each of so many requests, and why it ended."""
    runs: list[RunReport] = []
    while isinstance(point := next_point(workload, runs), Point):
        load = point.request_rate_per_s or point.concurrency
        good_count = round(count * server(load))
        runs.append(a_run(point, good_count, count - good_count))
        assert len(runs) <= workload.point_count
    return runs, point


def carries(capacity: float) -> Server:
    return lambda load: 1.0 if load <= capacity else 0.0


def loads(runs: list[RunReport]) -> list[float]:
    return [run.request_rate_per_s or run.max_concurrency for run in runs]


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 7, 11, 16, 23, 31, 40, 47, 63])
def test_search_finds_what_a_server_carries_within_its_resolution(capacity: int) -> None:
    workload = a_workload(max_points=12)
    asked = workload.search
    assert asked is not None

    runs, end = search(workload, carries(capacity))

    found = capacity_of(asked, runs)
    assert end == "capacity_found"
    assert found.highest is not None
    assert found.highest <= capacity <= found.highest + max(0, 0.1 * found.highest)
    assert (found.surely_within, found.at_run) == (found.highest, loads(runs).index(found.highest))
    assert found.surely_beyond is not None
    assert found.surely_beyond > capacity


@pytest.mark.parametrize("capacity", [0.02, 0.3, 0.99, 1.0, 7.7, 42.0, 99.0])
def test_search_of_rates_goes_up_and_down_from_where_it_begins(capacity: float) -> None:
    workload = a_workload(load="request_rate", max_points=12, resolution_ratio=0.1)
    asked = workload.search
    assert asked is not None

    runs, end = search(workload, carries(capacity))

    found = capacity_of(asked, runs)
    assert loads(runs)[0] == 1.0
    assert end == "capacity_found"
    assert found.highest is not None
    assert found.highest <= capacity < 1.1 * found.highest


def test_search_doubles_and_then_halves_the_gap() -> None:
    runs, _ = search(a_workload(), carries(23))

    assert loads(runs) == [1, 2, 4, 8, 16, 32, 24, 20, 22]


ENDS: list[tuple[dict[str, object], Server, int, EndedBy, list[float]]] = [
    ({}, carries(64), 200, "limits_never_reached", [1, 2, 4, 8, 16, 32, 64]),
    ({"max_concurrency": 6}, carries(64), 200, "limits_never_reached", [1, 2, 4, 6]),
    ({}, carries(0), 200, "none_within_limits", [1]),
    (
        {"load": "request_rate", "first_request_rate": 0.03},
        carries(0),
        200,
        "none_within_limits",
        [0.03, 0.015, 0.01],
    ),
    ({"load": "request_rate", "max_request_rate": 3.0}, carries(9), 200, "limits_never_reached", [1, 2, 3]),
    ({"max_points": 3}, carries(23), 200, "points_over", [1, 2, 4]),
    ({"max_points": 1}, carries(23), 200, "points_over", [1]),
    # Ten good requests of ten may be nine of ten in the long run: the last load is measured until that is sure.
    ({"max_concurrency": 2}, carries(64), 10, "limits_never_reached", [1, 2, 2, 2]),
    ({"max_concurrency": 2}, carries(64), 3, "search_undecided", [1, 2, 2, 2]),
    ({"max_concurrency": 4}, lambda load: 0.95 if load == 1 else 0.85, 20, "search_undecided", [1, 2, 1, 1]),
]


@pytest.mark.parametrize(("fields", "server", "count", "end", "tried"), ENDS)
def test_search_ends_for_a_reason_with_a_stable_name(
    fields: dict[str, object], server: Server, count: int, end: EndedBy, tried: list[float]
) -> None:
    runs, ended_by = search(a_workload(**fields), server, count)  # type: ignore[arg-type]  # as named there

    assert (loads(runs), ended_by) == (tried, end)


def test_search_is_bounded_and_near_the_truth_with_a_noisy_server() -> None:
    """The share of good requests falls slowly: 0.9 at 20. Found loads lie where it is between 0.83 and 0.97."""
    highest: list[float] = []
    for seed in range(200):
        chance = random.Random(seed)
        workload = a_workload(max_points=12)
        asked = workload.search
        assert asked is not None

        def noisy(load: float, chance: random.Random = chance) -> float:
            share = min(1.0, max(0.0, 1.3 - load / 50))
            return sum(chance.random() < share for _ in range(100)) / 100

        runs, _ = search(workload, noisy, 100)
        found = capacity_of(asked, runs)
        assert all(len(each.runs) <= MAX_TRIES for each in found.loads)
        highest.append(found.highest or 0.0)

    assert sum(16.5 <= load <= 23.5 for load in highest) >= 0.9 * len(highest)


def test_search_that_is_sure_holds_the_truth_between_its_sides() -> None:
    """Each side is wrong once in twenty times; 200 searches, and a margin for chance."""
    wrong = 0
    for seed in range(200):
        chance = random.Random(1000 + seed)
        workload = a_workload(max_points=12)
        asked = workload.search
        assert asked is not None

        def noisy(load: float, chance: random.Random = chance) -> float:
            return sum(chance.random() < 1.3 - load / 50 for _ in range(100)) / 100

        found = capacity_of(asked, search(workload, noisy, 100)[0])
        wrong += (found.surely_within or 0) > 20 or (found.surely_beyond or 99) <= 20

    assert wrong <= 0.15 * 200


@pytest.mark.parametrize(
    ("overrides", "end"),
    [
        ({"completed": 0, "failed": 20, "errors_by_class": {"server_overloaded": 20}}, Point(3, 3)),
        ({"completed": 0, "failed": 20, "errors_by_class": {"server_timeout": 20}}, Point(3, 3)),
        ({"completed": 0, "failed": 20, "errors_by_class": {"server_unreachable": 20}}, "errors"),
        ({"num_prompts": 3}, "too_few_requests"),
        ({"completed": 0, "bad_count": 0}, "time_over"),
        ({"bad_count": 0}, "search_undecided"),
    ],
)
def test_search_tells_a_server_with_too_much_to_do_from_one_that_is_gone(
    overrides: dict[str, object], end: Point | EndedBy
) -> None:
    runs = [a_run(Point(0, 1), 40, 0), a_run(Point(1, 2), 40, 0)]
    runs.append(a_run(Point(2, 4), 0, 20, **overrides))

    assert next_point(a_workload(), runs) == end


def test_search_counts_requests_as_no_more_than_they_are_worth() -> None:
    latency = Distribution(
        count=100, mean=1, std=1, min=1, median=1, max=1, p90=1, p95=1, p99=1, independent_count=5
    )
    (alone,) = try_loads([a_run(Point(0, 1), 100, 0)])
    (queued,) = try_loads([a_run(Point(0, 1), 100, 0, ttft_ms=latency)])

    assert (alone.verdict(0.9), queued.verdict(0.9)) == ("within", "undecided")
    assert queued.worth_count == 5


def test_search_counts_all_runs_of_a_load_together() -> None:
    runs = [a_run(Point(index, 4), 9, 1) for index in range(3)]

    (tried,) = try_loads(runs)

    assert (tried.load, tried.runs, tried.good_count, tried.bad_count) == (4, (0, 1, 2), 27, 3)


def test_search_of_nothing_has_found_nothing() -> None:
    asked = a_workload().search
    assert asked is not None

    found = capacity_of(asked, [])

    assert (found.highest, found.surely_within, found.surely_beyond, found.loads) == (None, None, None, [])


def test_wilson_interval_is_that_of_its_author() -> None:
    """R: binom::binom.confint(9, 10, 0.95, "wilson") and prop.test without correction."""
    low, high = wilson_interval(0.9, 10, 0.95)

    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)
    assert wilson_interval(0.5, 0, 0.95) == (0.0, 1.0)


def test_lowest_rate_is_the_lowest_that_may_be_asked_for() -> None:
    assert Workload.model_validate({"request_rates": [LEAST_RATE_PER_S]}).request_rates == [LEAST_RATE_PER_S]


@pytest.mark.parametrize("capacity", [0, 1, 5, 23, 64])
def test_search_has_no_more_under_way_than_its_workload_allows_for(capacity: int) -> None:
    """What a job may cost is counted by these levels before it begins."""
    workload = a_workload(max_points=12)

    for count in (3, 25, 200):
        runs, _ = search(workload, carries(capacity), count)

        assert all(run.max_concurrency <= level for run, level in zip(runs, workload.levels, strict=False))
