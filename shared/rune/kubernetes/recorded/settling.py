"""What controllers, kubelets and the scheduler write, once the objects are there."""

import hashlib
from datetime import datetime, timedelta

from rune.kubernetes.recorded.building import REVISION, Builder
from rune.kubernetes.recorded.documents import Document, dig, merge
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.kinds import kinds_by_name
from rune.kubernetes.recorded.pods import Place, write_status
from rune.kubernetes.recorded.times import write_time

_NODE_CONDITIONS = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
_METRIC_FOUND = (
    "the HPA was able to successfully calculate a replica count from cpu resource utilization"
    " (percentage of request)"
)
_PROGRESS_DEADLINE = timedelta(minutes=10)
_UNREACHABLE = "node.kubernetes.io/unreachable"


def settle(builder: Builder) -> None:
    """Write the status of every object; what a case gives outright stays."""
    order = (
        "Node",
        "Pod",
        "ReplicaSet",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "HorizontalPodAutoscaler",
    )
    writers = (
        _settle_node,
        _settle_pod,
        _settle_replica_set,
        _settle_deployment,
        _settle_stateful_set,
        _settle_daemon_set,
        _settle_job,
        _settle_autoscaler,
    )
    for kind, write in zip(order, writers, strict=True):
        for entity in [each for each in builder.objects if each.kind == kind]:
            write(builder, entity)
    for entity in [each for each in builder.objects if each.kind in {"StatefulSet", "DaemonSet"}]:
        _add_revision(builder, entity)
    for entity, given in builder.given.items():
        if entity in builder.objects:
            document = builder.objects[entity]
            builder.objects[entity] = {**document, "status": merge(document.get("status") or {}, given)}


def finish(builder: Builder) -> None:
    """Give every object its version, and its members the API's usual order."""
    for number, (entity, document) in enumerate(builder.objects.items()):
        builder.objects[entity] = _finish(document, number)


def _finish(document: Document, number: int) -> Document:
    """Put members into the API's usual order and number the version."""
    metadata = {**document["metadata"], "resourceVersion": str(181_000 + 37 * number)}
    if document["kind"] in {
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "PodDisruptionBudget",
    }:
        metadata.setdefault("generation", 1)
    first = {"kind": document["kind"], "apiVersion": document["apiVersion"], "metadata": metadata}
    rest = {name: value for name, value in document.items() if name not in {*first, "status"}}
    return {**first, **rest, **({"status": document["status"]} if "status" in document else {})}


def _write(builder: Builder, entity: Entity, status: Document) -> None:
    builder.objects[entity] = {**builder.objects[entity], "status": status}


def _settle_node(builder: Builder, entity: Entity) -> None:
    document = builder.objects[entity]
    created = document["metadata"]["creationTimestamp"]
    names = [each.name for each in builder.objects if each.kind == "Node"]
    address = f"10.0.{names.index(entity.name) + 1}.{20 + len(entity.name)}"
    beat = write_time(builder.now - timedelta(seconds=40))
    conditions = [
        _node_condition(kind, "False", reason, message, beat=beat, since=created)
        for kind, (reason, message) in _NODE_CONDITIONS.items()
    ]
    conditions.append(
        _node_condition(
            "Ready", "True", "KubeletReady", "kubelet is posting ready status", beat=beat, since=created
        )
    )
    silent = builder.silent_nodes.get(entity.name)
    if silent is not None:
        last = write_time(silent - timedelta(seconds=45))
        text = "Kubelet stopped posting node status."
        conditions = [
            _node_condition(
                each["type"], "Unknown", "NodeStatusUnknown", text, beat=last, since=write_time(silent)
            )
            for each in conditions
        ]
        taints = [
            {"key": _UNREACHABLE, "effect": effect, "timeAdded": write_time(silent)}
            for effect in ("NoSchedule", "NoExecute")
        ]
        spec = document["spec"]
        builder.objects[entity] = {**document, "spec": {**spec, "taints": [*spec.get("taints", []), *taints]}}
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": entity.name}]
    _write(
        builder,
        entity,
        merge(document.get("status") or {}, {"conditions": conditions, "addresses": addresses}),
    )


def _node_condition(kind: str, status: str, reason: str, message: str, *, beat: str, since: str) -> Document:
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": beat,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }


