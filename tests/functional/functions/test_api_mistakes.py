"""Typical mistakes get a sentence that says what was sent and what is right."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.builders import an_http_event
from tests.functional.functions.asking import ask
from tests.mistakes import MISTAKES, Mistake

if TYPE_CHECKING:
    from types import ModuleType


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_mistake_is_answered_by_what_is_right(mistake: Mistake, api: ModuleType) -> None:
    is_binary = isinstance(mistake.body, bytes)
    body = "x" * len(mistake.body) if isinstance(mistake.body, bytes) else mistake.body
    event = an_http_event(mistake.method, mistake.path, body, dict(mistake.headers))
    if isinstance(mistake.body, bytes):
        event |= {"body": base64.b64encode(mistake.body).decode(), "isBase64Encoded": is_binary}

    response = ask(api, event)

    assert (response.status, response.document["error"]) == (mistake.status, mistake.sentence)
    assert "sk-secret" not in str(response.document)
