"""Addresses to which events are posted, and posting there."""

import asyncio
import time
from ipaddress import ip_address

import httpx
import pytest

from rune.errors import (
    AddressRefusedError,
    AddressUnresolvedError,
    BadResponseError,
    RuneError,
    ServerTimeoutError,
    ServerUnreachableError,
)
from rune.net.addresses import Address, AddressPolicy, parse_receiver_url
from rune.net.client import open_client
from rune.net.guarded_network import GuardedNetwork, Resolve, resolve_ipv4
from rune.net.posts import TOTAL_TIMEOUT_SECONDS, PostAnswer, PostClient
from tests.unit.llm.scripted_server import (
    Hold,
    Pause,
    Reset,
    Script,
    ScriptedServer,
    head,
    listening,
    whole,
)

PUBLIC_ONLY = AddressPolicy()
WITH_LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hook.example", "https://hook.example/"),
        ("https://HOOK.example:443/A/b/?key=1&x=%20", "https://hook.example/A/b/?key=1&x=%20"),
        ("https://hook.example:8443/a", "https://hook.example:8443/a"),
        ("https://8.8.8.8/a", "https://8.8.8.8/a"),
    ],
)
def test_path_and_query_of_a_receiver_are_kept(url: str, kept: str) -> None:
    assert parse_receiver_url(url, PUBLIC_ONLY) == kept


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://hook.example/", "The address must begin with https://."),
        ("http://8.8.8.8/", "'8.8.8.8' is in a network to which RUNE does not connect."),
        ("https://127.0.0.1/", "'127.0.0.1' is in a network to which RUNE does not connect."),
        ("https://2130706433/", "'2130706433' is in a network to which RUNE does not connect."),
        ("https://localhost/", "'localhost' is in a network to which RUNE does not connect."),
        ("https://169.254.169.254/", "'169.254.169.254' is in a network to which RUNE does not connect."),
        ("https://a@hook.example/", "The address may not hold a user name or a password."),
        ("https://hook.example/#top", "The address may not have a fragment (#)."),
        ("https://hook.example/?a=<b>", "The query of the address holds characters that a URL may not hold."),
        ("ftp://hook.example/", "The address must begin with http:// or https://."),
    ],
)
def test_receiver_is_refused_at_the_door(url: str, sentence: str) -> None:
    with pytest.raises(AddressRefusedError) as refused:
        parse_receiver_url(url, PUBLIC_ONLY)

    assert refused.value.sentence == sentence


def test_plain_http_is_for_the_operators_own_networks() -> None:
    assert parse_receiver_url("http://127.0.0.1:9000/a", WITH_LOOPBACK) == "http://127.0.0.1:9000/a"
    assert parse_receiver_url("http://inner.example/a", WITH_LOOPBACK) == "http://inner.example/a"
    with pytest.raises(AddressRefusedError):
        parse_receiver_url("http://8.8.8.8/", WITH_LOOPBACK)


# ---------------------------------------------------------------- posting


def post(
    script: Script,
    *,
    policy: AddressPolicy = WITH_LOOPBACK,
    resolve: Resolve | None = None,
    timeout_seconds: float = 5.0,
) -> tuple[PostAnswer | RuneError, ScriptedServer]:
    """Post once to a name if there is a resolver, else to the server's address."""

    async def go() -> tuple[PostAnswer | RuneError, ScriptedServer]:
        async with listening(ScriptedServer([script])) as server:
            client = PostClient(
                policy, total_timeout_seconds=timeout_seconds, resolve=resolve or resolve_ipv4
            )
            url = server.url if resolve is None else server.url.replace("127.0.0.1", "hook.example")
            try:
                headers = {"webhook-id": "evt_1", "Content-Type": "application/json"}
                return await client.post(f"{url}/in?k=1", b'{"a": 1}', headers, head_bytes=10), server
            except RuneError as error:
                return error, server
            finally:
                await client.aclose()

    return asyncio.run(go())


def resolving(address: str) -> Resolve:
    async def resolve(_host: str) -> tuple[Address, ...]:
        return (ip_address(address),)

    return resolve


def test_bytes_and_headers_are_sent_as_given() -> None:
    answer, server = post([whole(200, "0123456789abc")])

    assert answer == PostAnswer(200, None, b'"012345678')
    [request] = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/in?k=1", {"a": 1})
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["connection"] == "close"


def test_redirect_is_an_answer_and_not_followed() -> None:
    answer, server = post([whole(302, None, "Location: /elsewhere")])

    assert isinstance(answer, PostAnswer)
    assert (answer.status, len(server.requests)) == (302, 1)


def test_receiver_may_ask_to_wait() -> None:
    answer, _ = post([whole(429, None, "Retry-After: 120")])

    assert isinstance(answer, PostAnswer)
    assert answer.retry_after_seconds == 120


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254"])
def test_name_that_was_rebound_is_not_connected_to(address: str) -> None:
    answer, server = post([whole(200, 1)], resolve=resolving(address))

    assert isinstance(answer, AddressRefusedError)
    assert server.connection_count == 0


def test_plain_http_to_a_public_address_is_not_connected_to() -> None:
    answer, _ = post([whole(200, 1)], resolve=resolving("8.8.8.8"))

    assert isinstance(answer, AddressRefusedError)


def test_name_without_an_address_is_told_apart() -> None:
    async def resolve(_host: str) -> tuple[Address, ...]:
        raise OSError("no such name")

    answer, _ = post([whole(200, 1)], resolve=resolve)

    assert isinstance(answer, AddressUnresolvedError)


@pytest.mark.parametrize("script", [[Hold()], [b"HTTP/1.1 2", Pause(1)]], ids=["silent", "drips"])
def test_receiver_has_so_long_to_answer(script: Script) -> None:
    began = time.monotonic()

    answer, _ = post(script, timeout_seconds=0.1)

    assert isinstance(answer, ServerTimeoutError)
    assert time.monotonic() - began < 1


def test_receiver_may_be_silent_for_all_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read_timeouts: list[float] = []

    def open_watched(
        policy: AddressPolicy,
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        network: GuardedNetwork,
    ) -> httpx.AsyncClient:
        read_timeouts.append(read_timeout_seconds)
        return open_client(
            policy,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            network=network,
        )

    monkeypatch.setattr("rune.net.posts.open_client", open_watched)

    post([whole(200, 1)], timeout_seconds=TOTAL_TIMEOUT_SECONDS)

    assert read_timeouts == [15]


def test_status_counts_though_the_body_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rune.net.posts._BODY_SECONDS", 0.05)

    answer, _ = post([head(200), b"tha", Hold()], timeout_seconds=0.5)

    assert answer == PostAnswer(200, None, b"")


@pytest.mark.parametrize(
    ("script", "error"),
    [([Reset()], ServerUnreachableError), ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], BadResponseError)],
)
def test_no_answer_is_an_error(script: Script, error: type[RuneError]) -> None:
    answer, _ = post(script)

    assert type(answer) is error