def _settle_pod(builder: Builder, entity: Entity) -> None:
    document, state = builder.objects[entity], builder.states[entity]
    nodes = [each for each in builder.objects if each.kind == "Node"]
    node: Entity | None = None
    if state.unscheduled is None and nodes:
        named = [each for each in nodes if each.name == (state.node or document["spec"].get("nodeName"))]
        usable = named or [each for each in nodes if _takes_pods(builder, each)] or nodes
        node = usable[_number_of(entity) % len(usable)]
        builder.objects[entity] = document = {**document, "spec": {**document["spec"], "nodeName": node.name}}
    host = _address_of(builder, node) if node else ""
    number = nodes.index(node) if node else 0
    own = f"10.{_network_of(builder.seed)}.{number}.{10 + _number_of(entity) % 240}"
    place = Place(
        now=builder.now,
        node=node.name if node else None,
        host_ip=host,
        pod_ip=host if document["spec"].get("hostNetwork") else own,
        is_alive=node is None or node.name not in builder.silent_nodes,
    )
    _write(builder, entity, write_status(document, state, place))


def _takes_pods(builder: Builder, node: Entity) -> bool:
    spec = builder.objects[node]["spec"]
    return node.name not in builder.silent_nodes and not spec.get("unschedulable") and not spec.get("taints")


def _number_of(entity: Entity) -> int:
    return int(hashlib.md5(str(entity).encode(), usedforsecurity=False).hexdigest()[:8], 16)


def _network_of(seed: int) -> int:
    return 42 if seed == 0 else 43 + seed % 180


def _address_of(builder: Builder, node: Entity) -> str:
    return str(builder.objects[node]["status"]["addresses"][0]["address"])


