"""A request is shown as it is, without secrets, and cut where it is long."""

from __future__ import annotations

import json

import pytest

from api.shown_requests import LONGEST_WHOLE_CHARS, shown_request


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("http://host:11434", "http://host:11434"),
        ("https://h/openai?api-version=2026-01-01", "https://h/openai?api-version=2026-01-01"),
        ("https://user:planted@h:1/a?sig=planted&api-version=1#planted", "https://h:1/a?api-version=1"),
    ],
)
def test_address_is_shown_without_what_may_be_secret(stored: str, shown: str) -> None:
    request = {"backend_url": stored, "expected": {"judge": {"backend_url": stored}}, "question": stored}

    document, is_cut = shown_request(json.dumps(request))

    expected = {"backend_url": shown, "expected": {"judge": {"backend_url": shown}}, "question": stored}
    assert (document, is_cut) == (expected, False)


def test_long_request_is_cut_to_a_few_short_texts() -> None:
    prompts = ["p" * 1_000] * 40

    document, is_cut = shown_request(json.dumps({"workload": {"prompts": prompts, "requests": 3}}))

    assert (document, is_cut) == (
        {"workload": {"prompts": ["p" * 500 + "…"] * 10, "requests": 3}},
        True,
    )


def test_request_of_the_longest_size_is_whole() -> None:
    text = json.dumps({"question": "q" * (LONGEST_WHOLE_CHARS - len('{"question": ""}'))})

    assert shown_request(text) == (json.loads(text), False)
