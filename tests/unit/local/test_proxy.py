"""The proxy in front of a small server that answers with the request."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local import proxy
from local.ports import find_free_port, listen_on_loopback

PREFIX = "/_aws/execute-api/abc/$default"


class Echo(BaseHTTPRequestHandler):
    """Answers with the request; the header x-answer sets the status and x-wait the delay."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        with self.server.counting():  # type: ignore[attr-defined]
            time.sleep(float(self.headers.get("x-wait", "0")))
        length = int(self.headers.get("content-length", "0"))
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": self.rfile.read(length).decode("latin-1"),
        }
        status = int(self.headers.get("x-answer", "200"))
        body = b"" if status in {204, 304} or self.command == "HEAD" else json.dumps(seen).encode()
        self.send_response(status)
        self.send_header("ETag", '"j1"')
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = answer  # noqa: N815 - http.server looks for these

    def log_message(self, *_: object) -> None:
        """Nothing: tests are quiet."""


class EchoServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self._lock = threading.Lock()
        self._running = 0
        self.most = 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        yield
        with self._lock:
            self._running -= 1


@dataclass
class Client:
    port: int
    echo: EchoServer
    families: list[socket.AddressFamily] = field(default_factory=list)

    def send(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        body: bytes = b"",
        host: str = "127.0.0.1",
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(host, self.port, timeout=10)
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def seen(self, method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.send(method, target, *headers, body=body)[1])
        return seen


@pytest.fixture
def client() -> Iterator[Client]:
    echo = EchoServer()
    thread = threading.Thread(target=echo.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    listeners = listen_on_loopback(0, variable="PORT")
    app = proxy.ReverseProxy(f"http://127.0.0.1:{echo.server_port}{PREFIX}", concurrency=3)
    with proxy.serving(app, listeners):
        yield Client(listeners[0].getsockname()[1], echo, [listener.family for listener in listeners])
    echo.shutdown()
    echo.server_close()


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1/jobs/abc",
        "/v1/jobs/a%2Fb",
        "/v1/jobs/a%252Fb",
        "/a//b/./c/../d",
        "/%C3%A9",
        "/v1/jobs?after=1&after=2&empty=&plus=a+b&slash=%2F",
        "/search?",
    ],
)
def test_proxy_keeps_the_target_as_it_came(client: Client, target: str) -> None:
    # A question mark with nothing behind it is the one thing that the server does not pass on.
    assert client.seen("GET", target)["target"] == PREFIX + target.removesuffix("?")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_proxy_keeps_method_and_body(client: Client, method: str) -> None:
    body = bytes(range(256))
    seen = client.seen(method, "/x", ("Content-Type", "application/octet-stream"), body=body)
    assert (seen["method"], seen["body"].encode("latin-1")) == (method, body)


def test_proxy_keeps_repeated_headers_and_adds_the_gateways(client: Client) -> None:
    seen = client.seen(
        "GET",
        "/x",
        ("X-Tag", "1"),
        ("X-Tag", "2"),
        ("Authorization", "Bearer secret"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("Connection", "keep-alive, X-Only-Here"),
        ("X-Only-Here", "1"),
    )
    assert seen["headers"] == [
        ["host", f"127.0.0.1:{client.port}"],
        ["x-tag", "1"],
        ["x-tag", "2"],
        ["authorization", "Bearer secret"],
        ["x-forwarded-for", "203.0.113.9, 127.0.0.1"],
        ["x-forwarded-proto", "http"],
        ["x-forwarded-port", str(client.port)],
    ]


@pytest.mark.parametrize("status", [200, 202, 204, 304, 404, 422, 500])
def test_proxy_gives_status_and_headers_back(client: Client, status: int) -> None:
    response, _ = client.send("GET", "/x", ("X-Answer", str(status)))
    assert response.status == status
    assert response.headers["etag"] == '"j1"'
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert len(response.headers.get_all("date") or []) == 1


def test_proxy_answers_head_without_body(client: Client) -> None:
    response, content = client.send("HEAD", "/x")
    assert (response.status, content) == (200, b"")


def test_proxy_answers_on_every_loopback_address(client: Client) -> None:
    hosts = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    answers = [client.send("GET", "/x", host=hosts[family])[0].status for family in client.families]
    assert answers == [200] * len(client.families)


def test_proxy_refuses_what_the_gateway_would_not_take(client: Client) -> None:
    response, content = client.send("POST", "/x", body=b"x" * (proxy.MAX_BODY_BYTES + 1))
    assert (response.status, content) == (413, b'{"message":"Request Entity Too Large"}')


def test_proxy_lets_the_rest_wait_when_many_come_at_once(client: Client) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(client.send("GET", "/x", ("X-Wait", "0.05"))[0].status)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 12
    assert client.echo.most <= 3


def test_proxy_answers_503_when_the_upstream_is_down() -> None:
    listeners = listen_on_loopback(0, variable="PORT")
    app = proxy.ReverseProxy(f"http://127.0.0.1:{find_free_port()}", concurrency=1)
    with proxy.serving(app, listeners):
        response, content = Client(listeners[0].getsockname()[1], None).send("GET", "/")  # type: ignore[arg-type]
    assert (response.status, content) == (503, b'{"message":"Service Unavailable"}')
