import socket

import pytest

from local.ports import PortBusyError, find_free_port, listen_on_loopback, require_free


def test_listen_names_port_and_way_out_when_port_is_busy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortBusyError) as caught:
            listen_on_loopback(port, variable="PORT")
    assert str(caught.value) == (
        f"port {port} is in use: stop what listens there, or choose another one with PORT={port + 1}"
    )


def test_require_free_names_its_own_variable_when_port_is_busy() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(PortBusyError, match="EMULATOR_PORT="),
    ):
        require_free(other.getsockname()[1], variable="EMULATOR_PORT")


def test_listen_takes_one_port_on_loopback_only() -> None:
    listeners = listen_on_loopback(0, variable="PORT")
    addresses = [listener.getsockname()[:2] for listener in listeners]
    for listener in listeners:
        listener.close()
    assert {host for host, _ in addresses} <= {"127.0.0.1", "::1"}
    assert len({port for _, port in addresses}) == 1


def test_listen_leaves_nothing_open_when_it_fails() -> None:
    port = find_free_port()
    listeners = listen_on_loopback(port, variable="PORT")
    listeners[0].close()  # the first address is free now, a second one would not be
    if len(listeners) > 1:
        with pytest.raises(PortBusyError):
            listen_on_loopback(port, variable="PORT")
        listeners[1].close()
    for listener in listen_on_loopback(port, variable="PORT"):
        listener.close()
