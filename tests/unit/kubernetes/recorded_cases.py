"""Small cases for tests, and ways to ask a recorded cluster."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from rune.kubernetes.access import ClusterAnswer
from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.recorded.loading import parse_case
from rune.kubernetes.recorded.readers import RUNE_READER, Reader

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def case_document(**members: object) -> dict[str, Any]:
    return {
        "id": "quiet",
        "base": "shop-3-nodes",
        "now": "2026-11-29T09:00:00Z",
        "ask": "What is unhealthy?",
        "expect": {"status": "healthy"},
        **members,
    }


def cluster_of(*, seed: int = 0, reader: Reader = RUNE_READER, **members: object) -> RecordedCluster:
    return RecordedCluster(parse_case(case_document(**members)), seed, reader)


def get(
    cluster: RecordedCluster,
    path: str,
    query: Mapping[str, str] | None = None,
    accept: str = "application/json",
) -> ClusterAnswer:
    return asyncio.run(cluster.get(path, query or {}, accept=accept))


def read(
    cluster: RecordedCluster,
    path: str,
    query: Mapping[str, str] | None = None,
    accept: str = "application/json",
) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(get(cluster, path, query, accept).body)
    return document


def names(document: Mapping[str, Any]) -> list[str]:
    return [each["metadata"]["name"] for each in document["items"]]


def rows(cluster: RecordedCluster, path: str, query: Mapping[str, str] | None = None) -> list[list[Any]]:
    table = read(cluster, path, {"includeObject": "None", **(query or {})}, TABLE)
    return [each["cells"] for each in table["rows"]]
