"""The application: global options, the command that is called, and what its end becomes."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rune_client.cli.commands import ENTRIES, Entry
from rune_client.cli.exits import MEANINGS, ExitCode
from rune_client.cli.words import command_of, executed, hoisted
from rune_client.version import __version__

if TYPE_CHECKING:
    from rune_client.cli.output import Output

_EPILOG = "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) + "."


def build(loaded: Collection[str | None]) -> typer.Typer:
    """Return the application with some commands loaded, and only the names of the others."""
    app = typer.Typer(
        name="rune",
        help="Benchmarks of language models, with their cost.",
        epilog=_EPILOG,
        # `quick.py` answers shells, and `rune completion` stands for Typer's two options.
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_globals)
    for entry in ENTRIES:
        if entry.name in loaded:
            _add(app, entry)
        else:
            app.command(entry.name, help=entry.summary)(_not_loaded)
    return app


def _add(app: typer.Typer, entry: Entry) -> None:
    loaded: typer.Typer = import_module(f"rune_client.cli.{entry.module}").app
    if entry.is_group:
        app.add_typer(loaded, name=entry.name, help=entry.summary, no_args_is_help=True)
        return
    own = next(each for each in loaded.registered_commands if each.name == entry.name)
    app.registered_commands.append(own)


def _not_loaded() -> None:
    """Stand for a command whose name is shown, and which is not called."""


def _show_version(value: bool) -> None:  # noqa: FBT001  # Typer's callbacks have one argument
    if value:
        typer.echo(f"rune {__version__}")
        raise typer.Exit


def _globals(
    ctx: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Kept settings to use (RUNE_PROFILE).")] = None,
    api_base_url: Annotated[
        str | None, typer.Option(help="Where RUNE is (RUNE_API_BASE_URL); http://localhost:8080 by default.")
    ] = None,
    api_token: Annotated[
        str | None,
        typer.Option(
            help="Token. Other users of this machine see it here: set RUNE_API_TOKEN, or give - for stdin."
        ),
    ] = None,
    api_tenant: Annotated[str | None, typer.Option(help="Whose jobs (RUNE_API_TENANT).")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document a line on stdout.")] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", envvar="RUNE_DEBUG", help="Requests and answers, without headers, on stderr."
        ),
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", envvar="RUNE_INSECURE", help="Do not check the server's certificate."),
    ] = False,
    backend: Annotated[str | None, typer.Option(envvar="RUNE_BACKEND", hidden=True)] = None,
    version: Annotated[  # noqa: ARG001  # its callback has ended the program
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    from rune_client import RuneError  # noqa: PLC0415  # help needs no client
    from rune_client.cli.invocation import GlobalOptions, Invocation  # noqa: PLC0415

    rune = Invocation(
        GlobalOptions(
            profile=profile,
            base_url=api_base_url,
            token=api_token,
            tenant=api_tenant,
            is_json=json,
            is_debug=debug,
            is_insecure=insecure,
        )
    )
    ctx.obj = rune
    ctx.call_on_close(rune.close)
    try:
        rune.take_variables_of_files()
    except RuneError as error:
        raise typer.Exit(rune.fail(error)) from error
    # A file's own `backend` counts as the variable does.
    if (backend or os.environ.get("RUNE_BACKEND") or "http") != "http":
        raise typer.BadParameter(
            "this command line always asks a server. Leave --backend and RUNE_BACKEND out, or say http.",
            param_hint="--backend",
        )


def run(words: Sequence[str]) -> int:
    """Run a command line by its command, and return its exit code. No exception leaves it."""
    ordered = hoisted(words)
    if command_of(ordered) == "execute" and os.environ.get("RUNE_TENANT"):
        # The operator's pods have this name, and the command line reads the other one.
        os.environ.setdefault("RUNE_API_TENANT", os.environ["RUNE_TENANT"])
    ordered = executed(ordered)
    app = build({command_of(ordered)})
    try:
        returned = app(ordered, prog_name="rune", standalone_mode=False)
    except KeyboardInterrupt:
        return _ended(ExitCode.INTERRUPTED, {"message": "interrupted"}, words)
    except typer.Abort:
        return _ended(ExitCode.INTERRUPTED, {"message": "interrupted"}, words)
    except BrokenPipeError:
        # Whoever read our answer has enough of it, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.SUCCEEDED
    except Exception as error:
        # Typer keeps the class of its usage errors to itself; they show themselves.
        if not hasattr(error, "format_message"):
            raise
        if not hasattr(error, "show"):
            return _ended(ExitCode.REFUSED, {"message": error.format_message()}, words, is_said=False)
        error.show()
        return _ended(ExitCode.REFUSED, {"code": "usage", "message": error.format_message()}, words)
    return int(returned or 0)


def _ended(code: ExitCode, error: Mapping[str, Any], words: Sequence[str], *, is_said: bool = True) -> int:
    """Say how it ended where no command has done so."""
    from rune_client.cli.output import Output  # noqa: PLC0415  # help needs no rich

    output: Output = Output(is_json="--json" in words)
    if not is_said:
        output.problem(str(error["message"]))
    output.result(code, error=error)
    return code
