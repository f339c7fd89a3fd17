"""Endpoints of Services, as the controllers derive them from selectors and pods."""

import hashlib
from collections.abc import Iterable
from typing import Any

from rune.kubernetes.recorded.building import Builder
from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.settling import is_ready


def add_endpoints(builder: Builder) -> None:
    """Add an EndpointSlice and Endpoints for each Service with a selector, and give Services an address."""
    for number, entity in enumerate([each for each in builder.objects if each.kind == "Service"]):
        service = builder.objects[entity]
        address = dig(service, "spec", "clusterIP") or f"10.96.{number // 200}.{20 + number % 200}"
        spec = {**service["spec"], "clusterIP": address, "clusterIPs": [address]}
        spec["ports"] = [
            {"protocol": "TCP", "targetPort": each["port"], **each} for each in spec.get("ports", [])
        ]
        builder.objects[entity] = service = {**service, "spec": spec}
        selector = spec.get("selector")
        if selector:
            pods = [
                each
                for key, each in builder.objects.items()
                if key.kind == "Pod"
                and key.namespace == entity.namespace
                and selector.items() <= (each["metadata"].get("labels") or {}).items()
                and dig(each, "status", "podIP")
                and each["status"]["phase"] not in {"Failed", "Succeeded"}
            ]
            _add_slice(builder, entity, service, pods)
            _add_endpoints(builder, entity, service, pods)


def _resolve(pod: Document, port: Document) -> int | None:
    target = port["targetPort"]
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for each in container.get("ports", []):
            if each.get("name") == target:
                return int(each["containerPort"])
    return None


def _ports_of(pods: Iterable[Document], service: Document) -> list[Document]:
    ports: list[Document] = []
    for port in service["spec"]["ports"]:
        for pod in pods:
            number = _resolve(pod, port)
            if number is not None:
                ports.append({"name": port.get("name", ""), "port": number, "protocol": port["protocol"]})
                break
    return ports


def _reference(pod: Document) -> Document:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _metadata(builder: Builder, entity: Entity, service: Document, **members: Any) -> Document:  # noqa: ANN401  # members of metadata
    return {
        "name": entity.name,
        "namespace": entity.namespace,
        "uid": builder.uid_of(entity),
        "creationTimestamp": service["metadata"]["creationTimestamp"],
        **members,
    }


def _add_slice(builder: Builder, entity: Entity, service: Document, pods: list[Document]) -> None:
    ports = _ports_of(pods, service)
    token = hashlib.md5(str(entity).encode(), usedforsecurity=False).hexdigest()[:5]
    key = Entity("EndpointSlice", entity.namespace, f"{entity.name}-{token}")
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": entity.name,
        "uid": service["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {
        **(service["metadata"].get("labels") or {}),
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": entity.name,
    }
    endpoints = [
        {
            "addresses": [each["status"]["podIP"]],
            "conditions": {
                "ready": is_ready(each),
                "serving": is_ready(each),
                "terminating": "deletionTimestamp" in each["metadata"],
            },
            "targetRef": _reference(each),
            "nodeName": each["spec"]["nodeName"],
        }
        for each in pods
    ]
    builder.objects[key] = {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": _metadata(builder, key, service, labels=labels, ownerReferences=[owner]),
        "addressType": "IPv4",
        "endpoints": (endpoints or None) if ports else None,
        "ports": ports or None,
    }


def _add_endpoints(builder: Builder, entity: Entity, service: Document, pods: list[Document]) -> None:
    key = Entity("Endpoints", entity.namespace, entity.name)
    ports = _ports_of(pods, service)
    document: Document = {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": _metadata(builder, key, service, labels=service["metadata"].get("labels") or {}),
    }
    if pods and ports:
        subset: Document = {}
        for member, wanted in (("addresses", True), ("notReadyAddresses", False)):
            found = [
                {
                    "ip": each["status"]["podIP"],
                    "nodeName": each["spec"]["nodeName"],
                    "targetRef": _reference(each),
                }
                for each in pods
                if is_ready(each) is wanted
            ]
            if found:
                subset[member] = found
        document["subsets"] = [{**subset, "ports": ports}]
    builder.objects[key] = document
