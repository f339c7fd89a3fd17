"""Help and completion by the outline of the commands, with click alone: and without Typer."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from rune_client.cli.exits import ExitCode
from rune_client.cli.outline import Node, read_outline
from rune_client.cli.words import COMPLETE_VARIABLE, HELP_WORDS

_SETTINGS = {"help_option_names": list(HELP_WORDS)}


def show_help(words: Sequence[str]) -> int | None:
    """Show the help that hoisted words ask for, and return the exit code; None where they ask for none.

    What is not understood asks for none either: the command itself says what is wrong.
    """
    try:
        ended = _Group("rune", read_outline()).main([*words], prog_name="rune", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.REFUSED
    except click.UsageError:
        return None
    return ExitCode.SUCCEEDED if ended == 0 else None


def complete(instruction: str) -> int:
    """Answer a shell, which has put the words into variables."""
    return shell_complete(_Group("rune", read_outline()), {}, "rune", COMPLETE_VARIABLE, instruction)


def completion_script(shell: str) -> str:
    """Return what a shell sources: bash, zsh or fish."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  # click has these three
    return found(click.Command("rune"), {}, "rune", COMPLETE_VARIABLE).source()


class _Page(click.Command):
    """A command that is parsed and shown, and never run."""

    def __init__(self, name: str, node: Node, shared: Sequence[Node] = (), **rest: Any) -> None:  # noqa: ANN401  # click's
        self.page: list[list[Any]] = node["page"]
        names = {each for option in node["options"] for each in option["names"]}
        options = [*node["options"], *(each for each in shared if not names & set(each["names"]))]
        super().__init__(
            name,
            params=[*map(_option, options), *map(_argument, node["arguments"])],
            short_help=node["short"],
            hidden=node["is_hidden"],
            context_settings=_SETTINGS,
            **rest,
        )

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """Write the pieces of the outline."""
        for kind, *content in self.page:
            if kind == "usage":
                formatter.write_usage(*content)
            elif kind == "text":
                formatter.write_paragraph()
                with formatter.indentation():
                    formatter.write_text(*content)
            else:
                with formatter.section(content[0]):
                    formatter.write_dl([(name, told) for name, told in content[1]])


class _Group(_Page, click.Group):
    """A group, whose commands are made when they are asked for."""

    def __init__(self, name: str, node: Node, shared: Sequence[Node] = ()) -> None:
        super().__init__(name, node, shared, no_args_is_help=True)
        self._nodes: dict[str, Node] = node["commands"]
        # Global options may stand anywhere.
        self._shared = [*shared, *(node["options"] if name == "rune" else ())]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's
        """Return their names."""
        return list(self._nodes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's
        """Return one of them."""
        node = self._nodes.get(cmd_name)
        if node is None:
            return None
        return (_Group if "commands" in node else _Page)(cmd_name, node, self._shared)


def _option(node: Node) -> click.Option:
    return click.Option(
        _declared(node["names"]),
        help=node["help"],
        is_flag=node["is_flag"],
        multiple=node["is_multiple"],
        hidden=node["is_hidden"],
        type=None if node["is_flag"] else _type(node),
        shell_complete=_profiles if "--profile" in node["names"] else None,
    )


def _declared(names: Sequence[str]) -> list[str]:
    """Return names as click takes them: `--warmup/--no-warmup` is one."""
    positive = [name for name in names if f"--no-{name.removeprefix('--')}" in names]
    negative = [f"--no-{name.removeprefix('--')}" for name in positive]
    paired = [f"{name}/{other}" for name, other in zip(positive, negative, strict=True)]
    return [*paired, *(name for name in names if name not in {*positive, *negative})]


def _argument(node: Node) -> click.Argument:
    return click.Argument([node["name"]], nargs=node["count"], type=_type(node), required=False)


def _type(node: Node) -> click.ParamType[Any]:
    if node.get("is_file"):
        return click.Path()
    return click.Choice(node["choices"]) if "choices" in node else click.STRING


def _profiles(
    ctx: click.Context,  # noqa: ARG001  # click's
    param: click.Parameter,  # noqa: ARG001  # click's
    incomplete: str,
) -> list[CompletionItem]:
    """Return the names of kept profiles."""
    from rune_client.settings import config_path  # noqa: PLC0415  # only here

    try:
        kept = tomllib.loads(config_path(os.environ).read_text(encoding="utf-8")).get("profiles", {})
    except (OSError, ValueError):
        return []
    return [CompletionItem(name) for name in kept if name.startswith(incomplete)]
