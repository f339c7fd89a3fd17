"""A conditional write as plain data: what must hold of a row, and what the row becomes.

Lifecycles return a `Change`. A store turns it into its own conditional write, and a store in memory applies it to
the record itself, so that one definition serves both. A record is a frozen dataclass with `updated_at` and
`version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

type Value = (
    str
    | int
    | datetime
    | StrEnum
    | DataclassInstance
    | Mapping[str, int]
    | tuple[str, ...]
    | tuple[DataclassInstance, ...]
    | None
)


@dataclass(frozen=True, slots=True)
class Is:
    """The field has exactly this value."""

    field: str
    value: str | int | datetime | None


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The field has one of these values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IsAbsentOrBefore:
    """The field is absent, or it is before the instant."""

    field: str
    instant: datetime


@dataclass(frozen=True, slots=True)
class IsBelow:
    """The count is lower than the limit; an absent field counts as 0."""

    field: str
    limit: int


type Requirement = Is | IsOneOf | IsAbsentOrBefore | IsBelow


@dataclass(frozen=True, slots=True)
class Change:
    """A conditional write.

    Attributes
    ----------
    name
        What the change is for, such as "claim".
    requires
        All must hold, or nothing is written.
    sets
        New values by field; None removes the field.
    adds
        Numbers to add, by field; an absent field counts as 0.
    sets_once
        Values for fields that are absent.
    """

    name: str
    requires: tuple[Requirement, ...]
    sets: Mapping[str, Value]
    adds: Mapping[str, int] = field(default_factory=dict)
    sets_once: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_check(self) -> bool:
        """Whether it writes nothing, and only requires something of the row."""
        return not (self.sets or self.adds or self.sets_once)


def satisfies(record: DataclassInstance, requirement: Requirement) -> bool:
    """Return whether the record meets the requirement."""
    value = getattr(record, requirement.field)
    match requirement:
        case Is(value=wanted):
            return bool(value == wanted)
        case IsOneOf(values=wanted_values):
            return value in wanted_values
        case IsAbsentOrBefore(instant=instant):
            return value is None or value < instant
        case IsBelow(limit=limit):
            return value is None or value < limit


def allows(change: Change, record: DataclassInstance) -> bool:
    """Return whether all requirements of the change hold for the record."""
    return all(satisfies(record, requirement) for requirement in change.requires)


def apply[T: DataclassInstance](change: Change, record: T) -> T:
    """Return the record as the change leaves it, whether or not its requirements hold."""
    added = {name: getattr(record, name) + amount for name, amount in change.adds.items()}
    once = {name: value for name, value in change.sets_once.items() if getattr(record, name) is None}
    return replace(record, **change.sets, **added, **once)


def make_change(
    name: str,
    now: datetime,
    *,
    requires: tuple[Requirement, ...],
    sets: Mapping[str, Value],
    adds: Mapping[str, int] | None = None,
    sets_once: Mapping[str, Value] | None = None,
) -> Change:
    """Return a change that also raises `version` and sets `updated_at`, as each write must."""
    return Change(
        name, requires, {"updated_at": now, **sets}, {"version": 1, **(adds or {})}, sets_once or {}
    )
