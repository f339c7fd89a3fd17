import asyncio
from typing import override

import pytest

from rune.errors import AddressRefusedError, ClusterNotUsableError
from rune.kubernetes.kubeconfig import ClusterCredentials, EksBinding
from rune.kubernetes.source import ClusterSource
from rune.llm.toolbox import Toolbox
from rune.net.addresses import AddressPolicy
from rune.tenants.document import ClusterSettings
from rune.tenants.settings import TenantSettings
from rune.workflows.clusters import open_toolbox
from tests.builders import FakeClock

SETTINGS = TenantSettings(clusters={"prod": ClusterSettings(namespaces=("shop",))})
PUBLIC = AddressPolicy()


class OneCluster(ClusterSource):
    """Credentials of one cluster, and who asked for which."""

    def __init__(self, server: str = "https://k.example", eks: EksBinding | None = None) -> None:
        self._credentials = ClusterCredentials(server, None, None if eks else "t0ken-t0ken", eks=eks)
        self.asked: list[object] = []

    @override
    def find(self, tenant: str, name: str) -> ClusterCredentials:
        self.asked.append((tenant, name))
        return self._credentials

    @override
    def sign(self, binding: EksBinding) -> str:
        self.asked.append(binding)
        return "k8s-aws-v1.signed"


def opened(source: ClusterSource | None, name: str = "prod", settings: TenantSettings = SETTINGS) -> Toolbox:
    return open_toolbox(source, "acme", settings, name, policy=PUBLIC, clock=FakeClock())


def test_cluster_is_opened_with_the_tenants_own_credentials_and_namespaces() -> None:
    source = OneCluster()

    result = asyncio.run(
        opened(source).run(
            "list_resources", {"kind": "pods", "namespace": "bank"}, result_id="E1", max_bytes=8192
        )
    )

    assert source.asked == [("acme", "prod")]
    assert "these namespaces alone: shop" in result.text


def test_cluster_of_eks_is_signed_for_by_its_binding() -> None:
    binding = EksBinding("prod", "eu-central-1")
    source = OneCluster(eks=binding)

    opened(source)

    assert source.asked == [("acme", "prod"), binding]


@pytest.mark.parametrize(
    ("source", "name", "settings"),
    [(OneCluster(), "lab", SETTINGS), (OneCluster(), "prod", TenantSettings()), (None, "prod", SETTINGS)],
)
def test_cluster_that_the_document_does_not_name_is_not_read(
    source: OneCluster | None, name: str, settings: TenantSettings
) -> None:
    with pytest.raises(ClusterNotUsableError, match="does not have this cluster any more"):
        opened(source, name, settings)

    assert source is None or source.asked == []


def test_inner_address_is_refused() -> None:
    with pytest.raises(AddressRefusedError):
        opened(OneCluster("https://10.0.0.1:6443"))
