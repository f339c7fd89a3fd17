import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address

import httpcore
import pytest

from rune.errors import AddressRefusedError, AddressUnresolvedError
from rune.net import guarded_network as backend_module
from rune.net.addresses import Address, AddressPolicy
from rune.net.guarded_network import GuardedNetwork, resolve_ipv4

PUBLIC_ONLY = AddressPolicy()


class RecordingNetwork(httpcore.AsyncNetworkBackend):
    """Takes connections to no address but the good ones, and remembers who was tried."""

    def __init__(self, *good: str) -> None:
        self.good = good
        self.tried: list[tuple[str, int]] = []
        self.timeouts: list[float | None] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.tried.append((host, port))
        self.timeouts.append(timeout)
        if host not in self.good:
            raise httpcore.ConnectError("refused")
        return httpcore.AsyncMockStream([])


def answering(*answers: tuple[str, ...]) -> Callable[[str], Awaitable[tuple[Address, ...]]]:
    """Return a resolver that gives one answer after another, as a rebinding name server does."""
    remaining = iter(answers)

    async def resolve(host: str) -> tuple[Address, ...]:
        return tuple(ip_address(text) for text in next(remaining))

    return resolve


def connect(backend: GuardedNetwork, host: str, *, timeout_seconds: float | None = 1.0) -> None:
    asyncio.run(backend.connect_tcp(host, 80, timeout_seconds))


def test_backend_connects_to_the_judged_address_when_the_name_is_public() -> None:
    network = RecordingNetwork("8.8.8.8")

    connect(GuardedNetwork(PUBLIC_ONLY, resolve=answering(("8.8.8.8",)), network=network), "example.com")

    assert network.tried == [("8.8.8.8", 80)]


def test_backend_resolves_once_per_connection_when_the_name_is_rebound() -> None:
    network = RecordingNetwork("8.8.8.8")
    backend = GuardedNetwork(PUBLIC_ONLY, resolve=answering(("8.8.8.8",), ("127.0.0.1",)), network=network)

    connect(backend, "rebound.example")
    with pytest.raises(AddressRefusedError):
        connect(backend, "rebound.example")

    assert network.tried == [("8.8.8.8", 80)]


@pytest.mark.parametrize(
    "answer", [("8.8.8.8", "127.0.0.1"), ("10.0.0.1", "8.8.8.8"), (*["8.8.8.8"] * 20, "169.254.169.254")]
)
def test_backend_connects_to_nothing_when_one_of_the_answers_is_refused(answer: tuple[str, ...]) -> None:
    network = RecordingNetwork("8.8.8.8")
    backend = GuardedNetwork(PUBLIC_ONLY, resolve=answering(answer), network=network)

    with pytest.raises(AddressRefusedError, match=r"mixed\.example") as refusal:
        connect(backend, "mixed.example")

    assert network.tried == []
    assert all(address not in refusal.value.sentence for address in answer)


def test_backend_tries_addresses_in_order_when_the_first_does_not_answer() -> None:
    network = RecordingNetwork("9.9.9.9")
    backend = GuardedNetwork(PUBLIC_ONLY, resolve=answering(("8.8.8.8", "9.9.9.9")), network=network)

    connect(backend, "example.com")

    assert network.tried == [("8.8.8.8", 80), ("9.9.9.9", 80)]
    assert network.timeouts[0] == pytest.approx(0.5, abs=0.05)


def test_backend_gives_up_when_a_name_has_very_many_silent_addresses() -> None:
    network = RecordingNetwork()
    many = tuple(f"8.8.{index}.8" for index in range(100))
    backend = GuardedNetwork(PUBLIC_ONLY, resolve=answering(many), network=network)

    with pytest.raises(httpcore.ConnectError):
        connect(backend, "many.example", timeout_seconds=None)

    assert len(network.tried) == backend_module.MAX_ADDRESSES


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "::ffff:127.0.0.1", "::1", "0"])
def test_backend_refuses_number_without_asking_a_name_server(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        connect(GuardedNetwork(PUBLIC_ONLY, resolve=answering(), network=RecordingNetwork()), host)


def test_backend_connects_to_ipv4_when_the_address_is_mapped() -> None:
    network = RecordingNetwork("8.8.8.8")

    connect(GuardedNetwork(PUBLIC_ONLY, resolve=answering(), network=network), "::ffff:8.8.8.8")

    assert network.tried == [("8.8.8.8", 80)]


@pytest.mark.parametrize("failure", [socket.gaierror(socket.EAI_NONAME, "no"), UnicodeError(), None])
def test_backend_says_unresolved_when_the_name_has_no_address(failure: Exception | None) -> None:
    async def resolve(host: str) -> tuple[Address, ...]:
        if failure is not None:
            raise failure
        return ()

    with pytest.raises(AddressUnresolvedError, match="nowhere"):
        connect(GuardedNetwork(PUBLIC_ONLY, resolve=resolve, network=RecordingNetwork()), "nowhere")


def test_backend_says_unresolved_when_the_name_server_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str) -> tuple[Address, ...]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(backend_module, "RESOLVE_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(AddressUnresolvedError):
        connect(GuardedNetwork(PUBLIC_ONLY, resolve=resolve, network=RecordingNetwork()), "slow.example")


def test_backend_refuses_unix_sockets() -> None:
    with pytest.raises(AddressRefusedError):
        asyncio.run(GuardedNetwork(AddressPolicy.parse("0.0.0.0/0")).connect_unix_socket("/run/docker.sock"))


def test_resolver_gives_ipv4_only_when_the_name_has_both() -> None:
    assert asyncio.run(resolve_ipv4("localhost")) == (ip_address("127.0.0.1"),)
