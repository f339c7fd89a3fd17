"""The client over real TLS: whom it trusts, as whom it appears, and what it cannot be made to ask."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from rune.errors import AddressRefusedError, ClusterNotUsableError, RuneError, ServerAccessError
from rune.kubernetes.access import ClusterAnswer
from rune.kubernetes.kubeconfig import ClusterCredentials, EksBinding
from rune.kubernetes.live import MAX_BODY_BYTES, MAX_LOG_BYTES, LiveCluster, open_cluster
from rune.kubernetes.paths import is_readable, log_path, resource_path
from rune.net.addresses import AddressPolicy
from tests.unit.net.certificates import write_certificate

NEAR = AddressPolicy.parse("127.0.0.0/8")
NAME = "cluster.test"
PODS = "/api/v1/namespaces/shop/pods"


class Server:
    """Answers each request with the next of its answers, and keeps what was asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self._answers.pop(0))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


def answer(status: int, body: bytes, *headers: str) -> bytes:
    head = "".join(
        f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}")
    )
    return f"{head}Connection: close\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def server_pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with basic constraints alone, as those of EKS; Python's default refuses it."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem", NAME)


@pytest.fixture(scope="module")
def client_pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "client.pem", "reader")


def certificate_of(pem: Path) -> str:
    text = pem.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def key_of(pem: Path) -> str:
    text = pem.read_text()
    return text[: text.index("-----BEGIN CERTIFICATE")]


def visit(
    server: Server,
    server_pem: Path,
    use: Callable[[LiveCluster], Awaitable[ClusterAnswer]],
    *,
    prefix: str = "",
    client_ca: Path | None = None,
    changes: Mapping[str, str | None] | None = None,
) -> ClusterAnswer:
    async def run() -> ClusterAnswer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_pem)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context) as listening:
            port = listening.sockets[0].getsockname()[1]
            given: Mapping[str, str | None] = {
                "ca_pem": certificate_of(server_pem),
                "tls_name": NAME,
                "token": "t0ken-t0ken-t0ken",
            } | dict(changes or {})
            credentials = ClusterCredentials(f"https://127.0.0.1:{port}{prefix}", **given)  # type: ignore[arg-type]  # texts alone
            cluster = open_cluster(credentials, NEAR)
            try:
                return await use(cluster)
            finally:
                await cluster.aclose()

    return asyncio.run(run())


def pods(cluster: LiveCluster) -> Awaitable[ClusterAnswer]:
    return cluster.get(
        PODS, {"limit": "5", "labelSelector": "a=b,c in (d,e)"}, accept="application/json;as=Table"
    )


def test_request_carries_token_form_and_path_prefix(server_pem: Path) -> None:
    server = Server(answer(200, b"{}", "Content-Type: application/json;as=Table;v=v1"))

    got = visit(server, server_pem, pods, prefix="/k8s/clusters/c-x")

    assert got == ClusterAnswer(200, "application/json;as=Table;v=v1", b"{}")
    assert server.heads[0].startswith(
        f"GET /k8s/clusters/c-x{PODS}?limit=5&labelSelector=a%3Db%2Cc+in+%28d%2Ce%29 HTTP/1.1\r\n"
    )
    lines = server.heads[0].lower().split("\r\n")
    assert {"accept: application/json;as=table", "authorization: bearer t0ken-t0ken-t0ken"} <= set(lines)


@pytest.mark.parametrize(
    ("change", "value"), [("tls_name", "other.test"), ("tls_name", None), ("ca_pem", None)]
)
def test_certificate_that_does_not_fit_is_told(server_pem: Path, change: str, value: str | None) -> None:
    server = Server()

    with pytest.raises(ClusterNotUsableError, match="does not trust"):
        visit(server, server_pem, pods, changes={change: value})

    assert server.heads == []


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_client_certificate_opens_the_cluster(
    server_pem: Path, client_pem: Path, monkeypatch: pytest.MonkeyPatch, *, has_memory_files: bool
) -> None:
    if not has_memory_files:
        monkeypatch.delattr("os.memfd_create")
    server = Server(answer(200, b"{}"))
    identity = {"certificate_pem": certificate_of(client_pem), "key_pem": key_of(client_pem), "token": None}

    got = visit(server, server_pem, pods, client_ca=client_pem, changes=identity)

    assert got.status == 200
    assert "authorization" not in server.heads[0].lower()


