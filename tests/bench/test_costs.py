"""Units and dollars, by the rules of DynamoDB's own pages."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.bench.costs import Item, Usage, index_units, item_bytes, read_units, write_units

KEYS = ("pk", "sk", "bucket")


def a_row(**values: str) -> Item:
    return {"pk": {"S": "JOB#1"}, "sk": {"S": "JOB"}, **{name: {"S": text} for name, text in values.items()}}


def a_row_of(size_bytes: int) -> Item:
    return {"b": {"S": "x" * (size_bytes - 1)}}


@pytest.mark.parametrize(
    ("item", "size_bytes"),
    [
        ({}, 0),
        ({"name": {"S": "text"}}, 4 + 4),
        ({"ü": {"S": "€"}}, 2 + 3),
        ({"n": {"N": "1795995551060"}}, 1 + 6 + 1),
        ({"n": {"N": "-12.5"}}, 1 + 2 + 1),
        ({"n": {"N": "0"}}, 1 + 1),
        ({"n": {"BOOL": True}}, 1 + 1),
        ({"n": {"NULL": True}}, 1 + 1),
        ({"n": {"B": b"1234"}}, 1 + 4),
        ({"n": {"SS": ["a", "bc"]}}, 1 + 3),
        ({"n": {"M": {}}}, 1 + 3),
        ({"n": {"M": {"ab": {"S": "cd"}}}}, 1 + 3 + 2 + 2 + 1),
        ({"n": {"L": [{"S": "cd"}, {"BOOL": False}]}}, 1 + 3 + (2 + 1) + (1 + 1)),
    ],
)
def test_size_is_of_names_and_values(item: Item, size_bytes: int) -> None:
    assert item_bytes(item) == size_bytes


def test_value_of_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="type X"):
        item_bytes({"n": {"X": "1"}})


@pytest.mark.parametrize(("size_bytes", "units"), [(1, 1), (1024, 1), (1025, 2), (300_000, 293)])
def test_write_costs_a_unit_for_each_begun_kilobyte(size_bytes: int, units: int) -> None:
    assert write_units(None, a_row_of(size_bytes), in_transaction=False) == units


def test_write_costs_the_larger_of_both_sizes_and_twice_in_a_transaction() -> None:
    assert write_units(a_row_of(3000), a_row_of(10), in_transaction=False) == 3
    assert write_units(a_row_of(10), a_row_of(3000), in_transaction=True) == 6


def test_write_that_a_condition_refused_costs_a_unit_where_there_is_no_row() -> None:
    assert write_units(None, None, in_transaction=False) == 1


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, a_row(), 0),
        (None, a_row(bucket="a"), 1),
        (a_row(bucket="a"), a_row(bucket="a", other="b"), 0),
        (a_row(bucket="a"), a_row(bucket="b"), 2),
        (a_row(bucket="a"), a_row(), 1),
        (a_row(bucket="a"), None, 1),
    ],
)
def test_index_is_written_where_an_entry_comes_moves_or_goes(
    before: Item | None, after: Item | None, units: int
) -> None:
    assert index_units(before, after, KEYS) == units


@pytest.mark.parametrize(
    ("size_bytes", "is_consistent", "units"),
    [(0, True, "1"), (4096, True, "1"), (4097, True, "2"), (0, False, "0.5"), (4097, False, "1")],
)
def test_read_costs_a_unit_for_each_begun_four_kilobytes(
    size_bytes: int, is_consistent: bool, units: str
) -> None:
    assert read_units(size_bytes, is_consistent=is_consistent) == Decimal(units)


def test_usage_has_a_price_for_each_of_its_parts() -> None:
    usage = Usage(
        calls=9,
        write_units=1_000_000,
        index_units=1_000_000,
        read_units=Decimal(1_000_000),
        sqs_requests=1_000_000,
        s3_puts=1_000_000,
        s3_gets=1_000_000,
        bus_events=1_000_000,
    )

    parts = ("1.25", "0.125", "0.40", "5.00", "0.40", "1.00")
    assert usage.usd == sum(map(Decimal, parts))


def test_usage_is_added_subtracted_and_repeated() -> None:
    once, twice = Usage(calls=2, read_units=Decimal("0.5")), Usage(calls=4, read_units=Decimal("1.0"))

    assert once + once == once.times(2) == twice
    assert twice - once == twice.divided(2) == once


def test_usage_of_unequal_parts_is_not_divided() -> None:
    with pytest.raises(ValueError, match="2 times"):
        Usage(calls=3).divided(2)
