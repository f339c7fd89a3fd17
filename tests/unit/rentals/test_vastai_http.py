import asyncio
import gzip
import json
import socket
import time
from collections.abc import Mapping

import pytest

from rune.rentals import vastai_http
from rune.rentals.vastai import Method, RequestNotSentError, ResponseLostError
from rune.rentals.vastai_http import HttpVastaiTransport
from rune.rentals.vastai_responses import VastaiResponse
from tests.unit.llm.scripted_server import (
    Close,
    Hold,
    Pause,
    Request,
    Reset,
    Script,
    Step,
    head,
    serve,
    whole,
)

KEY = "vast-key-of-the-tests"


async def transport(
    url: str,
    method: Method = "GET",
    *,
    timeout_seconds: float = 5.0,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, object] | None = None,
) -> VastaiResponse:
    return await HttpVastaiTransport(url, KEY)(
        method, "/api/v0/x/", timeout_seconds=timeout_seconds, query=query, body=body
    )


def ask(
    script: Script, method: Method = "GET", timeout_seconds: float = 5.0
) -> tuple[VastaiResponse, list[Request]]:
    """Return what comes back from a server that plays the script, and what it was sent."""

    async def main() -> tuple[VastaiResponse, list[Request]]:
        async with serve(script) as server:
            answer = await transport(server.url, method, timeout_seconds=timeout_seconds, body={})
            return answer, server.requests

    return asyncio.run(main())


@pytest.mark.parametrize("status", [200, 400, 404, 410, 429, 500, 502])
def test_transport_returns_the_answer_whatever_its_status(status: int) -> None:
    answer, _ = ask([whole(status, {"success": status == 200}, "Retry-After: 7")])

    assert answer == VastaiResponse(status, json.dumps({"success": status == 200}), "7")


def test_transport_sends_the_key_in_the_header_and_nowhere_else() -> None:
    async def main() -> Request:
        async with serve([whole(200, {})]) as server:
            await transport(server.url, "PUT", query={"limit": "25"}, body={"label": "x"})
            return server.requests[0]

    request = asyncio.run(main())

    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.method, request.path) == ("PUT", "/api/v0/x/?limit=25")
    assert request.body == {"label": "x"}
    assert request.headers["content-type"] == "application/json"
    others = {name: value for name, value in request.headers.items() if name != "authorization"}
    assert KEY not in f"{request.path}{others}{request.body}"


def test_transport_takes_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert ask([whole(200, {})])[0].status == 200


def test_transport_sends_an_empty_object_where_the_body_is_one() -> None:
    _, (request,) = ask([whole(200, {})], "DELETE")

    assert (request.headers["content-length"], request.method) == ("2", "DELETE")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_transport_follows_no_redirect(status: int) -> None:
    async def main() -> tuple[VastaiResponse, list[Request]]:
        async with (
            serve() as elsewhere,
            serve([head(status, "", f"Location: {elsewhere.url}/"), Close()]) as server,
        ):
            return await transport(server.url, "PUT", body={}), elsewhere.requests

    answer, requests = asyncio.run(main())

    assert (answer.status, requests) == (status, [])


def test_transport_was_not_sent_when_the_connection_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(RequestNotSentError):
            asyncio.run(transport(url, "PUT"))


def test_transport_was_not_sent_when_the_other_side_does_not_shake_hands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vastai_http, "_CONNECT_TIMEOUT_SECONDS", 0.2)

    async def main() -> list[Request]:
        async with serve([whole(200, {})]) as server:
            with pytest.raises(RequestNotSentError):
                await transport(server.url.replace("http:", "https:"), "PUT")
            return server.requests

    assert asyncio.run(main()) == []


LOST: list[tuple[str, Script]] = [
    ("closed without a word", [Close()]),
    ("reset without a word", [Reset()]),
    ("silent", [Hold()]),
    ("no HTTP", [b"SSH-2.0-OpenSSH_9.2\r\n", Close()]),
    ("head cut short", [b"HTTP/1.1 200 O", Close()]),
    ("body cut short", [whole(200, {"success": True})[:-3], Close()]),
    ("body reset", [whole(200, {"success": True})[:-3], Pause(0.05), Reset()]),
    ("body silent", [whole(200, {"success": True})[:-3], Hold()]),
    ("no gzip", [head(200, "application/json", "Content-Encoding: gzip"), b"not gzip", Close()]),
]


@pytest.mark.parametrize("script", [script for _, script in LOST], ids=[name for name, _ in LOST])
def test_transport_is_lost_when_the_request_left_and_no_whole_answer_came(script: Script) -> None:
    async def main() -> int:
        async with serve(script, script) as server:
            with pytest.raises(ResponseLostError):
                await transport(server.url, "PUT", timeout_seconds=0.3, body={"label": "x"})
            return len(server.requests)

    assert asyncio.run(main()) == 1


def test_transport_waits_for_a_slow_answer_within_its_time() -> None:
    body = {"success": True}
    sent = whole(200, body)

    answer, _ = ask([sent[:20], Pause(0.15), sent[20:60], Pause(0.15), sent[60:]])

    assert answer == VastaiResponse(200, json.dumps(body), "")


def test_transport_is_lost_when_an_answer_trickles_beyond_its_time() -> None:
    slowly: list[Step] = [b" ", Pause(0.15)]
    trickle: Script = [head(200, "application/json"), *(slowly * 16), b"{}", Close()]
    began_seconds = time.monotonic()

    with pytest.raises(ResponseLostError):
        ask(trickle, "PUT", timeout_seconds=0.5)

    assert time.monotonic() - began_seconds < 1.5


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_transport_is_lost_when_the_answer_is_too_large(
    packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vastai_http, "MAX_ANSWER_BYTES", 1000)
    text = b" " * 1001
    headers = ["Content-Encoding: gzip"] if packed else []
    body = gzip.compress(text) if packed else text

    with pytest.raises(ResponseLostError):
        ask([head(200, "application/json", *headers), body, Close()])


def test_transport_takes_an_answer_of_just_the_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vastai_http, "MAX_ANSWER_BYTES", 1000)

    assert ask([head(200, "application/json"), b" " * 1000, Close()])[0].text == " " * 1000


def test_transport_reads_bytes_that_are_no_text() -> None:
    assert ask([head(502, "text/html"), b"\xff\xfe", Close()])[0] == VastaiResponse(502, "��")
