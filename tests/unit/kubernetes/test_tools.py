import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rune.errors import ServerAccessError, ServerOverloadedError
from rune.kubernetes.access import ClusterAnswer
from rune.kubernetes.tools.results import HARD_BYTES
from rune.kubernetes.tools.specs import SPECS
from rune.kubernetes.tools.toolbox import KubernetesToolbox
from rune.llm.toolbox import ToolResult
from tests.unit.kubernetes.fake_cluster import FakeCluster, make, ok, status

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, *, restarts: int = 0, ready: bool = True, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    state: dict[str, Any] = {"running": {"startedAt": ago(50)}}
    last: dict[str, Any] = {}
    if restarts:
        state = {
            "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
        }
        last = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": ago(2)}}
    text = "Running" if ready else "CrashLoopBackOff"
    return make(
        "Pod",
        name,
        labels={"app": name.split("-", maxsplit=1)[0]},
        spec={"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        status={
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {"name": "app", "ready": ready, "restartCount": restarts, "state": state, "lastState": last}
            ],
        },
        cells=[name, "1/1" if ready else "0/1", text, str(restarts), "60m"],
        **more,
    )


def event(
    name: str, reason: str, message: str, *, kind: str = "Pod", minutes: float = 1, count: int = 1
) -> dict[str, Any]:
    return make(
        "Event",
        f"{name}.{reason}",
        involvedObject={"kind": kind, "namespace": "shop", "name": name},
        type="Warning",
        reason=reason,
        message=message,
        count=count,
        source={"component": "kubelet"},
        firstTimestamp=ago(minutes + 30),
        lastTimestamp=ago(minutes),
    )


SHOP = make("Namespace", "shop", None)
WEB = make(
    "Deployment",
    "web",
    spec={"replicas": 2, "selector": {"matchLabels": {"app": "web"}}},
    status={"replicas": 2, "readyReplicas": 1},
    cells=["web", "1/2", "2", "1", "3h"],
)


def ask(
    cluster: FakeCluster,
    tool: str,
    namespaces: tuple[str, ...] = (),
    **arguments: Any,  # noqa: ANN401  # what a model may write
) -> ToolResult:
    toolbox = KubernetesToolbox(cluster, namespaces, now=lambda: NOW, secrets=("rune-own-credential",))
    return asyncio.run(toolbox.run(tool, arguments, result_id="E1", max_bytes=HARD_BYTES))


def header(result: ToolResult) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(result.text.split("\n")[0])
    return head


def test_definitions_take_few_tokens() -> None:
    text = json.dumps([[spec.name, spec.description, spec.parameters] for spec in SPECS])

    assert len(text) <= 6 * 1024
    assert [spec.name for spec in SPECS] == [
        "cluster_overview",
        "list_resources",
        "get_resource",
        "get_events",
        "get_logs",
        "get_rollout",
        "get_usage",
        "check_service",
    ]


def test_overview_tells_what_is_ill_what_is_well_and_what_may_not_be_read() -> None:
    node = make(
        "Node",
        "node-a",
        None,
        status={
            "conditions": [
                {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "gone"}
            ]
        },
    )
    service = make("Service", "web", spec={"selector": {"app": "web"}})
    cluster = FakeCluster(
        SHOP,
        node,
        WEB,
        pod("web-1"),
        pod("web-2", restarts=7, ready=False),
        service,
        event("web-2", "BackOff", "again"),
    )
    cluster.denied = {"horizontalpodautoscalers"}

    result = ask(cluster, "cluster_overview")

    assert "node-a  Ready=Unknown NodeStatusUnknown since ?: gone" in result.text
    assert "shop  web  1/2  2  1  3h" in result.text
    assert "shop  web-2  0/1  CrashLoopBackOff  7  60m" in result.text
    assert "web-1" not in result.text
    assert "shop  web  no ready endpoint" in result.text
    assert "BackOff  Pod/shop/web-2  again" in result.text
    assert "0 jobs, 0 persistentvolumeclaims" in result.text
    assert "horizontalpodautoscalers is forbidden" in result.text
    assert header(result)["scope"] == {"kind": "overview", "namespace": "*"}


