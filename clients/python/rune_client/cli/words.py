"""The words of a command line before Typer reads them: global options may stand anywhere, as people type them.

`rune bench show 58d7 --json` is read as `rune --json bench show 58d7`. What follows `--` is left alone, and so is
the value of an option that is written with `=`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

GLOBAL_FLAGS = frozenset({"--json", "--debug", "--insecure"})
GLOBAL_VALUES = frozenset({"--profile", "--backend", "--api-base-url", "--api-token", "--api-tenant"})
HELP_WORDS = ("-h", "--help")

COMPLETE_VARIABLE = "_RUNE_COMPLETE"
"""Set by what a shell has sourced, when it asks for completions."""


class Shell(StrEnum):
    """Whose completion there is."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


WORKFLOWS = {
    "benchmark": "run-benchmark",
    "agentic-agent": "run-agentic-agent",
    "llm-instance": "run-llm-instance",
    "ollama-instance": "run-llm-instance",
}
"""What `rune execute` takes, and the command as which it is read."""


def hoisted(words: Sequence[str]) -> list[str]:
    """Return the words with global options first."""
    first: list[str] = []
    rest: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            rest += [word, *waiting]
            break
        name = word.split("=", maxsplit=1)[0]
        if word in GLOBAL_FLAGS or (name in GLOBAL_VALUES and "=" in word):
            first.append(word)
        elif word in GLOBAL_VALUES:
            first += [word, *waiting[:1]]
            waiting = waiting[1:]
        else:
            rest.append(word)
    return first + rest


def command_of(words: Sequence[str]) -> str | None:
    """Return the command among hoisted words: the first one that is no global option, or None."""
    index = 0
    while index < len(words):
        word = words[index]
        if word in GLOBAL_VALUES:
            index += 2
        elif word.startswith("-"):
            index += 1
        else:
            return word
    return None


def executed(words: Sequence[str]) -> list[str]:
    """Return hoisted words with `execute benchmark` read as `run-benchmark`, and the like; others as they are."""
    if command_of(words) != "execute":
        return list(words)
    at = words.index("execute")
    workflow = words[at + 1] if len(words) > at + 1 else None
    if workflow not in WORKFLOWS:
        return list(words)
    return [*words[:at], WORKFLOWS[workflow], *words[at + 2 :]]
