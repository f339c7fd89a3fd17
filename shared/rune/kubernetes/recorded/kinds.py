"""The kinds that a recorded cluster serves, as its discovery lists them."""

from dataclasses import dataclass
from functools import cache

CORE = ""
READ_VERBS = ("get", "list")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    Attributes
    ----------
    group, version
        The core group is empty.
    name, plural
        Such as `Pod` and `pods`.
    subresources
        Those that answer to GET.
    """

    group: str
    version: str
    name: str
    plural: str
    short_names: tuple[str, ...] = ()
    is_namespaced: bool = True
    is_in_all: bool = False
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As errors name it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """As discovery names it."""
        return self.name.lower()

    @property
    def list_name(self) -> str:
        """The kind of a list of it."""
        return f"{self.name}List"


KINDS = (
    Kind(CORE, "v1", "ConfigMap", "configmaps", ("cm",)),
    Kind(CORE, "v1", "Endpoints", "endpoints", ("ep",)),
    Kind(CORE, "v1", "Event", "events", ("ev",)),
    Kind(CORE, "v1", "LimitRange", "limitranges", ("limits",)),
    Kind(CORE, "v1", "Namespace", "namespaces", ("ns",), is_namespaced=False),
    Kind(CORE, "v1", "Node", "nodes", ("no",), is_namespaced=False),
    Kind(CORE, "v1", "PersistentVolumeClaim", "persistentvolumeclaims", ("pvc",)),
    Kind(CORE, "v1", "PersistentVolume", "persistentvolumes", ("pv",), is_namespaced=False),
    Kind(CORE, "v1", "Pod", "pods", ("po",), is_in_all=True, subresources=("log",)),
    Kind(CORE, "v1", "ReplicationController", "replicationcontrollers", ("rc",), is_in_all=True),
    Kind(CORE, "v1", "ResourceQuota", "resourcequotas", ("quota",)),
    Kind(CORE, "v1", "Secret", "secrets"),
    Kind(CORE, "v1", "ServiceAccount", "serviceaccounts", ("sa",)),
    Kind(CORE, "v1", "Service", "services", ("svc",), is_in_all=True),
    Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", is_namespaced=False),
    Kind("apps", "v1", "ControllerRevision", "controllerrevisions"),
    Kind("apps", "v1", "DaemonSet", "daemonsets", ("ds",), is_in_all=True),
    Kind("apps", "v1", "Deployment", "deployments", ("deploy",), is_in_all=True),
    Kind("apps", "v1", "ReplicaSet", "replicasets", ("rs",), is_in_all=True),
    Kind("apps", "v1", "StatefulSet", "statefulsets", ("sts",), is_in_all=True),
    Kind("events.k8s.io", "v1", "Event", "events", ("ev",)),
    Kind(
        "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ("hpa",), is_in_all=True
    ),
    Kind("batch", "v1", "CronJob", "cronjobs", ("cj",), is_in_all=True),
    Kind("batch", "v1", "Job", "jobs", is_in_all=True),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses", ("ing",)),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", ("netpol",)),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", ("pdb",)),
    Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", ("sc",), is_namespaced=False),
    Kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", is_namespaced=False),
    Kind(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        is_namespaced=False,
    ),
    Kind(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        is_namespaced=False,
    ),
    Kind("coordination.k8s.io", "v1", "Lease", "leases"),
    Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    Kind("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", is_namespaced=False),
    Kind("metrics.k8s.io", "v1beta1", "PodMetrics", "pods"),
)
METRICS = "metrics.k8s.io"
NEW_EVENTS = "events.k8s.io"

DERIVED = frozenset({"Event", "NodeMetrics", "PodMetrics", "Endpoints", "EndpointSlice"})
"""Kinds that no case describes as objects: they follow from others, or have a place of their own."""


@cache
def kinds_by_name() -> dict[str, Kind]:
    """Return the kinds by name; of the two kinds of events, core's."""
    return {each.name: each for each in reversed(KINDS)} | {
        each.name: each for each in KINDS if each.group == CORE
    }


@cache
def kinds_by_path() -> dict[tuple[str, str, str], Kind]:
    """Return the kinds by group, version and plural."""
    return {(each.group, each.version, each.plural): each for each in KINDS}
