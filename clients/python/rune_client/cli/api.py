"""`rune api`: a request of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rune_client.answers import error_of
from rune_client.cli import options
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import UsageRefusedError, code_of_error
from rune_client.cli.plans import ask_to_spend

app = typer.Typer(rich_markup_mode=None)

SPENDING_PATHS = ("/v1/jobs/", "/v1/schedules", "/v1/rentals/")
"""A POST there may cost money, so it is asked as any other command is."""


@app.command("api")
@command
def api(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="Such as /v1/jobs?limit=5.")],
    method: Annotated[str | None, typer.Option("--method", "-X", help="GET, or POST with a body.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-F", metavar="KEY=VALUE", help="A field of the body; JSON, else a text."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help="A header.")
    ] = None,
    input_file: Annotated[Path | None, typer.Option("--input", help="The body's file, - for stdin.")] = None,
    yes: options.Yes = False,
) -> ExitCode:
    """Send a request of your own, and print the answer as it is."""
    given = options.pairs(field, "--field") or {}
    body = {**options.read_file(input_file), **{name: _value(text) for name, text in given.items()}}
    has_body = bool(given) or input_file is not None
    verb = (method or ("POST" if has_body else "GET")).upper()
    if not path.startswith("/"):
        raise UsageRefusedError("A path begins with '/', such as /v1/jobs.")
    rune = of(ctx)
    if verb == "POST" and path.startswith(SPENDING_PATHS) and body.get("dry_run") is not True:
        ask_to_spend(rune.output, f"{verb} {path} may cost money.", is_yes=yes)
    response = rune.connection.client.request(
        verb, path, json=body if has_body else None, headers=options.pairs(header, "--header")
    )
    error = error_of(response)
    code = ExitCode.SUCCEEDED if error is None else code_of_error(error)
    if rune.output.is_json:
        rune.output.result(
            code, _document(response.text), error=None if error is None else {"status": error.status}
        )
    elif response.text:
        rune.output.raw(response.text)
    if error is not None:
        rune.output.problem(f"{error.status} {error.code or ''}".rstrip())
    return code


def _value(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _document(text: str) -> object:
    try:
        document: object = json.loads(text)
    except ValueError:
        return text
    return document
