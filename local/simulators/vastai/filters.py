"""Vast.ai's filter language: operators, numbers written as text, and orders."""

from collections.abc import Callable, Mapping, Sequence
from functools import cmp_to_key

from local.simulators.vastai.wire import JsonValue

type Row = Mapping[str, JsonValue]


class FilterError(Exception):
    """A filter that the API refuses, and the reason."""


def _compare(left: JsonValue, right: JsonValue) -> int | None:
    """Return -1, 0 or 1, or None where the two cannot be compared."""
    if isinstance(left, bool) or isinstance(right, bool):
        one, other = _truth(left), _truth(right)
        return None if one is None or other is None else (one > other) - (one < other)
    one_number, other_number = _number(left), _number(right)
    if one_number is not None and other_number is not None:
        return (one_number > other_number) - (one_number < other_number)
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    return None


def _number(value: JsonValue) -> float | None:
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _truth(value: JsonValue) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value) if isinstance(value, (bool, int)) else None


def _is_equal(value: JsonValue, wanted: JsonValue) -> bool:
    if value is None or wanted is None:
        return value is wanted
    return _compare(value, wanted) == 0


def _is_in(value: JsonValue, wanted: JsonValue) -> bool:
    if not isinstance(wanted, list):
        raise FilterError("in and notin need a list")
    return any(_is_equal(value, item) for item in wanted)


def _ordered(accepted: set[int]) -> Callable[[JsonValue, JsonValue], bool]:
    return lambda value, wanted: _compare(value, wanted) in accepted


_OPERATORS: dict[str, Callable[[JsonValue, JsonValue], bool]] = {
    "eq": _is_equal,
    "neq": lambda value, wanted: not _is_equal(value, wanted),
    "gt": _ordered({1}),
    "gte": _ordered({0, 1}),
    "lt": _ordered({-1}),
    "lte": _ordered({-1, 0}),
    "in": _is_in,
    "notin": lambda value, wanted: not _is_in(value, wanted),
}


def matches(value: JsonValue, conditions: object) -> bool:
    """Return whether a value meets every condition, such as `{"gte": "24", "lt": 48}`.

    Numbers may be text: the official client sends them so.

    Raises
    ------
    FilterError
        The conditions are not an object, or name an unknown operator.
    """
    if not isinstance(conditions, Mapping):
        raise FilterError(f"a filter must be an object of operators, not {conditions!r}")
    for operator, wanted in conditions.items():
        test = _OPERATORS.get(operator)
        if test is None:
            raise FilterError(f"{operator} is not a valid operator")
        if not test(value, wanted):
            return False
    return True


def sort_rows[R: Row](rows: list[R], order: Sequence[tuple[str, str]]) -> list[R]:
    """Return rows in the order of (field, `asc` or `desc`) pairs; empty values come last.

    Raises
    ------
    FilterError
        A direction is neither `asc` nor `desc`.
    """

    def compare(one: R, other: R) -> int:
        return compare_rows(one, other, order)

    return sorted(rows, key=cmp_to_key(compare))


def compare_rows(one: Row, other: Row, order: Sequence[tuple[str, str]]) -> int:
    """Return -1, 0 or 1 as `one` comes before `other`, at the same place, or after it.

    Raises
    ------
    FilterError
        A direction is neither `asc` nor `desc`.
    """
    for name, direction in order:
        if direction not in {"asc", "desc"}:
            raise FilterError(f"{direction} is not a valid order")
        left, right = one.get(name), other.get(name)
        if left is None or right is None:
            if (left is None) != (right is None):
                return 1 if left is None else -1
            continue
        compared = _compare(left, right) or 0
        if compared:
            return compared if direction == "asc" else -compared
    return 0
