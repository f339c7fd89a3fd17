"""`get_usage`: what is used now, against what was asked for and what may be had."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from rune.kubernetes.kinds import NODE, NODE_METRICS, POD, POD_METRICS
from rune.kubernetes.quantities import read_quantity, show_cpu, show_memory
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.pods import containers_of, name_of
from rune.kubernetes.tools.reader import row_namespace
from rune.kubernetes.tools.results import Block, Text
from rune.llm.fields import as_list, as_object

_PODS_PAGE, _MAX_PAGES = 100, 5
_PERCENT = 100


async def get_usage(call: Call) -> Text:
    """Return usage, the greatest memory first.

    Raises
    ------
    ToolError
        The metrics were not read: often there is no metrics-server (`not_found`), or it is down (`unavailable`).
    """
    is_pods = call.arguments.required("what") == "pods"
    try:
        return await (_of_pods(call) if is_pods else _of_nodes(call))
    except ToolError as error:
        if error.code in {"not_found", "unavailable"}:
            raise ToolError(
                error.code,
                f"The metrics API does not answer (no metrics-server, or it is down): {error.sentence}",
            ) from None
        raise


async def _of_pods(call: Call) -> Text:
    arguments, reader = call.arguments, call.reader
    namespace, prefix = arguments.text("namespace"), arguments.text("name") or ""
    metrics = await reader.list_objects(POD_METRICS, namespace)
    specs: dict[tuple[str, str], Mapping[str, object]] = {}
    notes = [*metrics.denied]
    try:
        pods = await reader.list_objects(POD, namespace, page=_PODS_PAGE, max_pages=_MAX_PAGES)
        specs = {(row_namespace(pod), name_of(pod)): pod for pod in pods.items}
    except ToolError as error:
        notes.append(f"Requests and limits were not read: {error.sentence}")
    rows: list[tuple[Decimal, str]] = []
    for each in metrics.items:
        if not name_of(each).startswith(prefix):
            continue
        limits = {
            container.name: as_object(container.spec.get("resources"))
            for container in containers_of(specs.get((row_namespace(each), name_of(each)), {}))
        }
        for container in map(as_object, as_list(each.get("containers"))):
            usage = as_object(container.get("usage"))
            resources = limits.get(str(container.get("name")), {})
            memory = read_quantity(usage.get("memory")) or Decimal(0)
            place = f"{row_namespace(each)}/{name_of(each)}/{container.get('name')}"
            rows.append((memory, f"{place}  {_cells(usage, resources)}"))
    return _text(call, "pods", "POD/CONTAINER  CPU use/request/limit  MEMORY use/request/limit", rows, notes)


async def _of_nodes(call: Call) -> Text:
    prefix = call.arguments.text("name") or ""
    metrics = await call.reader.list_objects(NODE_METRICS, None)
    nodes: dict[str, Mapping[str, object]] = {}
    notes: list[str] = []
    try:
        listing = await call.reader.list_objects(NODE, None, page=50)
        nodes = {name_of(node): node for node in listing.items}
    except ToolError as error:
        notes.append(f"What the nodes can give was not read: {error.sentence}")
    rows: list[tuple[Decimal, str]] = []
    for each in metrics.items:
        if name_of(each).startswith(prefix):
            usage = as_object(each.get("usage"))
            allocatable = as_object(as_object(nodes.get(name_of(each), {}).get("status")).get("allocatable"))
            memory = read_quantity(usage.get("memory")) or Decimal(0)
            cells = [
                f"{show(used)}/{show(given)} ({_share(used, given)})"
                for key, show in (("cpu", show_cpu), ("memory", show_memory))
                for used, given in [(read_quantity(usage.get(key)), read_quantity(allocatable.get(key)))]
            ]
            rows.append((memory, "  ".join([name_of(each), *cells])))
    silent = sorted(set(nodes) - {name_of(each) for each in metrics.items})
    if silent:
        notes.append(f"No metrics of: {', '.join(silent[:10])}.")
    return _text(call, "nodes", "NODE  CPU use/allocatable  MEMORY use/allocatable", rows, notes)


def _cells(usage: Mapping[str, object], resources: Mapping[str, object]) -> str:
    requests, limits = as_object(resources.get("requests")), as_object(resources.get("limits"))
    cells = []
    for key, show in (("cpu", show_cpu), ("memory", show_memory)):
        used, most = read_quantity(usage.get(key)), read_quantity(limits.get(key))
        share = f" ({_share(used, most)} of limit)" if most else ""
        cells.append(f"{show(used)}/{show(read_quantity(requests.get(key)))}/{show(most)}{share}")
    return "  ".join(cells)


def _share(used: Decimal | None, given: Decimal | None) -> str:
    return f"{round(used / given * _PERCENT)}%" if used is not None and given else "?"


def _text(call: Call, what: str, title: str, rows: Iterable[tuple[Decimal, str]], notes: list[str]) -> Text:
    given = call.arguments.scope()
    lines = [line for _, line in sorted(rows, key=lambda row: (-row[0], row[1]))]
    scope: dict[str, object] = {"kind": f"usage of {what}"}
    if what == "pods":
        scope["namespace"] = given.get("namespace", "*")
    if "name" in given:
        scope["name"] = given["name"]
    return Text(
        scope,
        [Block(lines, title)],
        total=len(lines),
        narrow_by=[key for key in ("namespace", "name") if key not in given],
        notes=notes,
        lines_are_items=True,
    )
