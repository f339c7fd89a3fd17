"""A TLS server with a certificate of its own authority, for programs that verify whom they talk to."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_LIMIT_SECONDS = 10.0

_EXTENSIONS = "subjectAltName=DNS:{name}\nbasicConstraints=critical,CA:FALSE\n"


@dataclass
class TlsServer:
    """Answers every request with 200, and keeps what was sent over verified connections.

    Attributes
    ----------
    has_request
        Set by the first request.
    has_refusal
        Set by the first client that did not go through with its connection.
    """

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    has_request: threading.Event = field(default_factory=threading.Event)
    has_refusal: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            self._answer(connection, context)

    def _answer(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        connection.settimeout(_LIMIT_SECONDS)
        try:
            with context.wrap_socket(connection, server_side=True) as client:
                request = _read_request(client)
                if not request:
                    self.has_refusal.set()
                    return
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                self.requests.append(request)
                self.has_request.set()
        except OSError:
            self.has_refusal.set()


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """Make an authority that nobody knows yet."""
        authority = cls(folder)
        _openssl(
            folder,
            *[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=Tests",
            ],
            *["-keyout", "ca.key", "-out", "ca.pem"],
        )
        return authority

    def certify(self, name: str) -> ssl.SSLContext:
        """Return what a server of that name needs."""
        (self.folder / f"{name}.ext").write_text(_EXTENSIONS.format(name=name))
        _openssl(
            self.folder,
            *["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
            *f"-subj /CN={name} -keyout {name}.key -out {name}.csr".split(),
        )
        _openssl(
            self.folder,
            *f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2".split(),
            *f"-extfile {name}.ext -out {name}.pem".split(),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


@contextmanager
def serve_tls(context: ssl.SSLContext) -> Iterator[TlsServer]:
    """Listen on a free port of loopback."""
    server = TlsServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=server.serve, args=(listener, context), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            # Closing alone does not wake a thread that waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(_LIMIT_SECONDS)


def _read_request(client: ssl.SSLSocket) -> bytes:
    """Read a request and its body; empty where the client hangs up before its head is complete."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := client.recv(4096)):
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].partition(b":")[2]) and (part := client.recv(4096)):
        body += part
    return head + b"\r\n\r\n" + body


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(  # noqa: S603  # arguments of these tests
        ["openssl", *arguments],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=_LIMIT_SECONDS,
    )
