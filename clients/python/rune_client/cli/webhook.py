"""`rune webhook`: be told of events."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from rune_client.cli import options
from rune_client.cli.amounts import age
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import UsageRefusedError
from rune_client.cli.output import Columns, facts

app = typer.Typer(rich_markup_mode=None)

Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of a webhook.")]
Events = Annotated[
    list[str] | None, typer.Option("--event", help="A type, such as rune.job.failed; may be repeated.")
]


@app.command("list")
@command
def list_webhooks(ctx: typer.Context) -> ExitCode:
    """List your webhooks."""
    rune = of(ctx)
    found = rune.connection.client.webhooks()
    table = Columns("webhook", "status", "url", "events", "waiting")
    for each in found["webhooks"]:
        table.add(
            each["webhook_id"],
            each["status"],
            each["url"],
            " ".join(each["events"]),
            each.get("waiting_count"),
        )
    return rune.answer(found, table.table(rune.output.answers.width))


@app.command("show")
@command
def show(ctx: typer.Context, webhook: Webhook) -> ExitCode:
    """Show a webhook, and how its receiver fares."""
    rune = of(ctx)
    found = rune.connection.client.webhook(webhook)
    rows = [
        (name.removesuffix("_at"), " ".join(value) if isinstance(value, list) else value)
        for name, value in found.items()
    ]
    return rune.answer(found, facts(rows))


@app.command("create")
@command
def create(
    ctx: typer.Context,
    url: str,
    event: Events = None,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
) -> ExitCode:
    """Make a webhook. Its secret is printed this once."""
    rune = of(ctx)
    found = rune.connection.client.create_webhook(url, events=event or None, description=description)
    rune.output.note("the secret is shown this once: keep it where the receiver can read it.")
    return rune.answer(found, facts([("webhook", found["webhook_id"]), ("secret", found["secret"])]))


@app.command("update")
@command
def update(
    ctx: typer.Context,
    webhook: Webhook,
    url: Annotated[str | None, typer.Option(help="Another address.")] = None,
    event: Events = None,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    status: Annotated[str | None, typer.Option(help="enabled or disabled.")] = None,
) -> ExitCode:
    """Change a webhook."""
    rune = of(ctx)
    changes = options.changed({}, url=url, events=event or None, description=description, status=status)
    found = rune.connection.client.update_webhook(webhook, changes)
    return rune.answer(found, f"webhook {webhook} is {found['status']}")


@app.command("delete")
@command
def delete(ctx: typer.Context, webhook: Webhook) -> ExitCode:
    """Remove a webhook."""
    rune = of(ctx)
    rune.connection.client.delete_webhook(webhook)
    return rune.answer({"webhook_id": webhook}, f"webhook {webhook} is removed")


@app.command("rotate-secret")
@command
def rotate_secret(
    ctx: typer.Context,
    webhook: Webhook,
    overlap_seconds: Annotated[
        int | None, typer.Option(min=0, help="How long both secrets sign; a day by default.")
    ] = None,
) -> ExitCode:
    """Get another secret. It is printed this once."""
    rune = of(ctx)
    found = rune.connection.client.rotate_webhook_secret(webhook, overlap_seconds=overlap_seconds)
    return rune.answer(found, facts([("webhook", webhook), ("secret", found.get("secret"))]))


@app.command("test")
@command
def test(ctx: typer.Context, webhook: Webhook) -> ExitCode:
    """Send an event of the type rune.ping once."""
    rune = of(ctx)
    found = rune.connection.client.test_webhook(webhook)
    return rune.answer(found, f"event {found['event_id']} is sent")


@app.command("deliveries")
@command
def deliveries(
    ctx: typer.Context,
    webhook: Webhook,
    state: Annotated[str | None, typer.Option(help="One state, such as failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> ExitCode:
    """List what was sent, newest first."""
    rune = of(ctx)
    found = list(islice(rune.connection.client.deliveries(webhook, state=state), limit))
    table = Columns("event", "state", "type", "created", "attempts")
    for each in found:
        count = len(each["attempts"])
        table.add(each["event_id"], each["state"], each.get("type"), age(each.get("created_at")), count)
    return rune.answer({"deliveries": found}, table.table(rune.output.answers.width))


@app.command("redeliver")
@command
def redeliver(
    ctx: typer.Context,
    webhook: Webhook,
    event_id: Annotated[str | None, typer.Option(help="One event.")] = None,
    since: Annotated[str | None, typer.Option(help="All that failed since then (RFC 3339).")] = None,
) -> ExitCode:
    """Deliver one event again, or all that failed."""
    if (event_id is None) == (since is None):
        raise UsageRefusedError("Say --event-id for one event, or --since for all that failed.")
    rune = of(ctx)
    found = rune.connection.client.redeliver(webhook, event_id=event_id, since=since)
    return rune.answer(found, "it is delivered again")
