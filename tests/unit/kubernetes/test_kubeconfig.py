import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rune.errors import ClusterNotUsableError
from rune.kubernetes.kubeconfig import MAX_TEXT_BYTES, EksBinding, read_cluster
from tests.unit.kubernetes.kubeconfigs import CERTIFICATE, KEY, encoded, kubeconfig

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
EKS = {
    "cluster": "prod",
    "region": "eu-central-1",
    "endpoint": "https://abc.gr7.eu-central-1.eks.amazonaws.com",
    "ca": encoded(CERTIFICATE),
}


def jwt(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJh.{payload}.c2ln"


def test_token_and_authority_are_taken() -> None:
    found = read_cluster(kubeconfig(), NOW)

    assert (found.server, found.token, found.namespace) == (
        "https://k.example:6443",
        "canary-token-0123456789",
        "shop",
    )
    assert found.ca_pem == CERTIFICATE
    assert found.token_expires_at is None


def test_path_of_the_server_and_its_tls_name_are_kept() -> None:
    cluster = {"server": "https://rancher.example/k8s/clusters/c-x/", "tls-server-name": "inner.example"}

    found = read_cluster(kubeconfig(cluster={**cluster, "certificate-authority-data": None}), NOW)

    assert found.server == "https://rancher.example/k8s/clusters/c-x"
    assert (found.tls_name, found.ca_pem) == ("inner.example", None)


def test_client_certificate_is_taken_with_its_key() -> None:
    user = {"token": None, "client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}

    found = read_cluster(kubeconfig(user=user), NOW)

    assert (found.certificate_pem, found.key_pem, found.token) == (CERTIFICATE, KEY, None)


def test_nothing_secret_is_in_the_repr() -> None:
    user = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}

    found = read_cluster(kubeconfig(user=user), NOW)

    assert "canary" not in repr(found)
    assert "TUlH" not in repr(found)
    assert found.secrets() == ("canary-token-0123456789", "TUlHSGNhbmFyeWNhbmFyeQ==")


def test_end_of_a_token_is_read_early() -> None:
    ends_at = int(NOW.timestamp()) + 60

    assert read_cluster(kubeconfig(user={"token": jwt(exp=ends_at)}), NOW).token_expires_at is not None
    with pytest.raises(ClusterNotUsableError, match="over at 2026-11-30 11:59 UTC"):
        read_cluster(kubeconfig(user={"token": jwt(exp=ends_at - 120)}), NOW)


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({"server": "http://k.example"}, {}, "`server` must begin with https://"),
        ({"server": "https://me@k.example"}, {}, "no user, no query"),
        ({"server": "https://k.example?x=1"}, {}, "no user, no query"),
        ({"insecure-skip-tls-verify": True}, {}, "`insecure-skip-tls-verify` is not taken"),
        ({"proxy-url": "http://canary"}, {}, "`proxy-url` is not taken"),
        (
            {"certificate-authority": "/etc/canary"},
            {},
            "`certificate-authority` is not taken: make the text with",
        ),
        ({"certificate-authority-data": "canary!"}, {}, "`certificate-authority-data` is no base64"),
        ({"certificate-authority-data": encoded("canary")}, {}, "holds no PEM of a certificate"),
        ({"tls-server-name": "can ary"}, {}, "`tls-server-name` is no host name"),
        ({}, {"exec": {"command": "canary"}}, "`exec` is not taken: RUNE runs no program"),
        ({}, {"auth-provider": {"name": "gcp"}}, "`auth-provider` is not taken"),
        ({}, {"tokenFile": "/var/canary"}, "`tokenFile` is not taken"),
        ({}, {"client-certificate": "/canary"}, "`client-certificate` is not taken"),
        ({}, {"client-key": "/canary"}, "`client-key` is not taken"),
        ({}, {"as": "canary"}, "`as` is not taken"),
        ({}, {"as-groups": ["canary"]}, "`as-groups` is not taken"),
        ({}, {"username": "canary", "password": "canary"}, "`username` is not taken"),
        ({}, {"token": "canary with blanks"}, "`token` is at most 4096 visible"),
        ({}, {"token": None}, "no credential that RUNE takes"),
        ({}, {"client-key-data": encoded(KEY)}, "Give both client-certificate-data and client-key-data"),
        (
            {},
            {
                "client-certificate-data": encoded(CERTIFICATE),
                "client-key-data": encoded(KEY.replace("PRI", "ENCRYPTED PRI")),
            },
            "an unencrypted private key",
        ),
    ],
)
def test_what_is_refused_is_named_with_its_remedy(
    cluster: dict[str, Any], user: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClusterNotUsableError) as caught:
        read_cluster(kubeconfig(cluster=cluster, user=user), NOW)

    assert words in caught.value.sentence
    assert "canary" not in caught.value.sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1", "The text is no JSON: make it with `kubectl config view"),
        ("[]", "The text is no kubeconfig"),
        ('{"kind":"Config","kind":"Config"}', "The text is no JSON"),
        (" " * (MAX_TEXT_BYTES + 1), "longer than 65536 bytes"),
        (kubeconfig(contexts=[]), "current-context names none of the contexts"),
        (kubeconfig(clusters=[]), "the context's cluster names none"),
        (kubeconfig(users=[{"name": "u"}, {"name": "u"}]), "the context's user names several"),
    ],
)
def test_text_that_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(ClusterNotUsableError, match=words):
        read_cluster(text, NOW)


def test_cluster_of_eks_is_bound_by_name_and_region() -> None:
    found = read_cluster(json.dumps({"eks": EKS}), NOW)

    assert found.eks == EksBinding("prod", "eu-central-1")
    assert found.server == EKS["endpoint"]
    assert found.secrets() == ()


@pytest.mark.parametrize(
    "change", [{"cluster": "a b"}, {"region": "x"}, {"endpoint": "http://x"}, {"ca": ""}, {"token": "x"}]
)
def test_binding_that_is_not_whole_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ClusterNotUsableError):
        read_cluster(json.dumps({"eks": {**EKS, **change}}), NOW)
