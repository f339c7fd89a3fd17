"""An object as an indented outline that a model reads: less than JSON, and cut where it is deepest."""

import json
import re
from collections.abc import Mapping, Sequence

from rune.kubernetes.masking import LAST_APPLIED

_PLAIN = re.compile(r"[^\s\"'#\[\]{}][^\n\"#\[\]{}]*")
_DEEPEST = 12

# Of every object, and of no help to anybody who looks for an illness.
_DROPPED_METADATA = frozenset({"managedFields", "resourceVersion", "uid", "selfLink", "generateName"})
_DROPPED_DEFAULTS: Mapping[str, object] = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "schedulerName": "default-scheduler",
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "preemptionPolicy": "PreemptLowerPriority",
}
_DEFAULT_TOLERATIONS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


def prune(document: Mapping[str, object]) -> dict[str, object]:
    """Return an object without what the server keeps for itself, and without defaults."""
    pruned = {key: value for key, value in document.items() if key != "apiVersion"}
    metadata = pruned.get("metadata")
    if isinstance(metadata, dict):
        kept = {key: value for key, value in metadata.items() if key not in _DROPPED_METADATA}
        annotations = kept.get("annotations")
        if isinstance(annotations, dict):
            kept["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
        pruned["metadata"] = kept
    if pruned.get("kind") == "Node" and isinstance(status := pruned.get("status"), dict):
        pruned["status"] = {key: value for key, value in status.items() if key != "images"}
    result = _without_defaults(pruned)
    return result if isinstance(result, dict) else pruned


def outline(value: object, *, max_depth: int = _DEEPEST) -> list[str]:
    """Return the lines of an object; what lies deeper than `max_depth` is told by its size alone."""
    return _lines(value, 0, max_depth)


def outline_within(value: object, max_bytes: int) -> list[str]:
    """Return the deepest outline that fits, or the shallowest of all."""
    lines: list[str] = []
    for depth in range(_DEEPEST, 1, -1):
        lines = outline(value, max_depth=depth)
        if sum(len(line.encode("utf-8", "replace")) + 1 for line in lines) <= max_bytes:
            break
    return lines


def _without_defaults(value: object) -> object:
    if isinstance(value, list):
        return [_without_defaults(each) for each in value if not _is_added_by_server(each)]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_defaults(member)
        for key, member in value.items()
        if member not in ({}, [], None) and (key not in _DROPPED_DEFAULTS or _DROPPED_DEFAULTS[key] != member)
    }


def _is_added_by_server(value: object) -> bool:
    """Return whether an entry of a list is one that every pod gets: its token's volume, and two tolerations."""
    if not isinstance(value, dict):
        return False
    if str(value.get("name", "")).startswith("kube-api-access-"):
        return True
    return value.get("key") in _DEFAULT_TOLERATIONS and value.get("operator") == "Exists"


def _lines(value: object, indent: int, depth: int) -> list[str]:
    blank = " " * indent
    lines: list[str] = []
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(member, dict | list) or not member:
                lines.append(f"{blank}{key}: {_scalar(member)}")
            elif depth <= 1:
                lines.append(f"{blank}{key}: … {_told(member)}")
            else:
                lines += [f"{blank}{key}:", *_lines(member, indent + (isinstance(member, dict)), depth - 1)]
    elif isinstance(value, list):
        for member in value:
            below = _lines(member, indent + 2, depth - isinstance(member, list)) or [f"{blank}  {{}}"]
            lines += [f"{blank}- {below[0].lstrip()}", *below[1:]]
    else:
        lines.append(f"{blank}{_scalar(value)}")
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _told(member: Mapping[str, object] | Sequence[object]) -> str:
    if isinstance(member, dict):
        return f"({len(member)} fields: {', '.join(list(member)[:6])})"
    return f"({len(member)} entries)"
