"""Where a command line begins: help, completion and the version are answered without loading a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rune_client.cli.commands import ENTRIES
from rune_client.cli.exits import ExitCode
from rune_client.cli.words import COMPLETE_VARIABLE, HELP_WORDS, Shell, executed, hoisted
from rune_client.version import __version__


def run(words: Sequence[str]) -> int:
    """Run a command line and return its exit code. No exception leaves it."""
    try:
        answered = _answered(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our answer has enough of it, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.SUCCEEDED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    if answered is not None:
        return answered
    from rune_client.cli import app  # noqa: PLC0415  # loads Typer, which takes longer than what is answered here

    return app.run(words)


def _answered(words: Sequence[str]) -> int | None:
    """Answer what needs no command, and return the exit code; None where it needs one."""
    if list(words) == ["--version"]:
        print(f"rune {__version__}")  # noqa: T201  # a terminal program
        return ExitCode.SUCCEEDED
    instruction = os.environ.get(COMPLETE_VARIABLE)
    is_script_wanted = len(words) == 2 and words[0] == "completion" and words[1] in [*Shell]  # noqa: PLR2004  # words
    ordered = executed(hoisted(words))
    if not (instruction or is_script_wanted or _may_ask_for_help(ordered)):
        return None
    from rune_client.cli import quick  # noqa: PLC0415  # loads click

    if instruction:
        return quick.complete(instruction)
    if is_script_wanted:
        print(quick.completion_script(words[1]))  # noqa: T201  # as above
        return ExitCode.SUCCEEDED
    return quick.show_help(ordered)


def _may_ask_for_help(words: Sequence[str]) -> bool:
    """Return whether help is asked for: by its option, or by a group without a command."""
    before = words[: words.index("--")] if "--" in words else words
    groups = {entry.name for entry in ENTRIES if entry.is_group}
    return not words or any(word in HELP_WORDS for word in before) or (len(words) == 1 and words[0] in groups)
