import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from rune.rentals.guard import (
    DIGEST_VARIABLE,
    HOST_VARIABLE,
    PROXY,
    REFUSAL,
    fits,
    guard_start,
    make_environment,
    make_key,
)
from rune.rentals.provider import Template
from rune.rentals.self_destruct import START, make_script
from tests.unit.rentals.guarded_server import KEY, Guarded, free_port, guarded, read_all, running

MAX_SCRIPT_CHARS = 4_096 - len("/bin/sh") - len("-c")
"""Of args and onstart together (vast-ai/docs, create_instance)."""

HEAD = f"Host: 203.0.113.7:40123\r\nAuthorization: Bearer {KEY}\r\n".encode()


@pytest.fixture(scope="module")
def _server() -> Iterator[Guarded]:
    with guarded() as server:
        yield server


@pytest.fixture
def server(_server: Guarded) -> Guarded:
    assert _server.inner is not None
    _server.inner.requests.clear()
    _server.inner.may_go_on.clear()
    return _server


def seen_by(server: Guarded) -> list[str]:
    assert server.inner is not None
    return [f"{asked.method} {asked.path}" for asked in server.inner.requests]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/tags"),
        ("GET", "/api/tags?x=1"),
        ("HEAD", "/"),
        ("POST", "/api/chat"),
        ("DELETE", "/api/delete"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/metrics"),
    ],
)
def test_every_path_is_open_with_the_key_and_to_nobody_else(server: Guarded, method: str, path: str) -> None:
    with_key, without = server.ask(method, path), server.ask(method, path, authorization=None)

    assert (with_key[0], without[0]) == (200, 401)
    assert seen_by(server) == [f"{method} {path}"]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}k",
        f"Bearer {KEY} {KEY}",
        f"Basic {KEY}",
        KEY,
        f"Bearer {sha256(KEY.encode()).hexdigest()}",
        f"Bearer {'k' * 56}",
        f"Bearer {'k' * 4000}",
    ],
)
def test_a_missing_or_wrong_key_is_refused(server: Guarded, authorization: str | None) -> None:
    assert server.ask(authorization=authorization) == (401, b'{"error":"guard: 401"}')
    assert seen_by(server) == []


def test_two_keys_are_refused_although_one_is_right(server: Guarded) -> None:
    answer = server.send(b"GET / HTTP/1.1\r\n" + HEAD + b"Authorization: Bearer wrong\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 401 ")


def test_key_is_not_passed_on_and_the_host_is_the_loopback(server: Guarded) -> None:
    server.send(
        b"POST /api/chat HTTP/1.1\r\n" + HEAD + b"Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\n"
        b"Proxy-Authorization: secret\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )

    assert server.inner is not None
    (asked,) = server.inner.requests
    assert asked.headers == {
        "host": f"127.0.0.1:{server.inner.server_port}",
        "connection": "close",
        "content-type": "application/json",
        "content-length": "2",
    }
    assert asked.body == b"{}"


@pytest.mark.parametrize(
    "second", [b"GET /second HTTP/1.1\r\n" + HEAD + b"\r\n", b"GET /second HTTP/1.1\r\n\r\n"]
)
@pytest.mark.parametrize(
    "first",
    [
        b"GET /first HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"POST /first HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}",
        b"POST /first HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_a_second_request_on_the_connection_is_not_served(
    server: Guarded, first: bytes, second: bytes
) -> None:
    answer = server.send(first + second)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert [path.partition(" ")[2] for path in seen_by(server)] == ["/first"]


def test_a_second_request_that_comes_later_is_not_served(server: Guarded) -> None:
    assert server.inner is not None
    with server.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\n" + HEAD + b"\r\n")
        while b"one" not in connection.recv(65536):
            pass
        connection.sendall(b"GET /second HTTP/1.1\r\n\r\n")
        time.sleep(0.1)
        server.inner.may_go_on.set()
        assert b"two" in read_all(connection)

    assert seen_by(server) == ["GET /stream"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET http://example.com/ HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET / HTTP/2.0\r\n" + HEAD + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X-Folded: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X-Bare: a\nContent-Length: 9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X-Bare: a\rContent-Length: 9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X-Nul: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"no colon\r\n\r\n",
    ],
)
def test_what_two_servers_may_read_differently_is_refused(server: Guarded, request_bytes: bytes) -> None:
    assert server.send(request_bytes).startswith(b"HTTP/1.1 400 ")
    assert seen_by(server) == []


def test_an_answer_streams(server: Guarded) -> None:
    assert server.inner is not None
    with server.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\n" + HEAD + b"\r\n")
        first = b""
        while b"one" not in first:
            first += connection.recv(65536)
        # The second line is not sent before this.
        server.inner.may_go_on.set()
        rest = read_all(connection)

    assert first.endswith(b"4\r\none\n\r\n")
    assert rest.endswith(b"4\r\ntwo\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_comes_through_both_ways(server: Guarded, is_chunked: bool) -> None:
    body = bytes(range(256)) * 40_000

    status, echoed = server.ask("POST", "/api/blobs", body=iter([body]) if is_chunked else body)

    assert (status, echoed == body) == (200, True)


def test_an_answer_that_comes_before_the_body_is_over_is_not_lost(server: Guarded) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"POST /early HTTP/1.1\r\n" + HEAD + b"Content-Length: 300000\r\n\r\n" + b"x" * 100_000
        )
        time.sleep(0.3)
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_refusal_is_not_lost_to_who_sends_a_body(server: Guarded) -> None:
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
            assert read_all(connection).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_leaves_is_told_to_the_server(server: Guarded) -> None:
    assert server.inner is not None
    with server.connect() as connection:
        connection.sendall(b"GET /gone HTTP/1.1\r\n" + HEAD + b"\r\n")
        while seen_by(server) != ["GET /gone"]:
            time.sleep(0.01)

    assert server.inner.was_left.wait(5)


