import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from local.simulators.faults import FaultKind
from local.simulators.kubernetes import Authority, ClusterFault, ClusterFaultKind, ClusterSettings, create_app
from local.simulators.kubernetes.__main__ import parse_settings
from local.simulators.kubernetes.kubeconfig import write_kubeconfig
from local.simulators.kubernetes.state import ADMIN_TOKEN, READER_TOKEN, SHOP_TOKEN, SimulatedCluster
from local.simulators.serving import running_server
from rune.kubernetes.kubeconfig import read_cluster
from rune.kubernetes.recorded.readers import RUNE_READER
from tests.functional.simulators.cluster_hosting import HostedCluster

ROOT = Path(__file__).parents[3]
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture(scope="module")
def https(hosted_cluster: HostedCluster) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cadata=hosted_cluster.authority.pem.decode())
    with httpx.Client(base_url=hosted_cluster.address, verify=context, timeout=20) as opened:
        yield opened


def bearer(token: str = READER_TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_authority_without_key_usage_fails_strict_verification_alone(tmp_path: Path) -> None:
    authority = Authority.make(is_plain=True)
    strict = ssl.create_default_context(cadata=authority.pem.decode())
    lenient = ssl.create_default_context(cadata=authority.pem.decode())
    lenient.verify_flags &= ~ssl.VERIFY_X509_STRICT

    files = authority.write_server(tmp_path)
    with running_server(create_app(SimulatedCluster()), tls=files) as address:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{address}/livez", verify=strict)
        found = httpx.get(f"{address}/livez", verify=lenient)

    assert found.text == "ok"


def test_client_certificate_names_its_user(hosted_cluster: HostedCluster, tmp_path: Path) -> None:
    state = hosted_cluster.start(ClusterSettings(users={"ops": RUNE_READER}))
    context = ssl.create_default_context(cadata=hosted_cluster.authority.pem.decode())
    certificate, key = hosted_cluster.authority.issue_client("ops")
    (tmp_path / "client.pem").write_bytes(key + certificate)
    context.load_cert_chain(tmp_path / "client.pem")

    found = httpx.get(f"{hosted_cluster.address}{PODS}", verify=context)

    assert found.status_code == 200
    assert [(each.credential, each.reader) for each in state.requests.records] == [
        ("certificate", RUNE_READER.user)
    ]


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"authorization": "Basic YTpi"}])
def test_stranger_gets_401(
    hosted_cluster: HostedCluster, https: httpx.Client, headers: dict[str, str]
) -> None:
    hosted_cluster.start()

    found = https.get(PODS, headers=headers)

    assert (found.status_code, found.json()["message"], found.json()["reason"]) == (
        401,
        "Unauthorized",
        "Unauthorized",
    )


