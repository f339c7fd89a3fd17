"""What a command writes: its answer on stdout, progress and questions on stderr, or documents for programs.

With `--json` stdout has one JSON document a line, each with a `type`. The last one is of the type `result` and has
the `exit_code`. Colours are left out where stdout is no terminal, where `NO_COLOR` is set, and on a dumb terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from rune_client.cli.exits import ExitCode

WIDTH_OF_A_PIPE = 160
"""Columns of a table where nothing says how wide it may be."""

LEAST_WIDTH = 24


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at the stream, on a terminal whose cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def _console(stream: TextIO) -> Console:
    is_seen = is_terminal(stream)
    width = None if is_seen else int(os.environ.get("COLUMNS") or WIDTH_OF_A_PIPE)
    # `force_terminal` keeps variables of CI services (FORCE_COLOR and the like) from colouring a pipe.
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        width=width if width is None else max(LEAST_WIDTH, width),
        force_terminal=is_seen,
        no_color=True if "NO_COLOR" in os.environ else None,
        legacy_windows=False,
    )


def _print(console: Console, renderable: RenderableType) -> None:
    """Print something; where no person looks, whole lines without the blanks that fill a table up."""
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable, soft_wrap=isinstance(renderable, str | Text))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    console.file.write("\n".join(lines) + "\n")
    console.file.flush()


class Output:
    """Where a command writes, and in which form."""

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json
        self.answers = _console(sys.stdout)
        self.progress = _console(sys.stderr)
        self._status = ""

    # ------------------------------------------------------------------------------------------ answers

    def show(self, *renderables: RenderableType) -> None:
        """Write an answer for people; nothing with `--json`."""
        if not self.is_json:
            self.clear_status()
            for each in renderables:
                _print(self.answers, each)

    def raw(self, text: str) -> None:
        """Write text as it is, such as a page of Markdown."""
        self.clear_status()
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def document(self, kind: str, data: object) -> None:
        """Write one document for programs; nothing without `--json`."""
        if self.is_json:
            self._write({"type": kind, "data": data})

    def result(self, code: ExitCode, data: object = None, *, error: Mapping[str, Any] | None = None) -> None:
        """Write the last document: what the command ended with, and its exit code. Nothing without `--json`."""
        if self.is_json:
            told: dict[str, object] = {"type": "result", "exit_code": int(code)}
            if error is not None:
                told["error"] = dict(error)
            self._write({**told, "data": data})

    def _write(self, document: Mapping[str, object]) -> None:
        sys.stdout.write(json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    # ------------------------------------------------------------------------------------------ progress

    @property
    def is_live(self) -> bool:
        """Whether a line of stderr can be written over."""
        return is_terminal(sys.stderr)

    def say(self, line: RenderableType) -> None:
        """Write a line of news to stderr."""
        self.clear_status()
        _print(self.progress, line)

    def problem(self, sentence: str, *hints: str) -> None:
        """Write what went wrong to stderr, and what can be done."""
        self.say(Text.assemble(("error: ", "bold red"), sentence))
        for hint in hints:
            self.say(Text(hint, style="dim"))

    def note(self, sentence: str) -> None:
        """Write what a person should know, to stderr."""
        self.say(Text.assemble(("note: ", "yellow"), sentence))

    def status(self, line: Text) -> None:
        """Write over the line at which something is under way; nothing where that cannot be done."""
        if not self.is_live:
            return
        cut = line.copy()
        cut.truncate(max(1, self.progress.width - 1), overflow="ellipsis")
        with self.progress.capture() as captured:
            self.progress.print(cut, end="", no_wrap=True, crop=True)
        sys.stderr.write(f"\r\x1b[K{captured.get()}")
        sys.stderr.flush()
        self._status = cut.plain

    def clear_status(self) -> None:
        """Remove that line."""
        if self._status:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._status = ""

    # ------------------------------------------------------------------------------------------ questions

    @property
    def can_ask(self) -> bool:
        """Whether a person can be asked: stdin and stderr are terminals."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> str:
        """Return what a person types, lower-cased; an empty text at the end of input."""
        self.clear_status()
        sys.stderr.write(f"{question} ")
        sys.stderr.flush()
        try:
            return sys.stdin.readline().strip().lower()
        except KeyboardInterrupt:
            # What is said next begins a line of its own, so that no id in it is broken.
            sys.stderr.write("\n")
            raise


def facts(rows: Sequence[tuple[str, object]], *, title: str | None = None) -> Table:
    """Return a table of names and values; rows without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.title = title
    table.title_justify = "left"
    table.title_style = "bold"
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        if value is not None and value != "":
            table.add_row(name, value if isinstance(value, Text) else str(value))
    return table


class Columns:
    """A list as a table that fits: where it is too wide, the columns that matter least are left out."""

    def __init__(self, *names: str, is_last_text: bool = False) -> None:
        """Take the columns in their order; the first one always stays, of the others the last goes first.

        The last one may be a text. It is broken into lines, and only goes where these would be too short to read.
        """
        self._names = names
        self._is_last_text = is_last_text
        self._rows: list[list[str]] = []

    def add(self, *cells: object) -> None:
        """Add a row; None is shown as an empty cell."""
        self._rows.append(["" if cell is None else str(cell) for cell in cells])

    def table(self, width: int) -> RenderableType:
        """Return as many columns as fit into `width` characters, or the word `none` where there is no row."""
        if not self._rows:
            return Text("none")
        count = len(self._names)
        widths = [
            max([len(name), *(len(row[index]) for row in self._rows)])
            for index, name in enumerate(self._names)
        ]
        if self._is_last_text:
            widths[-1] = min(widths[-1], LEAST_WIDTH)
        while count > 1 and sum(widths[:count]) + 2 * (count - 1) > width:
            count -= 1
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for index, name in enumerate(self._names[:count]):
            is_text = self._is_last_text and index == len(self._names) - 1
            table.add_column(name, overflow="fold", no_wrap=count > 1 and not is_text)
        for row in self._rows:
            table.add_row(*(Text(cell) for cell in row[:count]))
        return table
