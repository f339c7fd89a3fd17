from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.jobs.metrics import Tallies, Tally, merge, tally
from rune.jobs.record import Event
from tests.builders import an_event
from tests.strategies import events


def ok(name: str, duration_ms: int | None) -> Event:
    return an_event(name=name, duration_ms=duration_ms)


def error(name: str, duration_ms: int | None) -> Event:
    return an_event(name=name, status="error", duration_ms=duration_ms, error_type="any")


TALLIED: dict[str, tuple[Sequence[Event], Mapping[str, Tally]]] = {
    "nothing": ([], {}),
    "one": ([ok("ask", 5)], {"ask": Tally(1, 0, 5, 5, 5)}),
    "one that failed": ([error("ask", 5)], {"ask": Tally(0, 1, 5, 5, 5)}),
    "one that took no time": ([ok("ask", 0)], {"ask": Tally(1, 0, 0, 0, 0)}),
    "without a duration": ([ok("job.accepted", None), error("worker.lost", None)], {}),
    "with and without": ([ok("ask", None), ok("ask", 7)], {"ask": Tally(1, 0, 7, 7, 7)}),
    "tries of one step": (
        [error("ask", 30), error("ask", 10), ok("ask", 50)],
        {"ask": Tally(1, 2, 90, 10, 50)},
    ),
    "a job": (
        [ok("job.accepted", None), ok("check", 3), ok("ask", 9), ok("job.succeeded", 14)],
        {
            "check": Tally(1, 0, 3, 3, 3),
            "ask": Tally(1, 0, 9, 9, 9),
            "job.succeeded": Tally(1, 0, 14, 14, 14),
        },
    ),
}


@pytest.mark.parametrize(("given_events", "expected"), TALLIED.values(), ids=TALLIED.keys())
def test_tally_counts_events_and_their_times(given_events: Sequence[Event], expected: Tallies) -> None:
    assert tally(given_events) == expected


ONE, OTHER = Tally(2, 1, 60, 10, 30), Tally(1, 0, 5, 5, 5)
BOTH = Tally(3, 1, 65, 5, 30)
MERGED: dict[str, tuple[Sequence[Tallies], Tallies]] = {
    "nothing": ([], {}),
    "nothings": ([{}, {}], {}),
    "one": ([{"ask": ONE}], {"ask": ONE}),
    "one and nothing": ([{}, {"ask": ONE}, {}], {"ask": ONE}),
    "the same name": ([{"ask": ONE}, {"ask": OTHER}], {"ask": BOTH}),
    "other names": ([{"ask": ONE}, {"check": OTHER}], {"ask": ONE, "check": OTHER}),
    "some of each": (
        [{"ask": ONE, "check": ONE}, {"ask": OTHER}, {"load": OTHER}],
        {"ask": BOTH, "check": ONE, "load": OTHER},
    ),
}


@pytest.mark.parametrize(("many", "expected"), MERGED.values(), ids=MERGED.keys())
def test_merge_adds_up_what_has_the_same_name(many: Sequence[Tallies], expected: Tallies) -> None:
    assert merge(many) == expected


def test_merge_takes_tallies_that_can_be_read_only_once() -> None:
    assert merge(each for each in [{"ask": ONE}, {"ask": OTHER}]) == {"ask": BOTH}


def test_total_is_of_both_ends() -> None:
    assert ONE.total_count == 3


names = st.sampled_from(["check", "load", "ask", "job.succeeded"])
counts = st.integers(0, 10**9)
all_tallies = st.dictionaries(names, st.builds(Tally, counts, counts, counts, counts, counts))
named_events = st.lists(
    st.builds(
        lambda event, name: an_event(name=name, status=event.status, duration_ms=event.duration_ms),
        events,
        names,
    )
)


@given(all_tallies, all_tallies, all_tallies)
def test_merge_does_not_depend_on_how_tallies_are_grouped(one: Tallies, two: Tallies, three: Tallies) -> None:
    assert merge([merge([one, two]), three]) == merge([one, merge([two, three])]) == merge([one, two, three])


@given(all_tallies, all_tallies)
def test_merge_does_not_depend_on_the_order(one: Tallies, two: Tallies) -> None:
    assert merge([one, two]) == merge([two, one])


@given(all_tallies)
def test_merge_with_nothing_changes_nothing(one: Tallies) -> None:
    assert merge([one, {}]) == merge([{}, one]) == one


@given(named_events, named_events)
def test_tallies_of_parts_are_those_of_the_whole(first: list[Event], rest: list[Event]) -> None:
    assert merge([tally(first), tally(rest)]) == tally([*first, *rest])


@given(named_events)
def test_tally_counts_every_measured_event_once(given_events: list[Event]) -> None:
    tallies = tally(given_events)
    measured = [event.duration_ms for event in given_events if event.duration_ms is not None]

    assert sum(each.total_count for each in tallies.values()) == len(measured)
    assert sum(each.sum_ms for each in tallies.values()) == sum(measured)
    assert all(each.min_ms * each.total_count <= each.sum_ms for each in tallies.values())
    assert all(each.max_ms * each.total_count >= each.sum_ms for each in tallies.values())
