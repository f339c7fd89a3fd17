"""A stand-in for Ollama behind the real start script, run by the real shell and the real Perl."""

import http.client
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import override

from rune.rentals.guard import guard_start, make_environment

KEY = "k" * 43
LONGEST_WAIT_SECONDS = 20.0


class StandIn(http.server.BaseHTTPRequestHandler):
    """Answers as Ollama on loopback does: with keep-alive, and to nobody who asks for another host.

    `allowedHostsMiddleware` in https://github.com/ollama/ollama/blob/main/server/routes.go.
    """

    protocol_version = "HTTP/1.1"
    server: "StandInServer"

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a request after its body, or before it where it asks for that."""
        if self.path == "/early":
            self._send(413, b"too large")
            self.close_connection = True
            return
        self._answer(self._read_body())

    def do_DELETE(self) -> None:
        """Answer as to GET."""
        self._answer(b"")

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(b"")

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.server.requests.append(Asked(self.command, self.path, dict(self.headers.items()), body))
        if self.headers.get("Host") != f"127.0.0.1:{self.server.server_port}":
            self._send(403, b"")
        elif self.path == "/stream":
            self._stream()
        elif self.path == "/gone":
            self._wait_for_the_end()
        else:
            self._send(200, body or b"answer")

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self) -> None:
        """Send a line, and the second one only when the test has seen the first."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\none\n\r\n")
        self.server.may_go_on.wait(LONGEST_WAIT_SECONDS)
        self.wfile.write(b"4\r\ntwo\n\r\n0\r\n\r\n")

    def _wait_for_the_end(self) -> None:
        self.connection.settimeout(LONGEST_WAIT_SECONDS)
        if self.connection.recv(1) == b"":
            self.server.was_left.set()
        self.close_connection = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came behind the proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class StandInServer(http.server.ThreadingHTTPServer):
    """The stand-in, on a free port of loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.may_go_on = threading.Event()
        self.was_left = threading.Event()
        super().__init__(("127.0.0.1", 0), StandIn)


@dataclass(slots=True)
class Guarded:
    """A server behind the proxy."""

    port: int
    process: subprocess.Popen[bytes]
    inner: StandInServer | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    def ask(
        self,
        method: str = "GET",
        path: str = "/api/tags",
        *,
        authorization: str | None = f"Bearer {KEY}",
        body: bytes | Iterator[bytes] | None = None,
    ) -> tuple[int, bytes]:
        """Return status and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_WAIT_SECONDS)
        headers = {} if authorization is None else {"Authorization": authorization}
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST_WAIT_SECONDS)

    def send(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own, and return all that comes back."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(script: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script as the machine's `/bin/sh` does, and end all that it started."""
    process = subprocess.Popen(  # noqa: S603  # the script under test
        ["/bin/sh", "-c", script],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=LONGEST_WAIT_SECONDS)


@contextmanager
def guarded(*, is_up: bool = True) -> Iterator[Guarded]:
    """Run the script with a stand-in behind it, or nothing, and wait until the proxy listens."""
    inner = StandInServer() if is_up else None
    inner_port = inner.server_port if inner else free_port()
    port = free_port()
    script = guard_start("exec sleep 600", port=port, inner_port=inner_port)
    if inner is not None:
        threading.Thread(target=inner.serve_forever, daemon=True).start()
    with running(script, make_environment(KEY)) as process:
        wait_for(port)
        yield Guarded(port, process, inner)
    if inner is not None:
        inner.shutdown()
        inner.server_close()


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    ends_at = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("Nobody listens.")
