"""Commands about tenants and their documents."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from rune.tenants.entries import RefusedEntry
from rune.tenants.reading import read_document
from rune_admin import documents
from rune_admin.commands import Context, pass_context
from rune_admin.documents import Document
from rune_admin.errors import OperatorError
from rune_admin.output import show_document, show_rows

READ_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
HOLDS = "It holds within 30 seconds, in every function."


@click.group()
def tenant() -> None:
    """Tenants and their documents (docs/tenants.md)."""


@tenant.command("list")
@pass_context
def list_tenants(context: Context) -> None:
    """List the tenants that have a document."""
    judged_by = context.deployment.document_context
    rows = []
    for stored in context.documents.list_all():
        settings, refused = read_document(stored.text, judged_by)
        rows.append(
            {
                "tenant": stored.tenant,
                "suspended": settings.is_suspended,
                "tokens": len(settings.tokens),
                "not_understood": len(refused),
                "version": stored.version,
            }
        )
    show_rows(rows, as_json=context.as_json, nothing="No tenant has a document.")


@tenant.command()
@click.argument("name")
@pass_context
def show(context: Context, name: str) -> None:
    """Show a tenant's document, without secrets: hashes are cut, keys masked."""
    stored = context.documents.read(documents.check_name(name))
    refused = documents.find_refused(stored.text, context.deployment.document_context)
    shown = documents.without_secrets(documents.parse(stored.text))
    if context.as_json:
        places = [{"place": each.place, "reason": each.reason} for each in refused]
        show_document(
            {"tenant": name, "version": stored.version, "document": shown, "not_understood": places}
        )
        return
    click.echo(f"{name}, version {stored.version}")
    show_document(shown)
    _tell_refused(refused)


@tenant.command()
@click.argument("name")
@click.option("--daily-budget-usd", type=click.FloatRange(min=0), help="Most dollars of its jobs in a day.")
@click.option("--max-running-jobs", type=click.IntRange(1, 1000), help="Most of its jobs that run at a time.")
@click.option("--max-machines", type=click.IntRange(0, 1000), help="Most machines that it has at a time.")
@pass_context
def add(
    context: Context,
    name: str,
    *,
    daily_budget_usd: float | None,
    max_running_jobs: int | None,
    max_machines: int | None,
) -> None:
    """Write the first document of a tenant. `token create` then gives it a token."""
    given = {
        "daily_budget_usd": daily_budget_usd,
        "max_running_jobs": max_running_jobs,
        "max_machines": max_machines,
    }
    document: Document = {field: value for field, value in given.items() if value is not None}
    documents.check_name(name)
    refused = documents.find_refused(documents.to_text(document), context.deployment.document_context)
    if refused:
        _tell_refused(refused)
        raise OperatorError("Nothing was written.")
    context.documents.add(name, document)
    click.echo(f"{name} is a tenant. It can call within a minute, once it has a token.")


@tenant.command()
@click.argument("name")
@pass_context
def suspend(context: Context, name: str) -> None:
    """Refuse a tenant's tokens, and end its jobs at their next step."""
    context.documents.change(
        documents.check_name(name), lambda document: documents.set_suspended(document, is_suspended=True)
    )
    click.echo(f"{name} is suspended. {HOLDS}")


@tenant.command()
@click.argument("name")
@pass_context
def resume(context: Context, name: str) -> None:
    """Take a suspension back."""
    context.documents.change(
        documents.check_name(name), lambda document: documents.set_suspended(document, is_suspended=False)
    )
    click.echo(f"{name} is no longer suspended. {HOLDS}")


@tenant.command()
@click.argument("file", type=READ_FILE)
@pass_context
def check(context: Context, file: Path) -> None:
    """Say each thing of a document in a file that RUNE does not understand; writes nothing."""
    _, refused = _read(context, file)
    if refused:
        raise OperatorError(f"{len(refused)} entries are not understood.")
    click.echo("All of it is understood.")


@tenant.command()
@click.argument("name")
@click.argument("file", type=READ_FILE)
@click.option(
    "--version", "version", type=int, help="The version that it was made of, as `tenant show` tells it."
)
@click.option("--force", is_flag=True, help="Write it although some of it is not understood.")
@pass_context
def put(context: Context, name: str, file: Path, version: int | None, *, force: bool) -> None:
    """Write a whole document from a file, which is checked first.

    A tenant's later documents need --version, so that nobody's change is lost. Since `tenant show` masks secrets, a
    document that has some is kept by the operator.
    """
    document, refused = _read(context, file)
    if refused and not force:
        raise OperatorError(f"{len(refused)} entries are not understood; nothing was written.")
    documents.check_name(name)
    if context.documents.find(name) is None:
        context.documents.add(name, document)
        written = 1
    elif version is None:
        raise OperatorError("The tenant has a document: name the --version that yours was made of.")
    else:
        written = context.documents.replace(name, document, version)
    click.echo(f"Written as version {written}. {HOLDS}")


def _read(context: Context, file: Path) -> tuple[Document, tuple[RefusedEntry, ...]]:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            text = opened.read()
    except UnicodeDecodeError:
        raise OperatorError("The file is not UTF-8.") from None
    document = documents.parse(text)
    documents.to_text(document)
    # As it stands in the file: a name that stands twice in it is seen only there.
    refused = documents.find_refused(text, context.deployment.document_context)
    _tell_refused(refused)
    return document, refused


def _tell_refused(refused: Iterable[RefusedEntry]) -> None:
    for entry in refused:
        click.echo(f"not understood: {entry.place}: {entry.reason}", err=True)
