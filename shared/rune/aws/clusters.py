"""Credentials of tenants' clusters, each a parameter of SSM Parameter Store of its own.

Workers alone read them: the API knows a cluster by its name in the tenant's document.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import override

from botocore.session import Session

from rune.aws.eks_tokens import EksTokens
from rune.aws.settings_store import ParameterCache, ParameterReader
from rune.clock import Clock
from rune.errors import ClusterNotUsableError
from rune.kubernetes.kubeconfig import ClusterCredentials, EksBinding, read_cluster
from rune.kubernetes.source import ClusterSource

GRACE = timedelta(minutes=5)
"""How much longer credentials are used while they cannot be read."""


class SsmClusters(ClusterSource):
    """Clusters whose credentials are parameters below the tenants' path.

    Parameters
    ----------
    path
        Of the tenants' documents, without a slash at its end.
    """

    def __init__(self, client: Callable[[], ParameterReader], path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._cache = ParameterCache(client, clock, _text_of, grace=GRACE)

    @override
    def find(self, tenant: str, name: str) -> ClusterCredentials:
        text = self._cache.get(parameter_name(self._path, tenant, name))
        if text is None:
            raise ClusterNotUsableError(
                "No credentials are stored for this cluster; your operator puts them."
            )
        return read_cluster(text, self._clock.now())

    @override
    def sign(self, binding: EksBinding) -> str:
        return self._tokens.sign(binding)

    @cached_property
    def _tokens(self) -> EksTokens:
        session = Session()
        return EksTokens(lambda: session)


def parameter_name(path: str, tenant: str, name: str) -> str:
    """Return the parameter of a tenant's cluster."""
    return f"{path}/{tenant}/clusters/{name}"


def _text_of(_name: str, text: str | None) -> str | None:
    return text
