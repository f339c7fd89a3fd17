"""What the server says of itself: groups, versions and resources, in the aggregated form and in the old one."""

from collections.abc import Iterable

from rune.kubernetes.recorded.defaults import KUBERNETES_VERSION
from rune.kubernetes.recorded.documents import Document
from rune.kubernetes.recorded.kinds import CORE, KINDS, METRICS, READ_VERBS, Kind
from rune.kubernetes.recorded.world import World

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_AGGREGATED_VERSION = "apidiscovery.k8s.io/v2"


def served_kinds(world: World) -> tuple[Kind, ...]:
    """Return the kinds that the server has."""
    return tuple(each for each in KINDS if each.group != METRICS or world.metrics != "absent")


def describe_version() -> Document:
    """Return the body of `/version`."""
    major, minor = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "93248f9ae092f571eb870b7664c534bfc7d00f03",
        "gitTreeState": "clean",
        "buildDate": "2025-09-09T19:37:42Z",
        "goVersion": "go1.24.5",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def _groups(kinds: Iterable[Kind]) -> dict[str, dict[str, list[Kind]]]:
    groups: dict[str, dict[str, list[Kind]]] = {}
    for each in kinds:
        groups.setdefault(each.group, {}).setdefault(each.version, []).append(each)
    return groups


def describe_aggregated(world: World, *, is_core: bool) -> Document:
    """Return an APIGroupDiscoveryList: of core, or of all other groups."""
    items: list[Document] = []
    for group, versions in _groups(served_kinds(world)).items():
        if (group == CORE) is not is_core:
            continue
        is_stale = group == METRICS and world.metrics == "down"
        described = [
            {
                "version": version,
                "resources": [] if is_stale else [_describe_aggregated(each) for each in kinds],
                "freshness": "Stale" if is_stale else "Current",
            }
            for version, kinds in versions.items()
        ]
        metadata: Document = {"creationTimestamp": None, **({"name": group} if group else {})}
        items.append({"metadata": metadata, "versions": described})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": _AGGREGATED_VERSION,
        "metadata": {},
        "items": items,
    }


def _describe_aggregated(kind: Kind) -> Document:
    response = {"group": kind.group, "version": kind.version, "kind": kind.name}
    described: Document = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.is_namespaced else "Cluster",
        "singularResource": kind.singular if kind.group != METRICS else "",
        "verbs": list(READ_VERBS),
    }
    if kind.short_names:
        described["shortNames"] = list(kind.short_names)
    if kind.is_in_all:
        described["categories"] = ["all"]
    if kind.subresources:
        described["subresources"] = [
            {"subresource": each, "responseKind": response, "verbs": ["get"]} for each in kind.subresources
        ]
    return described


def describe_core_versions() -> Document:
    """Return the old form of `/api`."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.10:443"}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def describe_groups(world: World) -> Document:
    """Return the old form of `/apis`."""
    groups = [
        _describe_group(name, versions) for name, versions in _groups(served_kinds(world)).items() if name
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def describe_group(world: World, group: str) -> Document | None:
    """Return the old form of `/apis/<group>`; None where there is no such group."""
    versions = _groups(served_kinds(world)).get(group)
    return {"kind": "APIGroup", "apiVersion": "v1", **_describe_group(group, versions)} if versions else None


def _describe_group(name: str, versions: Iterable[str]) -> Document:
    described = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"name": name, "versions": described, "preferredVersion": described[0]}


def describe_resources(world: World, group: str, version: str) -> Document | None:
    """Return the old form of a group version; None where there is none."""
    kinds = _groups(served_kinds(world)).get(group, {}).get(version)
    if not kinds:
        return None
    resources: list[Document] = []
    for each in kinds:
        described: Document = {
            "name": each.plural,
            "singularName": each.singular if each.group != METRICS else "",
            "namespaced": each.is_namespaced,
            "kind": each.name,
            "verbs": list(READ_VERBS),
        }
        if each.short_names:
            described["shortNames"] = list(each.short_names)
        if each.is_in_all:
            described["categories"] = ["all"]
        resources.append(described)
        resources.extend(
            {
                "name": f"{each.plural}/{sub}",
                "singularName": "",
                "namespaced": True,
                "kind": each.name,
                "verbs": ["get"],
            }
            for sub in each.subresources
        )
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }
