"""Tables: lists as `kubectl get` shows them, written by the server."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from rune.kubernetes.recorded import cells
from rune.kubernetes.recorded.documents import Document
from rune.kubernetes.recorded.kinds import Kind

type Printer = Callable[[Document, datetime], cells.Cells]

_WORKLOAD = "|Containers Images Selector"
_VOLUME = (
    "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass Reason Age"
    "|VolumeMode"
)
_COLUMNS: Mapping[str, tuple[str, Printer]] = {
    "Pod": ("Name Ready Status Restarts Age|IP Node Nominated_Node Readiness_Gates", cells.pod),
    "Deployment": ("Name Ready Up-to-date:i Available:i Age" + _WORKLOAD, cells.deployment),
    "ReplicaSet": ("Name Desired:i Current:i Ready:i Age" + _WORKLOAD, cells.replica_set),
    "ReplicationController": (
        "Name Desired:i Current:i Ready:i Age" + _WORKLOAD,
        cells.replication_controller,
    ),
    "StatefulSet": ("Name Ready Age|Containers Images", cells.stateful_set),
    "DaemonSet": (
        "Name Desired:i Current:i Ready:i Up-to-date:i Available:i Node_Selector Age" + _WORKLOAD,
        cells.daemon_set,
    ),
    "Job": ("Name Status Completions Duration Age" + _WORKLOAD, cells.job),
    "CronJob": ("Name Schedule Timezone Suspend:b Active:i Last_Schedule Age" + _WORKLOAD, cells.cron_job),
    "Service": ("Name Type Cluster-IP External-IP Port(s) Age|Selector", cells.service),
    "Ingress": ("Name Class Hosts Address Ports Age", cells.ingress),
    "Endpoints": ("Name Endpoints Age", cells.endpoints),
    "EndpointSlice": ("Name AddressType Ports Endpoints Age", cells.endpoint_slice),
    "Node": (
        "Name Status Roles Age Version|Internal-IP External-IP OS-Image Kernel-Version Container-Runtime",
        cells.node,
    ),
    "Event": (
        "Last_Seen Type Reason Object *Subobject *Source Message *First_Seen *Count:i *Name",
        cells.event,
    ),
    "Namespace": ("Name Status Age", cells.namespace),
    "Secret": ("Name Type Data:i Age", cells.secret),
    "ConfigMap": ("Name Data:i Age", cells.counted("data")),
    "ServiceAccount": ("Name Secrets:i Age", cells.counted("secrets")),
    "PersistentVolume": (
        _VOLUME,
        cells.persistent_volume,
    ),
    "PersistentVolumeClaim": (
        "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age|VolumeMode",
        cells.claim,
    ),
    "HorizontalPodAutoscaler": ("Name Reference Targets MinPods MaxPods:i Replicas:i Age", cells.autoscaler),
    "NetworkPolicy": ("Name Pod-Selector Age", cells.network_policy),
    "PodDisruptionBudget": (
        "Name Min_Available Max_Unavailable Allowed_Disruptions:i Age",
        cells.disruption_budget,
    ),
    "StorageClass": (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion:b Age",
        cells.storage_class,
    ),
    "ResourceQuota": ("Name Request Limit Age", cells.quota),
    "ControllerRevision": ("Name Controller Revision:i Age", cells.controller_revision),
    "ValidatingWebhookConfiguration": ("Name Webhooks:i Age", cells.counted("webhooks")),
    "MutatingWebhookConfiguration": ("Name Webhooks:i Age", cells.counted("webhooks")),
    "APIService": ("Name Service Available Age", cells.api_service),
    "VolumeAttachment": ("Name Attacher PV Node Attached:b Age", cells.volume_attachment),
    "Lease": ("Name Holder Age", cells.lease),
    "PodMetrics": ("Name cpu memory Window", cells.pod_metrics),
    "NodeMetrics": ("Name cpu memory Window", cells.node_metrics),
}
_PLAIN: tuple[str, Printer] = ("Name Created_At:t", cells.plain)
_TYPES = {"i": ("integer", ""), "b": ("boolean", ""), "t": ("date", "")}


def write_table(
    kind: Kind, documents: Iterable[Document], metadata: Document, *, now: datetime, include: str
) -> Document:
    """Return a Table of objects.

    Parameters
    ----------
    include
        What each row's `object` is: `None`, `Metadata` or `Object`.
    """
    columns, printer = _COLUMNS.get(kind.name, _PLAIN)
    rows = []
    for each in documents:
        row: Document = {"cells": printer(each, now)}
        if kind.name == "Pod" and (conditions := _ended(each)):
            row["conditions"] = conditions
        if include == "Object":
            row["object"] = each
        elif include == "Metadata":
            head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            row["object"] = {**head, "metadata": each["metadata"]}
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": _define(columns),
        "rows": rows,
    }


def _define(columns: str) -> list[Document]:
    first, _, wide = columns.partition("|")
    defined = []
    for text, priority in [(each, 0) for each in first.split()] + [(each, 1) for each in wide.split()]:
        name, _, letter = text.partition(":")
        kind, form = _TYPES.get(letter, ("string", ""))
        shown = name.removeprefix("*").replace("_", " ")
        defined.append(
            {
                "name": shown,
                "type": kind,
                "format": "name" if shown == "Name" else form,
                "description": f"{shown} of the object.",
                "priority": 1 if name.startswith("*") else priority,
            }
        )
    return defined


def _ended(pod: Document) -> list[Document]:
    phase = pod["status"]["phase"]
    texts = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in texts:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": texts[phase]}]
