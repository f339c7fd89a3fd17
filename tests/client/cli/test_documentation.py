"""Every command line of `rune` in the documentation is one that it takes, and Python's examples run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from rune_client.cli.app import build
from rune_client.cli.commands import ENTRIES
from rune_client.cli.words import executed, hoisted
from tests.client.cli.fake_api import TOKEN, FakeApi

ROOT = Path(__file__).parents[3]
PAGES = (
    ROOT / "README.md",
    ROOT / "clients" / "python" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_IN_BLOCK = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?rune ((?:.*\\\n)*.*)", re.MULTILINE)
_IN_TEXT = re.compile(r"(?<!`)`rune ([^`]+)`(?!`)")


def command_lines() -> Iterator[tuple[str, str]]:
    """Give each command line with its page, once."""
    seen = set()
    for page in PAGES:
        text = page.read_text()
        found = [line for _, block in _BLOCK.findall(text) for line in _IN_BLOCK.findall(block)]
        for line in (*found, *_IN_TEXT.findall(_BLOCK.sub("", text))):
            if line not in seen:
                seen.add(line)
                yield page.name, line.replace("\\\n", " ")


def words_of(line: str) -> list[str]:
    """Return the words as a shell gives them, up to a pipe."""
    words = shlex.split(line, comments=True)
    return words[: words.index("|")] if "|" in words else words


LINES = [pytest.param(line, id=f"{page}: {line[:60]}") for page, line in command_lines()]


@pytest.fixture(scope="module")
def whole() -> Any:  # noqa: ANN401  # Typer keeps its class to itself
    return typer.main.get_command(build({entry.name for entry in ENTRIES}))


@pytest.mark.parametrize("line", LINES)
def test_documented_command_line_is_taken(line: str, whole: Any) -> None:  # noqa: ANN401  # as above
    words = executed(hoisted(words_of(line)))
    if words == ["--help"]:
        return

    context = whole.make_context("rune", words)
    while hasattr(context.command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        # Help ends the parsing; a group alone shows its help.
        if "--help" in rest or (not rest and hasattr(command, "commands")):
            break
        context = command.make_context(name, rest, parent=context)

    assert context.info_name


def test_some_command_lines_are_found() -> None:
    lines = [line for _, line in command_lines()]

    assert "bench compare A B" in lines
    assert sum(line.startswith("bench run") for line in lines) >= 4


PYTHON = [
    pytest.param(code, id=page.name)
    for page in (ROOT / "docs" / "client.md", ROOT / "clients" / "python" / "README.md")
    for language, code in _BLOCK.findall(page.read_text())
    if language == "python"
]


@pytest.mark.parametrize("code", PYTHON)
def test_example_of_the_client_runs(code: str, api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.events = [{"id": 1, "event": "load_model", "status": "ok"}]
    there = re.sub(r'RuneClient\("[^"]+"', f'RuneClient("{api.base_url}"', code)

    exec(compile(there, "example", "exec"), {"token": TOKEN})  # noqa: S102  # our own documentation

    (submit,) = api.submits
    assert submit.body == {"model": "llama3.1:8b", "question": "2 + 2?", "backend_url": "http://gpu:11434"}
    assert submit.headers["authorization"] == f"Bearer {TOKEN}"
    assert ("succeeded" in capsys.readouterr().out) == ("print" in code)
