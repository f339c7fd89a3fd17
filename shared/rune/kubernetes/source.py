"""Where the credentials of tenants' clusters come from."""

from typing import Protocol

from rune.kubernetes.kubeconfig import ClusterCredentials, EksBinding


class ClusterSource(Protocol):
    """Credentials by tenant and name; nobody else's can be asked for."""

    def find(self, tenant: str, name: str) -> ClusterCredentials:
        """Return the credentials of a tenant's cluster.

        Raises
        ------
        ClusterNotUsableError
            None are stored, or those that are cannot be used.
        SettingsUnavailableError
            They cannot be read now.
        """
        ...

    def sign(self, binding: EksBinding) -> str:
        """Return a token for a cluster of EKS; raises ClusterNotUsableError where this deployment has no role."""
        ...
