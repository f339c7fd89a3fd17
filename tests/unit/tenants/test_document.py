"""Which models a tenant may use of Amazon Bedrock."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.tenants.document import BedrockSettings


def allows(pattern: str, model: str) -> bool:
    return BedrockSettings(regions=("us-east-1",), models=(pattern,)).allows_model(model)


@pytest.mark.parametrize(
    ("pattern", "model"),
    [
        ("*", ""),
        ("*", "any\nthing"),
        ("a.b", "a.b"),
        ("a*", "a"),
        ("*a", "ba"),
        ("a*a", "aa"),
        ("a**c", "abc"),
        ("us.*.claude-*-v1:0", "us.anthropic.claude-3-v1:0"),
        ("*ab*ab", "abab"),
    ],
)
def test_star_stands_for_any_characters(pattern: str, model: str) -> None:
    assert allows(pattern, model)


@pytest.mark.parametrize(
    ("pattern", "model"),
    [
        ("a.b", "axb"),
        ("a.b", "a.b\n"),
        ("a", "A"),
        ("a*a", "a"),
        ("a*", "ba"),
        ("*a", "ab"),
        ("*ab*ab", "ab"),
        ("*ab*b", "ab"),
        ("a?", "ab"),
        ("[ab]", "a"),
    ],
)
def test_nothing_else_stands_for_another_character(pattern: str, model: str) -> None:
    assert not allows(pattern, model)


@given(st.text("ab*", min_size=1, max_size=6), st.text("ab", max_size=8))
def test_pattern_matches_what_its_regular_expression_does(pattern: str, model: str) -> None:
    assert allows(pattern, model) == (re.fullmatch(pattern.replace("*", ".*"), model) is not None)


def test_many_stars_take_no_time() -> None:
    """In a process of its own: a search that tries all places would not end, and could not be stopped."""
    script = (
        "from rune.tenants.document import BedrockSettings;"
        "share = BedrockSettings(regions=('us-east-1',), models=('*a' * 1000 + '*b',));"
        "print(share.allows_model('a' * 2048), share.allows_model('a' * 2048 + 'b'))"
    )

    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "shared")},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout.split() == ["False", "True"]
