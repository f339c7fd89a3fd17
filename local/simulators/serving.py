"""Serving a simulator's ASGI app on 127.0.0.1: in a thread for tests, in the foreground for people."""

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"
START_LIMIT_SECONDS = 10.0
STOP_LIMIT_SECONDS = 10.0
# A simulated hang never ends, so stopping cancels what still runs after this time.
GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a server needs for https.

    Attributes
    ----------
    clients
        Authorities of certificates that clients may show; none must.
    """

    certificate: Path
    key: Path
    clients: Path


class _Server(uvicorn.Server):
    """A server that returns after a signal; uvicorn's own raises the signal again, which ends the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; only the main thread can receive signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        watched = (signal.SIGTERM, signal.SIGINT)
        for number in watched:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in watched:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True


def _create_server(app: ASGIApp, tls: TlsFiles | None) -> _Server:
    files = {}
    if tls is not None:
        files = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key, "ssl_ca_certs": str(tls.clients)}
    return _Server(
        uvicorn.Config(
            app,
            **files,  # type: ignore[arg-type]  # paths and a text
            ssl_cert_reqs=ssl.CERT_OPTIONAL if tls else ssl.CERT_NONE,
            lifespan="off",
            ws="none",
            access_log=False,
            # A connection that a fault breaks is an error to uvicorn.
            log_level="critical",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def _listen(port: int, tls: TlsFiles | None) -> tuple[socket.socket, str]:
    # The protocol is named, unlike in socket.create_server: asyncio turns Nagle's algorithm off only for such
    # sockets. With it, a small write waits 40 ms for the acknowledgement of the one before.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener, f"{'https' if tls else 'http'}://{HOST}:{listener.getsockname()[1]}"


def serve(
    app: ASGIApp,
    *,
    port: int,
    tls: TlsFiles | None = None,
    on_listening: Callable[[str], None] = lambda _address: None,
) -> None:
    """Serve `app` until SIGTERM or SIGINT, after one line on stdout with the address.

    Parameters
    ----------
    port
        0 takes any free port.
    tls
        For https.
    on_listening
        Called with the address, before the line.

    Raises
    ------
    OSError
        The port is taken.
    """
    listener, address = _listen(port, tls)
    on_listening(address)
    print(f"listening on {address}", flush=True)
    _create_server(app, tls).run(sockets=[listener])


@contextlib.contextmanager
def running_server(app: ASGIApp, *, port: int = 0, tls: TlsFiles | None = None) -> Iterator[str]:
    """Serve `app` in a thread while the block runs; gives the address, without a final slash.

    Raises
    ------
    OSError
        The port is taken.
    RuntimeError
        The server did not start or stop within ten seconds.
    """
    listener, address = _listen(port, tls)
    server = _create_server(app, tls)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name=f"simulator {address}", daemon=True
    )
    thread.start()
    started_by_seconds = time.monotonic() + START_LIMIT_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > started_by_seconds:
            raise RuntimeError(f"The server at {address} did not start.")
        time.sleep(0.005)
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(STOP_LIMIT_SECONDS)
        if thread.is_alive():
            raise RuntimeError(f"The server at {address} did not stop.")
