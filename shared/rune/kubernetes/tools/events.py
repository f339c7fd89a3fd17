"""`get_events`, and the events of one object. The newest time of an event has four places in the API."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rune.kubernetes.kinds import EVENT, NODE
from rune.kubernetes.masking import shorten
from rune.kubernetes.quantities import read_time, show_age
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.reader import ClusterReader
from rune.kubernetes.tools.results import Block, Text
from rune.llm.fields import as_object, read_count, read_text

_OLDEST = datetime.min.replace(tzinfo=UTC)
_NODES_NAMESPACE = "default"
_DEFAULT_MINUTES = 60
_OF_OBJECT = 10
_MAX_MESSAGE_CHARS = 420


@dataclass(slots=True)
class EventGroup:
    """Events of one object with one reason and one text."""

    object_name: str
    reason: str
    kind: str
    message: str
    source: str
    count: int
    first: datetime | None
    last: datetime | None

    def line(self, now: datetime) -> str:
        """Return the group as one line."""
        age = show_age(self.last, now)
        if self.count > 1:
            age += f" (x{self.count} over {show_age(self.first, now)})"
        told = shorten(self.message, _MAX_MESSAGE_CHARS)
        return f"{age}  {self.kind}  {self.reason}  {self.object_name}  {told}  [{self.source}]"


async def get_events(call: Call) -> Text:
    """Return the events that match, grouped.

    Raises
    ------
    ToolError
        Nothing was read.
    """
    arguments, reader = call.arguments, call.reader
    minutes = arguments.number("minutes", _DEFAULT_MINUTES)
    warnings_only = arguments.flag("warnings_only", default=True)
    terms = ["type=Warning"] if warnings_only else []
    namespace = arguments.text("namespace")
    if kind_text := arguments.text("kind"):
        kind = await reader.find_kind(kind_text)
        terms.append(f"involvedObject.kind={kind.name}")
        namespace = _NODES_NAMESPACE if kind == NODE and not reader.namespaces else namespace
    if name := arguments.text("name"):
        terms.append(f"involvedObject.name={name.rsplit('/', 1)[-1]}")
    listing = await reader.list_objects(EVENT, namespace, field_selector=",".join(terms))
    if not listing.items and namespace not in {None, "*", _NODES_NAMESPACE}:
        await reader.require_namespace(namespace or "")
    since = call.now - timedelta(minutes=minutes)
    groups = [group for group in group_events(listing.items) if (group.last or _OLDEST) >= since]
    older = len(group_events(listing.items)) - len(groups)
    notes = [*listing.denied]
    if older:
        notes.append(f"{older} groups are older than {minutes} minutes.")
    if not groups:
        notes.append(
            "No event proves nothing: they are kept for about an hour. Look at status and conditions."
        )
    if not listing.is_complete:
        notes.append("There are more events than were read.")
    given = arguments.scope()
    return Text(
        {"kind": "events", "namespace": namespace or "*", "minutes": minutes, "warnings_only": warnings_only}
        | {key: given[key] for key in ("kind", "name") if key in given and key == "name"}
        | ({"of": kind_text} if kind_text else {}),
        [Block([group.line(call.now) for group in groups])],
        total=len(groups),
        narrow_by=[key for key in ("namespace", "kind", "name", "minutes") if key not in given],
        is_partial=not listing.is_complete,
        notes=notes,
        lines_are_items=True,
    )


async def object_events(
    reader: ClusterReader, kind: str, name: str, namespace: str | None, now: datetime
) -> list[str]:
    """Return the last events of one object as lines, or why they cannot be read."""
    place = namespace or _NODES_NAMESPACE
    if reader.namespaces and place not in reader.namespaces:
        return [f"not read: namespace {place} is not open"]
    try:
        listing = await reader.list_objects(
            EVENT, place, field_selector=f"involvedObject.kind={kind},involvedObject.name={name}", max_pages=2
        )
    except ToolError as error:
        return [f"not read: {error.sentence}"]
    groups = group_events(listing.items)
    return [group.line(now) for group in groups[:_OF_OBJECT]] or ["none (they are kept for about an hour)"]


def group_events(events: Iterable[Mapping[str, object]]) -> list[EventGroup]:
    """Return events grouped by object, reason and text, newest first."""
    groups: dict[tuple[str, str, str], EventGroup] = {}
    for event in events:
        read = _read(event)
        key = (read.object_name, read.reason, read.message)
        known = groups.get(key)
        if known is None:
            groups[key] = read
            continue
        known.count += read.count
        known.first = min(filter(None, (known.first, read.first)), default=None)
        known.last = max(filter(None, (known.last, read.last)), default=None)
    return sorted(groups.values(), key=lambda group: group.last or _OLDEST, reverse=True)


def _read(event: Mapping[str, object]) -> EventGroup:
    involved = as_object(event.get("involvedObject") or event.get("regarding"))
    series = as_object(event.get("series"))
    created = read_text(as_object(event.get("metadata")), "creationTimestamp")
    # Reporters on the newer API, the scheduler first, leave the old times empty and the count 0.
    last = event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime") or created
    first = event.get("firstTimestamp") or event.get("eventTime") or created
    counts = (read_count(event, "count"), read_count(series, "count"), 1)
    source = read_text(as_object(event.get("source")), "component") or read_text(event, "reportingComponent")
    field_path = read_text(involved, "fieldPath")
    place = "/".join(read_text(involved, key) for key in ("kind", "namespace", "name"))
    return EventGroup(
        place + (f" {field_path}" if field_path else ""),
        read_text(event, "reason"),
        read_text(event, "type"),
        read_text(event, "message") or read_text(event, "note"),
        source or "?",
        next(count for count in counts if count),
        read_time(first),
        read_time(last),
    )
