"""`list_resources`: rows of the server's own table."""

from collections.abc import Mapping

from rune.kubernetes.kinds import Kind
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.reader import Listing, row_name
from rune.kubernetes.tools.results import Block, Text
from rune.kubernetes.tools.tables import cells_by_name, has_problem, header_of, line_of

_NARROW = ("namespace", "name_contains", "label_selector", "problems_only")


async def list_resources(call: Call) -> Text:
    """Return the objects of a kind that match.

    Raises
    ------
    ToolError
        Nothing was read.
    """
    arguments, reader = call.arguments, call.reader
    kind = await reader.find_kind(arguments.required("kind"))
    namespace = arguments.text("namespace") if kind.is_namespaced else None
    listing = await reader.list_rows(kind, namespace, label_selector=arguments.text("label_selector") or "")
    if not listing.items and namespace not in {None, "*"}:
        await reader.require_namespace(namespace or "")
    contains = (arguments.text("name_contains") or "").lower()
    problems_only = arguments.flag("problems_only")
    rows = [row for row in listing.items if contains in row_name(row).lower()]
    notes = [*listing.denied]
    if problems_only:
        rows = [row for row in rows if has_problem(cells_by_name(listing, row))]
        notes.append(
            f"{len(listing.items)} were looked at; rows with restarts in the past count as problems."
        )
    if not listing.is_complete or listing.total > len(listing.items):
        notes.append(f"Only the first {len(listing.items)} of at least {listing.total} were read.")
    return _text(call, kind, listing, rows, notes)


def _text(
    call: Call, kind: Kind, listing: Listing, rows: list[Mapping[str, object]], notes: list[str]
) -> Text:
    given = call.arguments.scope()
    namespace = call.arguments.text("namespace")
    scope: dict[str, object] = {"kind": kind.plural if not kind.group else f"{kind.plural}.{kind.group}"}
    if kind.is_namespaced:
        scope["namespace"] = namespace or "*"
    scope |= {name: value for name, value in given.items() if name not in {"kind", "namespace"}}
    with_namespace = kind.is_namespaced and len(call.reader.scopes(namespace)) != 1
    with_namespace |= kind.is_namespaced and call.reader.scopes(namespace) == (None,)
    is_filtered = len(rows) != len(listing.items)
    lines = [line_of(listing, row, with_namespace=with_namespace) for row in rows]
    return Text(
        scope,
        [Block(lines, header_of(listing, with_namespace=with_namespace))],
        total=len(rows) if is_filtered else max(listing.total, len(rows)),
        narrow_by=[
            name for name in _NARROW if name not in given and (name != "namespace" or kind.is_namespaced)
        ],
        is_partial=not listing.is_complete or listing.total > len(listing.items),
        notes=notes,
        lines_are_items=True,
    )
