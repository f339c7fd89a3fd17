"""What the results of tools say, read as a careful person reads them: lines, and where they stand."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from local.simulators.investigators.conversation import Result

_TITLE = re.compile(r"^([a-z][a-z ]*?) \((\d+) of (\d+)[^)]*\):(.*)$")
_GAP = re.compile(r" {2,}")
_LOOKUP = re.compile(r"\b([a-z0-9][a-z0-9-]*)\.([a-z0-9][a-z0-9-]*)(?:\.svc[a-z.]*)?(?::\d+)?\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGE = re.compile(r"(\d+)([smhd])")

MOST_SUSPECTS = 8

_SLASHES = 2
"""Of an entity: kind, namespace, name."""

_HASH_CHARS = 5
"""Of what a ReplicaSet adds to the names of its pods."""

SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})


@dataclass(frozen=True, slots=True)
class Suspect:
    """An object that the overview shows.

    Attributes
    ----------
    cells
        Of its line, without namespace and name.
    """

    kind: str
    namespace: str
    name: str
    cells: Sequence[str]
    line: str

    @property
    def entity(self) -> str:
        """As findings name it."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a result, which can be quoted."""

    result_id: str
    text: str


_KINDS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "pods": "Pod",
    "jobs": "Job",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "autoscalers": "HorizontalPodAutoscaler",
    "services": "Service",
    "nodes": "Node",
}


class Knowledge:
    """All results so far."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = results

    @cached_property
    def overview(self) -> Result | None:
        """The overview, where it was read."""
        return next((each for each in self.results if _scope(each).get("kind") == "overview"), None)

    def suspects(self) -> list[Suspect]:
        """Return the objects that the overview shows; of pods with one beginning the first two."""
        shown: list[Suspect] = []
        per_owner: dict[str, int] = {}
        for suspect in self._listed():
            owner = (
                f"{suspect.namespace}/{stem_of(suspect.name)}" if suspect.kind == "Pod" else suspect.entity
            )
            per_owner[owner] = per_owner.get(owner, 0) + 1
            if per_owner[owner] <= 1:
                shown.append(suspect)
        # Pods tell most; a Deployment says what its pods say.
        order = ["Node", "Pod", "Job", "PersistentVolumeClaim", "Service"]
        return sorted(shown, key=lambda each: order.index(each.kind) if each.kind in order else len(order))[
            :MOST_SUSPECTS
        ]

    def of_kind(self, kind: str) -> list[Suspect]:
        """Return all objects of a kind that the overview shows."""
        return [each for each in self._listed() if each.kind == kind]

    def services(self) -> list[tuple[str, str]]:
        """Return the Services outside of the system's namespaces, as far as they were listed."""
        found = []
        for result in self.results:
            scope = _scope(result)
            if str(scope.get("kind", "")).lower() not in {"services", "service"} or "name" in scope:
                continue
            for line in result.body.splitlines():
                cells = _GAP.split(line.strip())
                if (
                    cells[0] != "NAMESPACE"
                    and cells[1:]
                    and cells[0] not in SYSTEM
                    and cells[1] != "kubernetes"
                ):
                    found.append((cells[0], cells[1]))
        return found[:MOST_SUSPECTS]

    def named_services(self) -> list[tuple[str, str]]:
        """Return the Services that logs name as the other side of a connection."""
        found: dict[tuple[str, str], None] = {}
        known = set(self.services())
        for result in self.results:
            if _scope(result).get("kind") != "logs":
                continue
            namespace = str(_scope(result).get("namespace", ""))
            for match in _LOOKUP.finditer(result.body):
                if (match[2], match[1]) in known:
                    found[match[2], match[1]] = None
            for service_namespace, name in known:
                if service_namespace == namespace and re.search(rf"\b{re.escape(name)}[:.\s]", result.body):
                    found[service_namespace, name] = None
        return [*found]

    def about(self, namespace: str, name: str) -> list[Result]:
        """Return the results that are about one object."""
        return [
            each
            for each in self.results
            if _scope(each).get("name") == name and str(_scope(each).get("namespace") or "") == namespace
        ]

    def find(self, pattern: str, results: Sequence[Result] | None = None) -> Line | None:
        """Return the first line in which a pattern stands."""
        expression = re.compile(pattern, re.IGNORECASE)
        for result in self.results if results is None else results:
            for line in result.body.splitlines():
                if expression.search(line):
                    return Line(result.id, line.strip())
        return None

    def match(self, pattern: str, results: Sequence[Result] | None = None) -> re.Match[str] | None:
        """Return the first match of a pattern in a line."""
        found = self.find(pattern, results)
        return None if found is None else re.search(pattern, found.text, re.IGNORECASE)

    def owner_of(self, suspect: Suspect) -> str:
        """Return the workload of a pod, as findings name it; the object itself for any other."""
        if suspect.kind != "Pod":
            return suspect.entity
        for result in self.about(suspect.namespace, suspect.name):
            lines = result.body.splitlines()
            if "owners:" in lines:
                chain = lines[lines.index("owners:") + 1].split(" -> ")
                known = [part.strip() for part in chain if part.count("/") == _SLASHES]
                if known and not known[-1].startswith("Node/"):
                    return known[-1]
        return suspect.entity

    def lines_of_overview(self) -> list[Line]:
        """Return every line of the overview."""
        if self.overview is None:
            return []
        return [Line(self.overview.id, line.strip()) for line in self.overview.body.splitlines()]

    def denied(self) -> list[str]:
        """Return what may not be read."""
        told = [line.strip() for result in self.results for line in result.body.splitlines()]
        return list(dict.fromkeys(line for line in told if "forbidden" in line.lower()))[:5]

    def _listed(self) -> Iterator[Suspect]:
        if self.overview is None:
            return
        kind: str | None = None
        for line in self.overview.body.splitlines():
            if title := _TITLE.match(line):
                kind = _KINDS.get(title[1])
                continue
            if line.startswith(("looked at", "may not be read", "…")):
                kind = None
            if kind is None:
                continue
            cells = _GAP.split(line.strip())
            if kind == "Node":
                yield Suspect(kind, "", cells[0], cells[1:], line.strip())
            elif len(cells) > 1:
                yield Suspect(kind, "" if cells[0] == "-" else cells[0], cells[1], cells[2:], line.strip())


def stem_of(pod: str) -> str:
    """Return a pod's name without what was added to its owner's, as far as that can be seen."""
    parts = pod.split("-")
    while len(parts) > 1 and (parts[-1].isdigit() or re.fullmatch(r"[a-z0-9]{4,10}", parts[-1])):
        if not any(char.isdigit() for char in parts[-1]) and len(parts[-1]) != _HASH_CHARS:
            break
        parts.pop()
    return "-".join(parts)


def seconds_of(age: str) -> int:
    """Return an age such as `5m30s` in seconds."""
    return sum(int(number) * _SECONDS[unit] for number, unit in _AGE.findall(age))


def _scope(result: Result) -> dict[str, object]:
    scope = result.header.get("scope")
    return scope if isinstance(scope, dict) else {}
