import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from rune.kubernetes.masking import LAST_APPLIED, mask_object, mask_text
from rune.kubernetes.tools.results import HARD_BYTES
from rune.kubernetes.tools.toolbox import KubernetesToolbox
from tests.unit.kubernetes.fake_cluster import FakeCluster, make, ok, status

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)

OWN = "rune-own-bearer-0123456789"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlLWNhbmFyeQ"
BODY = "\n".join("MIIEcanaryPEM" + "A" * 51 for _ in range(4))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"

CANARIES = {
    "password of a variable": ("DB_PASSWORD=canary-one-x", "canary-one-x"),
    "user info of an address": ("postgres://app:canary-two-x@db:5432/shop", "canary-two-x"),
    "private key": (PEM, "MIIEcanaryPEM"),
    "JSON web token": (f"got {JWT} from caller", "c2lnbmF0dXJlLWNhbmFyeQ"),
    "key of AWS": ("using AKIACANARY7EXAMPLE2X now", "AKIACANARY7EXAMPLE2X"),
    "secret key of AWS": ("aws_secret_access_key = canary/six+secret", "canary/six"),
    "key of Google": ("key AIzaSyCanary0123456789abcdefghijklmnop", "AIzaSyCanary"),
    "token of GitHub": ("cloning with ghp_canary0123456789abcdef", "ghp_canary"),
    "bearer token": ("Authorization: Bearer canary-nine.token", "canary-nine"),
    "basic credentials": ("authorization: Basic Y2FuYXJ5OnRlbg==", "Y2FuYXJ5OnRlbg"),
    "JSON member": ('{"level":"info","api_key":"canary-eleven"}', "canary-eleven"),
    "docker's configuration": ('{"auths":{"r.io":{"auth":"Y2FuYXJ5LTEy"}}}', "Y2FuYXJ5LTEy"),
    "option of a command": ("mysqld --user root --password canary-13", "canary-13"),
    "the job's own credential": (f"caller sent {OWN}", OWN),
    "the job's own credential in base64": (base64.b64encode(OWN.encode()).decode(), "cnVuZS1vd24tYmVhcmVy"),
}


