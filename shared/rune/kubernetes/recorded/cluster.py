"""A recorded case, read as a cluster is read."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from rune.kubernetes.access import ClusterAnswer
from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.discovery import (
    AGGREGATED_TYPE,
    describe_aggregated,
    describe_core_versions,
    describe_group,
    describe_groups,
    describe_resources,
    describe_version,
    served_kinds,
)
from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.happenings import last_seen
from rune.kubernetes.recorded.kinds import CORE, METRICS, NEW_EVENTS, Kind, kinds_by_path
from rune.kubernetes.recorded.logs import read_log, read_query
from rune.kubernetes.recorded.metrics import node_metrics, pod_metrics
from rune.kubernetes.recorded.paging import LIST_VERSION, key_of, read_page, write_token
from rune.kubernetes.recorded.paths import Target
from rune.kubernetes.recorded.readers import RUNE_READER, Reader, is_allowed
from rune.kubernetes.recorded.selectors import parse_fields, parse_labels
from rune.kubernetes.recorded.staging import stage
from rune.kubernetes.recorded.statuses import (
    RefusedError,
    bad_request,
    forbidden,
    forbidden_path,
    no_such_path,
    not_acceptable,
    not_found,
    service_down,
    watch_refused,
)
from rune.kubernetes.recorded.tables import write_table
from rune.kubernetes.recorded.world import World

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_OPEN_PATHS = {"/livez", "/readyz", "/healthz"}
_INCLUDES = {"None", "Metadata", "Object"}


class RecordedCluster:
    """The cluster of one case, as one reader sees it. Nothing is connected to.

    Parameters
    ----------
    seed
        Chooses names and numbers; 0 keeps those of the base.
    """

    def __init__(self, case: Case, seed: int = 0, reader: Reader = RUNE_READER) -> None:
        self.stage = stage(case, seed)
        self._server = ApiServer(self.stage.world)
        self._reader = reader

    async def get(self, path: str, query: Mapping[str, str], *, accept: str) -> ClusterAnswer:
        """Return the answer to one GET; there always is one."""
        return self._server.answer(path, query, accept=accept, reader=self._reader)

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""


class ApiServer:
    """What an API server would answer about a world; it keeps no state."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kinds = served_kinds(world)

    def answer(self, path: str, query: Mapping[str, str], *, accept: str, reader: Reader) -> ClusterAnswer:
        """Return the answer to one GET.

        Parameters
        ----------
        path
            Encoded, as `Cluster.get` has it.
        """
        try:
            return self._answer(path, query, accept, reader)
        except RefusedError as refusal:
            return write_refusal(refusal)

    def _answer(self, path: str, query: Mapping[str, str], accept: str, reader: Reader) -> ClusterAnswer:
        if path in _OPEN_PATHS:
            return ClusterAnswer(200, _TEXT, b"ok")
        if path == "/version":
            return _write(describe_version())
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if path.startswith(("/api", "/apis")) and (described := self._discover(parts, accept)) is not None:
            return described
        target = Target.read(parts)
        if target is None:
            raise forbidden_path(reader, path) if not reader.is_admin else no_such_path()
        return self._read(target, query, accept, reader)

    def _discover(self, parts: list[str], accept: str) -> ClusterAnswer | None:
        world = self._world
        is_aggregated = "as=APIGroupDiscoveryList" in accept and "v=v2" in accept
        found: Document | None = None
        match parts:
            case ["api"] | ["apis"] if is_aggregated:
                return _write(describe_aggregated(world, is_core=parts == ["api"]), AGGREGATED_TYPE)
            case ["api"]:
                found = describe_core_versions()
            case ["apis"]:
                found = describe_groups(world)
            case ["api", version]:
                found = describe_resources(world, CORE, version)
            case ["apis", group]:
                found = describe_group(world, group)
            case ["apis", group, version]:
                if group == METRICS and world.metrics == "down":
                    raise service_down()
                found = describe_resources(world, group, version)
            case _:
                return None
        if found is None:
            raise no_such_path()
        return _write(found)

    def _read(self, target: Target, query: Mapping[str, str], accept: str, reader: Reader) -> ClusterAnswer:
        kind = kinds_by_path().get((target.group, target.version, target.plural))
        # Rights come before existence: who may not read a resource is not told whether there is one.
        if kind is None or not is_allowed(reader, self._world, kind, target.namespace, target.subresource):
            if kind is None and reader.is_admin:
                raise no_such_path()
            raise forbidden(reader, target.attempt())
        if target.group == METRICS and self._world.metrics == "down":
            raise service_down()
        if kind not in self._kinds or (target.namespace and not kind.is_namespaced):
            raise no_such_path()
        if target.subresource:
            return self._read_subresource(target, kind, query)
        if query.get("watch", "false") not in {"false", "0"}:
            raise watch_refused()
        if target.name:
            return self._read_item(target, kind, query, accept)
        return self._read_list(target, kind, query, accept)

    def _read_subresource(self, target: Target, kind: Kind, query: Mapping[str, str]) -> ClusterAnswer:
        if target.subresource not in kind.subresources:
            raise no_such_path()
        entity, pod = self._find(target, kind)
        content = read_log(self._world, entity, pod, read_query(query, self._world.now))
        return ClusterAnswer(200, "text/plain", content)

    def _find(self, target: Target, kind: Kind) -> tuple[Entity, Document]:
        for each in self._all(kind):
            metadata = each["metadata"]
            if metadata["name"] == target.name and metadata.get("namespace", "") == target.namespace:
                return Entity(kind.name, target.namespace, target.name), each
        raise not_found(kind, target.name)

    def _all(self, kind: Kind) -> Sequence[Document]:
        """Return every object of a kind, in the order of their keys in etcd."""
        world = self._world
        found: list[Document]
        if kind.name == "PodMetrics":
            found = [*pod_metrics(world)]
        elif kind.name == "NodeMetrics":
            found = [*node_metrics(world)]
        elif kind.name == "Event":
            found = [*world.events]
        else:
            found = [each for entity, each in world.objects.items() if entity.kind == kind.name]
        return sorted(found, key=key_of)

    def _read_item(self, target: Target, kind: Kind, query: Mapping[str, str], accept: str) -> ClusterAnswer:
        _, document = self._find(target, kind)
        if wants_table(accept):
            version = document["metadata"].get("resourceVersion", "")
            return self._write_table(kind, [document], {"resourceVersion": version}, query)
        _check_accept(accept)
        return _write(_convert(document, kind))

    def _read_list(self, target: Target, kind: Kind, query: Mapping[str, str], accept: str) -> ClusterAnswer:
        has_labels = parse_labels(query.get("labelSelector", ""))
        has_fields = parse_fields(query.get("fieldSelector", ""), kind)
        found = [
            each
            for each in self._all(kind)
            if (not target.namespace or each["metadata"].get("namespace") == target.namespace)
            and has_labels(dig(each, "metadata", "labels") or {})
            and has_fields(each)
        ]
        page, rest = read_page(found, query)
        metadata: Document = {"resourceVersion": LIST_VERSION}
        if rest:
            metadata["continue"] = write_token(page[-1])
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = rest
        if wants_table(accept):
            if kind.name == "Event":
                page = sorted(page, key=last_seen)
            return self._write_table(kind, page, metadata, query)
        _check_accept(accept)
        heads = {"kind", "apiVersion"} if kind.group != METRICS else set()
        items = [
            {name: value for name, value in _convert(each, kind).items() if name not in heads}
            for each in page
        ]
        return _write(
            {"kind": kind.list_name, "apiVersion": kind.api_version, "metadata": metadata, "items": items}
        )

    def _write_table(
        self, kind: Kind, documents: Sequence[Document], metadata: Document, query: Mapping[str, str]
    ) -> ClusterAnswer:
        include = query.get("includeObject", "Metadata") or "Metadata"
        if include not in _INCLUDES:
            raise bad_request(f'unrecognized includeObject value: "{include}"')
        table = write_table(kind, documents, metadata, now=self._world.now, include=include)
        return _write(table)


