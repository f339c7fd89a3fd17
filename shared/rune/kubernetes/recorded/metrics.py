"""Usage of pods and nodes, as metrics-server tells it."""

import hashlib
from collections.abc import Iterator

from rune.kubernetes.quantities import read_quantity
from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.times import write_time
from rune.kubernetes.recorded.world import World

_WINDOW = "15.087s"
_SYSTEM_CPU, _SYSTEM_MEMORY = 0.11, 900 * 2**20
"""What a node uses beside its pods, in cores and bytes."""
_USUAL_MEMORY = 48 * 2**20


def pod_metrics(world: World) -> Iterator[Document]:
    """Return the metrics of all pods that run."""
    for entity, pod in world.objects.items():
        containers = [
            {"name": name, "usage": {"cpu": cpu, "memory": memory}}
            for name, cpu, memory in _usage_of(world, entity, pod)
        ]
        if containers:
            yield {
                **_head(world, "PodMetrics", entity, dig(pod, "metadata", "labels") or {}),
                "containers": containers,
            }


def node_metrics(world: World) -> Iterator[Document]:
    """Return the metrics of all nodes whose kubelet answers."""
    for entity, node in world.objects.items():
        conditions = dig(node, "status", "conditions") or []
        if entity.kind != "Node" or not any(
            each["type"] == "Ready" and each["status"] == "True" for each in conditions
        ):
            continue
        cpu, memory = _SYSTEM_CPU, float(_SYSTEM_MEMORY)
        for other, pod in world.objects.items():
            if other.kind == "Pod" and dig(pod, "spec", "nodeName") == entity.name:
                for _, used_cpu, used_memory in _usage_of(world, other, pod):
                    cpu += float(read_quantity(used_cpu) or 0)
                    memory += float(read_quantity(used_memory) or 0)
        usage = {"cpu": f"{round(cpu * 1e9)}n", "memory": f"{round(memory / 1024)}Ki"}
        yield {**_head(world, "NodeMetrics", entity, dig(node, "metadata", "labels") or {}), "usage": usage}


def _usage_of(world: World, entity: Entity, pod: Document) -> Iterator[tuple[str, str, str]]:
    if entity.kind != "Pod":
        return
    running = {
        each["name"] for each in dig(pod, "status", "containerStatuses") or [] if "running" in each["state"]
    }
    for container in pod["spec"]["containers"]:
        name = container["name"]
        if name not in running:
            continue
        told = world.usage.get(entity, {}).get(name)
        yield (name, *(told or _usual(entity, container)))


def _usual(entity: Entity, container: Document) -> tuple[str, str]:
    """Return what a container that nothing is said of uses: some of its request, or a little."""
    chance = int(
        hashlib.md5(f"{entity}/{container['name']}".encode(), usedforsecurity=False).hexdigest()[:4], 16
    )
    requests = dig(container, "resources", "requests") or {}
    cpu = float(read_quantity(requests.get("cpu", "30m")) or 0) * (0.15 + chance % 100 / 400)
    memory = float(read_quantity(requests.get("memory", "")) or _USUAL_MEMORY) * (0.55 + chance % 90 / 300)
    return f"{round(cpu * 1e9)}n", f"{round(memory / 1024)}Ki"


def _head(world: World, kind: str, entity: Entity, labels: Document) -> Document:
    metadata: Document = {"name": entity.name, "creationTimestamp": write_time(world.now), "labels": labels}
    if entity.namespace:
        metadata["namespace"] = entity.namespace
    return {
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": metadata,
        "timestamp": write_time(world.now),
        "window": _WINDOW,
    }