def test_missing_client_certificate_is_a_refusal_and_no_broken_connection(
    server_pem: Path, client_pem: Path
) -> None:
    """The alert of TLS 1.3 comes after the handshake, in answer to the request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client_pem)

    def refuse(listening: socket.socket, has_ended: threading.Event) -> None:
        connection, _ = listening.accept()
        # A handshake that fails within wrap_socket closes the connection. With bytes unread it would be reset, and
        # the alert lost.
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as encrypted:
            with pytest.raises(ssl.SSLError):
                encrypted.do_handshake()
            has_ended.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        has_ended = threading.Event()
        thread = threading.Thread(target=refuse, args=(listening, has_ended))
        thread.start()
        port = listening.getsockname()[1]
        credentials = ClusterCredentials(
            f"https://127.0.0.1:{port}", certificate_of(server_pem), "t0ken", tls_name=NAME
        )
        cluster = open_cluster(credentials, NEAR)
        with pytest.raises(ServerAccessError, match="client's certificate"):
            asyncio.run(_ask_and_close(cluster))
        has_ended.set()
        thread.join()


async def _ask_and_close(cluster: LiveCluster) -> None:
    try:
        await pods(cluster)
    finally:
        await cluster.aclose()


def test_key_that_is_not_the_certificates_is_told_without_its_text(
    server_pem: Path, client_pem: Path
) -> None:
    identity = {"certificate_pem": certificate_of(client_pem), "key_pem": key_of(server_pem)}

    with pytest.raises(ClusterNotUsableError, match="do not belong together"):
        visit(Server(), server_pem, pods, changes=identity)


def test_failure_of_the_server_is_asked_again_and_a_wait_is_handed_on(server_pem: Path) -> None:
    server = Server(
        answer(503, b"no"), answer(429, b"Too many requests", "Retry-After: 3", "Content-Type: text/plain")
    )

    got = visit(server, server_pem, pods)

    assert got == ClusterAnswer(429, "text/plain", b"Too many requests", 3)
    assert len(server.heads) == 2


def test_log_of_a_dead_node_is_asked_once(server_pem: Path) -> None:
    server = Server(answer(500, b"dial tcp"), answer(200, b"never"))

    got = visit(server, server_pem, lambda cluster: cluster.get(log_path("shop", "web-1"), {}, accept="*/*"))

    assert (got.status, len(server.heads)) == (500, 1)


@pytest.mark.parametrize(
    ("path", "most"), [(PODS, MAX_BODY_BYTES), (log_path("shop", "web-1"), MAX_LOG_BYTES)]
)
def test_body_is_cut_at_its_bound(server_pem: Path, path: str, most: int) -> None:
    server = Server(answer(200, b"x" * (most + 1)))

    got = visit(server, server_pem, lambda cluster: cluster.get(path, {}, accept="*/*"))

    assert (len(got.body), got.is_cut) == (most, True)


def test_inner_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(AddressRefusedError):
        open_cluster(ClusterCredentials("https://127.0.0.1:6443", None, "t0ken"), AddressPolicy())


def test_token_of_eks_is_signed_for_the_bound_cluster_alone() -> None:
    credentials = ClusterCredentials("https://k.example", None, eks=EksBinding("prod", "eu-central-1"))
    signed: list[EksBinding] = []

    def sign(binding: EksBinding) -> str:
        signed.append(binding)
        return "k8s-aws-v1.signed"

    cluster = open_cluster(credentials, AddressPolicy(), sign=sign)

    assert signed == [EksBinding("prod", "eu-central-1")]
    assert cluster.secrets == ("k8s-aws-v1.signed",)
    with pytest.raises(RuneError):
        open_cluster(credentials, AddressPolicy())


@pytest.mark.parametrize(
    "path",
    [
        "/version",
        "/api",
        "/apis",
        "/apis/apps/v1",
        "/api/v1/pods",
        "/api/v1/nodes/node-a",
        "/api/v1/namespaces/shop",
        PODS,
        f"{PODS}/web-1",
        f"{PODS}/web-1/log",
        "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods",
        resource_path("rbac.authorization.k8s.io", "v1", "clusterroles", None, "system:node"),
    ],
)
def test_what_may_be_read_can_be_spelled(path: str) -> None:
    assert is_readable(path, {"limit": "1"})


@pytest.mark.parametrize(
    "path",
    [
        f"{PODS}/web-1/exec",
        f"{PODS}/web-1/attach",
        f"{PODS}/web-1/portforward",
        f"{PODS}/web-1/proxy",
        f"{PODS}/web-1/log/x",
        "/api/v1/namespaces/shop/services/web/proxy/admin",
        "/api/v1/nodes/node-a/proxy/run",
        "/api/v1/nodes/node-a/log",
        "/api/v1/watch/pods",
        "/api/v1/proxy/nodes",
        "/api/v1/secrets",
        "/api/v1/namespaces/shop/secrets/db",
        "/api/v1/namespaces/shop/status",
        "/api/v1/namespaces/shop/serviceaccounts/x/token",
        "/logs",
        "/metrics",
        "/debug/pprof",
        "/api/v1/namespaces/../secrets",
        "/api/v1/namespaces/shop/pods/..",
        "/api/v1//pods",
        f"{PODS}/web-1/log?follow=true",
        f"{PODS}/a%2Fexec",
        "/healthz",
        "",
        "http://other",
    ],
)
def test_nothing_else_can_be_spelled(path: str) -> None:
    assert not is_readable(path, {})
    cluster = open_cluster(ClusterCredentials("https://k.example", None, "t0ken"), AddressPolicy())
    with pytest.raises(ValueError, match="Only what"):
        asyncio.run(cluster.get(path, {}, accept="*/*"))


@pytest.mark.parametrize("key", ["watch", "follow", "command", "insecureSkipTLSVerifyBackend", "dryRun"])
def test_no_other_query_can_be_sent(key: str) -> None:
    assert not is_readable(PODS, {key: "true"})
