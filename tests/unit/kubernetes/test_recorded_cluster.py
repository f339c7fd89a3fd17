import base64
import json

import pytest

from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.recorded.kinds import KINDS
from rune.kubernetes.recorded.readers import ADMIN, Reader
from tests.unit.kubernetes.recorded_cases import AGGREGATED, TABLE, cluster_of, get, names, read, rows

PODS = "/api/v1/namespaces/shop/pods"
CRASHING = [
    {
        "patch": "Deployment/shop/catalog",
        "with": {
            "pods": {
                "waiting": {"app": ["CrashLoopBackOff", "back-off 5m0s pod=x_shop({uid})"]},
                "lastState": {"app": {"exitCode": 1, "started": "-130s", "finished": "-126s"}},
                "restartCount": 9,
            }
        },
    }
]


@pytest.fixture(scope="module")
def quiet() -> RecordedCluster:
    return cluster_of()


@pytest.fixture(scope="module")
def admin() -> RecordedCluster:
    return cluster_of(reader=ADMIN)


def test_aggregated_discovery_lists_resources_with_the_preferred_version_first(
    quiet: RecordedCluster,
) -> None:
    answer = get(quiet, "/apis", accept=AGGREGATED)
    groups = {each["metadata"]["name"]: each["versions"] for each in json.loads(answer.body)["items"]}
    core = read(quiet, "/api", accept=AGGREGATED)["items"]

    assert answer.content_type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert groups["apps"][0]["version"] == "v1"
    assert {"resource": "deployments", "shortNames": ["deploy"]}.items() <= groups["apps"][0]["resources"][
        2
    ].items()
    assert "name" not in core[0]["metadata"]
    assert {each["resource"] for each in core[0]["versions"][0]["resources"]} >= {"pods", "nodes", "events"}


def test_old_discovery_lists_the_same(quiet: RecordedCluster) -> None:
    groups = {each["name"] for each in read(quiet, "/apis")["groups"]}
    found = {
        (group, each["name"])
        for group in groups
        for each in read(
            quiet, f"/apis/{group}/{'v2' if group == 'autoscaling' else VERSIONS.get(group, 'v1')}"
        )["resources"]
    }

    assert read(quiet, "/api")["versions"] == ["v1"]
    assert found == {(each.group, each.plural) for each in KINDS if each.group}


VERSIONS = {"metrics.k8s.io": "v1beta1"}


def test_every_kind_has_a_list_an_item_and_a_table(admin: RecordedCluster) -> None:
    for kind in KINDS:
        root = f"/apis/{kind.group}" if kind.group else "/api"
        listed = read(admin, f"{root}/{kind.version}/{kind.plural}")
        table = read(admin, f"{root}/{kind.version}/{kind.plural}", accept=TABLE)

        assert listed["kind"] == f"{kind.name}List"
        assert len(table["rows"]) == len(listed["items"])
        for row in table["rows"]:
            assert len(row["cells"]) == len(table["columnDefinitions"]), kind.name


def test_pods_table_has_kubectls_columns(quiet: RecordedCluster) -> None:
    table = read(quiet, PODS, {"includeObject": "None"}, TABLE)

    assert [(each["name"], each["priority"]) for each in table["columnDefinitions"]] == [
        ("Name", 0),
        ("Ready", 0),
        ("Status", 0),
        ("Restarts", 0),
        ("Age", 0),
        ("IP", 1),
        ("Node", 1),
        ("Nominated Node", 1),
        ("Readiness Gates", 1),
    ]
    assert "object" not in table["rows"][0]


@pytest.mark.parametrize(("include", "kind"), [("Metadata", "PartialObjectMetadata"), ("Object", "Pod")])
def test_rows_include_what_is_asked(quiet: RecordedCluster, include: str, kind: str) -> None:
    table = read(quiet, PODS, {"includeObject": include}, TABLE)

    assert table["rows"][0]["object"]["kind"] == kind


