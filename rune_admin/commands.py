"""The commands of the operator's tool."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import click
from botocore.exceptions import BotoCoreError, ClientError

from rune.clock import SystemClock
from rune.errors import RuneError
from rune_admin import dead_letters, pins, stopping, work
from rune_admin.deployment import Deployment
from rune_admin.errors import OperatorError
from rune_admin.locks import Lock
from rune_admin.output import show_document, show_rows
from rune_admin.parameters import Documents


@dataclass
class Context:
    """What all commands share. The stack is looked up by the first that needs it."""

    stack: str
    as_json: bool

    @cached_property
    def deployment(self) -> Deployment:
        """The deployed stack."""
        return Deployment.find(self.stack)

    @cached_property
    def documents(self) -> Documents:
        """The tenants' documents."""
        found = self.deployment
        lock = Lock(found.dynamodb, found.output("TableName"))
        return Documents(found.ssm, found.tenants_path, lock, found.key_arn)


pass_context = click.make_pass_decorator(Context)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--stack", default="rune-dev", envvar="RUNE_STACK", show_default=True, help="Name of the deployed stack."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def cli(context: click.Context, stack: str, *, as_json: bool) -> None:
    """Operate one deployed stack of RUNE.

    Credentials, region and endpoint come from AWS's own variables (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, …).
    """
    context.obj = Context(stack, as_json)


@cli.command()
@pass_context
def jobs(context: Context) -> None:
    """List the running and the waiting jobs of all tenants."""
    rows = work.list_jobs(context.deployment.jobs, SystemClock().now())
    show_rows(rows, as_json=context.as_json, nothing="No job runs or waits.")


@cli.command()
@pass_context
def machines(context: Context) -> None:
    """List all rented machines that may bill, with dollars an hour and so far."""
    rentals, unreadable = work.find_machines(context.deployment.rentals)
    rows = work.machine_rows(rentals, SystemClock().now())
    show_rows(rows, as_json=context.as_json, nothing="No machine is rented.")
    if not context.as_json and rentals:
        click.echo(f"{len(rentals)} machines, {work.usd_per_hour(rentals):.4f} USD an hour together")
    for rental_id in unreadable:
        click.echo(f"{rental_id} is not understood by this version", err=True)


@cli.command()
@click.option(
    "--days", default=1, show_default=True, type=click.IntRange(1, 400), help="Up to today, in UTC."
)
@click.argument("tenants", nargs=-1)
@pass_context
def usage(context: Context, tenants: tuple[str, ...], days: int) -> None:
    """Tell what ended jobs have used, by tenant: those named, or all that had jobs lately."""
    last = SystemClock().now().date()
    store = context.deployment.jobs
    named = tenants or tuple(sorted(share.tenant for share in store.read_places().shares))
    rows = work.usage_rows(store, named, last - timedelta(days=days - 1), last)
    show_rows(rows, as_json=context.as_json, nothing="No tenant had a job lately.")


@cli.command("stop-all")
@click.option("--wait-seconds", default=900.0, show_default=True, help="How long to wait for the proof.")
@click.confirmation_option(
    prompt="Refuse new jobs of all tenants, cancel all jobs and destroy every machine?"
)
@pass_context
def stop_all(context: Context, wait_seconds: float) -> None:
    """Stop everything: refuse new jobs, cancel all, give every GPU back, wait for the proof, say what is left."""
    found = context.deployment
    name = found.output("JanitorFunctionName")

    def tell(answer: stopping.Answer) -> None:
        if not context.as_json:
            click.echo(
                ", ".join(f"{member}: {value}" for member, value in answer.items() if member != "left")
            )

    answer = stopping.stop_all(
        lambda: stopping.call(found.functions, name, {"stop": "all"}), tell, wait_seconds
    )
    rentals, _ = work.find_machines(found.rentals)
    rows = work.machine_rows(rentals, SystemClock().now())
    if context.as_json:
        show_document({**answer, "machines": rows, "usd_per_hour": work.usd_per_hour(rentals)})
    else:
        show_rows(rows, as_json=False, nothing="No machine is left.")
        if rentals:
            click.echo(f"What is left costs {work.usd_per_hour(rentals):.4f} USD an hour.")
    if not answer.get("done"):
        raise OperatorError(
            "Not all has ended yet. The janitor goes on with it; call this again to see it end."
        )


@cli.command("resume-all")
@pass_context
def resume_all(context: Context) -> None:
    """Take stop-all back. What was cancelled stays so."""
    found = context.deployment
    show_document(stopping.call(found.functions, found.output("JanitorFunctionName"), {"stop": "none"}))


@cli.command("pins")
@click.option("--move", "image", help="Another image by its version or digest, such as ollama/ollama:0.34.0.")
@pass_context
def show_pins(context: Context, image: str | None) -> None:
    """Tell which image rented machines run, or move it: an update of the stack with nothing else changed."""
    parameters = context.deployment.parameters
    before = parameters.get(pins.PIN)
    if image is not None and image != before:
        pins.move(context.deployment.formation, context.stack, parameters, image)
    if context.as_json:
        show_document({pins.PIN: image or before})
        return
    click.echo(f"{pins.PIN}  {image or before}")
    if image is None:
        click.echo("To move it: pins --move <image:version>")


@cli.group("dead-letters")
def dead_letters_group() -> None:
    """Messages that were given up."""


@dead_letters_group.command("list")
@pass_context
def list_dead_letters(context: Context) -> None:
    """Count the messages of each queue."""
    rows = _dead_letters(context).list_all()
    show_rows(rows, as_json=context.as_json, nothing="The stack has no such queue.")


@dead_letters_group.command("look")
@click.argument("queue", type=click.Choice([*dead_letters.QUEUES]))
@pass_context
def look_at_dead_letters(context: Context, queue: str) -> None:
    """Show up to ten messages, with the reasons."""
    found = _dead_letters(context).look(queue)
    if context.as_json or found:
        show_document(found)
    else:
        click.echo("There is no message to be seen now.")


@dead_letters_group.command("move-back")
@click.argument("queue", type=click.Choice([*dead_letters.QUEUES]))
@pass_context
def move_dead_letters_back(context: Context, queue: str) -> None:
    """Let SQS move all messages of a queue back. It is safe: what was done already is dropped."""
    click.echo(f"Moving to {_dead_letters(context).move_back(queue)}.")


def _dead_letters(context: Context) -> dead_letters.DeadLetters:
    return dead_letters.DeadLetters(context.deployment.sqs, context.deployment.outputs)


def main() -> None:
    """Run the tool; every foreseen failure is one sentence and exit code 1."""
    from rune_admin.cluster_commands import cluster  # noqa: PLC0415  # they need what is above
    from rune_admin.tenant_commands import tenant  # noqa: PLC0415
    from rune_admin.token_commands import token  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING)
    cli.add_command(cluster)
    cli.add_command(tenant)
    cli.add_command(token)
    try:
        cli(prog_name="rune_admin", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.Abort:
        click.echo("Nothing was done.", err=True)
        raise SystemExit(1) from None
    except (RuneError, ClientError, BotoCoreError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from None