def _is_ready(pod: Document) -> bool:
    conditions = dig(pod, "status", "conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_ready(pod: Document) -> bool:
    """Return whether traffic may go to a pod."""
    return _is_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def _living(builder: Builder, owner: Entity) -> list[Document]:
    """Return the pods that count as replicas: not ended, and not being deleted."""
    pods = [builder.objects[each] for each in builder.pods_of(owner)]
    return [
        each
        for each in pods
        if "deletionTimestamp" not in each["metadata"]
        and each["status"]["phase"] not in {"Failed", "Succeeded"}
    ]


def _settle_replica_set(builder: Builder, entity: Entity) -> None:
    pods = _living(builder, entity)
    document = builder.objects[entity]
    if entity in builder.rolled_out and not document["spec"]["replicas"]:
        builder.objects[entity] = {**document, "spec": {**document["spec"], "replicas": len(pods)}}
    ready = sum(map(_is_ready, pods))
    status: Document = {"replicas": len(pods), "observedGeneration": 1}
    if pods:
        status["fullyLabeledReplicas"] = len(pods)
    if ready:
        status.update(readyReplicas=ready, availableReplicas=ready)
    _write(builder, entity, status)


def _settle_deployment(builder: Builder, entity: Entity) -> None:
    document = builder.objects[entity]
    wanted = document["spec"]["replicas"]
    newest = builder.newest_replica_set(entity)
    pods = _living(builder, entity)
    updated = len(_living(builder, newest)) if newest else 0
    ready = sum(map(_is_ready, pods))
    counts = {
        "replicas": len(pods),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(wanted, len(pods)) - ready,
    }
    created = document["metadata"]["creationTimestamp"]
    status: Document = {"observedGeneration": document["metadata"].get("generation", 1)}
    status.update({name: count for name, count in counts.items() if count})
    is_available = ready >= wanted - wanted // 4
    available = _condition(
        "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", created
    )
    if not is_available:
        since = write_time(builder.now - timedelta(minutes=9))
        available = _condition(
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            since,
        )
    status["conditions"] = [
        available,
        _tell_progress(builder, newest, entity, is_complete=updated == wanted == ready),
    ]
    _write(builder, entity, status)


def _tell_progress(builder: Builder, newest: Entity | None, entity: Entity, *, is_complete: bool) -> Document:
    name = newest.name if newest else entity.name
    since = builder.objects[newest or entity]["metadata"]["creationTimestamp"]
    if is_complete or newest not in builder.rolled_out:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return _condition("Progressing", "True", "NewReplicaSetAvailable", text, since)
    begun = datetime.fromisoformat(since)
    if builder.now - begun > _PROGRESS_DEADLINE:
        text = f'ReplicaSet "{name}" has timed out progressing.'
        ended = write_time(begun + _PROGRESS_DEADLINE)
        return _condition("Progressing", "False", "ProgressDeadlineExceeded", text, ended)
    return _condition(
        "Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.', since
    )


def _condition(kind: str, status: str, reason: str, message: str, since: str) -> Document:
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": since,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }


def _settle_stateful_set(builder: Builder, entity: Entity) -> None:
    pods = _living(builder, entity)
    ready = sum(map(_is_ready, pods))
    revision = _revision_name(builder, entity)
    status: Document = {"observedGeneration": 1, "replicas": len(pods)}
    if ready:
        status["readyReplicas"] = ready
    status.update(
        currentReplicas=len(pods),
        updatedReplicas=len(pods),
        currentRevision=revision,
        updateRevision=revision,
        collisionCount=0,
        availableReplicas=ready,
    )
    _write(builder, entity, status)


def _settle_daemon_set(builder: Builder, entity: Entity) -> None:
    pods = _living(builder, entity)
    ready = sum(map(_is_ready, pods))
    status: Document = {
        "currentNumberScheduled": len(pods),
        "numberMisscheduled": 0,
        "desiredNumberScheduled": len(pods),
        "numberReady": ready,
        "observedGeneration": 1,
        "updatedNumberScheduled": len(pods),
        "numberAvailable": ready,
    }
    if len(pods) > ready:
        status["numberUnavailable"] = len(pods) - ready
    _write(builder, entity, status)


def _settle_job(builder: Builder, entity: Entity) -> None:
    pods = [builder.objects[each] for each in builder.pods_of(entity)]
    phases = [each["status"]["phase"] for each in pods]
    document = builder.objects[entity]
    created = document["metadata"]["creationTimestamp"]
    active, succeeded, failed = (
        sum(each in wanted for each in phases)
        for wanted in ({"Pending", "Running"}, {"Succeeded"}, {"Failed"})
    )
    status: Document = {"startTime": created, "terminating": 0, "uncountedTerminatedPods": {}}
    status.update(
        {
            name: count
            for name, count in (("active", active), ("succeeded", succeeded), ("failed", failed))
            if count
        }
    )
    status["ready"] = sum(map(_is_ready, pods))
    if succeeded and succeeded >= document["spec"]["completions"]:
        ended = write_time(datetime.fromisoformat(created) + timedelta(seconds=41))
        complete = {
            "status": "True",
            "lastProbeTime": ended,
            "lastTransitionTime": ended,
            "reason": "CompletionsReached",
            "message": "Reached expected number of succeeded pods",
        }
        status["conditions"] = [{"type": kind, **complete} for kind in ("SuccessCriteriaMet", "Complete")]
        status["completionTime"] = ended
    _write(builder, entity, status)


def _settle_autoscaler(builder: Builder, entity: Entity) -> None:
    document = builder.objects[entity]
    target = Entity(
        document["spec"]["scaleTargetRef"]["kind"],
        entity.namespace,
        document["spec"]["scaleTargetRef"]["name"],
    )
    count = len(_living(builder, target)) if target in builder.objects else 0
    created = document["metadata"]["creationTimestamp"]
    percent = 30 + _number_of(entity) % 25
    conditions = [
        ("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"),
        (
            "ScalingActive",
            "True",
            "ValidMetricFound",
            _METRIC_FOUND,
        ),
        ("ScalingLimited", "False", "DesiredWithinRange", "the desired count is within the acceptable range"),
    ]
    status: Document = {
        "lastScaleTime": created,
        "currentReplicas": count,
        "desiredReplicas": count,
        "currentMetrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "current": {"averageUtilization": percent, "averageValue": f"{percent}m"},
                },
            }
        ],
        "conditions": [
            {
                "type": kind,
                "status": value,
                "lastTransitionTime": created,
                "reason": reason,
                "message": message,
            }
            for kind, value, reason, message in conditions
        ],
    }
    _write(builder, entity, status)


def _revision_name(builder: Builder, entity: Entity) -> str:
    text = repr(builder.objects[entity]["spec"]["template"])
    return f"{entity.name}-{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:9]}"


def _add_revision(builder: Builder, entity: Entity) -> None:
    """Add the ControllerRevision that holds a workload's template."""
    document = builder.objects[entity]
    name = _revision_name(builder, entity)
    revision = Entity("ControllerRevision", entity.namespace, name)
    builder.objects[revision] = {
        "kind": "ControllerRevision",
        "apiVersion": kinds_by_name()["ControllerRevision"].api_version,
        "metadata": {
            "name": name,
            "namespace": entity.namespace,
            "uid": builder.uid_of(revision),
            "creationTimestamp": document["metadata"]["creationTimestamp"],
            "labels": dig(document, "spec", "template", "metadata", "labels") or {},
            "ownerReferences": [
                {
                    "apiVersion": document["apiVersion"],
                    "kind": entity.kind,
                    "name": entity.name,
                    "uid": document["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "data": {"spec": {"template": {**document["spec"]["template"], "$patch": "replace"}}},
        "revision": int(dig(document, "metadata", "annotations", REVISION) or 1),
    }
