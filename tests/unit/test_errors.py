from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

import rune.errors
from rune.errors import InvalidRequestError, RuneError, ServerOverloadedError


def kinds(of: type[RuneError]) -> Iterator[type[RuneError]]:
    for kind in of.__subclasses__():
        if kind.__module__ == rune.errors.__name__:
            yield kind
            yield from kinds(kind)


@pytest.mark.parametrize("kind", sorted(set(kinds(RuneError)), key=str))
def test_error_of_every_kind_survives_the_way_between_processes(kind: type[RuneError]) -> None:
    error = kind.__new__(kind)
    error.args, error.sentence = ("So it is.",), "So it is."

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 our own

    assert (type(again), again.args, vars(again)) == (kind, error.args, vars(error))


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("No.", pointer="/model", code="price_unknown"),
        ServerOverloadedError("Later.", retry_after_seconds=7),
    ],
)
def test_error_keeps_what_it_was_made_with(error: RuneError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 our own

    assert (str(again), vars(again)) == (str(error), vars(error))
