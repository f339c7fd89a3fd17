"""`rune doctor`: what is reachable, as whom, and in which version."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import typer

from rune_client import NetworkError, RuneError
from rune_client.cli.connection import Connection
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of, sentence_of
from rune_client.cli.outcomes import code_of_error
from rune_client.cli.output import facts
from rune_client.version import __version__

app = typer.Typer(rich_markup_mode=None)

SKEW_SHOWN_SECONDS = 5.0
"""An answer's `Date` is whole seconds, and the request takes its time."""


@app.command("doctor")
@command
def doctor(ctx: typer.Context) -> ExitCode:
    """Say what is reachable, as whom, in which version, and how far the clocks are apart."""
    rune = of(ctx)
    connection = rune.connection
    told: dict[str, Any] = {
        "client": f"rune-client {__version__}, Python {platform.python_version()}",
        "base_url": connection.base_url,
        "base_url_from": connection.settings.base_url.source,
        "tenant": connection.tenant,
        "tenant_from": connection.settings.tenant.source,
        "profile": connection.settings.profile.value,
        "settings_files": [str(path) for path in connection.settings.files],
    }
    code, problems = ExitCode.SUCCEEDED, []
    try:
        told["token_from"] = None if connection.token is None else connection.token.source
        told |= _reach(connection)
        told |= _identify(connection)
    except RuneError as error:
        code = code_of_error(error)
        problems.append(sentence_of(error))
    skew = told.get("clock_skew_seconds")
    if skew is not None and abs(skew) > SKEW_SHOWN_SECONDS:
        problems.append(
            f"This clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's."
        )
    rune.output.show(
        facts(
            [
                ("client", told["client"]),
                ("server", f"{told['base_url']} ({told['base_url_from']})"),
                ("tenant", f"{told['tenant'] or 'the default'} ({told['tenant_from']})"),
                ("profile", told["profile"]),
                ("token", told.get("token_from") or "none: set RUNE_API_TOKEN, or run `rune login`"),
                ("settings", ", ".join(told["settings_files"])),
                ("reachable", f"yes, in {told['round_trip_ms']:.0f} ms" if "round_trip_ms" in told else "no"),
                ("version", told.get("server_version")),
                ("clock", None if skew is None else f"{skew:+.0f} s from the server's"),
                ("authorised", "yes" if told.get("is_authorized") else "no"),
            ]
        )
    )
    for problem in problems:
        rune.output.problem(problem)
    rune.output.result(code, told, error={"message": problems[0]} if problems else None)
    return code


def _reach(connection: Connection) -> dict[str, Any]:
    """Ask for the server's health, without the token."""
    began = time.monotonic()
    try:
        with httpx.Client(verify=not connection.options.is_insecure, timeout=10.0) as http:
            response = http.get(f"{connection.base_url.rstrip('/')}/healthz")
    except httpx.HTTPError as error:
        raise NetworkError(
            f"{connection.base_url} cannot be reached: {str(error) or type(error).__name__}."
        ) from error
    told: dict[str, Any] = {
        "round_trip_ms": round((time.monotonic() - began) * 1000, 1),
        "health_status": response.status_code,
    }
    if date := response.headers.get("Date"):
        told["clock_skew_seconds"] = round(
            (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds(), 1
        )
    return told


def _identify(connection: Connection) -> dict[str, Any]:
    """Ask for what needs the token, and for the version of the API."""
    next(iter(connection.client.jobs(page_size=1)), None)
    described = connection.client.request("GET", "/openapi.json")
    version = described.json().get("info", {}).get("version") if described.is_success else None
    return {"is_authorized": True, "server_version": version}
