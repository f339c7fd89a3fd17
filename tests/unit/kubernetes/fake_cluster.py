"""A cluster in memory: objects by kind, tables with the columns given, pages, refusals."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, override
from urllib.parse import unquote

from rune.kubernetes.access import Cluster, ClusterAnswer
from rune.kubernetes.paths import is_readable
from rune.kubernetes.selectors import selects

_COLUMNS: Mapping[str, Sequence[str]] = {
    "pods": ("Name", "Ready", "Status", "Restarts", "Age"),
    "deployments": ("Name", "Ready", "Up-to-date", "Available", "Age"),
    "persistentvolumeclaims": ("Name", "Status"),
    "jobs": ("Name", "Status", "Completions"),
}


class FakeCluster(Cluster):
    """Answers as an API server does; a row's cells stand in the object under `cells`.

    Attributes
    ----------
    denied
        Plurals, or `plural/namespace`, that are answered with 403.
    asked
        Every path and query.
    """

    def __init__(self, *objects: Mapping[str, Any], logs: Mapping[str, str] | None = None) -> None:
        self.objects = list(objects)
        self.logs = dict(logs or {})
        self.denied: set[str] = set()
        self.answers: dict[str, ClusterAnswer] = {}
        self.gone_count = 0
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    @override
    async def get(self, path: str, query: Mapping[str, str], *, accept: str) -> ClusterAnswer:
        assert is_readable(path, query), path
        self.asked.append((path, dict(query)))
        if path in self.answers:
            return self.answers[path]
        parts = [unquote(part) for part in path.split("/")[1:]]
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = None
        if parts and parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        if not parts:
            return status(404, "NotFound", "no discovery here")
        if {parts[0], f"{parts[0]}/{namespace}"} & self.denied:
            return forbidden(parts[0], namespace)
        if parts[-1] == "log":
            return self._log(parts[1], query)
        found = [each for each in self.objects if plural_of(each) == parts[0]]
        found = [each for each in found if namespace in {None, each["metadata"].get("namespace")}]
        if len(parts) > 1:
            found = [each for each in found if each["metadata"]["name"] == parts[1]]
            return ok(found[0]) if found else status(404, "NotFound", f'{parts[0]} "{parts[1]}" not found')
        return self._page([each for each in found if _matches(each, query)], parts[0], query, accept)

    @override
    async def aclose(self) -> None:
        pass

    def _log(self, pod: str, query: Mapping[str, str]) -> ClusterAnswer:
        key = f"{pod}/{query['container']}" + ("/previous" if "previous" in query else "")
        if key not in self.logs:
            return status(
                400, "BadRequest", f'container "{query["container"]}" in pod "{pod}" is waiting to start'
            )
        lines = self.logs[key].splitlines(keepends=True)[-int(query["tailLines"]) :]
        return ClusterAnswer(200, "text/plain", "".join(lines).encode())

    def _page(
        self, found: Sequence[Mapping[str, Any]], plural: str, query: Mapping[str, str], accept: str
    ) -> ClusterAnswer:
        start, limit = int(query.get("continue", 0)), int(query["limit"])
        if start and self.gone_count:
            self.gone_count -= 1
            return status(410, "Expired", "The provided continue parameter is too old")
        page, rest = found[start : start + limit], found[start + limit :]
        metadata: dict[str, Any] = {"resourceVersion": "1"}
        if rest:
            metadata["continue"] = str(start + limit)
            if not {"labelSelector", "fieldSelector"} & query.keys():
                metadata["remainingItemCount"] = len(rest)
        if "as=Table" not in accept:
            return ok({"kind": "List", "metadata": metadata, "items": page})
        columns = _COLUMNS.get(plural, ("Name", "Age"))
        rows = []
        for each in page:
            row = {"cells": each.get("cells", [each["metadata"]["name"], "1d"])}
            if query.get("includeObject") == "Metadata":
                row["object"] = {"kind": "PartialObjectMetadata", "metadata": each["metadata"]}
            rows.append(row)
        definitions = [{"name": name, "type": "string", "priority": 0} for name in columns]
        return ok({"kind": "Table", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})


def ok(document: Mapping[str, Any]) -> ClusterAnswer:
    return ClusterAnswer(200, "application/json", json.dumps(document).encode())


def status(code: int, reason: str, message: str) -> ClusterAnswer:
    document = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}
    return ClusterAnswer(code, "application/json", json.dumps(document).encode())


def forbidden(plural: str, namespace: str | None) -> ClusterAnswer:
    place = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = f'{plural} is forbidden: User "rune" cannot list resource "{plural}" in API group "" {place}'
    return status(403, "Forbidden", message)


def plural_of(document: Mapping[str, Any]) -> str:
    kind = str(document["kind"]).lower()
    return kind[:-1] + "ies" if kind.endswith("y") else kind + ("es" if kind.endswith("s") else "s")


def make(kind: str, name: str, namespace: str | None = "shop", **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an object; `labels`, `cells` and `owner` beside spec and status."""
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "labels": members.pop("labels", {})}
    if namespace:
        metadata["namespace"] = namespace
    if owner := members.pop("owner", None):
        kind_name, owner_name = owner.split("/")
        metadata["ownerReferences"] = [{"kind": kind_name, "name": owner_name, "controller": True}]
    metadata |= members.pop("metadata", {})
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, **members}


def _matches(document: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    labels = document["metadata"].get("labels", {})
    wanted = dict(term.split("=") for term in query.get("labelSelector", "").split(",") if term)
    if not selects(wanted, labels):
        return False
    for term in query.get("fieldSelector", "").split(","):
        path, _, value = term.partition("=")
        found: Any = document
        for part in path.split(".") if path else ():
            found = found.get(part, {})
        if path and found != value:
            return False
    return True
