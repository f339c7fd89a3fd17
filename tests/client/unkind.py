"""A server on 127.0.0.1 that does to its callers what networks and proxies do."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

type Deed = Callable[[socket.socket], None]


class UnkindServer:
    """Does one deed for each connection; the last one again and again.

    Attributes
    ----------
    requests
        What has arrived, head and body, one for each connection.
    """

    def __init__(self, *deeds: Deed) -> None:
        self._deeds = list(deeds)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        # A thread that waits in accept is not woken by close.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                request = self._read(connection)
                if not request:
                    continue
                self.requests.append(request)
                deed = self._deeds.pop(0) if len(self._deeds) > 1 else self._deeds[0]
                try:
                    deed(connection)
                except OSError:
                    continue

    def _read(self, connection: socket.socket) -> bytes:
        found = b""
        while b"\r\n\r\n" not in found:
            part = connection.recv(65536)
            if not part:
                return b""
            found += part
        head, _, body = found.partition(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        while lengths and len(body) < int(lengths[0]):
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


@contextmanager
def an_unkind_server(*deeds: Deed) -> Iterator[UnkindServer]:
    server = UnkindServer(*deeds)
    try:
        yield server
    finally:
        server.close()


def answers(content: object, status: str = "200 OK", **headers: str) -> Deed:
    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines])
    return lambda connection: connection.sendall(head.encode() + b"\r\n\r\n" + body)


def hangs_up(connection: socket.socket) -> None:
    """End the connection without a word."""
    connection.shutdown(socket.SHUT_RDWR)


def resets(connection: socket.socket) -> None:
    """End it with a reset, as a process that was killed does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def stops_in_the_middle(connection: socket.socket) -> None:
    """End it before the answer is complete."""
    connection.sendall(
        b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\nContent-Type: application/json\r\n\r\n{"job_id": "'
    )


def says_what_it_is_not(connection: socket.socket) -> None:
    """Say that the answer is packed, and send what is not."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")


def speaks_another_language(connection: socket.socket) -> None:
    """Send what is no HTTP."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")


def drips(connection: socket.socket) -> None:
    """Send a byte now and then, so that no read takes long and the answer never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
    for _ in range(60):
        connection.sendall(b" ")
        time.sleep(0.05)
