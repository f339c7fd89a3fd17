import asyncio
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

import httpcore

from rune.net.addresses import Address, AddressPolicy, parse_backend_url
from rune.net.round_trip import measure_round_trip_ms
from tests.unit.llm.scripted_server import serve

MS = 1_000_000
LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


class Connection(httpcore.AsyncMockStream):
    def __init__(self) -> None:
        super().__init__([])
        self.is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True


class Network(httpcore.AsyncNetworkBackend):
    """Takes connections to one address only."""

    def __init__(self, good: str) -> None:
        self.good = good
        self.connections: list[Connection] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if host != self.good:
            raise httpcore.ConnectTimeout
        self.connections.append(Connection())
        return self.connections[-1]


def ticking(*instants_ms: int) -> Callable[[], int]:
    """Return a clock that shows these instants, one after another."""
    remaining: Iterator[int] = iter(instants_ms)
    return lambda: next(remaining) * MS


def measure(network: Network, clock: Callable[[], int], *addresses: str) -> float | None:
    async def resolve(_host: str) -> tuple[Address, ...]:
        return tuple(ip_address(address) for address in addresses)

    url = parse_backend_url("http://model.example", AddressPolicy())
    return asyncio.run(
        measure_round_trip_ms(url, AddressPolicy(), resolve=resolve, network=network, now_ns=clock)
    )


def test_round_trip_is_the_time_of_one_handshake_whose_connection_is_closed() -> None:
    network = Network("8.8.8.8")

    assert measure(network, ticking(100, 112), "8.8.8.8") == 12.0
    assert [connection.is_closed for connection in network.connections] == [True]


def test_round_trip_leaves_out_an_address_that_did_not_answer() -> None:
    assert measure(Network("1.1.1.1"), ticking(100, 5000, 5012), "8.8.8.8", "1.1.1.1") == 12.0


def test_round_trip_is_unknown_when_nobody_answers() -> None:
    assert measure(Network("1.1.1.1"), ticking(100), "8.8.8.8") is None


def test_round_trip_is_unknown_when_the_address_is_refused() -> None:
    network = Network("10.0.0.1")

    assert measure(network, ticking(), "10.0.0.1") is None
    assert network.connections == []


def test_round_trip_is_unknown_when_the_name_has_no_address() -> None:
    assert measure(Network(""), ticking()) is None


def test_round_trip_asks_the_server_nothing() -> None:
    async def go() -> tuple[float | None, int]:
        async with serve() as server:
            measured_ms = await measure_round_trip_ms(parse_backend_url(server.url, LOOPBACK), LOOPBACK)
            await asyncio.sleep(0.01)
            return measured_ms, server.connection_count

    measured_ms, connection_count = asyncio.run(go())

    assert measured_ms is not None
    assert 0 < measured_ms < 1000
    assert connection_count == 1