def test_crash_loop_looks_as_the_api_shows_it() -> None:
    cluster = cluster_of(changes=CRASHING)
    found = rows(cluster, PODS, {"labelSelector": "app=catalog"})
    pod = read(cluster, f"{PODS}/catalog-6b8f57-a1a1a")
    status = pod["status"]["containerStatuses"][0]

    assert [row[1:5] for row in found] == [["0/1", "CrashLoopBackOff", "9 (2m6s ago)", "120d"]] * 2
    assert status["state"]["waiting"]["message"] == f"back-off 5m0s pod=x_shop({pod['metadata']['uid']})"
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert rows(cluster, "/apis/apps/v1/namespaces/shop/deployments")[1][:5] == [
        "catalog",
        "0/2",
        2,
        0,
        "120d",
    ]
    slices = read(
        cluster,
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
        {"labelSelector": "kubernetes.io/service-name=catalog"},
    )
    assert [each["conditions"]["ready"] for each in slices["items"][0]["endpoints"]] == [False, False]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=mailer", ["mailer-59c7fd-a1a1a"]),
        ("app==mailer,app!=cart", ["mailer-59c7fd-a1a1a"]),
        ("app in (mailer, orders-db)", ["mailer-59c7fd-a1a1a", "orders-db-0"]),
        ("app notin (mailer,cart,catalog,payments,storefront)", ["orders-db-0"]),
        ("!pod-template-hash", ["orders-db-0"]),
        ("pod-template-hash,app=mailer", ["mailer-59c7fd-a1a1a"]),
        ("app=nothing", []),
    ],
)
def test_labels_select(quiet: RecordedCluster, selector: str, expected: list[str]) -> None:
    assert names(read(quiet, PODS, {"labelSelector": selector})) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=orders-db-0", 1),
        ("status.phase!=Running", 0),
        ("status.phase==Running,metadata.name!=orders-db-0", 10),
        ("spec.nodeName=nowhere", 0),
        ("spec.hostNetwork=false", 11),
    ],
)
def test_fields_select(quiet: RecordedCluster, selector: str, expected: int) -> None:
    assert len(read(quiet, PODS, {"fieldSelector": selector})["items"]) == expected


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (PODS, {"fieldSelector": "spec.colour=red"}, "field label not supported: spec.colour"),
        (
            "/apis/apps/v1/deployments",
            {"fieldSelector": "status.replicas=1"},
            '"status.replicas" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (
            PODS,
            {"labelSelector": "a b"},
            "unable to parse requirement: found 'a b', expected: a key, an operator and values",
        ),
        (PODS, {"limit": "many"}, 'strconv.ParseInt: parsing "many": invalid syntax'),
        (PODS, {"continue": "%%%"}, "continue key is not valid: illegal base64 data or unknown version: %%%"),
    ],
)
def test_unreadable_query_is_400(
    quiet: RecordedCluster, path: str, query: dict[str, str], message: str
) -> None:
    answer = get(quiet, path, query)

    assert (answer.status, json.loads(answer.body)["message"]) == (400, message)


def test_pages_give_everything_once_and_count_the_rest(quiet: RecordedCluster) -> None:
    seen: list[str] = []
    rests: list[int | None] = []
    token = ""
    for _ in range(4):
        page = read(quiet, PODS, {"limit": "4", **({"continue": token} if token else {})})
        seen += names(page)
        rests.append(page["metadata"].get("remainingItemCount"))
        token = page["metadata"].get("continue", "")
        if not token:
            break

    assert rests == [7, 3, None]
    assert seen == names(read(quiet, PODS))


def test_page_of_a_selection_does_not_count_the_rest(quiet: RecordedCluster) -> None:
    page = read(quiet, PODS, {"limit": "1", "labelSelector": "app=payments"})

    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]


def test_token_of_another_time_is_410_with_one_for_the_rest(quiet: RecordedCluster) -> None:
    first = read(quiet, PODS, {"limit": "4"})["metadata"]["continue"]
    token = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    old = base64.urlsafe_b64encode(json.dumps({**token, "rv": 17}).encode()).decode()

    answer = get(quiet, PODS, {"limit": "4", "continue": old})
    body = json.loads(answer.body)

    assert (answer.status, body["reason"]) == (410, "Expired")
    assert body["message"].startswith("The provided continue parameter is too old")
    assert len(read(quiet, PODS, {"continue": body["metadata"]["continue"]})["items"]) == 7


WHO = 'User "system:serviceaccount:rune:rune-reader"'


