"""Records and changes as DynamoDB's rows and expressions.

Instants are stored as whole milliseconds, except `expires_at`, the table's TTL, in seconds. None is not stored.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin, get_type_hints

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from rune.clock import from_epoch_ms, to_epoch_ms
from rune.errors import UnreadableRowError
from rune.storage.change import (
    Change,
    Is,
    IsAbsentOrBefore,
    IsBelow,
    IsOneOf,
    Requirement,
    Value,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

TTL_FIELD = "expires_at"

FORMAT = 1
"""Of rows, in their attribute `format`; a row without one, such as the small row of a job, is of the first.

A version writes a higher number into rows that earlier versions would misread. They leave those rows alone. What
earlier versions may ignore is no reason for one.
"""

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


@dataclass(frozen=True, slots=True)
class Expression:
    """A change as DynamoDB's expressions."""

    update: str
    condition: str
    names: dict[str, str]
    values: dict[str, AttributeValueTypeDef]


def to_row(record: DataclassInstance) -> dict[str, AttributeValueTypeDef]:
    """Return a record's attributes, without keys."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    return {name: attribute(name, value) for name, value in values.items() if value is not None}


def check_format(row: Item) -> None:
    """Raise UnreadableRowError where a row is in a later format than this version knows."""
    if "format" in row and int(row["format"]["N"]) > FORMAT:
        raise UnreadableRowError(f"This version does not understand rows in format {row['format']['N']}.")


def from_row[T: DataclassInstance](kind: type[T], row: Item) -> T:
    """Return the record that a row holds; attributes that are not fields are ignored.

    Raises
    ------
    UnreadableRowError
        A field is missing, or has a value that this version does not know, or the row is in a later format.
    """
    check_format(row)
    readers = _readers(kind)
    try:
        return kind(
            **{
                name: read(_deserializer.deserialize(row[name]))
                for name, read in readers.items()
                if name in row
            }
        )
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise UnreadableRowError(f"This version does not understand a row of {kind.__name__}.") from error


def attribute(name: str, value: Value) -> AttributeValueTypeDef:
    """Return a field's value as DynamoDB stores it."""
    if isinstance(value, datetime):
        return {"N": str(int(value.timestamp()) if name == TTL_FIELD else to_epoch_ms(value))}
    if isinstance(value, str):
        return {"S": str(value)}
    return _serializer.serialize(_plain(value))


def to_expression(change: Change, due_bucket: str | None = None) -> Expression:
    """Return the change as one update with its condition.

    Every path is a plain attribute name, since DynamoDB refuses overlapping paths, which emulators accept.

    Parameters
    ----------
    due_bucket
        Partition of the index `due` in which the row stands as long as it has a `due_at`; None for rows that never
        have one.
    """
    words = _Words()
    removed = [name for name, value in change.sets.items() if value is None]
    sets = [f"{words.name(n)} = {words.value(n, v)}" for n, v in change.sets.items() if v is not None]
    sets += [
        f"{words.name(n)} = if_not_exists({words.name(n)}, {words.value(n, v)})"
        for n, v in change.sets_once.items()
    ]
    if due_bucket is not None and change.sets.get("due_at") is not None:
        sets.append(f"{words.name('due_bucket')} = {words.value('due_bucket', due_bucket)}")
    elif "due_at" in change.sets:
        removed.append("due_bucket")
    update = "SET " + ", ".join(sets)
    if change.adds:
        update += " ADD " + ", ".join(f"{words.name(n)} {words.value(n, v)}" for n, v in change.adds.items())
    if removed:
        update += " REMOVE " + ", ".join(words.name(name) for name in removed)
    condition = " AND ".join(_condition(requirement, words) for requirement in change.requires)
    return Expression(update, condition, words.names, words.values)


class _Words:
    """Placeholders for names and values, which an expression may not hold literally."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, AttributeValueTypeDef] = {}

    def name(self, name: str) -> str:
        self.names[f"#{name}"] = name
        return f"#{name}"

    def value(self, name: str, value: Value) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = attribute(name, value)
        return placeholder


def _condition(requirement: Requirement, words: _Words) -> str:
    name = words.name(requirement.field)
    match requirement:
        case Is(value=None):
            return f"attribute_not_exists({name})"
        case Is(value=value):
            return f"{name} = {words.value(requirement.field, value)}"
        case IsOneOf(values=values):
            return f"{name} IN ({', '.join(words.value(requirement.field, value) for value in values)})"
        case IsAbsentOrBefore(instant=instant):
            earlier = f"{name} < {words.value(requirement.field, instant)}"
            return f"(attribute_not_exists({name}) OR {earlier})"
        case IsBelow(limit=limit):
            lower = f"{name} < {words.value(requirement.field, limit)}"
            return f"(attribute_not_exists({name}) OR {lower})"


def _plain(value: object) -> object:
    """Return what the serializer takes: it knows neither dataclasses nor instants."""
    if isinstance(value, datetime):
        return to_epoch_ms(value)
    if isinstance(value, StrEnum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        members = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return {name: member for name, member in members.items() if member is not None}
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    return value


@cache
def _readers(kind: type) -> Mapping[str, Callable[[Any], Any]]:
    """Return how each field of a record is read, by its type."""
    hints = get_type_hints(kind)
    readers = {each.name: _reader(hints[each.name]) for each in fields(kind)}
    if TTL_FIELD in readers:
        readers[TTL_FIELD] = _read_ttl
    return readers


def _reader(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401  # a type as `get_type_hints` gives it
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in get_args(hint) if each is not types.NoneType)
    if get_origin(hint) is Literal:
        return _reader_of_words(get_args(hint))
    if get_origin(hint) is not None:
        return _reader_of_many(hint)
    if hint is datetime:
        return lambda stored: from_epoch_ms(int(stored))
    if hint is int or issubclass(hint, StrEnum):
        return cast("Callable[[Any], Any]", hint)
    if is_dataclass(hint):
        kind: Any = hint
        readers = _readers(kind)
        return lambda stored: kind(
            **{name: readers[name](member) for name, member in stored.items() if name in readers}
        )
    return lambda stored: stored


def _reader_of_words(words: tuple[str, ...]) -> Callable[[Any], str]:
    known = {word: word for word in words}
    return lambda stored: known[stored]


def _reader_of_many(hint: Any) -> Callable[[Any], Any]:  # noqa: ANN401  # as above
    """Return how a mapping or a tuple is read, by its last type argument that is one."""
    members = [each for each in get_args(hint) if each is not Ellipsis]
    read = _reader(members[-1])
    if issubclass(get_origin(hint), Mapping):
        return lambda stored: {name: read(member) for name, member in stored.items()}
    return lambda stored: tuple(read(member) for member in stored)


def _read_ttl(stored: Decimal) -> datetime:
    return datetime.fromtimestamp(int(stored), UTC)
