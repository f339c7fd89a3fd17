"""How the outline of the commands is made: every command is loaded, and asked for its help and its options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from rune_client.cli.app import build
from rune_client.cli.commands import ENTRIES
from rune_client.cli.outline import Node

_WIDTH = 10_000
"""Columns: nothing is broken or cut here. The page is broken when it is shown."""


def make_outline() -> Node:
    """Return the outline of all commands."""
    whole = _node(typer.main.get_command(build({entry.name for entry in ENTRIES})), "rune", None)
    # Its own page has the commands as `commands.py` does: in that order, and a line about each.
    own = _node(typer.main.get_command(build(())), "rune", None)
    commands = {entry.name: {**whole["commands"][entry.name], "short": entry.summary} for entry in ENTRIES}
    return {**own, "commands": commands}


class _Pieces:
    """Takes what a command writes of itself, in place of a formatter that breaks lines."""

    width = _WIDTH

    def __init__(self) -> None:
        self.pieces: list[list[Any]] = []
        self._heading = ""

    def write_usage(self, prog: str, args: str = "") -> None:
        self.pieces.append(["usage", prog, args])

    def write_paragraph(self) -> None:
        """Leave a line out, as is done before each text."""

    def write_text(self, text: str) -> None:
        self.pieces.append(["text", text])

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        self.pieces.append(["section", self._heading, [list(row) for row in rows]])

    @contextmanager
    def indentation(self) -> Iterator[None]:
        yield

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self._heading = name
        yield


def _node(command: Any, name: str, parent: Any) -> Node:  # noqa: ANN401  # Typer keeps these classes to itself
    context = command.context_class(command, info_name=name, parent=parent, **command.context_settings)
    pieces = _Pieces()
    command.format_help(context, pieces)
    hints = get_type_hints(inspect.unwrap(command.callback)) if command.callback else {}
    params = command.params
    node: Node = {
        "page": pieces.pieces,
        "short": command.get_short_help_str(_WIDTH),
        "is_hidden": command.hidden,
        "options": [_option(each, hints) for each in params if each.param_type_name == "option"],
        "arguments": [_argument(each, hints) for each in params if each.param_type_name == "argument"],
    }
    if hasattr(command, "commands"):
        node["commands"] = {
            each: _node(command.commands[each], each, context) for each in command.list_commands(context)
        }
    return node


def _option(option: Any, hints: dict[str, Any]) -> Node:  # noqa: ANN401  # as above
    return {
        "names": [*option.opts, *option.secondary_opts],
        "help": option.help,
        "is_flag": option.is_flag,
        "is_multiple": option.multiple,
        "is_hidden": option.hidden,
        **_values(hints.get(option.name)),
    }


def _argument(argument: Any, hints: dict[str, Any]) -> Node:  # noqa: ANN401  # as above
    return {"name": argument.name, "count": argument.nargs, **_values(hints.get(argument.name))}


def _values(hint: object) -> Node:
    """Return what a shell can offer as a value."""
    for part in _parts(hint):
        if part is Path:
            return {"is_file": True}
        if isinstance(part, type) and issubclass(part, Enum):
            return {"choices": [str(each.value) for each in part]}
    return {}


def _parts(hint: object) -> Iterator[object]:
    yield hint
    for each in get_args(hint):
        yield from _parts(each)
