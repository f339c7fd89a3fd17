"""Every tool over every recorded case: what the diagnosis rests on can be read, within the bounds."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.recorded.loading import load_suite
from rune.kubernetes.tools.results import BUDGET_BYTES
from rune.kubernetes.tools.toolbox import KubernetesToolbox
from rune.llm.toolbox import ToolResult

ROLLED_OUT = {"Deployment", "StatefulSet", "DaemonSet"}
WITH_LOGS = {*ROLLED_OUT, "Job"}


def calls_of(cluster: RecordedCluster) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "cluster_overview", {}
    yield "list_resources", {"kind": "pods"}
    yield "list_resources", {"kind": "deployments", "problems_only": True}
    yield "get_events", {"warnings_only": False, "minutes": 600}
    yield "get_usage", {"what": "pods"}
    yield "get_usage", {"what": "nodes"}
    stage = cluster.stage
    concerned = {str(entity) for finding in stage.expected.findings for entity in finding.entities}
    for entity in sorted(stage.world.objects, key=str):
        kind, namespace, name = str(entity).split("/", 2)
        place = {"name": name, "namespace": namespace} if namespace else {"name": name}
        if kind in WITH_LOGS:
            yield "get_logs", place
        if {str(entity), str(stage.world.owner_of(entity))} & concerned:
            yield "get_resource", {"kind": kind, **place}
            if kind in ROLLED_OUT:
                yield "get_rollout", {"kind": kind, **place}
        if kind == "Service" and namespace == "shop":
            yield "check_service", place


async def read_all(case: Case) -> list[tuple[str, ToolResult]]:
    cluster = RecordedCluster(case)
    toolbox = KubernetesToolbox(cluster, now=lambda: cluster.stage.world.now)
    return [
        (name, await toolbox.run(name, arguments, result_id="E1", max_bytes=BUDGET_BYTES))
        for name, arguments in calls_of(cluster)
    ]


def test_every_quote_that_a_case_expects_can_be_read() -> None:
    unread: dict[str, list[str]] = {}
    used: set[str] = set()
    for case in load_suite("kubernetes-classics"):
        results = asyncio.run(read_all(case))
        used |= {name for name, result in results if not result.is_error}
        for _, result in results:
            assert len(result.text.encode()) <= BUDGET_BYTES
            assert json.loads(result.text.split("\n")[0])["id"] == "E1"
        whole = " ".join(" ".join(result.text.split()) for _, result in results)
        if missing := [quote for quote in case.expected.quotes if " ".join(quote.split()) not in whole]:
            unread[case.id] = missing

    assert unread == {}
    assert len(used) == 8
