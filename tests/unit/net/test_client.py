import asyncio
from ipaddress import ip_address
from itertools import combinations

import httpcore
import httpx
import pytest

from rune.errors import AddressRefusedError
from rune.net import client as client_module
from rune.net.addresses import Address, AddressPolicy
from rune.net.client import open_client
from rune.net.guarded_network import GuardedNetwork
from tests.unit.llm.scripted_server import (
    Close,
    Pause,
    Reset,
    Script,
    ScriptedServer,
    chunked,
    head,
    serve,
    whole,
)

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


def get(
    *scripts: Script, policy: AddressPolicy = LOOPBACK, read_timeout_seconds: float = 5.0
) -> tuple[list[httpx.Response], ScriptedServer]:
    """Ask once per script, all with one client."""

    async def go() -> tuple[list[httpx.Response], ScriptedServer]:
        async with (
            serve(*scripts) as server,
            open_client(policy, read_timeout_seconds=read_timeout_seconds) as client,
        ):
            return [await client.get(server.url + "/x") for _ in scripts], server

    return asyncio.run(go())


def test_client_reaches_server_when_its_network_is_allowed() -> None:
    [response], _ = get([whole(200, {"a": 1})])

    assert response.json() == {"a": 1}


def test_client_connects_to_nothing_when_the_address_is_refused() -> None:
    async def go() -> int:
        async with serve() as server, open_client(AddressPolicy()) as client:
            with pytest.raises(AddressRefusedError):
                await client.get(server.url)
            return server.connection_count

    assert asyncio.run(go()) == 0


def test_client_is_refused_at_the_second_connection_when_the_name_is_rebound() -> None:
    answers = [(ip_address("127.0.0.1"),), (ip_address("127.0.0.1"), ip_address("10.0.0.1"))]

    async def resolve(host: str) -> tuple[Address, ...]:
        return answers.pop(0)

    async def go() -> ScriptedServer:
        network = GuardedNetwork(LOOPBACK, resolve=resolve)
        async with serve([head() + b"x"]) as server, open_client(LOOPBACK, network=network) as client:
            url = server.url.replace("127.0.0.1", "rebound.example")
            await client.get(url)
            with pytest.raises(AddressRefusedError):
                await client.get(url)
            return server

    server = asyncio.run(go())
    assert server.connection_count == 1
    assert server.requests[0].headers["host"].startswith("rebound.example:")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_client_ignores_proxy_when_the_environment_names_one(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://192.0.2.1:1")

    [response], _ = get([whole(200, 1)])

    assert response.status_code == 200


def test_client_trusts_nothing_in_the_environment() -> None:
    assert not open_client(LOOPBACK).trust_env


def test_client_follows_no_redirect() -> None:
    [response], server = get([whole(302, None, "Location: /elsewhere")])

    assert (response.status_code, len(server.requests)) == (302, 1)


def test_client_sends_no_cookie_when_the_server_has_set_one() -> None:
    _, server = get([whole(200, 1, "Set-Cookie: a=b; Path=/")], [whole(200, 2)])

    assert "cookie" not in server.requests[1].headers


def test_client_asks_for_uncompressed_bodies_and_keeps_the_connection() -> None:
    _, server = get([whole(200, 1)], [whole(200, 2)])

    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.connection_count == 1


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ([Close()], httpx.RemoteProtocolError),
        ([head()[:20], Close()], httpx.RemoteProtocolError),
        ([Reset()], httpx.ReadError),
        ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Close()], httpx.RemoteProtocolError),
        ([Pause(0.2)], httpx.ReadTimeout),
        ([head(200, "", "Transfer-Encoding: chunked") + chunked(b"x")], httpx.RemoteProtocolError),
        ([head(200, "", "Content-Length: 5") + b"x"], httpx.RemoteProtocolError),
        ([head(200, "", "Content-Length: 5") + b"x", Pause(0.2)], httpx.ReadTimeout),
    ],
)
def test_client_raises_errors_of_httpx_when_the_server_misbehaves(
    script: Script, error_type: type[httpx.TransportError]
) -> None:
    with pytest.raises(error_type) as raised:
        get(script, read_timeout_seconds=0.05)

    assert type(raised.value) is error_type


def test_client_raises_connect_error_when_nobody_listens() -> None:
    async def go() -> None:
        async with serve() as server:
            url = server.url
        async with open_client(LOOPBACK) as client:
            await client.get(url)

    with pytest.raises(httpx.ConnectError):
        asyncio.run(go())


def test_client_raises_pool_timeout_when_all_connections_are_taken() -> None:
    async def go() -> None:
        async with (
            serve([head(), Pause(0.2)]) as server,
            open_client(LOOPBACK, max_connections=1, connect_timeout_seconds=0.02) as client,
            client.stream("GET", server.url),
        ):
            await client.get(server.url)

    with pytest.raises(httpx.PoolTimeout):
        asyncio.run(go())


def test_transport_knows_every_error_that_httpcore_raises_for_a_request() -> None:
    bases = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
    exported = [error for error in vars(httpcore).values() if isinstance(error, type)]
    known = [core for core, _ in client_module._ERROR_PAIRS]

    assert [error for error in exported if issubclass(error, bases) and error not in known] == []
    assert not [later for earlier, later in combinations(known, 2) if issubclass(later, earlier)]
