"""That every test can fail: it asserts, expects an error, or calls a helper that does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
HELPER_PREFIX = "assert_"
"""Begins the name of a helper that asserts; each must do so itself."""
EXPECTATIONS = {"raises", "warns"}

type Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_in(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def asserts(function: Function) -> bool:
    """Return whether a function holds an assertion, an expected error, or a call of a helper that asserts."""
    return any(
        isinstance(node, ast.Assert)
        or (
            isinstance(node, ast.Call)
            and (name_called(node) in EXPECTATIONS or name_called(node).startswith(HELPER_PREFIX))
        )
        for statement in function.body
        for node in ast.walk(statement)
    )


def unable_to_fail(source: str, *prefixes: str) -> list[str]:
    """Return the functions with such names that assert nothing."""
    return [
        function.name
        for function in functions_in(source)
        if function.name.startswith(prefixes) and not asserts(function)
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("assert 1", []),
        ("with pytest.raises(ValueError):\n        f()", []),
        ("assert_it(1)", []),
        ("self.assert_it(1)", []),
        ("f()", ["test_it"]),
        ("check_it(1)", ["test_it"]),
        ("print('assert 1')", ["test_it"]),
    ],
)
def test_unable_to_fail_names_what_asserts_nothing(body: str, expected: list[str]) -> None:
    assert unable_to_fail(f"def test_it():\n    {body}", "test_") == expected


def test_every_test_asserts() -> None:
    found = {
        str(path.relative_to(TESTS)): names
        for path in TESTS.rglob("test_*.py")
        if (names := unable_to_fail(path.read_text(), "test_"))
    }

    assert found == {}


def test_every_helper_that_is_named_so_asserts() -> None:
    found = {
        str(path.relative_to(TESTS)): names
        for path in TESTS.rglob("*.py")
        if (names := unable_to_fail(path.read_text(), HELPER_PREFIX))
    }

    assert found == {}
