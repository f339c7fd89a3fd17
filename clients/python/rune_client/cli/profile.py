"""`rune profile`: addresses that were kept."""

from __future__ import annotations

import os
import tomllib
from typing import Any

import typer

from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import UsageRefusedError
from rune_client.cli.output import Columns
from rune_client.profiles import choose_profile, delete_profile, token_file_of
from rune_client.settings import config_path
from rune_client.tokens import forget_in_keyring

app = typer.Typer(rich_markup_mode=None)


def _kept() -> tuple[dict[str, Any], str | None]:
    path = config_path(os.environ)
    document = tomllib.loads(path.read_text()) if path.is_file() else {}
    return document.get("profiles", {}), document.get("active_profile")


@app.command("list")
@command
def list_profiles(ctx: typer.Context) -> ExitCode:
    """List the profiles of your own settings file; * is the one that counts where none is named."""
    rune = of(ctx)
    profiles, active = _kept()
    table = Columns("", "profile", "address", "tenant", "token")
    for name, values in profiles.items():
        token = "keyring" if values.get("token_from") else "file" if values.get("token_file") else ""
        table.add(
            "*" if name == active else "", name, values.get("api_base_url"), values.get("api_tenant"), token
        )
    document = {"profiles": profiles, "active_profile": active}
    return rune.answer(
        document, table.table(rune.output.answers.width) if profiles else "no profiles: `rune login`"
    )


@app.command("use")
@command
def use(ctx: typer.Context, name: str) -> ExitCode:
    """Use a profile where none is named."""
    if name not in _kept()[0]:
        raise UsageRefusedError(f"There is no profile {name}.")
    choose_profile(config_path(os.environ), name)
    return of(ctx).answer({"active_profile": name}, f"profile {name} is used")


@app.command("delete")
@command
def delete(ctx: typer.Context, name: str) -> ExitCode:
    """Remove a profile and its token."""
    profiles, _ = _kept()
    if name not in profiles:
        raise UsageRefusedError(f"There is no profile {name}.")
    values = profiles[name]
    if values.get("token_from") == "keyring":
        forget_in_keyring(name, str(values.get("api_base_url")))
    token_file_of(config_path(os.environ), name).unlink(missing_ok=True)
    delete_profile(config_path(os.environ), name)
    return of(ctx).answer({"deleted": name}, f"profile {name} is removed")
