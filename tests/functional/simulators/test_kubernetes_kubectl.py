"""The simulated cluster against the real kubectl: what it asks, and that it understands every answer."""

import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from local.simulators.kubernetes import ClusterFault, ClusterFaultKind, ClusterSettings, SimulatedCluster
from local.simulators.kubernetes.faults import ClusterRequest
from local.simulators.kubernetes.kubeconfig import write_kubeconfig
from local.simulators.kubernetes.state import ADMIN_TOKEN, READER_TOKEN, find_case
from rune.kubernetes.recorded.loading import load_suite
from tests.functional.simulators.cluster_hosting import HostedCluster

KUBECTL = Path(__file__).parents[3] / ".local/venvs/kubectl/kubectl"
SECONDS_LIMIT = 30
FORMS = {
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json": "table",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList": "aggregated",
    "application/vnd.kubernetes.protobuf": "protobuf",
    "application/json": "json",
}
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="kubectl comes for x86-64 alone")


@dataclass(frozen=True)
class Kubectl:
    hosted: HostedCluster
    folder: Path

    def run(self, command: str, *, token: str = READER_TOKEN) -> subprocess.CompletedProcess[str]:
        config = self.folder / f"{token}.json"
        if not config.exists():
            config.write_text(write_kubeconfig(self.hosted.address, self.hosted.authority.pem, token=token))
        return subprocess.run(  # noqa: S603  # pinned by hash
            [KUBECTL, f"--kubeconfig={config}", f"--cache-dir={self.folder}/cache", *command.split()],
            env={"HOME": str(self.folder), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=SECONDS_LIMIT,
            check=False,
        )


@pytest.fixture(scope="module")
def kubectl(hosted_cluster: HostedCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    assert KUBECTL.exists(), "kubectl is missing: make .local/stamps/kubectl"
    made = Kubectl(hosted_cluster, tmp_path_factory.mktemp("kubectl"))
    hosted_cluster.start()
    # Discovery is asked for once and kept for hours.
    assert made.run("api-resources").returncode == 0
    return made


@pytest.fixture
def start(kubectl: Kubectl) -> Callable[..., SimulatedCluster]:
    return kubectl.hosted.start


def told(record: ClusterRequest) -> str:
    """Return a request in one line: selectors in order, uids as `UID`."""
    form = next(name for start, name in FORMS.items() if record.accept.startswith(start))
    query = [
        (key, ",".join(sorted(UID.sub("UID", value).split(",")))) for key, value in parse_qsl(record.query)
    ]
    return " ".join([form, record.path, *(f"{key}={value}" for key, value in sorted(query))])


SHOP = "/api/v1/namespaces/shop"
APPS = "/apis/apps/v1/namespaces/shop"
POD = "payments-6b7cfd-k2x9q"
OBJECT = "involvedObject"


def events_of(namespace: str, kind: str, name: str, uid: str = "UID") -> str:
    """Return how kubectl asks for the events of an object; for pods it leaves the kind out."""
    path = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
    kinds = [f"{OBJECT}.kind={kind}"] if kind else []
    fields = [*kinds, f"{OBJECT}.name={name}", f"{OBJECT}.namespace={namespace}", f"{OBJECT}.uid={uid}"]
    return f"protobuf {path} fieldSelector={','.join(fields)} limit=500"


OF_POD = f"{OBJECT}.apiVersion=v1,{OBJECT}.kind=Pod,{OBJECT}.name={POD}"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
ON_NODE = "spec.nodeName=node-b,status.phase!=Failed,status.phase!=Succeeded"
COMMANDS = {
    "get pods": ((f"table {SHOP}/pods limit=500",), "CreateContainerConfigError"),
    "get pods -A -l app=cart --field-selector status.phase=Running": (
        ("table /api/v1/pods fieldSelector=status.phase=Running labelSelector=app=cart limit=500",),
        "cart-77d9b6-b2b2b",
    ),
    "get pods --sort-by=.metadata.name": ((f"table {SHOP}/pods includeObject=Object",), "1 (19h ago)"),
    f"get pod {POD} -o json": ((f"json {SHOP}/pods/{POD}",), '"reason": "CreateContainerConfigError"'),
    "get all": (
        (
            *(
                f"table {SHOP}/{plural} limit=500"
                for plural in ("pods", "replicationcontrollers", "services")
            ),
            *(
                f"table {APPS}/{plural} limit=500"
                for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")
            ),
            "table /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers limit=500",
            "table /apis/batch/v1/namespaces/shop/cronjobs limit=500",
            "table /apis/batch/v1/namespaces/shop/jobs limit=500",
        ),
        "deployment.apps/payments",
    ),
    f"events --for pod/{POD}": (
        (f"protobuf {SHOP}/events fieldSelector={OF_POD} limit=500",),
        "couldn't find key REGION_ID in ConfigMap shop/payments-env",
    ),
    f"describe pod {POD}": (
        (f"json {SHOP}/pods/{POD}", f"protobuf {SHOP}/pods/{POD}", events_of("shop", "", POD)),
        "<set to the key 'REGION_ID' of config map 'payments-env'>",
    ),
    "describe node node-b": (
        (
            "json /api/v1/nodes/node-b",
            events_of("", "Node", "node-b"),
            events_of("", "Node", "node-b", "node-b"),
            "protobuf /api/v1/nodes/node-b",
            f"protobuf /api/v1/pods fieldSelector={ON_NODE} limit=500",
            "protobuf /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-b",
        ),
        "NodeHasNoDiskPressure",
    ),
    "describe svc payments": (
        (
            f"json {SHOP}/services/payments",
            events_of("shop", "Service", "payments"),
            f"protobuf {SHOP}/services/payments",
            f"protobuf {SLICES} labelSelector=kubernetes.io/service-name=payments",
        ),
        ":8080",
    ),
    "logs orders-db-0 --tail=2 --timestamps": (
        (
            f"json {SHOP}/pods/orders-db-0",
            f"json {SHOP}/pods/orders-db-0/log container=postgres tailLines=2 timestamps=true",
        ),
        "checkpoint complete",
    ),
    "logs deploy/mailer --tail=1": (
        (
            f"json {APPS}/deployments/mailer",
            f"json {SHOP}/pods/mailer-59c7fd-a1a1a/log container=app tailLines=1",
            f"protobuf {SHOP}/pods labelSelector=app=mailer",
        ),
        "sent 1 message",
    ),
    "top pods": (
        (
            "aggregated /api",
            "aggregated /apis",
            "protobuf /apis/metrics.k8s.io/v1beta1/namespaces/shop/pods",
        ),
        "MEMORY(bytes)",
    ),
    "rollout history deploy/payments": (
        (
            f"json {APPS}/deployments/payments",
            f"protobuf {APPS}/deployments/payments",
            f"protobuf {APPS}/replicasets labelSelector=app=payments",
        ),
        "7         <none>",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_kubectl_asks_as_recorded_and_understands(
    kubectl: Kubectl, start: Callable[..., SimulatedCluster], command: str
) -> None:
    requests, shown = COMMANDS[command]
    state = start()

    done = kubectl.run(command)

    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout
    assert sorted(map(told, state.requests.records)) == sorted(requests)


def test_missing_pod_is_looked_for_and_then_its_namespace(
    kubectl: Kubectl, start: Callable[..., SimulatedCluster]
) -> None:
    state = start()

    done = kubectl.run("get pod nothing")

    assert done.stderr == 'Error from server (NotFound): pods "nothing" not found\n'
    assert [told(each) for each in state.requests.records] == [f"table {SHOP}/pods/nothing", f"table {SHOP}"]


def test_kubectl_shows_refusals_in_the_servers_words(
    kubectl: Kubectl, start: Callable[..., SimulatedCluster]
) -> None:
    start()

    denied = kubectl.run("get secrets")
    unknown = kubectl.run("get pods --field-selector colour=red")
    previous = kubectl.run("logs orders-db-0 --previous")
    stranger = kubectl.run("get pods", token="nobody")

    who = 'User "system:serviceaccount:rune:rune-reader"'
    assert denied.stderr == (
        f'Error from server (Forbidden): secrets is forbidden: {who} cannot list resource "secrets" in API group ""'
        ' in the namespace "shop"\n'
    )
    assert unknown.stderr.endswith("field label not supported: colour\n")
    assert previous.stderr == (
        'Error from server (BadRequest): previous terminated container "postgres" in pod "orders-db-0" not found\n'
    )
    assert "You must be logged in to the server" in stranger.stderr


def test_kubectl_waits_when_there_are_too_many_requests(
    kubectl: Kubectl, start: Callable[..., SimulatedCluster]
) -> None:
    state = start(ClusterSettings(faults=(ClusterFault(kind=ClusterFaultKind.TOO_MANY),)))

    done = kubectl.run("get pods")

    assert done.returncode == 0
    assert [each.status for each in state.requests.records] == [429, 200]


def test_kubectl_stops_at_410_in_the_middle_of_a_list(
    kubectl: Kubectl, start: Callable[..., SimulatedCluster]
) -> None:
    start(ClusterSettings(faults=(ClusterFault(kind=ClusterFaultKind.EXPIRED),)))

    done = kubectl.run("get pods --chunk-size=5")

    assert done.returncode == 1
    assert "The provided continue parameter is too old" in done.stderr


def test_kubectl_decodes_what_cases_describe(
    kubectl: Kubectl, start: Callable[..., SimulatedCluster]
) -> None:
    """`describe` reads into Go types, so a member of a wrong type is an error."""
    state = start()
    kinds = "pods,deploy,rs,sts,ds,svc,job,cronjob,hpa,pvc,netpol,quota,ing,endpointslices"
    wrong: dict[str, str] = {}
    for case in load_suite("kubernetes-classics"):
        # Those whose kinds differ most; all 30 take a minute.
        if case.id in {"case-06", "case-11", "case-14", "case-16", "case-18"}:
            state.play(find_case(case.id), seed=2)
            done = kubectl.run(f"describe -A {kinds}", token=ADMIN_TOKEN)
            if done.returncode or done.stderr:
                wrong[case.id] = done.stderr

    assert wrong == {}
