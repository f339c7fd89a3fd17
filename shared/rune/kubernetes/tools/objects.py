"""`get_resource`: one object with its owners and its events."""

from collections.abc import Mapping

from rune.kubernetes.kinds import Kind
from rune.kubernetes.masking import mask_object
from rune.kubernetes.outlines import outline, outline_within, prune
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.events import object_events
from rune.kubernetes.tools.reader import ClusterReader, UnknownNameError, row_name, row_namespace
from rune.kubernetes.tools.results import Block, Text
from rune.llm.fields import as_list, as_object, read_text

_MAX_OWNERS = 4
_ORDER = ("kind", "metadata", "status", "spec")


async def get_resource(call: Call) -> Text:
    """Return an object: the status first, since it tells more than the specification.

    Raises
    ------
    ToolError
        Nothing was read.
    """
    arguments, reader = call.arguments, call.reader
    kind = await reader.find_kind(arguments.required("kind"))
    namespace, name = place_of(arguments.required("name"), arguments.text("namespace"))
    if kind.is_namespaced and namespace in {None, "*"}:
        namespace = await _only_namespace(reader, kind, name)
    document = await find_object(reader, kind, name, namespace)
    pruned = mask_object(prune(document))
    shown = as_object(pruned)
    ordered = {key: shown[key] for key in _ORDER if key in shown}
    ordered |= {key: value for key, value in shown.items() if key not in ordered}
    owners = await _owner_chain(reader, document, namespace)
    events = await object_events(reader, kind.name, name, namespace if kind.is_namespaced else None, call.now)
    return Text(
        {"kind": kind.name, "namespace": namespace if kind.is_namespaced else None, "name": name},
        [
            Block(outline(ordered)),
            Block([" -> ".join(owners)] if owners else ["none"], "owners:"),
            Block(events, "events:"),
        ],
        narrow_by=("list_resources", "get_events", "get_logs"),
        smaller=lambda max_bytes: outline_within(ordered, max_bytes),
    )


def place_of(name: str, namespace: str | None) -> tuple[str | None, str]:
    """Return namespace and name, also of `Kind/namespace/name` and `kind/name`, as models write them."""
    parts = name.split("/")
    if len(parts) == 3 and parts[1] and namespace in {None, "*"}:  # noqa: PLR2004  # Kind/namespace/name
        namespace = parts[1]
    return namespace, parts[-1]


async def find_object(
    reader: ClusterReader, kind: Kind, name: str, namespace: str | None
) -> Mapping[str, object]:
    """Return an object.

    Raises
    ------
    ToolError
        It is not there, with the nearest names and other namespaces that have one of this name; or of any code.
    """
    if kind.is_namespaced and namespace is not None:
        reader.scopes(namespace)
    try:
        return await reader.get_object(kind.path(namespace, name))
    except ToolError as error:
        if error.code != "not_found":
            raise
    if kind.is_namespaced and namespace is not None:
        await reader.require_namespace(namespace)
        elsewhere = [place for place in await _namespaces_with(reader, kind, name) if place != namespace]
        if elsewhere:
            raise ToolError(
                "not_found",
                f"There is no {kind.name} {name!r} in namespace {namespace!r}; there is one in "
                f"{', '.join(elsewhere[:5])}.",
            )
    known = await reader.names_of(kind, namespace)
    place = f" in namespace {namespace!r}" if namespace else ""
    raise UnknownNameError(kind.name, name, known, place)


async def _only_namespace(reader: ClusterReader, kind: Kind, name: str) -> str:
    places = await _namespaces_with(reader, kind, name)
    if len(places) == 1:
        return places[0]
    told = f"; {name!r} is in {', '.join(places[:5])}" if places else ""
    raise ToolError("bad_arguments", f"A {kind.name} needs a namespace{told}.")


async def _namespaces_with(reader: ClusterReader, kind: Kind, name: str) -> list[str]:
    try:
        found = await reader.list_rows(kind, None, field_selector=f"metadata.name={name}")
    except ToolError:
        return []
    return [row_namespace(row) for row in found.items if row_name(row) == name]


async def _owner_chain(
    reader: ClusterReader, document: Mapping[str, object], namespace: str | None
) -> list[str]:
    """Return who made the object, and who made that one, as far as it may be read."""
    chain: list[str] = []
    for _ in range(_MAX_OWNERS):
        owner = owner_of(document)
        kind_name, name = read_text(owner, "kind"), read_text(owner, "name")
        if not name:
            break
        chain.append(f"{kind_name}/{namespace or ''}/{name}")
        try:
            kind = await reader.find_kind(kind_name)
            document = await reader.get_object(kind.path(namespace if kind.is_namespaced else None, name))
        except ToolError as error:
            chain.append(f"({error.code})")
            break
    return chain


def owner_of(document: Mapping[str, object]) -> Mapping[str, object]:
    """Return the reference to an object's owner, the controlling one before others; empty for none."""
    metadata = as_object(document.get("metadata"))
    references = [as_object(each) for each in as_list(metadata.get("ownerReferences"))]
    controlling = [each for each in references if each.get("controller") is True]
    return (controlling or references or [{}])[0]