def test_lists_fit_and_tell_how_many_there_are() -> None:
    cluster = FakeCluster(SHOP, *(pod(f"web-{number:04}-with-a-long-name") for number in range(620)))

    result = ask(cluster, "list_resources", kind="po", namespace="shop", limit=5)

    head = header(result)
    assert head["total"] == 620
    assert head["truncated"] is True
    assert head["shown"] == result.text.count("Running")
    assert head["ignored_arguments"] == ["limit"]
    assert "problems_only" in head["narrow_by"]
    assert len(result.text.encode()) <= 6 * 1024
    assert len(cluster.asked) == 3


def test_list_begins_again_once_when_its_pages_expire() -> None:
    cluster = FakeCluster(SHOP, *(pod(f"web-{number}") for number in range(300)))
    cluster.gone_count = 1

    assert header(ask(cluster, "list_resources", kind="pods", namespace="shop"))["total"] == 300

    cluster.gone_count = 2
    head = header(ask(cluster, "list_resources", kind="pods", namespace="shop"))
    assert head["truncated"] is True
    assert head["total"] == 300


def test_list_of_problems_leaves_out_what_is_well() -> None:
    cluster = FakeCluster(SHOP, pod("web-1"), pod("web-2", ready=False))

    result = ask(cluster, "list_resources", kind="Pod", problems_only="true")

    assert "shop  web-2  0/1" in result.text
    assert "web-1" not in result.text
    assert header(result)["total"] == 1


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "words"),
    [
        ("list_resources", {"kind": "secrets"}, "refused", "Secrets are never read"),
        ("list_resources", {"kind": "Secret.v1"}, "refused", "Secrets are never read"),
        ("get_resource", {"kind": "secret", "name": "db", "namespace": "shop"}, "refused", "never read"),
        ("list_resources", {}, "bad_arguments", "list_resources needs kind."),
        ("list_resources", {"kind": "pods", "namespace": "shopp"}, "not_found", "There are: shop."),
        (
            "get_resource",
            {"kind": "pod", "name": "web", "namespace": "shop"},
            "not_found",
            "There are: web-1.",
        ),
        ("get_logs", {"name": "web-2", "namespace": "shop"}, "not_found", "There are: web-1."),
        (
            "get_logs",
            {"name": "web-1", "namespace": "shop", "lines": "many"},
            "bad_arguments",
            "whole number",
        ),
        ("get_usage", {"what": "disks"}, "bad_arguments", "one of pods, nodes"),
        ("get_usage", {"what": "pods"}, "unavailable", "no metrics-server, or it is down"),
        ("get_rollout", {"kind": "pod", "name": "web-1", "namespace": "shop"}, "bad_arguments", "rollouts"),
        ("exec", {"command": "ls"}, "not_found", "There is no tool 'exec'"),
    ],
)
def test_what_cannot_be_read_is_told(tool: str, arguments: dict[str, Any], code: str, words: str) -> None:
    cluster = FakeCluster(SHOP, pod("web-1"))
    cluster.answers["/apis/metrics.k8s.io/v1beta1/pods"] = ClusterAnswer(503, "text/plain", b"unavailable")

    result = ask(cluster, tool, **arguments)

    assert result.is_error
    assert header(result)["error"] == code
    assert words in result.text


def test_unknown_kinds_are_looked_up_in_the_clusters_own_words() -> None:
    resource = {
        "resource": "widgets",
        "responseKind": {"kind": "Widget"},
        "scope": "Namespaced",
        "shortNames": ["wd"],
        "verbs": ["get", "list"],
    }
    groups = [{"metadata": {"name": "x.io"}, "versions": [{"version": "v2", "resources": [resource]}]}]
    cluster = FakeCluster(SHOP, make("Widget", "one"))
    cluster.answers = {"/api": ok({"items": []}), "/apis": ok({"items": groups})}

    found = ask(cluster, "list_resources", kind="wd", namespace="shop")
    missing = ask(cluster, "list_resources", kind="wodget")

    assert "one  1d" in found.text
    assert header(found)["scope"]["kind"] == "widgets.x.io"
    assert "There is no kind 'wodget'. There are: Widget" in missing.text


