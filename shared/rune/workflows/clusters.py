"""The tools over the cluster that a job names, opened for one turn."""

from rune.clock import Clock
from rune.errors import ClusterNotUsableError
from rune.kubernetes.live import open_cluster
from rune.kubernetes.source import ClusterSource
from rune.kubernetes.tools.toolbox import KubernetesToolbox
from rune.llm.toolbox import Toolbox
from rune.net.addresses import AddressPolicy
from rune.tenants.settings import TenantSettings


def open_toolbox(
    source: ClusterSource | None,
    tenant: str,
    settings: TenantSettings,
    name: str,
    *,
    policy: AddressPolicy,
    clock: Clock,
) -> Toolbox:
    """Return the tools over a tenant's cluster; nothing is sent yet. The caller closes them.

    Parameters
    ----------
    source
        None in a deployment that keeps no credentials.

    Raises
    ------
    ClusterNotUsableError
        The tenant's document does not name it any more, or its credentials cannot be used.
    AddressRefusedError
        The policy does not allow its address.
    SettingsUnavailableError
        Its credentials cannot be read now.
    """
    cluster = settings.clusters.get(name)
    if cluster is None or source is None:
        raise ClusterNotUsableError("Your tenant does not have this cluster any more.")
    opened = open_cluster(source.find(tenant, name), policy, sign=source.sign)
    return KubernetesToolbox(opened, cluster.namespaces, now=clock.now, secrets=opened.secrets)