def test_rights_belong_to_the_token(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start()
    asked = [(SHOP_TOKEN, PODS), (SHOP_TOKEN, "/api/v1/pods"), (ADMIN_TOKEN, "/api/v1/secrets")]

    statuses = [https.get(path, headers=bearer(token)).status_code for token, path in asked]

    assert statuses == [200, 403, 200]


def test_nothing_can_be_changed(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start()

    found = https.delete(f"{PODS}/orders-db-0", headers=bearer())

    assert found.status_code == 403
    assert 'cannot delete resource "pods"' in found.json()["message"]


def test_paths_stand_below_the_prefix(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start(ClusterSettings(prefix="/k8s/clusters/c-1"))

    below = https.get(f"/k8s/clusters/c-1{PODS}", headers=bearer())
    beside = https.get(PODS, headers=bearer())

    assert (below.status_code, beside.status_code) == (200, 404)


def test_log_of_requests_keeps_no_token(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start()
    https.get(PODS, params={"limit": "2"}, headers=bearer())

    found = https.get("/_sim/requests")

    assert found.json()["requests"][0]["query"] == "limit=2"
    assert READER_TOKEN not in found.text


FAULTS = {
    "unauthorized": (ClusterFault(kind=ClusterFaultKind.UNAUTHORIZED), PODS, 401, "Unauthorized"),
    "node dead": (
        ClusterFault(kind=ClusterFaultKind.NODE_DEAD),
        f"{PODS}/orders-db-0/log",
        500,
        "containerLogs/shop/orders-db-0/app",
    ),
    "expired": (
        ClusterFault(kind=ClusterFaultKind.EXPIRED),
        f"{PODS}?continue=x",
        410,
        "continue parameter is too old",
    ),
    "refused": (ClusterFault(kind=FaultKind.REFUSED, status=503), PODS, 503, "ServiceUnavailable"),
    "not JSON": (ClusterFault(kind=FaultKind.NOT_JSON), PODS, 200, "<html>"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_comes_once(hosted_cluster: HostedCluster, https: httpx.Client, name: str) -> None:
    fault, path, status, text = FAULTS[name]
    hosted_cluster.start(ClusterSettings(faults=(fault,)))

    faulty = https.get(path, headers=bearer())
    usual = https.get(PODS, headers=bearer())

    assert faulty.status_code == status
    assert text in faulty.text
    assert usual.json()["kind"] == "PodList"


def test_too_many_requests_is_plain_text_with_a_time(
    hosted_cluster: HostedCluster, https: httpx.Client
) -> None:
    fault = ClusterFault(kind=ClusterFaultKind.TOO_MANY, retry_after_seconds=3)
    hosted_cluster.start(ClusterSettings(faults=(fault,)))

    found = https.get(PODS, headers=bearer())

    assert (found.status_code, found.text) == (429, "Too many requests, please try again later.\n")
    assert found.headers["retry-after"] == "3"
    assert found.headers["x-kubernetes-pf-flowschema-uid"]


def test_expired_is_only_in_the_middle_of_a_list(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start(ClusterSettings(faults=(ClusterFault(kind=ClusterFaultKind.EXPIRED),)))

    first = https.get(PODS, params={"limit": "2"}, headers=bearer())
    token = first.json()["metadata"]["continue"]
    second = https.get(PODS, params={"limit": "2", "continue": token}, headers=bearer())
    rest = https.get(PODS, params={"continue": second.json()["metadata"]["continue"]}, headers=bearer())

    assert (first.status_code, second.status_code, rest.status_code) == (200, 410, 200)


def test_huge_list_has_five_megabytes(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start(ClusterSettings(faults=(ClusterFault(kind=ClusterFaultKind.HUGE),)))

    found = https.get(PODS, headers=bearer())

    assert len(found.content) > 5 * 1024 * 1024
    assert json.loads(found.content)["kind"] == "PodList"


def test_silent_server_says_nothing(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start(ClusterSettings(faults=(ClusterFault(kind=FaultKind.HANG, after_chunks=0),)))

    with pytest.raises(httpx.ReadTimeout):
        https.get(PODS, headers=bearer(), timeout=0.3)


def test_case_is_changed_and_its_answer_told(hosted_cluster: HostedCluster, https: httpx.Client) -> None:
    hosted_cluster.start()

    played = https.put("/_sim/case", json={"case": "case-10", "seed": 0})
    nodes = https.get("/api/v1/nodes/node-b", headers=bearer()).json()
    unknown = https.put("/_sim/case", json={"case": "case-99"})
    wrong = https.put("/_sim/case", json={"case": {"id": "x"}})

    assert played.json()["findings"] == [{"cause": "node_not_ready", "entities": ["Node//node-b"]}]
    assert {each["status"] for each in nodes["status"]["conditions"]} == {"Unknown"}
    assert (unknown.status_code, wrong.status_code) == (422, 422)
    assert "/base: Field required" in wrong.json()["error"]


def test_live_case_plays_now_and_another_at_its_own_time() -> None:
    live = SimulatedCluster(ClusterSettings())
    recorded = SimulatedCluster(ClusterSettings(is_live=False))

    assert (live.timeline.now() - live.stage.world.now).total_seconds() < 20
    assert recorded.stage.world.now.isoformat() == "2026-11-29T09:00:00+00:00"


def test_command_line_sets_what_is_served() -> None:
    settings, chosen = parse_settings(["--case", "case-07", "--seed", "4", "--prefix", "/k8s", "--plain-ca"])

    assert (settings.case, settings.seed, settings.prefix) == ("case-07", 4, "/k8s")
    assert (chosen.port, chosen.plain_ca) == (6443, True)


def test_command_line_refuses_a_wrong_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["--prefix", "k8s/"])

    assert "is no path without a final slash" in capsys.readouterr().err


def test_kubeconfig_has_everything_in_it() -> None:
    document = json.loads(write_kubeconfig("https://127.0.0.1:1", b"ca", client=(b"certificate", b"key")))

    assert document["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:1",
        "certificate-authority-data": "Y2E=",
    }
    assert document["contexts"][0]["context"]["namespace"] == "shop"
    assert document["users"][0]["user"] == {
        "client-certificate-data": "Y2VydGlmaWNhdGU=",
        "client-key-data": "a2V5",
    }


def test_kubeconfig_of_the_local_stack_is_taken_by_rune() -> None:
    authority = Authority.make()
    text = write_kubeconfig("https://127.0.0.1:6443", authority.pem, token=READER_TOKEN)

    credentials = read_cluster(text, datetime(2026, 11, 30, tzinfo=UTC))

    assert credentials.server == "https://127.0.0.1:6443"


def test_process_tells_its_address_and_writes_a_kubeconfig_for_it(tmp_path: Path) -> None:
    written = tmp_path / "cluster.json"
    command = [sys.executable, "-m", "local.simulators.kubernetes", "--port=0", f"--kubeconfig={written}"]
    with subprocess.Popen(  # noqa: S603  # our own code
        command, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}/shared"}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening on ").strip()
        process.terminate()

    assert json.loads(written.read_text())["clusters"][0]["cluster"]["server"] == address
    assert address.startswith("https://127.0.0.1:")
    assert written.stat().st_mode & 0o077 == 0