def test_object_comes_with_owners_and_events_and_without_ballast() -> None:
    replica_set = make("ReplicaSet", "web-6b", owner="Deployment/web", spec={})
    noisy = pod("web-6b-1", owner="ReplicaSet/web-6b", metadata={"managedFields": [{"x": 1}]})
    cluster = FakeCluster(
        SHOP, WEB, replica_set, noisy, event("web-6b-1", "Unhealthy", "Readiness probe failed", count=4)
    )

    result = ask(cluster, "get_resource", kind="Pod", name="Pod/shop/web-6b-1")

    assert "ReplicaSet/shop/web-6b -> Deployment/shop/web" in result.text
    assert "Unhealthy  Pod/shop/web-6b-1  Readiness probe failed" in result.text
    assert "x4" in result.text
    assert "managedFields" not in result.text
    assert "uid" not in result.text


def test_large_object_loses_what_is_deepest() -> None:
    deep = {f"field{number}": {"below": {"value": "x" * 60}} for number in range(120)}
    cluster = FakeCluster(SHOP, make("Deployment", "big", spec=deep, status={"readyReplicas": 0}))

    result = ask(cluster, "get_resource", kind="deploy", name="big", namespace="shop")

    assert len(result.text.encode()) <= HARD_BYTES
    assert header(result)["truncated"] is True
    assert "readyReplicas: 0" in result.text
    assert "field119" in result.text
    assert "xxx" not in result.text
    assert "owners:" in result.text


def test_events_are_grouped_newest_first_and_take_the_time_that_there_is() -> None:
    scheduler = event("web-9", "FailedScheduling", "0/4 nodes are available") | {
        "count": 0,
        "lastTimestamp": None,
        "firstTimestamp": None,
        "eventTime": ago(3),
    }
    old = event("web-1", "Killing", "old", minutes=300)
    cluster = FakeCluster(SHOP, event("web-2", "BackOff", "again", minutes=9, count=41), scheduler, old)

    result = ask(cluster, "get_events", namespace="shop", minutes="60")

    lines = result.text.split("\n")[1:]
    assert [line.split("  ")[2] for line in lines] == ["FailedScheduling", "BackOff"]
    assert lines[0].startswith("3m  Warning")
    assert lines[1].startswith("9m (x41 over 39m)")
    assert "1 groups are older than 60 minutes." in header(result)["notes"]


def test_logs_of_a_workload_come_from_its_illest_pods_with_the_run_before() -> None:
    log = "".join(f"{number} GET /ready 200\n" for number in range(50)) + "panic: no route to db\n"
    cluster = FakeCluster(
        SHOP,
        WEB,
        pod("web-1"),
        pod("web-2", restarts=7, ready=False),
        logs={"web-2/app/previous": log, "web-1/app": "fine"},
    )

    result = ask(cluster, "get_logs", name="web", namespace="shop")

    assert "== pod web-2, container app: waiting CrashLoopBackOff" in result.text
    assert "before: terminated Error exit 1 2m ago" in result.text
    assert "panic: no route to db" in result.text
    assert "[50 such lines, 48 between folded]" in result.text
    assert "is waiting to start" in result.text
    assert result.text.index("web-2") < result.text.index("fine")


def test_logs_keep_their_end_when_they_do_not_fit() -> None:
    log = "".join(
        f"{'abcdefghij'[number % 10]}{chr(97 + number // 10)} line {'y' * 80}\n" for number in range(190)
    )
    cluster = FakeCluster(SHOP, pod("web-1"), logs={"web-1/app": log + "the last word\n"})

    result = ask(cluster, "get_logs", name="web-1", namespace="shop", lines=200)

    assert result.text.endswith("the last word")
    assert header(result)["truncated"] is True
    assert len(result.text.encode()) <= 6 * 1024


def test_rollout_tells_what_changed_and_hides_what_is_secret() -> None:
    def revision(number: int, image: str, password: str) -> dict[str, Any]:
        env = [{"name": "DB_PASSWORD", "value": password}]
        return make(
            "ReplicaSet",
            f"web-{number}",
            labels={"app": "web"},
            owner="Deployment/web",
            metadata={
                "annotations": {"deployment.kubernetes.io/revision": str(number)},
                "creationTimestamp": ago(60 / number),
            },
            spec={
                "replicas": 1,
                "template": {"spec": {"containers": [{"name": "app", "image": image, "env": env}]}},
            },
        )

    cluster = FakeCluster(SHOP, WEB, revision(1, "web:1", "hunter-one"), revision(2, "web:2", "hunter-two"))

    result = ask(cluster, "get_rollout", kind="deployment", name="web", namespace="shop")

    assert "spec.containers.[app].image: web:1 -> web:2" in result.text
    assert "hunter" not in result.text
    assert result.text.index("revision 2") < result.text.index("revision 1")


