"""`rune login`: keep an address and a token, under a profile."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

import typer

from rune_client import RuneClient
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import UsageRefusedError
from rune_client.profiles import require_name, token_file_of, write_profile
from rune_client.settings import config_path
from rune_client.tokens import keep_in_keyring, write_token_file

app = typer.Typer(rich_markup_mode=None)


@app.command("login")
@command
def login(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="The profile to keep them under.")] = "default",
    with_token: Annotated[bool, typer.Option("--with-token", help="Read the token from stdin.")] = False,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Keep it in the keyring, not in a file.")
    ] = False,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Keep it without asking the server.")
    ] = False,
) -> ExitCode:
    """Keep an address and a token, and use them from now on.

    The token is kept in a file that only you can read, or with --keyring in the keyring. It is read from the
    terminal without an echo, or with --with-token from stdin.
    """
    rune = of(ctx)
    require_name(name)
    base_url, tenant = rune.connection.base_url, rune.connection.tenant
    if with_token or rune.options.token == "-":  # noqa: S105  # stdin
        token = sys.stdin.readline().strip()
    elif rune.output.can_ask:
        token = getpass.getpass(f"Token for {base_url}: ").strip()
    else:
        raise UsageRefusedError("There is no terminal to ask on: give the token on stdin, with --with-token.")
    if not unchecked:
        with RuneClient(base_url, token, tenant=tenant) as client:
            # Asks for nothing of weight, and is refused where the token is not the tenant's.
            next(iter(client.jobs(page_size=1)), None)
    config = config_path(os.environ)
    values = {"api_base_url": base_url, **({"api_tenant": tenant} if tenant else {})}
    if keyring:
        keep_in_keyring(name, base_url, token)
        values["token_from"] = "keyring"  # noqa: S105  # where it is, and not what it is
    else:
        path = token_file_of(config, name)
        write_token_file(path, token)
        values["token_file"] = str(path)
    write_profile(config, name, values)
    kept = "in the keyring" if keyring else f"in {values['token_file']}"
    told = {"profile": name, "base_url": base_url, "tenant": tenant, "config": str(config)}
    return rune.answer(told, f"profile {name}: {base_url}, its token {kept}")