def wants_table(accept: str) -> bool:
    """Return whether a client asks for a Table first."""
    return "as=Table" in accept.split(",", 1)[0]


def _check_accept(accept: str) -> None:
    kinds = {part.split(";")[0].strip() for part in accept.split(",")}
    if accept.strip() and not kinds & {_JSON, "*/*", "application/*"}:
        raise not_acceptable()


def _convert(document: Document, kind: Kind) -> Document:
    """Return an event as the newer API writes it; anything else as it is."""
    if kind.group != NEW_EVENTS:
        return document
    names = {
        "involvedObject": "regarding",
        "message": "note",
        "source": "deprecatedSource",
        "firstTimestamp": "deprecatedFirstTimestamp",
        "lastTimestamp": "deprecatedLastTimestamp",
        "count": "deprecatedCount",
        "reportingComponent": "reportingController",
    }
    renamed = {names.get(name, name): value for name, value in document.items()}
    return {**renamed, "apiVersion": kind.api_version}


def write_refusal(refusal: RefusedError) -> ClusterAnswer:
    """Return the answer of a refusal."""
    if isinstance(refusal.body, str):
        return ClusterAnswer(refusal.code, _TEXT, refusal.body.encode())
    return _write(refusal.body, status=refusal.code)


def _write(document: Document, content_type: str = _JSON, status: int = 200) -> ClusterAnswer:
    # As Go's encoder, which escapes what could end a script.
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return ClusterAnswer(status, content_type, text.encode() + b"\n")
