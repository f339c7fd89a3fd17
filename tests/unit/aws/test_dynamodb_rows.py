from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

from rune.aws.dynamodb_rows import from_row, to_expression, to_row
from rune.errors import UnreadableRowError
from rune.storage.change import Is, IsBelow, make_change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

NOW = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    colour: Colour
    since: datetime
    note: str | None = None


@dataclass(frozen=True)
class Whole:
    name: str
    colour: Colour
    made_at: datetime
    expires_at: datetime
    is_new: bool
    size: int | None = None
    part: Part | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


FULL = Whole(
    "a", Colour.RED, NOW, NOW.replace(microsecond=0), True, 3, Part(Colour.RED, NOW), {"x": 1}, ("b",),
    (Part(Colour.RED, NOW, "c"),),
)  # fmt: skip


def test_record_comes_back_equal_and_of_the_same_types_when_it_was_stored() -> None:
    read = from_row(Whole, {"pk": {"S": "no field"}, **to_row(FULL)})

    assert read == FULL
    assert type(read.size) is int
    assert isinstance(read.colour, Colour)


def test_absent_fields_are_not_stored() -> None:
    row = to_row(Whole("a", Colour.RED, NOW, NOW, is_new=False))

    assert set(row) == {"name", "colour", "made_at", "expires_at", "is_new", "counts", "words", "parts"}
    assert row["expires_at"] == {"N": str(int(NOW.timestamp()))}


def test_change_leaves_the_index_when_nothing_is_due() -> None:
    change = make_change("close", NOW, requires=(Is("size", None),), sets={"due_at": None})

    expression = to_expression(change, "SOME")

    assert expression.condition == "attribute_not_exists(#size)"
    assert "REMOVE #due_at, #due_bucket" in expression.update


def test_change_adds_to_counts_that_a_row_may_not_have_yet() -> None:
    change = make_change(
        "count",
        NOW,
        requires=(IsBelow("size", 5),),
        sets={"name": "a", "part": None},
        adds={"size": 1, "left": -1},
    )

    expression = to_expression(change)

    sets, _, rest = expression.update.partition(" ADD ")
    adds, _, removes = rest.partition(" REMOVE ")
    assert sets == "SET #updated_at = :v0, #name = :v1"
    assert adds == "#version :v2, #size :v3, #left :v4"
    assert removes == "#part"
    assert expression.condition == "(attribute_not_exists(#size) OR #size < :v5)"
    assert [expression.values[word] for word in (":v3", ":v4", ":v5")] == [
        {"N": "1"},
        {"N": "-1"},
        {"N": "5"},
    ]


def test_change_stands_in_no_index_when_its_row_never_does() -> None:
    change = make_change("count", NOW, requires=(), sets={"name": "a"}, adds={"size": 1})

    expression = to_expression(change)

    assert (expression.condition, "due_bucket" in expression.update) == ("", False)


def test_members_that_this_version_does_not_know_are_ignored() -> None:
    row = to_row(FULL)
    part: AttributeValueTypeDef = {"M": {**row["part"]["M"], "shape": {"S": "round"}}}

    assert from_row(Whole, {**row, "part": part, "weight": {"N": "1"}}) == FULL


@pytest.mark.parametrize(
    ("field_name", "stored"),
    [
        ("colour", {"S": "ultraviolet"}),
        ("made_at", {"S": "yesterday"}),
        ("made_at", {"N": "1e30"}),
        ("part", {"M": {"colour": {"S": "red"}}}),
        ("part", {"S": "a part"}),
        ("counts", {"L": []}),
    ],
)
def test_row_is_named_unreadable_when_a_field_is_not_understood(
    field_name: str, stored: AttributeValueTypeDef
) -> None:
    with pytest.raises(UnreadableRowError, match="Whole"):
        from_row(Whole, {**to_row(FULL), field_name: stored})


def test_row_is_named_unreadable_when_a_field_is_missing() -> None:
    with pytest.raises(UnreadableRowError):
        from_row(Whole, {name: stored for name, stored in to_row(FULL).items() if name != "colour"})
