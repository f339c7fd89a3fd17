"""Commands about tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from rune.clock import SystemClock
from rune.tenants.reading import read_document
from rune.tenants.tokens import Scope
from rune_admin import documents
from rune_admin.commands import Context, pass_context
from rune_admin.documents import Document
from rune_admin.errors import OperatorError
from rune_admin.output import show_document, show_rows

HOLDS = "It holds within 30 seconds, in every function."
DAYS = click.IntRange(1, 3650)


@click.group()
def token() -> None:
    """Tokens of tenants. A token is told once, and stored as its hash."""


@token.command()
@click.argument("tenant")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; several times for several. Without it: everything.",
)
@click.option("--expires-in-days", type=DAYS, help="From when on it opens nothing; without it never.")
@click.option("--contact", help="Who has it.")
@pass_context
def create(
    context: Context,
    tenant: str,
    name: str,
    *,
    scopes: tuple[str, ...],
    expires_in_days: int | None,
    contact: str | None,
) -> None:
    """Make a token of a tenant, and print it: it cannot be shown again."""
    made = documents.make_token()
    expires_at = None if expires_in_days is None else _in_days(expires_in_days)

    def change(document: Document) -> Document:
        named = [Scope(scope) for scope in scopes] or [*Scope]
        changed = documents.add_token(
            document, name, made, scopes=named, expires_at=expires_at, contact=contact
        )
        return _understood(context, changed, name)

    context.documents.change(documents.check_name(tenant), change)
    _tell(context, tenant, name, made)


@token.command()
@click.argument("tenant")
@click.argument("name")
@click.argument("new_name")
@click.option(
    "--overlap-days",
    default=7,
    show_default=True,
    type=click.IntRange(0, 3650),
    help="How long the old one is still taken, if it does not expire before.",
)
@click.option(
    "--expires-in-days",
    type=DAYS,
    help="When the new one expires; needed where the old one does, else never.",
)
@pass_context
def rotate(
    context: Context, tenant: str, name: str, new_name: str, *, overlap_days: int, expires_in_days: int | None
) -> None:
    """Make a new token beside an old one, which may as much, and let the old one expire."""
    made = documents.make_token()
    ends_at = _in_days(overlap_days)
    expires_at = None if expires_in_days is None else _in_days(expires_in_days)
    ends: list[str] = []

    def change(document: Document) -> Document:
        changed = documents.rotate_token(document, name, new_name, made, ends_at, expires_at=expires_at)
        ends.append(documents.end_of_token(changed, name))
        return _understood(context, changed, new_name)

    context.documents.change(documents.check_name(tenant), change)
    _tell(context, tenant, new_name, made)
    if not context.as_json:
        click.echo(f"{name} is taken until {ends[-1]}.")


@token.command()
@click.argument("tenant")
@click.argument("name")
@pass_context
def revoke(context: Context, tenant: str, name: str) -> None:
    """Take a token away."""
    context.documents.change(
        documents.check_name(tenant), lambda document: documents.revoke_token(document, name)
    )
    click.echo(f"{name} of {tenant} is revoked. {HOLDS}")


@token.command("list")
@click.argument("tenant")
@pass_context
def list_tokens(context: Context, tenant: str) -> None:
    """List a tenant's tokens as RUNE understands them, without hashes; `used_on` is the day of the last use."""
    stored = context.documents.read(documents.check_name(tenant))
    settings, _ = read_document(stored.text, context.deployment.document_context)
    used_on = context.deployment.token_uses.read(tenant)
    now = SystemClock().now()
    rows = [
        {
            "name": each.name,
            "scopes": sorted(scope.value for scope in each.scopes),
            "expires_at": each.expires_at,
            "expired": each.has_expired(now),
            "contact": each.contact,
            "used_on": used_on.get(each.name),
        }
        for each in settings.tokens
    ]
    show_rows(rows, as_json=context.as_json, nothing="The tenant's document has no token.")


def _understood(context: Context, document: Document, name: str) -> Document:
    """Return the document; raises OperatorError where RUNE would not take the token of this name."""
    settings, _ = read_document(documents.to_text(document), context.deployment.document_context)
    if name not in [each.name for each in settings.tokens]:
        raise OperatorError(
            "RUNE would not understand this token: its name has letters, digits, `_`, `.` and `-`, fewer than 32, "
            "and its contact at most 200 characters."
        )
    return document


def _in_days(days: int) -> datetime:
    return SystemClock().now().astimezone(UTC) + timedelta(days=days)


def _tell(context: Context, tenant: str, name: str, made: str) -> None:
    if context.as_json:
        show_document({"tenant": tenant, "name": name, "token": made})
        return
    click.echo(made)
    click.echo(f"This is {name} of {tenant}. It is not stored and cannot be shown again. {HOLDS}", err=True)
