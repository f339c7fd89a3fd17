"""`check_service`: the way from a Service to its pods, judged in code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rune.kubernetes.kinds import INGRESS, POD, POLICY, SERVICE, SLICE, Kind
from rune.kubernetes.selectors import selects, to_query
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.objects import find_object, place_of
from rune.kubernetes.tools.pods import containers_of, is_ready, labels_of, name_of
from rune.kubernetes.tools.reader import ClusterReader
from rune.kubernetes.tools.results import Block, Text
from rune.llm.fields import as_list, as_object, read_text

_SLICE_LABEL = "kubernetes.io/service-name"
_MAX_SHOWN = 8
_MAX_NEAR = 4


@dataclass(frozen=True, slots=True)
class _Read:
    """Objects of one kind, or why they were not read."""

    items: Sequence[Mapping[str, object]]
    refusal: str = ""


async def check_service(call: Call) -> Text:
    """Return what each part of the way says, and what does not fit.

    Raises
    ------
    ToolError
        The Service was not read.
    """
    reader = call.reader
    namespace, name = place_of(call.arguments.required("name"), call.arguments.text("namespace"))
    service = await find_object(reader, SERVICE, name, namespace)
    spec = as_object(service.get("spec"))
    selector = as_object(spec.get("selector"))
    pods = await _read(reader, POD, namespace, to_query(selector)) if selector else _Read(())
    slices = await _read(reader, SLICE, namespace, f"{_SLICE_LABEL}={name}")
    problems: list[str] = []
    blocks = [
        Block(_service_lines(spec), "service:"),
        Block(await _pod_lines(reader, namespace, selector, pods, problems), "pods that the selector takes:"),
        Block(_slice_lines(slices, problems), "endpoints:"),
        Block(_port_lines(spec, pods, problems), "ports:"),
        Block(await _policy_lines(reader, namespace, pods), "network policies that select these pods:"),
        Block(await _ingress_lines(reader, namespace, name, spec, problems), "ingresses that lead here:"),
    ]
    if read_text(spec, "type") == "ExternalName":
        problems = [
            f"It is an alias of {read_text(spec, 'externalName')}; nothing in the cluster stands behind it."
        ]
    blocks.insert(0, Block(problems or ["none found in the way from the Service to its pods"], "problems:"))
    return Text(
        {"kind": "Service", "namespace": namespace, "name": name},
        blocks,
        narrow_by=("get_resource", "list_resources"),
    )


async def _read(reader: ClusterReader, kind: Kind, namespace: str | None, label_selector: str = "") -> _Read:
    try:
        listing = await reader.list_objects(
            kind, namespace, label_selector=label_selector, page=50, max_pages=4
        )
    except ToolError as error:
        return _Read((), f"not read: {error.sentence}")
    return _Read(listing.items)


def _service_lines(spec: Mapping[str, object]) -> list[str]:
    selector = as_object(spec.get("selector"))
    shown = ",".join(f"{key}={value}" for key, value in selector.items()) or "none"
    kind = read_text(spec, "type") or "ClusterIP"
    return [f"type {kind}, clusterIP {read_text(spec, 'clusterIP') or '-'}, selector {shown}"]


async def _pod_lines(
    reader: ClusterReader,
    namespace: str | None,
    selector: Mapping[str, object],
    pods: _Read,
    problems: list[str],
) -> list[str]:
    if not selector:
        problems.append("The Service has no selector: its endpoints are made by hand, or are missing.")
        return ["none: it has no selector"]
    if pods.refusal:
        return [pods.refusal]
    ready = [pod for pod in pods.items if is_ready(pod)]
    if pods.items:
        if not ready:
            problems.append(f"None of the {len(pods.items)} pods that the selector takes is ready.")
        elif len(ready) < len(pods.items):
            problems.append(f"{len(pods.items) - len(ready)} of {len(pods.items)} pods are not ready.")
        lines = [f"{name_of(pod)}  {'ready' if is_ready(pod) else 'NOT ready'}" for pod in pods.items]
        return lines[:_MAX_SHOWN] + ([f"… {len(lines)} in all"] if len(lines) > _MAX_SHOWN else [])
    problems.append("The selector takes no pod.")
    others = await _read(reader, POD, namespace)
    near = sorted(others.items, key=lambda pod: -_in_common(selector, pod))[:_MAX_NEAR]
    return [
        "none; pods of the namespace with the nearest labels:",
        *(
            f"{name_of(pod)}  {','.join(f'{key}={value}' for key, value in labels_of(pod).items())}"
            for pod in near
        ),
    ]


def _in_common(selector: Mapping[str, object], pod: Mapping[str, object]) -> int:
    labels = labels_of(pod)
    return sum(2 * (labels.get(key) == value) + (key in labels) for key, value in selector.items())


def _slice_lines(slices: _Read, problems: list[str]) -> list[str]:
    if slices.refusal:
        return [slices.refusal]
    if not slices.items:
        problems.append("There is no EndpointSlice for it.")
        return ["no EndpointSlice"]
    ready: list[str] = []
    unready: list[str] = []
    ports: list[str] = []
    for each in slices.items:
        ports += [
            f"{read_text(port, 'name') or '-'}={port.get('port')}"
            for port in map(as_object, as_list(each.get("ports")))
        ]
        for endpoint in map(as_object, as_list(each.get("endpoints"))):
            target = read_text(as_object(endpoint.get("targetRef")), "name")
            shown = target or ",".join(map(str, as_list(endpoint.get("addresses"))))
            is_unready = as_object(endpoint.get("conditions")).get("ready") is False
            (unready if is_unready else ready).append(shown)
    if not ready:
        problems.append("No endpoint is ready: who calls the Service is refused.")
    return [
        f"ready ({len(ready)}): {', '.join(ready[:_MAX_SHOWN]) or '-'}",
        f"not ready ({len(unready)}): {', '.join(unready[:_MAX_SHOWN]) or '-'}",
        f"ports: {', '.join(dict.fromkeys(ports)) or '-'}",
    ]


def _port_lines(spec: Mapping[str, object], pods: _Read, problems: list[str]) -> list[str]:
    declared: dict[str, list[str]] = {}
    for pod in pods.items:
        for container in containers_of(pod):
            for port in map(as_object, as_list(container.spec.get("ports"))):
                shown = f"{container.name}:{port.get('containerPort')}"
                for key in (str(port.get("containerPort")), read_text(port, "name")):
                    if key:
                        declared.setdefault(key, []).append(shown)
    lines: list[str] = []
    for port in map(as_object, as_list(spec.get("ports"))):
        target = str(port.get("targetPort", port.get("port")))
        to = ", ".join(dict.fromkeys(declared.get(target, ())))
        line = f"{read_text(port, 'name') or '-'} {port.get('port')}/{read_text(port, 'protocol') or 'TCP'}"
        lines.append(f"{line} -> targetPort {target} -> {to or 'no declared containerPort'}")
        if pods.items and not to:
            known = ", ".join(dict.fromkeys(each for shown in declared.values() for each in shown)) or "none"
            certainty = (
                "is no port of theirs" if not target.isdecimal() else "is not among the declared ports"
            )
            problems.append(f"targetPort {target} {certainty} (declared: {known}).")
    return lines or ["none"]


async def _policy_lines(reader: ClusterReader, namespace: str | None, pods: _Read) -> list[str]:
    policies = await _read(reader, POLICY, namespace)
    if policies.refusal:
        return [policies.refusal]
    lines = []
    for policy in policies.items:
        spec = as_object(policy.get("spec"))
        chosen = [pod for pod in pods.items if selects(as_object(spec.get("podSelector")), labels_of(pod))]
        if chosen:
            lines.append(f"{name_of(policy)} ({len(chosen)} pods): {_rules(spec)}")
    return lines or ["none"]


def _rules(spec: Mapping[str, object]) -> str:
    types = as_list(spec.get("policyTypes")) or ["Ingress"]
    told = []
    for kind, key, side in (("Ingress", "ingress", "from"), ("Egress", "egress", "to")):
        if kind in types:
            rules = [_rule(as_object(rule), side) for rule in as_list(spec.get(key))]
            told.append(f"{key} {'; '.join(rules) if rules else 'allows nothing'}")
    return ", ".join(told)


def _rule(rule: Mapping[str, object], side: str) -> str:
    peers = [_peer(as_object(peer)) for peer in as_list(rule.get(side))]
    ports = [str(as_object(port).get("port", "any")) for port in as_list(rule.get("ports"))]
    return f"{side} {' or '.join(peers) or 'anywhere'} on ports {','.join(ports) or 'any'}"


def _peer(peer: Mapping[str, object]) -> str:
    parts = []
    for key, shown in (("namespaceSelector", "namespaces"), ("podSelector", "pods")):
        if key in peer:
            parts.append(f"{shown}[{to_query(as_object(peer[key])) or 'all'}]")
    if "ipBlock" in peer:
        parts.append(f"ip {read_text(as_object(peer['ipBlock']), 'cidr')}")
    return " in ".join(reversed(parts)) or "nobody"


async def _ingress_lines(
    reader: ClusterReader, namespace: str | None, name: str, spec: Mapping[str, object], problems: list[str]
) -> list[str]:
    ingresses = await _read(reader, INGRESS, namespace)
    if ingresses.refusal:
        return [ingresses.refusal]
    ports = {str(as_object(port).get(key)) for port in as_list(spec.get("ports")) for key in ("port", "name")}
    lines = []
    for ingress in ingresses.items:
        for host, path, backend in _backends(as_object(ingress.get("spec"))):
            target = as_object(backend.get("service"))
            if read_text(target, "name") != name:
                continue
            port = as_object(target.get("port"))
            shown = str(port.get("number") or port.get("name"))
            lines.append(f"{name_of(ingress)}: {host or '*'}{path} -> port {shown}")
            if shown not in ports:
                problems.append(
                    f"Ingress {name_of(ingress)} names port {shown}, which the Service does not have."
                )
    return lines or ["none"]


def _backends(spec: Mapping[str, object]) -> list[tuple[str, str, Mapping[str, object]]]:
    found = [("", " (default)", as_object(spec.get("defaultBackend")))]
    for rule in map(as_object, as_list(spec.get("rules"))):
        for path in map(as_object, as_list(as_object(rule.get("http")).get("paths"))):
            host = read_text(rule, "host")
            found += [(host, read_text(path, "path"), as_object(path.get("backend")))]
    return found
