"""Commands about the clusters that a tenant's jobs may name."""

from __future__ import annotations

import json
from datetime import UTC

import click

from rune.aws.clusters import parameter_name
from rune.clock import SystemClock
from rune.errors import ClusterNotUsableError
from rune.kubernetes.kubeconfig import COMMAND, MAX_TEXT_BYTES, read_cluster
from rune.tenants.entries import NAME
from rune_admin import documents
from rune_admin.commands import Context, pass_context
from rune_admin.documents import ADVANCED_BYTES, Document
from rune_admin.errors import OperatorError

HOLDS = "It holds within 30 seconds."


@click.group()
def cluster() -> None:
    """Clusters of tenants and their credentials (docs/kubernetes.md)."""


@cluster.command()
@click.argument("tenant")
@click.argument("name")
@click.option("--namespace", "namespaces", multiple=True, help="A namespace that may be read; none for all.")
@pass_context
def put(context: Context, tenant: str, name: str, namespaces: tuple[str, ...]) -> None:
    """Store the credentials that stand on the standard input, and name the cluster in the tenant's document.

    They are the JSON of `kubectl config view --raw --minify --flatten -o json`, or a binding to a cluster of EKS.
    """
    documents.check_name(tenant)
    _check_cluster_name(name)
    with click.open_file("-", encoding="utf-8", errors="replace") as given:
        text = given.read(MAX_TEXT_BYTES + 1)
    stored = _checked(text)
    entry: Document = {"namespaces": list(namespaces)} if namespaces else {}
    changed = _with_cluster(documents.parse(context.documents.read(tenant).text), name, entry)
    refused = documents.find_refused(documents.to_text(changed), context.deployment.document_context)
    if any(each.place.startswith("clusters") for each in refused):
        raise OperatorError("A namespace is 1 to 63 lower-case letters, digits and `-`; nothing was written.")
    # The credentials first: a name without them would fail jobs.
    context.documents.put_secret(parameter_name(context.deployment.tenants_path, tenant, name), stored)
    context.documents.change(tenant, lambda document: _with_cluster(document, name, entry))
    click.echo(f"{tenant} may name the cluster {name}. {HOLDS}")


@cluster.command()
@click.argument("tenant")
@click.argument("name")
@pass_context
def remove(context: Context, tenant: str, name: str) -> None:
    """Take the cluster out of the tenant's document, and delete its credentials."""
    documents.check_name(tenant)
    _check_cluster_name(name)
    context.documents.change(tenant, lambda document: _without_cluster(document, name))
    was_there = context.documents.delete_secret(parameter_name(context.deployment.tenants_path, tenant, name))
    told = (
        "Its credentials are deleted here; revoke them in the cluster too." if was_there else "It had none."
    )
    click.echo(f"{tenant} has no cluster {name} any more. {told}")


def _check_cluster_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise OperatorError("A cluster's name is 1 to 64 letters, digits, `_`, `.` and `-`.")


def _checked(text: str) -> str:
    """Return the text as it is stored; raises OperatorError, which repeats none of it, where it cannot be used."""
    now = SystemClock().now()
    try:
        found = read_cluster(text, now)
    except ClusterNotUsableError as error:
        raise OperatorError(f"{error.sentence} Nothing was written.") from None
    compact = json.dumps(json.loads(text), separators=(",", ":"))
    size = len(compact.encode())
    if size > ADVANCED_BYTES:
        raise OperatorError(
            f"The text has {size} bytes, and a parameter holds {ADVANCED_BYTES}: make it with `{COMMAND}`."
        )
    click.echo(f"server {found.server}")
    if found.token_expires_at is not None:
        click.echo(
            f"The token's time is over at {found.token_expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        )
    return compact


def _with_cluster(document: Document, name: str, entry: Document) -> Document:
    return {**document, "clusters": {**_clusters_of(document), name: entry}}


def _without_cluster(document: Document, name: str) -> Document:
    return {
        **document,
        "clusters": {each: value for each, value in _clusters_of(document).items() if each != name},
    }


def _clusters_of(document: Document) -> Document:
    clusters = document.get("clusters", {})
    if not isinstance(clusters, dict):
        raise OperatorError("`clusters` is no object. Write a whole document with `tenant put`.")
    return clusters
