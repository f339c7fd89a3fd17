import json

import pytest

from rune.kubernetes.recorded.cluster import RecordedCluster
from tests.unit.kubernetes.recorded_cases import cluster_of, get, read, rows

MAILER = "/api/v1/namespaces/shop/pods/mailer-59c7fd-a1a1a/log"
CART = "/api/v1/namespaces/shop/pods/cart-77d9b6-{}/log"
LINES = [["-300s", "{t} one"], ["-60s", "{t} two"], ["-5s", "{t} three"]]


@pytest.fixture(scope="module")
def cluster() -> RecordedCluster:
    waiting = {"waiting": {"app": ["ImagePullBackOff", 'Back-off pulling image "x"']}}
    crashed = {
        "waiting": {"app": ["CrashLoopBackOff", "back-off 40s"]},
        "lastState": {"app": {"exitCode": 2, "finished": "-30s"}},
        "restartCount": 3,
    }
    both = {"spec": {"containers": [{"name": "app"}, {"name": "proxy", "image": "envoy:1.31"}]}}
    pending = {"add": "Pod/shop/idle", "unscheduled": "0/4 nodes are available", "template": {"image": "x:1"}}
    return cluster_of(
        changes=[
            {"patch": "Pod/shop/cart-77d9b6-a1a1a", "with": waiting},
            {"patch": "Pod/shop/cart-77d9b6-b2b2b", "with": crashed},
            {"patch": "Deployment/shop/catalog", "with": {"template": both}},
            {"patch": "Node//node-b", "with": {"notReady": "-9m"}},
            {"add": "Pod/shop/lost", "node": "node-b", "template": {"image": "x:1"}},
            pending,
        ],
        logs={
            "Deployment/shop/mailer/app": LINES,
            "Pod/shop/cart-77d9b6-b2b2b/app/previous": ["{t} starting", "fatal: no such file"],
        },
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "08:55:00 one\n08:59:00 two\n08:59:55 three\n"),
        ({"tailLines": "2"}, "08:59:00 two\n08:59:55 three\n"),
        ({"tailLines": "0"}, ""),
        ({"tailLines": "2", "limitBytes": "15"}, "08:59:00 two\n08"),
        ({"sinceSeconds": "90"}, "08:59:00 two\n08:59:55 three\n"),
        ({"sinceTime": "2026-11-29T08:59:30Z"}, "08:59:55 three\n"),
        ({"tailLines": "1", "timestamps": "true"}, "2026-11-29T08:59:55Z 08:59:55 three\n"),
        ({"container": "app", "tailLines": "1"}, "08:59:55 three\n"),
    ],
)
def test_log_gives_what_the_parameters_choose(
    cluster: RecordedCluster, query: dict[str, str], expected: str
) -> None:
    answer = get(cluster, MAILER, query)

    assert (answer.status, answer.content_type, answer.body.decode()) == (200, "text/plain", expected)


def test_crashed_container_has_the_log_of_the_run_before(cluster: RecordedCluster) -> None:
    path = CART.format("b2b2b")

    assert get(cluster, path, {"previous": "true"}).body == b"08:59:29 starting\nfatal: no such file\n"
    assert get(cluster, path).body == get(cluster, path, {"previous": "true"}).body


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        (
            CART.format("a1a1a"),
            {},
            400,
            'container "app" in pod "cart-77d9b6-a1a1a" is waiting to start: trying and failing to pull image',
        ),
        (
            MAILER,
            {"previous": "true"},
            400,
            'previous terminated container "app" in pod "mailer-59c7fd-a1a1a" not found',
        ),
        (
            "/api/v1/namespaces/shop/pods/catalog-6b8f57-a1a1a/log",
            {},
            400,
            "a container name must be specified for pod catalog-6b8f57-a1a1a, choose one of: [app proxy]",
        ),
        (MAILER, {"container": "web"}, 400, "container web is not valid for pod mailer-59c7fd-a1a1a"),
        (MAILER, {"tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "/api/v1/namespaces/shop/pods/lost/log",
            {},
            500,
            'Get "https://10.0.3.26:10250/containerLogs/shop/lost/app": dial tcp 10.0.3.26:10250: i/o timeout',
        ),
        ("/api/v1/namespaces/shop/pods/nothing/log", {}, 404, 'pods "nothing" not found'),
    ],
)
def test_log_that_cannot_be_had_says_why(
    cluster: RecordedCluster, path: str, query: dict[str, str], status: int, message: str
) -> None:
    answer = get(cluster, path, query)

    assert (answer.status, json.loads(answer.body)["message"]) == (status, message)


def test_pod_without_a_node_has_an_empty_log(cluster: RecordedCluster) -> None:
    assert get(cluster, "/api/v1/namespaces/shop/pods/idle/log").body == b""


def test_silent_node_shows_as_controllers_leave_it(cluster: RecordedCluster) -> None:
    node = read(cluster, "/api/v1/nodes/node-b")
    pod = read(cluster, "/api/v1/namespaces/shop/pods/lost")

    assert {(each["status"], each["reason"]) for each in node["status"]["conditions"]} == {
        ("Unknown", "NodeStatusUnknown")
    }
    assert [each["effect"] for each in node["spec"]["taints"]] == ["NoSchedule", "NoExecute"]
    assert rows(cluster, "/api/v1/namespaces/shop/pods", {"fieldSelector": "metadata.name=lost"})[0][1:3] == [
        "1/1",
        "Running",
    ]
    assert [each["status"] for each in pod["status"]["conditions"] if each["type"] == "Ready"] == ["False"]


EVENT = {"on": "Node//node-a", "reason": "Rebooted", "from": "kubelet", "message": "m"}


def test_event_lives_an_hour_and_a_nodes_is_in_default() -> None:
    cluster = cluster_of(events=[{**EVENT, "last": "-59m"}, {**EVENT, "reason": "Old", "last": "-61m"}])
    found = read(cluster, "/api/v1/namespaces/default/events")["items"]

    assert [each["reason"] for each in found] == ["Rebooted"]
    assert found[0]["involvedObject"]["uid"] == "node-a"


def test_schedulers_event_has_the_newer_times_and_kubelets_the_older() -> None:
    pod = "Pod/shop/orders-db-0"
    scheduled = {"on": pod, "reason": "FailedScheduling", "from": "default-scheduler", "message": "m"}
    cluster = cluster_of(
        events=[
            {**scheduled, "count": 4, "first": "-9m", "last": "-1m"},
            {**scheduled, "from": "kubelet", "reason": "Unhealthy", "message": "at {ip}", "last": "-2m"},
        ]
    )
    kubelet, scheduler = sorted(
        read(cluster, "/api/v1/namespaces/shop/events")["items"],
        key=lambda each: str(each["reportingComponent"]),
        reverse=True,
    )
    ip = read(cluster, "/api/v1/namespaces/shop/pods/orders-db-0")["status"]["podIP"]

    assert (scheduler["firstTimestamp"], scheduler["lastTimestamp"]) == (None, None)
    assert scheduler["series"] == {"count": 4, "lastObservedTime": "2026-11-29T08:59:00.000000Z"}
    assert "count" not in scheduler
    assert (kubelet["message"], kubelet["count"], kubelet["eventTime"]) == (f"at {ip}", 1, None)
