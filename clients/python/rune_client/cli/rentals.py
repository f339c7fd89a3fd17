"""`rune rentals`: rented machines."""

from __future__ import annotations

from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.amounts import dollars
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.output import Columns
from rune_client.cli.plans import ask_to_spend

app = typer.Typer(rich_markup_mode=None)

Rental = Annotated[str, typer.Argument(metavar="RENTAL", help="Id of a rental.")]


@app.command("list")
@command
def list_rentals(
    ctx: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="One state; released lists those of the last 30 days.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="All that one job has rented.")] = None,
) -> ExitCode:
    """List rented machines that are not proven gone, with their cost so far."""
    rune = of(ctx)
    found = list(rune.connection.client.rentals(state=state, job_id=job))
    table = Columns("rental", "state", "an hour", "cost", "machine", "kept until", "model", "server", "place")
    for each in found:
        table.add(
            each["rental_id"],
            each["state"],
            dollars(each["price_usd_per_hour"]),
            dollars(each["cost_usd"]),
            f"{each['gpu_count']} x {each['gpu_name']}",
            each.get("kept_until"),
            each.get("model"),
            each.get("backend_url"),
            each.get("place"),
        )
    rune.output.show(table.table(rune.output.answers.width) if found else "no machines")
    rune.output.result(ExitCode.SUCCEEDED, {"rentals": found})
    return ExitCode.SUCCEEDED


@app.command("extend")
@command
def extend(
    ctx: typer.Context,
    rental: Rental,
    keep_seconds: Annotated[int, typer.Option(min=60, metavar="SECONDS", help="How long from now.")],
    yes: options.Yes = False,
) -> ExitCode:
    """Keep a machine for longer. It costs money for as long."""
    rune = of(ctx)
    client = rune.connection.client
    price = client.rental(rental)["price_usd_per_hour"]
    sentence = f"{dollars(price)} an hour, so up to {dollars(price * keep_seconds / 3600)} from now on."
    ask_to_spend(rune.output, sentence, is_yes=yes)
    found = client.extend_rental(rental, keep_seconds)
    return rune.answer(found, f"rental {rental} is kept until {found.get('kept_until')}")


@app.command("stop")
@command
def stop(ctx: typer.Context, rental: Rental) -> ExitCode:
    """Give a kept machine back."""
    rune = of(ctx)
    found = rune.connection.client.stop_rental(rental)
    return rune.answer(found, f"rental {rental}: {found['state']}, {dollars(found['cost_usd'])} so far")


@app.command("key")
@command
def key(ctx: typer.Context, rental: Rental) -> ExitCode:
    """Print the key that a machine's server asks for. It is a secret."""
    rune = of(ctx)
    found = rune.connection.client.rental_key(rental)
    return rune.answer(found, str(found["key"]))
