"""`cluster_overview`: what stands out, found in code, without a model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from rune.kubernetes.kinds import (
    AUTOSCALER,
    CLAIM,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    JOB,
    NODE,
    POD,
    SERVICE,
    SLICE,
    STATEFUL_SET,
    Kind,
)
from rune.kubernetes.masking import shorten
from rune.kubernetes.quantities import read_time, show_age
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.events import group_events
from rune.kubernetes.tools.pods import condition, name_of
from rune.kubernetes.tools.reader import Listing, row_namespace
from rune.kubernetes.tools.results import Block, Text
from rune.kubernetes.tools.tables import cells_by_name, has_problem, line_of
from rune.llm.fields import as_list, as_object, read_text

_MAX_GROUPS = 15
_MAX_LINES = 25
_MAX_MESSAGE_CHARS = 400
_SLICE_LABEL = "kubernetes.io/service-name"
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


async def cluster_overview(call: Call) -> Text:
    """Return what looks unhealthy by kind, what was looked at and found well, and what may not be read.

    Raises
    ------
    ToolError
        The namespace is not there, or nothing at all may be read.
    """
    namespace = call.arguments.text("namespace")
    if namespace not in {None, "*"}:
        call.reader.scopes(namespace)
        await call.reader.require_namespace(namespace or "")
    overview = _Overview(call, namespace)
    blocks = [block for block in await overview.blocks() if block.lines]
    if overview.read_count == 0:
        raise ToolError("forbidden", overview.denied[0] if overview.denied else "Nothing may be read.")
    well = ", ".join(overview.well) or "nothing"
    blocks.append(Block([f"looked at, nothing found: {well}"]))
    if overview.denied:
        blocks.append(Block(list(dict.fromkeys(overview.denied)), "may not be read:"))
    return Text(
        {"kind": "overview", "namespace": namespace or "*"},
        blocks,
        narrow_by=("namespace", "list_resources", "get_events"),
        is_partial=overview.is_partial,
    )


class _Overview:
    """The looks at each kind."""

    def __init__(self, call: Call, namespace: str | None) -> None:
        self._call = call
        self._namespace = namespace
        self.well: list[str] = []
        self.denied: list[str] = []
        self.read_count = 0
        self.is_partial = False

    async def blocks(self) -> Sequence[Block]:
        """Return a block for each kind, in the order in which one looks."""
        tables = (
            (DEPLOYMENT, _workload_problem),
            (STATEFUL_SET, _workload_problem),
            (DAEMON_SET, has_problem),
            (POD, has_problem),
            (JOB, has_problem),
            (CLAIM, has_problem),
        )
        return await asyncio.gather(
            self._nodes(),
            *(self._rows(kind, has_it) for kind, has_it in tables),
            self._autoscalers(),
            self._services(),
            self._warnings(),
        )

    async def _rows(self, kind: Kind, is_problem: Callable[[Mapping[str, str]], bool]) -> Block:
        listing = await self._read(kind, as_table=True)
        if listing is None:
            return Block([])
        ill = [row for row in listing.items if is_problem(cells_by_name(listing, row))]
        titles = [
            read_text(column, "name").upper() for column in listing.columns if not column.get("priority")
        ]
        title = f"{kind.plural} ({len(ill)} of {listing.total}): NAMESPACE  {'  '.join(titles)}"
        return self._block(
            kind.plural, title, [line_of(listing, row, with_namespace=True) for row in ill], listing
        )

    async def _nodes(self) -> Block:
        listing = await self._read(NODE, page=50)
        if listing is None:
            return Block([])
        lines = [line for node in listing.items if (line := self._node_line(node))]
        title = f"nodes ({len(lines)} of {listing.total}):"
        return self._block("nodes", title, lines, listing)

    def _node_line(self, node: Mapping[str, object]) -> str:
        told: list[str] = []
        ready = condition(node, "Ready")
        if ready.get("status") != "True":
            told.append(_condition_text(ready, self._call) or "no condition Ready")
        for name in _PRESSURES:
            found = condition(node, name)
            if found.get("status") == "True":
                told.append(_condition_text(found, self._call))
        spec = as_object(node.get("spec"))
        if spec.get("unschedulable") is True:
            told.append("cordoned")
        taints = [
            f"{read_text(taint, 'key')}:{read_text(taint, 'effect')}"
            for taint in map(as_object, as_list(spec.get("taints")))
        ]
        if told and taints:
            told.append(f"taints {','.join(taints)}")
        return f"{name_of(node)}  {'; '.join(told)}" if told else ""

    async def _autoscalers(self) -> Block:
        listing = await self._read(AUTOSCALER)
        if listing is None:
            return Block([])
        lines = []
        for each in listing.items:
            told = [
                _condition_text(found, self._call)
                for name, bad in (
                    ("AbleToScale", "False"),
                    ("ScalingActive", "False"),
                    ("ScalingLimited", "True"),
                )
                if (found := condition(each, name)).get("status") == bad
            ]
            if told:
                lines.append(f"{row_namespace(each)}  {name_of(each)}  {'; '.join(told)}")
        title = f"autoscalers ({len(lines)} of {listing.total}):"
        return self._block("autoscalers", title, lines, listing)

    async def _services(self) -> Block:
        """Return the Services with a selector and without a ready endpoint."""
        services = await self._read(SERVICE)
        slices = await self._read(SLICE) if services is not None else None
        if services is None or slices is None:
            return Block([])
        served = {
            (
                row_namespace(each),
                str(as_object(as_object(each.get("metadata")).get("labels")).get(_SLICE_LABEL)),
            )
            for each in slices.items
            if any(
                as_object(as_object(endpoint).get("conditions")).get("ready") is not False
                for endpoint in as_list(each.get("endpoints"))
            )
        }
        lines = [
            f"{row_namespace(each)}  {name_of(each)}  no ready endpoint"
            for each in services.items
            if as_object(as_object(each.get("spec")).get("selector"))
            and (row_namespace(each), name_of(each)) not in served
        ]
        title = f"services ({len(lines)} of {services.total}):"
        return self._block("services", title, lines, services)

    async def _warnings(self) -> Block:
        listing = await self._read(EVENT, field_selector="type=Warning")
        if listing is None:
            return Block([])
        groups = group_events(listing.items)
        lines = [group.line(self._call.now) for group in groups[:_MAX_GROUPS]]
        title = f"warnings of the last hour or so ({len(lines)} of {len(groups)} groups, newest first):"
        return self._block("warnings", title, lines, listing)

    async def _read(
        self, kind: Kind, *, as_table: bool = False, field_selector: str = "", page: int = 100
    ) -> Listing | None:
        reader = self._call.reader
        try:
            if as_table:
                listing = await reader.list_rows(kind, self._namespace)
            else:
                listing = await reader.list_objects(
                    kind, self._namespace, field_selector=field_selector, page=page
                )
        except ToolError as error:
            self.denied.append(f"{kind.plural}: {error.sentence}")
            return None
        self.read_count += 1
        self.denied += listing.denied
        self.is_partial |= not listing.is_complete
        return listing

    def _block(self, name: str, title: str, lines: Sequence[str], listing: Listing) -> Block:
        if not lines:
            self.well.append(f"{listing.total} {name}")
            return Block([])
        more = [f"… and {len(lines) - _MAX_LINES} more"] if len(lines) > _MAX_LINES else []
        return Block([*lines[:_MAX_LINES], *more], title)


def _condition_text(found: Mapping[str, object], call: Call) -> str:
    if not found:
        return ""
    since = show_age(read_time(found.get("lastTransitionTime")), call.now)
    message = shorten(read_text(found, "message"), _MAX_MESSAGE_CHARS)
    state = f"{read_text(found, 'type')}={read_text(found, 'status')}"
    return f"{state} {read_text(found, 'reason')} since {since}: {message}"


def _workload_problem(cells: Mapping[str, str]) -> bool:
    """Return whether replicas are missing, or none are wanted: scaled to nothing looks well, and serves nobody."""
    return has_problem(cells) or cells.get("ready") == "0/0"
