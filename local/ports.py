"""Loopback ports, taken before anything starts: a busy port is reported before the stack is half started."""

import errno
import socket

IPV4_LOOPBACK = "127.0.0.1"
IPV6_LOOPBACK = "::1"


class PortBusyError(Exception):
    """Raised when another process listens on a port; choose another port, or stop the process.

    Parameters
    ----------
    port
        The busy port.
    variable
        The environment variable that sets the port.
    """

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(
            f"port {port} is in use: stop what listens there, or choose another one with {variable}={port + 1}"
        )
        self.port = port
        self.variable = variable


def listen_on_loopback(port: int, *, variable: str) -> list[socket.socket]:
    """Return listening sockets on 127.0.0.1 and, where the machine has it, on ::1.

    Clients resolve `localhost` to either address, and some try only one.

    Parameters
    ----------
    port
        0 takes any free port, the same on both addresses.
    variable
        The environment variable to name in the error.

    Raises
    ------
    PortBusyError
        The port is busy on one of them.
    """
    listeners: list[socket.socket] = []
    try:
        listeners.append(_listen(socket.AF_INET, IPV4_LOOPBACK, port, variable))
        if _has_ipv6_loopback():
            taken = int(listeners[0].getsockname()[1])
            listeners.append(_listen(socket.AF_INET6, IPV6_LOOPBACK, taken, variable))
    except PortBusyError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def require_free(port: int, *, variable: str) -> None:
    """Check that no process listens on 127.0.0.1:`port`; another may take it before it is used.

    Raises
    ------
    PortBusyError
        The port is taken.
    """
    _listen(socket.AF_INET, IPV4_LOOPBACK, port, variable).close()


def find_free_port() -> int:
    """Return a port of 127.0.0.1 that is free; another process may take it."""
    with socket.create_server((IPV4_LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


def _listen(family: socket.AddressFamily, host: str, port: int, variable: str) -> socket.socket:
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortBusyError(port, variable) from error


def _has_ipv6_loopback() -> bool:
    try:
        with socket.create_server((IPV6_LOOPBACK, 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
