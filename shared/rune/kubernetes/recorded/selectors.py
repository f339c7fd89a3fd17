"""Selectors of lists: by labels and by fields."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.kinds import Kind
from rune.kubernetes.recorded.statuses import bad_request

_KEY = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9.]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s+\(\s*([^()]*)\)$")
_EQUAL = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*({_VALUE})?$")
_EXISTS = re.compile(rf"^(!?)\s*({_KEY})$")
_BETWEEN = re.compile(r",(?![^(]*\))")

_MAX_SELECTOR_CHARS = 2_048
"""Longer ones are no selectors of people, and take long to read."""

type LabelTest = Callable[[Mapping[str, str]], bool]


def parse_labels(selector: str) -> LabelTest:
    """Return a test of labels: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.

    Raises
    ------
    RefusedError
        400: the selector cannot be read.
    """
    _check_length(selector)
    parts = [part.strip() for part in _BETWEEN.split(selector)] if selector.strip() else []
    tests = [_parse_requirement(part) for part in parts]
    return lambda labels: all(test(labels) for test in tests)


def _check_length(selector: str) -> None:
    if len(selector) > _MAX_SELECTOR_CHARS:
        raise bad_request(f"the selector is longer than {_MAX_SELECTOR_CHARS} characters")


def _parse_requirement(part: str) -> LabelTest:
    if found := _SET.match(part):
        key, operator = found[1], found[2]
        values = {value.strip() for value in found[3].split(",")}
        return lambda labels: (
            (labels.get(key) in values) if operator == "in" else (labels.get(key) not in values)
        )
    if found := _EQUAL.match(part):
        key, operator, value = found[1], found[2], found[3] or ""
        return lambda labels: (labels.get(key) != value) if operator == "!=" else (labels.get(key) == value)
    if found := _EXISTS.match(part):
        wanted, key = not found[1], found[2]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f"unable to parse requirement: found '{part}', expected: a key, an operator and values")


@dataclass(frozen=True, slots=True)
class _Fields:
    names: Mapping[str, tuple[str, ...]]
    refusal: str


_META = {"metadata.name": ("metadata", "name"), "metadata.namespace": ("metadata", "namespace")}


def _paths(*names: str) -> Mapping[str, tuple[str, ...]]:
    return {**_META, **{name: tuple(name.split(".")) for name in names}}


_UNKNOWN = "field label not supported: {}"
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_KNOWN: Mapping[str, _Fields] = {
    "Pod": _Fields(
        _paths(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        _UNKNOWN,
    ),
    "Event": _Fields(
        {
            **_paths(*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "type"),
            "reportingComponent": ("reportingComponent",),
            "source": ("source", "component"),
        },
        _UNKNOWN,
    ),
    "Node": _Fields(_paths("spec.unschedulable"), _UNKNOWN),
    "Namespace": _Fields(_paths("status.phase"), _UNKNOWN),
    "Secret": _Fields(_paths("type"), _UNKNOWN),
    "Job": _Fields(_paths("status.successful"), 'field label "{}" not supported for Job'),
    "ReplicaSet": _Fields(_paths("status.replicas"), 'field label "{}" not supported for appsv1.ReplicaSet'),
    "ReplicationController": _Fields(_paths("status.replicas"), _UNKNOWN),
}
_PLAIN = _Fields(_META, '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"')
_ABSENT = {
    "spec.hostNetwork": "false",
    "spec.unschedulable": "false",
    "status.replicas": "0",
    "status.successful": "0",
}
_FIELD = re.compile(r"^\s*([A-Za-z][A-Za-z.]*)\s*(==|=|!=)(.*)$", re.DOTALL)


def parse_fields(selector: str, kind: Kind) -> Callable[[Document], bool]:
    """Return a test of objects: `a.b=c,d!=e`; only the fields that the kind has indexed.

    Raises
    ------
    RefusedError
        400: the selector cannot be read, or names another field.
    """
    _check_length(selector)
    known = _KNOWN.get(kind.name, _PLAIN)
    tests: list[tuple[tuple[str, ...], bool, str, str]] = []
    for part in re.split(r"(?<!\\),", selector) if selector.strip() else []:
        if not part.strip():
            continue
        found = _FIELD.match(part)
        if not found:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")
        if found[1] not in known.names:
            raise bad_request(known.refusal.format(found[1]))
        value = re.sub(r"\\([\\,=])", r"\1", found[3]).strip()
        tests.append((known.names[found[1]], found[2] != "!=", value, _ABSENT.get(found[1], "")))
    return lambda document: all(
        (_text_of(document, path, absent) == value) is equal for path, equal, value, absent in tests
    )


def _text_of(document: Document, path: tuple[str, ...], absent: str) -> str:
    value = dig(document, *path)
    if value is None:
        return absent
    return str(value).lower() if isinstance(value, bool) else str(value)
