from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.money.aws_prices import AwsUse, terms_of
from rune.money.receipts import (
    Charge,
    Line,
    LineKind,
    MachineUse,
    Phase,
    add_up,
    aws_lines,
    charged_lines,
    describe_cost,
    make_lines,
    show_duration,
    show_usd,
    split,
    sum_of,
)

GPU = Line(1, "work", LineKind.GPU, 70)
DISK = Line(1, "work", LineKind.DISK, 30)


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**10), min_size=1, max_size=12))
def test_parts_add_up_to_the_amount(micro_usd: int, weights: list[int]) -> None:
    parts = split(micro_usd, weights)

    assert sum(parts) == micro_usd
    assert all(part >= 0 for part in parts)
    total = sum(weights)
    if total:
        assert all(
            abs(part * total - micro_usd * weight) < total
            for part, weight in zip(parts, weights, strict=True)
        )


@pytest.mark.parametrize(
    ("micro_usd", "weights", "parts"),
    [
        (10, (1, 1, 1), (4, 3, 3)),
        # 33.3, 66.6: the larger remainder is rounded up.
        (100, (1, 2), (33, 67)),
        (1, (1, 9), (0, 1)),
        (7, (0, 0), (0, 7)),
        (0, (3, 4), (0, 0)),
    ],
)
def test_largest_remainders_are_rounded_up(
    micro_usd: int, weights: tuple[int, ...], parts: tuple[int, ...]
) -> None:
    assert split(micro_usd, weights) == parts


def test_lines_leave_out_what_is_nothing() -> None:
    weights = {Phase.BOOT: 1, Phase.PULL: 0, Phase.WORK: 3}

    assert make_lines(2, LineKind.GPU, 8, weights) == (
        Line(2, "boot", LineKind.GPU, 2),
        Line(2, "work", LineKind.GPU, 6),
    )
    assert make_lines(2, LineKind.GPU, 0, weights) == ()


@pytest.mark.parametrize(
    ("micro_usd", "lines"),
    [
        (100, (GPU, DISK)),
        (105, (GPU, DISK, Line(None, "other", LineKind.GPU, 5))),
        (90, (GPU, Line(1, "work", LineKind.DISK, 20))),
        (70, (GPU,)),
        (50, (Line(1, "work", LineKind.GPU, 50),)),
        (0, ()),
    ],
)
def test_lines_add_up_to_the_cost_of_the_job(micro_usd: int, lines: tuple[Line, ...]) -> None:
    assert add_up((GPU, DISK), micro_usd) == lines


def test_own_cost_has_a_line_for_each_term_and_grows_with_turns() -> None:
    lines = aws_lines(AwsUse(turn_count=3, function_ms=10_000))

    assert [line.phase for line in lines] == ["engine", "functions", "events", "receipt"]
    assert {line.kind for line in lines} == {LineKind.AWS}
    sums = [sum(terms_of(AwsUse(turns, 0)).values()) for turns in (1, 3, 20)]
    assert all(less < more for less, more in pairwise(sums))


def test_function_time_is_priced_by_the_second() -> None:
    # 900 s of half a GB at 13.3334 millionths a GB second, and one invocation of 60 ms.
    assert terms_of(AwsUse(1, 900_000))["functions"] == 6001


def test_kinds_are_summed_apart() -> None:
    assert sum_of((GPU, DISK, GPU), LineKind.GPU) == 140


@pytest.mark.parametrize(
    ("micro_usd", "shown"),
    [
        (0, "$0.00"),
        (99, "less than $0.0001"),
        (100, "$0.0001"),
        (71_349, "$0.0713"),
        (71_350, "$0.0714"),
        (1_004_999, "$1.00"),
        (1_005_000, "$1.01"),
        (1_234_567_890_000, "$1,234,567.89"),
    ],
)
def test_amount_is_shown_with_the_digits_that_count(micro_usd: int, shown: str) -> None:
    assert show_usd(micro_usd) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (724, "12 min 4 s"), (7500, "2 h 5 min")],
)
def test_duration_is_shown_in_two_units(seconds: int, shown: str) -> None:
    assert show_duration(seconds) == shown


def a_use(
    attempt: int | None = 1, micro_usd: int = 130_200, seconds: int = 724, end: str | None = "x"
) -> MachineUse:
    lines = (Line(attempt, "work", LineKind.GPU, micro_usd),)
    return MachineUse("r", attempt, "RTX 4090", 1, 372_000, end, lines, seconds)


UNTIL = datetime(2026, 11, 30, 13, 11, tzinfo=UTC)
KEPT = "rented 1 x RTX 4090 for 12 min 4 s, $0.1302; the machine is kept until 2026-11-30 13:11 UTC"
TOKENS = Line(None, "work", LineKind.TOKENS, 20_000)


@pytest.mark.parametrize(
    ("uses", "others", "told"),
    [
        ((), (), "nothing was rented"),
        ((), (TOKENS,), "tokens $0.0200"),
        ((a_use(),), (), "rented 1 x RTX 4090 for 12 min 4 s, $0.1302"),
        ((a_use(seconds=0),), (), "rented 1 x RTX 4090, $0.1302"),
        (
            (a_use(None, seconds=60), a_use(seconds=9)),
            (),
            "used a kept 1 x RTX 4090 for 1 min 0 s, $0.1302; rented 1 x RTX 4090 for 9 s, $0.1302; $0.2604 in all",
        ),
        (
            (replace(a_use(), kept_until=UNTIL, kept_micro_usd=515_550),),
            (),
            f"{KEPT}, for at most $0.5156 more",
        ),
        (
            (replace(a_use(), kept_until=UNTIL),),
            (),
            f"{KEPT} and goes on costing",
        ),
        ((a_use(1), a_use(2), a_use(3)), (), "used 3 machines for 36 min 12 s, $0.3906"),
        (
            (a_use(),),
            (Line(None, "other", LineKind.GPU, 1_000),),
            "rented 1 x RTX 4090 for 12 min 4 s, $0.1302; $0.1312 in all",
        ),
    ],
)
def test_cost_is_told_in_words(uses: tuple[MachineUse, ...], others: tuple[Line, ...], told: str) -> None:
    lines = (*(line for use in uses for line in use.lines), *others, *aws_lines(AwsUse(1, 0)))

    assert describe_cost(uses, lines) == told


def test_charge_differs_from_what_was_written_by_kind() -> None:
    charges = (Charge(130_000, 0, 5_000, attempt=1), Charge(1, 2, 3, attempt=9))

    unknown = Line(None, "other", LineKind.GPU, 600)
    lines = charged_lines((a_use(),), (*a_use().lines, unknown, TOKENS), charges)

    assert lines == (
        Line(1, "charged", LineKind.GPU, -200),
        Line(1, "charged", LineKind.TRAFFIC, 5_000),
        Line(9, "charged", LineKind.GPU, 1),
        Line(9, "charged", LineKind.DISK, 2),
        Line(9, "charged", LineKind.TRAFFIC, 3),
        Line(None, "charged", LineKind.GPU, -600),
    )