@pytest.mark.parametrize(
    ("path", "what", "tried", "where"),
    [
        ("/api/v1/secrets", "secrets", "list secrets", "at the cluster scope"),
        (
            "/api/v1/namespaces/shop/configmaps/payments-env",
            'configmaps "payments-env"',
            "get configmaps",
            'in the namespace "shop"',
        ),
        (
            "/apis/events.k8s.io/v1/namespaces/shop/events",
            "events.events.k8s.io",
            "list events events.k8s.io",
            'in the namespace "shop"',
        ),
        (f"{PODS}/orders-db-0/exec", 'pods "orders-db-0"', "get pods/exec", 'in the namespace "shop"'),
    ],
)
def test_what_the_reader_may_not_read_is_403(
    quiet: RecordedCluster, path: str, what: str, tried: str, where: str
) -> None:
    verb, resource, group = [*tried.split(), ""][:3]
    answer = get(quiet, path)

    assert answer.status == 403
    assert json.loads(answer.body)["message"] == (
        f'{what} is forbidden: {WHO} cannot {verb} resource "{resource}" in API group "{group}" {where}'
    )


def test_other_paths_are_403_by_path(quiet: RecordedCluster) -> None:
    assert read(quiet, "/logs/kube")["message"] == f'forbidden: {WHO} cannot get path "/logs/kube"'


def test_reader_of_one_namespace_may_not_list_all() -> None:
    cluster = cluster_of(reader=Reader(namespaces=frozenset({"shop"})))

    assert get(cluster, "/api/v1/pods").status == 403
    assert get(cluster, PODS).status == 200
    assert get(cluster, "/api/v1/namespaces/kube-system/pods").status == 403


def test_case_denies_more() -> None:
    cluster = cluster_of(rbac_denied=["pods/log", "events"])

    assert get(cluster, "/api/v1/events").status == 403
    assert get(cluster, f"{PODS}/orders-db-0/log").status == 403
    assert get(cluster, PODS).status == 200


def test_missing_object_is_404(quiet: RecordedCluster) -> None:
    found = read(quiet, "/apis/apps/v1/namespaces/shop/deployments/nothing")

    assert found == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "nothing" not found',
        "reason": "NotFound",
        "details": {"name": "nothing", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


def test_unknown_path_is_plain_text_for_those_who_may_see_it(admin: RecordedCluster) -> None:
    answer = get(admin, "/apis/nobody.example.com/v1/things")

    assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_watch_is_405_and_protobuf_alone_406(quiet: RecordedCluster) -> None:
    assert get(quiet, PODS, {"watch": "true"}).status == 405
    assert get(quiet, PODS, accept="application/vnd.kubernetes.protobuf").status == 406
    assert get(quiet, PODS, accept="application/vnd.kubernetes.protobuf,application/json").status == 200


def test_signs_of_html_are_escaped(quiet: RecordedCluster) -> None:
    answer = get(quiet, PODS, accept=TABLE)

    assert b"<" not in answer.body
    assert "<none>" in {cell for row in json.loads(answer.body)["rows"] for cell in row["cells"]}


def test_metrics_tell_usage_are_absent_or_down() -> None:
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    up, down, absent = (cluster_of(metrics=state) for state in ("up", "down", "absent"))

    assert {each["usage"]["memory"][-2:] for each in read(up, path)["items"]} == {"Ki"}
    assert (get(down, path).status, get(down, path).body) == (503, b"service unavailable\n")
    assert get(absent, path).status == 404
    versions = {
        each["metadata"]["name"]: each["versions"][0]
        for each in read(down, "/apis", accept=AGGREGATED)["items"]
    }
    assert versions["metrics.k8s.io"]["freshness"] == "Stale"


def test_usage_of_a_case_is_told() -> None:
    cluster = cluster_of(
        changes=[{"patch": "Pod/shop/orders-db-0", "with": {"usage": {"postgres": ["900m", "1000Mi"]}}}]
    )

    assert rows(
        cluster, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", {"labelSelector": "app=orders-db"}
    ) == [["orders-db-0", "900000000n", "1024000Ki", "15.087s"]]


def test_version_and_health(quiet: RecordedCluster) -> None:
    assert read(quiet, "/version")["gitVersion"] == "v1.34.1"
    assert get(quiet, "/readyz").body == b"ok"
