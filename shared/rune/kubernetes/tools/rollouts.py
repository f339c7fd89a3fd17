"""`get_rollout`: what changed, and when. The change is often the answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from rune.kubernetes.kinds import DAEMON_SET, DEPLOYMENT, REPLICA_SET, REVISION, STATEFUL_SET, Kind
from rune.kubernetes.masking import mask_object, shorten
from rune.kubernetes.quantities import read_time, show_age
from rune.kubernetes.selectors import to_query
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.objects import find_object, owner_of, place_of
from rune.kubernetes.tools.pods import name_of
from rune.kubernetes.tools.results import Block, Text
from rune.llm.fields import as_list, as_object, read_count, read_text

_MAX_REVISIONS = 6
_MAX_VALUE_CHARS = 160
_MAX_MESSAGE_CHARS = 400
_REVISION_KEY = "deployment.kubernetes.io/revision"
_CAUSE_KEY = "kubernetes.io/change-cause"
# Other in each revision, by design.
_IGNORED = frozenset({"pod-template-hash", "controller-revision-hash", "creationTimestamp"})
_COUNTS = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "desiredNumberScheduled",
    "updatedNumberScheduled",
    "numberReady",
    "numberUnavailable",
)


async def get_rollout(call: Call) -> Text:
    """Return the state of a workload's rollout, its revisions, and what each changed.

    Raises
    ------
    ToolError
        Nothing was read.
    """
    arguments, reader = call.arguments, call.reader
    kind = await reader.find_kind(arguments.required("kind"))
    if kind not in {DEPLOYMENT, STATEFUL_SET, DAEMON_SET}:
        raise ToolError("bad_arguments", "Only a Deployment, a StatefulSet and a DaemonSet have rollouts.")
    namespace, name = place_of(arguments.required("name"), arguments.text("namespace"))
    workload = await find_object(reader, kind, name, namespace)
    holder = REPLICA_SET if kind == DEPLOYMENT else REVISION
    selector = to_query(as_object(as_object(workload.get("spec")).get("selector")))
    notes: list[str] = []
    try:
        listing = await reader.list_objects(holder, namespace, label_selector=selector, page=50)
        revisions = [each for each in listing.items if _is_owned(each, workload, kind)]
    except ToolError as error:
        revisions = []
        notes.append(f"The revisions were not read: {error.sentence}")
    newest_first = sorted(revisions, key=_number, reverse=True)
    shown = newest_first[:_MAX_REVISIONS]
    return Text(
        {"kind": kind.name, "namespace": namespace, "name": name, "revisions": len(revisions)},
        [
            Block(_state_lines(workload, kind), "state:"),
            Block([_revision_line(each, call.now) for each in shown], "revisions, newest first:"),
            Block(_changes(shown), "changes of the pod template:"),
        ],
        narrow_by=("get_resource",),
        is_partial=len(shown) < len(revisions),
        notes=notes,
    )


def difference(before: object, after: object, path: str = "") -> list[str]:
    """Return what differs as `path: before -> after`; entries of lists are compared by their `name`."""
    if isinstance(before, list) and isinstance(after, list) and _are_named([*before, *after]):
        before, after = _by_name(before), _by_name(after)
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in dict.fromkeys([*before, *after]) if key not in _IGNORED]
        return [
            line
            for key in keys
            for line in difference(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if before == after else [f"{path}: {_short(before)} -> {_short(after)}"]


def _state_lines(workload: Mapping[str, object], kind: Kind) -> list[str]:
    spec, status = as_object(workload.get("spec")), as_object(workload.get("status"))
    generation = read_count(as_object(workload.get("metadata")), "generation")
    observed = read_count(status, "observedGeneration")
    counts = [f"{key}={status[key]}" for key in _COUNTS if key in status]
    wanted = "" if kind == DAEMON_SET else f"wanted={spec.get('replicas', 1)} "
    lines = [wanted + " ".join(counts)]
    if generation is not None and observed is not None and observed < generation:
        lines.append(
            f"The controller has not seen the newest change: generation {generation}, seen {observed}."
        )
    if spec.get("paused") is True:
        lines.append("The rollout is paused.")
    lines += [
        f"{read_text(each, 'type')}={read_text(each, 'status')} {read_text(each, 'reason')}: "
        f"{shorten(read_text(each, 'message'), _MAX_MESSAGE_CHARS)} (since {read_text(each, 'lastTransitionTime')})"
        for each in map(as_object, as_list(status.get("conditions")))
    ]
    return lines


def _revision_line(revision: Mapping[str, object], now: datetime) -> str:
    metadata = as_object(revision.get("metadata"))
    line = f"revision {_number(revision)}: {name_of(revision)}, made "
    line += f"{show_age(read_time(metadata.get('creationTimestamp')), now)} ago"
    status, spec = as_object(revision.get("status")), as_object(revision.get("spec"))
    if "replicas" in spec or "replicas" in status:
        line += f", replicas {spec.get('replicas', '?')}, ready {status.get('readyReplicas', 0)}"
    cause = read_text(as_object(metadata.get("annotations")), _CAUSE_KEY)
    return line + (f', change-cause "{shorten(cause, _MAX_VALUE_CHARS)}"' if cause else "")


def _changes(newest_first: Sequence[Mapping[str, object]]) -> list[str]:
    lines: list[str] = []
    for newer, older in pairwise(newest_first):
        changed = difference(mask_object(_template(older)), mask_object(_template(newer)))
        secret = [] if changed or _template(older) == _template(newer) else ["a masked value"]
        lines.append(f"{_number(older)} -> {_number(newer)}:")
        lines += [f"  {line}" for line in changed or secret] or ["  nothing"]
    return lines or ["there is no revision to compare with"]


def _template(revision: Mapping[str, object]) -> Mapping[str, object]:
    holder = as_object(revision.get("data")) or revision
    return as_object(as_object(holder.get("spec")).get("template"))


def _number(revision: Mapping[str, object]) -> int:
    number = read_count(revision, "revision")
    if number is None:
        annotations = as_object(as_object(revision.get("metadata")).get("annotations"))
        text = read_text(annotations, _REVISION_KEY)
        number = int(text) if text.isdecimal() else 0
    return number


def _is_owned(revision: Mapping[str, object], workload: Mapping[str, object], kind: Kind) -> bool:
    owner = owner_of(revision)
    uid = read_text(as_object(workload.get("metadata")), "uid")
    if uid and read_text(owner, "uid"):
        return read_text(owner, "uid") == uid
    return owner.get("kind") == kind.name and owner.get("name") == name_of(workload)


def _are_named(entries: Sequence[object]) -> bool:
    return bool(entries) and all(isinstance(each, dict) and "name" in each for each in entries)


def _by_name(entries: Sequence[object]) -> dict[str, object]:
    return {f"[{as_object(each).get('name')}]": each for each in entries}


def _short(value: object) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, dict):
        value = {key: member for key, member in value.items() if key != "name"} or value
    return shorten(str(value), _MAX_VALUE_CHARS)