@pytest.mark.parametrize(("text", "canary"), CANARIES.values(), ids=CANARIES)
def test_text_loses_its_secret_and_keeps_what_is_beside_it(text: str, canary: str) -> None:
    masked = mask_text(f"before {text} after", (OWN,))

    assert canary not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        'secret "db-token" not found',
        "couldn't find key password in Secret shop/db",
        "invalid token: signature has expired",
        'FATAL: password authentication failed for user "app"',
        "secretName: db-credentials",
        "automountServiceAccountToken: true",
        "tokenExpirationSeconds: 3607",
        "image: registry.io/team/secret-service:1.2",
        "dial tcp: lookup token-service:8080 refused",
        "failed to fetch anonymous token: unexpected status from GET request to https://r.io/v2: 403",
        "max_tokens=32768",
        "Basic authentication is required",
        "exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10",
        "back-off 5m0s restarting failed container=app pod=web_shop(uid)",
        'Get "http://10.1.0.5:8080/ready": dial tcp 10.1.0.5:8080: connect: connection refused',
    ],
)
def test_what_explains_an_illness_stays(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize("cut", [PEM[: len(PEM) // 2], PEM[len(PEM) // 2 :], PEM.replace("\n", "\\n")])
def test_private_key_is_masked_where_a_part_is_cut_off(cut: str) -> None:
    masked = mask_text(f"log line\n{cut}\nnext line")

    assert "MIIEcanary" not in masked
    assert masked.startswith("log line")
    assert masked.endswith("next line")


def test_object_is_masked_by_its_structure() -> None:
    masked = mask_object(
        {
            "kind": "Deployment",
            "metadata": {
                "annotations": {
                    LAST_APPLIED: "everything",
                    "deployment.kubernetes.io/revision": "3",
                    "vault.example/unseal": "canary",
                }
            },
            "spec": {
                "env": [
                    {"name": "STRIPE_SECRET", "value": "canary"},
                    {"name": "FLAGS", "value": "aZ09canarycanaryCANARY77"},
                    {"name": "LEVEL", "value": "debug"},
                    {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                ],
                "args": ["--token", "canary", "--verbose"],
                "clientSecret": "canary",
                "imagePullSecrets": [{"name": "regcred"}],
            },
        }
    )

    assert masked == {
        "kind": "Deployment",
        "metadata": {
            "annotations": {"deployment.kubernetes.io/revision": "3", "vault.example/unseal": "***"}
        },
        "spec": {
            "env": [
                {"name": "STRIPE_SECRET", "value": "***"},
                {"name": "FLAGS", "value": "***"},
                {"name": "LEVEL", "value": "debug"},
                {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            ],
            "args": ["--token", "***", "--verbose"],
            "clientSecret": "***",
            "imagePullSecrets": [{"name": "regcred"}],
        },
    }


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_data_of_secrets_and_maps_is_never_shown(kind: str) -> None:
    masked = mask_object({"items": [{"kind": kind, "data": {"a": "plain"}, "stringData": {"b": "plain"}}]})

    assert masked == {"items": [{"kind": kind, "data": {"a": "***"}, "stringData": {"b": "***"}}]}


def test_no_tool_lets_a_secret_pass() -> None:
    """Every canary is put wherever a tool reads text: logs, events, conditions, specifications, errors."""
    everything = "\n".join(text for text, _ in CANARIES.values())
    cluster = _leaking_cluster(everything)
    toolbox = KubernetesToolbox(cluster, now=lambda: NOW, secrets=(OWN,))
    calls: list[tuple[str, dict[str, object]]] = [
        ("cluster_overview", {}),
        ("list_resources", {"kind": "pods", "namespace": "shop"}),
        ("list_resources", {"kind": "pods", "label_selector": f"a={JWT}"}),
        ("get_resource", {"kind": "pod", "name": "web-1", "namespace": "shop"}),
        ("get_resource", {"kind": "pod", "name": JWT, "namespace": "shop"}),
        ("get_resource", {"kind": "configmap", "name": "settings", "namespace": "shop"}),
        ("get_events", {"namespace": "shop", "minutes": 9999}),
        ("get_logs", {"name": "web-1", "namespace": "shop"}),
        ("get_rollout", {"kind": "deployment", "name": "web", "namespace": "shop"}),
        ("get_usage", {"what": "pods", "namespace": "shop"}),
        ("get_usage", {"what": "nodes"}),
        ("check_service", {"name": "web", "namespace": "shop"}),
        (f"tool {OWN}", {f"argument {OWN}": 1}),
    ]

    for max_bytes in (HARD_BYTES, 900):
        for name, arguments in calls:
            text = asyncio.run(toolbox.run(name, arguments, result_id="E1", max_bytes=max_bytes)).text
            assert len(text.encode()) <= max_bytes
            assert [canary for _, canary in CANARIES.values() if canary in text] == [], name
            assert "canary" not in text.lower(), name


def _leaking_cluster(everything: str) -> FakeCluster:
    env = [{"name": f"V{place}", "value": text} for place, (text, _) in enumerate(CANARIES.values())]
    env += [{"name": "API_TOKEN", "value": "canary"}]
    template = {"spec": {"containers": [{"name": "app", "env": env, "args": ["--password", "canary"]}]}}
    condition = {"type": "Ready", "status": "False", "reason": "x", "message": everything}
    metadata = {"annotations": {LAST_APPLIED: everything, "example.com/note": everything}}
    pod = make(
        "Pod",
        "web-1",
        labels={"app": "web"},
        metadata=metadata,
        spec=template["spec"],
        status={
            "conditions": [condition],
            "containerStatuses": [
                {
                    "name": "app",
                    "restartCount": 1,
                    "state": {"waiting": {"reason": "x", "message": everything}},
                }
            ],
        },
        cells=["web-1", "0/1", everything, "1", "1d"],
    )
    event = make(
        "Event",
        "e",
        involvedObject={"kind": "Pod", "namespace": "shop", "name": "web-1"},
        type="Warning",
        message=everything,
        lastTimestamp="2026-11-29T08:59:00Z",
    )
    revisions = [
        make(
            "ReplicaSet",
            f"web-{number}",
            labels={"app": "web"},
            owner="Deployment/web",
            metadata={
                "annotations": {
                    "deployment.kubernetes.io/revision": str(number),
                    "kubernetes.io/change-cause": everything,
                }
            },
            spec={"template": template if number == 2 else {"spec": {"containers": [{"name": "app"}]}}},
        )
        for number in (1, 2)
    ]
    cluster = FakeCluster(
        make("Namespace", "shop", None),
        make("Node", "node-a", None, status={"conditions": [condition]}),
        make(
            "Deployment",
            "web",
            spec={"selector": {"matchLabels": {"app": "web"}}},
            status={"conditions": [condition]},
        ),
        make(
            "Service",
            "web",
            spec={"selector": {"app": "web"}, "externalName": everything, "type": "ExternalName"},
        ),
        make("ConfigMap", "settings", data={"note": "canary"}),
        pod,
        event,
        *revisions,
        logs={"web-1/app": everything, "web-1/app/previous": f"{everything[-200:]}\n{everything}"},
    )
    cluster.answers["/apis/metrics.k8s.io/v1beta1/nodes"] = status(500, "InternalError", everything)
    cluster.answers["/api"] = ok({"items": [_config_maps()]})
    cluster.answers["/apis"] = ok({"items": []})
    return cluster


def _config_maps() -> dict[str, Any]:
    resource = {
        "resource": "configmaps",
        "responseKind": {"kind": "ConfigMap"},
        "scope": "Namespaced",
        "verbs": ["list"],
    }
    return {"metadata": {}, "versions": [{"version": "v1", "resources": [resource]}]}
