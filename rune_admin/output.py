"""What commands print: tables for people, or one JSON document."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import click

type Row = Mapping[str, object]


def show_rows(rows: Sequence[Row], *, as_json: bool, nothing: str) -> None:
    """Print rows with the same members, as a table or as a JSON array."""
    if as_json:
        show_document(rows)
        return
    if not rows:
        click.echo(nothing)
        return
    columns = [*rows[0]]
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(columns, *cells, strict=True)]
    for line in [columns, *cells]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def show_document(document: object) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "-"
    return str(_plain(value))
