"""What of a caller's text stands in answers: nothing that may be a token."""

from __future__ import annotations

import pytest

from api.nearest_routes import KnownRoute, explain_path
from rune.contracts.problems import refuse_document
from rune.errors import JobNotFoundError

TOKEN = "gO9klu5vZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ"
ID = "6f1f0c2f5d7e4b0e9d3a41c05f6a7b8c"


@pytest.mark.parametrize(
    ("text", "shown"), [(TOKEN, "'…'"), (ID, f"'{ID}'"), (f"{ID}-12", f"'{ID}-12'"), ("nightly", "'nightly'")]
)
def test_id_is_repeated_when_it_cannot_be_a_token(text: str, shown: str) -> None:
    assert JobNotFoundError(text).sentence == f"There is no job {shown}."


def test_path_is_repeated_without_what_may_be_a_token() -> None:
    routes = [KnownRoute("/v1/jobs/{job_id}", frozenset({"GET"}))]

    assert TOKEN not in explain_path("GET", f"/v1/{TOKEN}/jobs", routes)
    assert ID in explain_path("GET", f"/v1/{ID}/jobs", routes)


def test_field_that_does_not_exist_is_told_without_a_name_that_may_be_a_token() -> None:
    error = refuse_document([{"type": "extra_forbidden", "loc": (TOKEN,), "msg": "", "input": 1}])

    assert TOKEN not in f"{error.sentence}{error.errors}"