def test_usage_is_told_against_requests_and_limits() -> None:
    spec = {
        "containers": [
            {"name": "app", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}}
        ]
    }
    cluster = FakeCluster(SHOP, make("Pod", "web-1", spec=spec))
    usage = {"cpu": "12345678n", "memory": "32768Ki"}
    metrics = {
        "metadata": {"name": "web-1", "namespace": "shop"},
        "containers": [{"name": "app", "usage": usage}],
    }
    cluster.answers["/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"] = ok({"items": [metrics]})

    result = ask(cluster, "get_usage", what="pods", namespace="shop")

    assert "shop/web-1/app  12m/100m/-  32Mi/-/64Mi (50% of limit)" in result.text


def test_service_whose_selector_takes_nothing_is_told_with_the_nearest_pods() -> None:
    service = make(
        "Service", "web", spec={"selector": {"app": "webb"}, "ports": [{"port": 80, "targetPort": 9090}]}
    )
    cluster = FakeCluster(SHOP, service, pod("web-1"))

    result = ask(cluster, "check_service", name="web", namespace="shop")

    assert "The selector takes no pod." in result.text
    assert "web-1  app=web" in result.text
    assert "There is no EndpointSlice for it." in result.text


def test_service_with_a_wrong_port_and_a_policy_is_told() -> None:
    service = make(
        "Service", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 9090}]}
    )
    ready = {"conditions": {"ready": True}, "targetRef": {"name": "web-1"}}
    endpoints = make(
        "EndpointSlice",
        "web-x",
        labels={"kubernetes.io/service-name": "web"},
        endpoints=[ready],
        ports=[{"port": 9090}],
    )
    policy = make("NetworkPolicy", "deny", spec={"podSelector": {}, "policyTypes": ["Ingress"]})
    backend = {"service": {"name": "web", "port": {"number": 81}}}
    ingress = make(
        "Ingress",
        "front",
        spec={"rules": [{"host": "x", "http": {"paths": [{"path": "/", "backend": backend}]}}]},
    )
    cluster = FakeCluster(SHOP, service, endpoints, policy, pod("web-1"))
    cluster.answers["/apis/networking.k8s.io/v1/namespaces/shop/ingresses"] = ok({"items": [ingress]})

    result = ask(cluster, "check_service", name="web", namespace="shop")

    assert "targetPort 9090 is not among the declared ports (declared: app:8080)." in result.text
    assert "ready (1): web-1" in result.text
    assert "deny (1 pods): ingress allows nothing" in result.text
    assert "Ingress front names port 81, which the Service does not have." in result.text


def test_only_opened_namespaces_are_read() -> None:
    cluster = FakeCluster(
        SHOP, pod("web-1"), pod("other-1") | {"metadata": {"name": "other-1", "namespace": "bank"}}
    )

    listed = ask(cluster, "list_resources", ("shop",), kind="pods")
    refused = ask(cluster, "get_resource", ("shop",), kind="pods", name="other-1", namespace="bank")

    assert "web-1" in listed.text
    assert "other-1" not in listed.text
    assert header(refused)["error"] == "refused"
    assert "alone: shop" in refused.text
    assert all("bank" not in path and path != "/api/v1/pods" for path, _ in cluster.asked)


def test_refused_credential_and_wait_end_the_turn() -> None:
    cluster = FakeCluster()
    cluster.answers["/api/v1/pods"] = status(401, "Unauthorized", "Unauthorized")
    with pytest.raises(ServerAccessError):
        ask(cluster, "list_resources", kind="pods")

    cluster.answers["/api/v1/pods"] = ClusterAnswer(429, "text/plain", b"Too many requests", 7)
    with pytest.raises(ServerOverloadedError) as caught:
        ask(cluster, "list_resources", kind="pods")
    assert caught.value.retry_after_seconds == 7


def test_refused_kind_is_a_result() -> None:
    cluster = FakeCluster(SHOP)
    cluster.denied = {"pods"}

    result = ask(cluster, "list_resources", kind="pods")

    assert header(result)["error"] == "forbidden"
    assert 'cannot list resource "pods"' in result.text
    assert "do not ask again" in result.text