def test_a_head_may_come_byte_by_byte(server: Guarded) -> None:
    with server.connect() as connection:
        for byte in b"GET /slow HTTP/1.1\r\n" + HEAD + b"\r\n":
            connection.sendall(bytes([byte]))
        assert b"answer" in read_all(connection)


def test_a_head_that_does_not_come_is_waited_for_ten_seconds(server: Guarded) -> None:
    began = time.monotonic()
    with server.connect() as silent, server.connect() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(8):
            time.sleep(1)
            slow.sendall(b"x")
        # Who waits keeps nobody else waiting.
        assert server.ask()[0] == 200
        answers = [read_all(silent), read_all(slow)]

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 408 "] * 2
    assert 9 < time.monotonic() - began < 15


def test_a_head_that_is_too_long_is_refused(server: Guarded) -> None:
    answer = server.send(b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 30_000)

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_strangers_who_only_connect_keep_nobody_out(server: Guarded) -> None:
    strangers = [server.connect() for _ in range(450)]
    try:
        assert server.ask()[0] == 200
    finally:
        for stranger in strangers:
            stranger.close()


def test_many_are_served_at_once(server: Guarded) -> None:
    body = b"x" * 200_000

    def ask(number: int) -> int:
        if number % 4 == 0:
            return server.ask(authorization="Bearer wrong")[0]
        status, echoed = server.ask("POST", f"/{number}", body=body)
        return status if echoed == body else 0

    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(ask, range(200)))

    assert statuses == [401 if number % 4 == 0 else 200 for number in range(200)]


def test_nobody_behind_it_is_a_bad_gateway_and_a_refusal_without_the_key() -> None:
    with guarded(is_up=False) as server:
        assert server.ask() == (502, b'{"error":"guard: 502"}')
        assert server.ask(authorization=None)[0] == 401


def test_proxy_is_started_again_when_it_dies(server: Guarded) -> None:
    subprocess.run(  # noqa: S603
        ["/usr/bin/pkill", "-KILL", "-g", str(server.process.pid), "perl"],
        check=True,
    )
    time.sleep(1.5)

    assert server.ask()[0] == 200


def test_server_is_not_started_where_nothing_can_guard_it(tmp_path: Path) -> None:
    for tool in ("base64", "gzip", "sleep"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    script = guard_start("echo started; exec sleep 60", port=free_port(), inner_port=free_port())

    with running(script, {**make_environment(KEY), "PATH": str(tmp_path)}) as process:
        output, _ = process.communicate(timeout=10)

    assert process.returncode == 1
    assert output.decode().splitlines()[-1] == REFUSAL


def test_server_listens_on_loopback_and_stands_in_for_the_shell() -> None:
    script = guard_start('echo "$$ $OLLAMA_HOST"; exec sleep 60', port=free_port(), inner_port=40123)

    with running(script, {**make_environment(KEY), HOST_VARIABLE: "0.0.0.0:11434"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid} 127.0.0.1:40123\n".encode()


@pytest.mark.parametrize("digest", [None, "", "00", "x" * 64])
def test_proxy_lets_nobody_in_without_a_digest(digest: str | None) -> None:
    port = free_port()
    environment = {} if digest is None else {DIGEST_VARIABLE: digest}
    script = guard_start("exec sleep 60", port=port, inner_port=free_port())

    with running(script, environment):
        time.sleep(0.5)
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nAuthorization: Bearer \r\n\r\n")
                assert read_all(connection).startswith(b"HTTP/1.1 401 ")
        except ConnectionRefusedError:
            pass


@pytest.mark.parametrize("length", [*range(1, 56, 9), 55])
def test_proxy_knows_keys_of_every_length(length: int) -> None:
    key = ("The quick brown fox jumps over the lazy dog, 0123456789" * 2).replace(" ", "_")[:length]
    program = PROXY.partition("$SIG{PIPE}")[0] + 'print unpack "H*", sha256($ENV{KEY});'

    printed = subprocess.run(  # noqa: S603
        ["/usr/bin/perl", "-e", program],
        env={**make_environment("x"), "KEY": key},
        capture_output=True,
        check=True,
    )

    assert printed.stdout.decode() == sha256(key.encode()).hexdigest()


def test_proxy_needs_no_module_but_those_of_perl_base() -> None:
    listed = subprocess.run(
        ["/usr/bin/dpkg", "-L", "perl-base"], capture_output=True, check=True, text=True
    ).stdout

    assert re.findall(r"^use (\w+)", PROXY, re.MULTILINE) == ["Socket"]
    assert "/perl-base/Socket.pm\n" in listed


def test_script_fits_into_an_order_beside_the_one_that_destroys_the_machine() -> None:
    script = make_script("https://console.vast.ai", guard_start(START))

    assert script is not None
    assert script.endswith(f"\n{START}\n")
    assert len(script) <= MAX_SCRIPT_CHARS


def test_environment_does_not_tell_the_key_and_closes_a_machine_that_does_not_run_the_script() -> None:
    key = make_key()

    assert make_environment(key) == {
        HOST_VARIABLE: "127.0.0.1:11435",
        DIGEST_VARIABLE: sha256(key.encode()).hexdigest(),
    }


def test_keys_are_fresh_and_fit_into_one_block() -> None:
    keys = {make_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(re.fullmatch(r"[\w-]{43}", key) for key in keys)


def test_templates_of_callers_are_left_as_they_are() -> None:
    assert fits(None)
    assert not fits(Template("hash", "ollama/ollama", "", 40, starts_itself=True))
