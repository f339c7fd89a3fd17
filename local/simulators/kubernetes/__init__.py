"""A simulated Kubernetes cluster: a recorded case behind TLS, with rights, refusals and faults."""

from local.simulators.kubernetes.app import create_app
from local.simulators.kubernetes.certificates import Authority
from local.simulators.kubernetes.faults import ClusterFault, ClusterFaultKind
from local.simulators.kubernetes.state import ClusterSettings, SimulatedCluster

__all__ = [
    "Authority",
    "ClusterFault",
    "ClusterFaultKind",
    "ClusterSettings",
    "SimulatedCluster",
    "create_app",
]
