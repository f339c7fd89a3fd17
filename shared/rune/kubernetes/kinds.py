"""Kinds of objects: what a name of one stands for, and where its objects are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rune.kubernetes.paths import resource_path
from rune.llm.fields import as_list, as_object, read_text


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the API.

    Attributes
    ----------
    name
        As in `kind` of its objects, such as `Deployment`.
    group
        Empty for the core group.
    """

    name: str
    plural: str
    group: str
    version: str
    is_namespaced: bool
    short_names: tuple[str, ...] = ()

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of its objects, or of one."""
        return resource_path(
            self.group, self.version, self.plural, namespace if self.is_namespaced else None, name
        )

    def answers_to(self, text: str) -> bool:
        """Return whether a text, in lower case, names it: kind, plural, short name, each also with its group."""
        bare, _, group = text.partition(".")
        if group and group not in {self.group, f"{self.version}.{self.group}"}:
            return False
        return bare in {self.name.lower(), self.plural, f"{self.name.lower()}s", *self.short_names}


def _kind(
    name: str, plural: str, group: str, version: str, *short_names: str, is_namespaced: bool = True
) -> Kind:
    return Kind(name, plural, group, version, is_namespaced, short_names)


POD = _kind("Pod", "pods", "", "v1", "po")
NODE = _kind("Node", "nodes", "", "v1", "no", is_namespaced=False)
NAMESPACE = _kind("Namespace", "namespaces", "", "v1", "ns", is_namespaced=False)
SERVICE = _kind("Service", "services", "", "v1", "svc")
EVENT = _kind("Event", "events", "", "v1", "ev")
CLAIM = _kind("PersistentVolumeClaim", "persistentvolumeclaims", "", "v1", "pvc")
QUOTA = _kind("ResourceQuota", "resourcequotas", "", "v1", "quota")
DEPLOYMENT = _kind("Deployment", "deployments", "apps", "v1", "deploy")
REPLICA_SET = _kind("ReplicaSet", "replicasets", "apps", "v1", "rs")
STATEFUL_SET = _kind("StatefulSet", "statefulsets", "apps", "v1", "sts")
DAEMON_SET = _kind("DaemonSet", "daemonsets", "apps", "v1", "ds")
REVISION = _kind("ControllerRevision", "controllerrevisions", "apps", "v1")
JOB = _kind("Job", "jobs", "batch", "v1")
CRON_JOB = _kind("CronJob", "cronjobs", "batch", "v1", "cj")
AUTOSCALER = _kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2", "hpa")
INGRESS = _kind("Ingress", "ingresses", "networking.k8s.io", "v1", "ing")
POLICY = _kind("NetworkPolicy", "networkpolicies", "networking.k8s.io", "v1", "netpol")
SLICE = _kind("EndpointSlice", "endpointslices", "discovery.k8s.io", "v1")
POD_METRICS = _kind("PodMetrics", "pods", "metrics.k8s.io", "v1beta1")
NODE_METRICS = _kind("NodeMetrics", "nodes", "metrics.k8s.io", "v1beta1", is_namespaced=False)

WELL_KNOWN = (
    POD,
    NODE,
    NAMESPACE,
    SERVICE,
    EVENT,
    CLAIM,
    QUOTA,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    DAEMON_SET,
    JOB,
    CRON_JOB,
    AUTOSCALER,
    INGRESS,
    POLICY,
    SLICE,
)
"""Which every cluster of a supported release has under these names, so that no discovery is asked for them."""

WORKLOADS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, REPLICA_SET)
"""What has pods by a selector."""


def find_kind(text: str, kinds: Iterable[Kind]) -> Kind | None:
    """Return the kind that a text names: the first that answers to it, one of the core group before others."""
    found = [kind for kind in kinds if kind.answers_to(text.strip().lower())]
    return next((kind for kind in found if not kind.group), found[0] if found else None)


def read_discovery(document: object) -> Sequence[Kind]:
    """Return the kinds of an aggregated discovery document that can be listed, each in its preferred version."""
    kinds: list[Kind] = []
    for item in as_list(as_object(document).get("items")):
        group = read_text(as_object(as_object(item).get("metadata")), "name")
        seen: set[str] = set()
        for version in as_list(as_object(item).get("versions")):
            for resource in as_list(as_object(version).get("resources")):
                members = as_object(resource)
                kind = read_text(as_object(members.get("responseKind")), "kind")
                plural = read_text(members, "resource")
                if plural in seen or "list" not in as_list(members.get("verbs")):
                    continue
                seen.add(plural)
                kinds.append(
                    Kind(
                        kind,
                        plural,
                        group,
                        read_text(as_object(version), "version"),
                        read_text(members, "scope") == "Namespaced",
                        _texts(members.get("shortNames")),
                    )
                )
    return kinds


def read_resource_list(document: object, group: str, version: str) -> Sequence[Kind]:
    """Return the same of one group's version, as older servers tell it."""
    return [
        Kind(
            read_text(members, "kind"),
            plural,
            group,
            version,
            members.get("namespaced") is True,
            _texts(members.get("shortNames")),
        )
        for each in as_list(as_object(document).get("resources"))
        if (members := as_object(each))
        and "/" not in (plural := read_text(members, "name"))
        and "list" in as_list(members.get("verbs"))
    ]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in as_list(value) if isinstance(each, str))
