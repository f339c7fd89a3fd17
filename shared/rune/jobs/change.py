"""A conditional write as plain data: what must hold of the hot item, and what it becomes.

The lifecycle decides in these terms. Stores turn a change into their own conditional write, and simulations
apply it to a `Job` in memory, so that one definition serves both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from rune.jobs.record import Failure, Job

type Value = str | int | datetime | StrEnum | Failure | Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Is:
    """The field has exactly this value."""

    field: str
    value: str | int | datetime


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The field has one of these values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IsAbsentOrBefore:
    """The field is absent, or an instant that has passed."""

    field: str
    instant: datetime


type Requirement = Is | IsOneOf | IsAbsentOrBefore


@dataclass(frozen=True, slots=True)
class Change:
    """A conditional write.

    Attributes
    ----------
    name
        What the change is for; appears in logs and in the list of guarded writes.
    requires
        All must hold, or nothing is written.
    sets
        New values by field; None removes the field.
    adds
        Numbers to be added by field.
    sets_once
        Values for fields that are still absent.
    """

    name: str
    requires: tuple[Requirement, ...]
    sets: Mapping[str, Value]
    adds: Mapping[str, int] = field(default_factory=dict)
    sets_once: Mapping[str, Value] = field(default_factory=dict)


def satisfies(job: Job, requirement: Requirement) -> bool:
    """Return whether the job meets the requirement."""
    value = getattr(job, requirement.field)
    match requirement:
        case Is(value=wanted):
            return bool(value == wanted)
        case IsOneOf(values=wanted_values):
            return value in wanted_values
        case IsAbsentOrBefore(instant=instant):
            return value is None or value < instant


def allows(change: Change, job: Job) -> bool:
    """Return whether all requirements of the change hold for the job."""
    return all(satisfies(job, requirement) for requirement in change.requires)


def apply(change: Change, job: Job) -> Job:
    """Return the job as the change leaves it; the requirements are not looked at."""
    added = {name: getattr(job, name) + amount for name, amount in change.adds.items()}
    once = {name: value for name, value in change.sets_once.items() if getattr(job, name) is None}
    return replace(job, **change.sets, **added, **once)  # type: ignore[arg-type]  # fields are checked by tests


def make_change(
    name: str,
    now: datetime,
    *,
    requires: tuple[Requirement, ...],
    sets: Mapping[str, Value],
    adds: Mapping[str, int] | None = None,
    sets_once: Mapping[str, Value] | None = None,
) -> Change:
    """Return a change that also counts the version and notes the time, as every write must."""
    return Change(
        name, requires, {"updated_at": now, **sets}, {"version": 1, **(adds or {})}, sets_once or {}
    )
