import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from rune.rentals.provider import Template
from rune.rentals.self_destruct import (
    EXPIRES_VARIABLE,
    LIFE_VARIABLE,
    START,
    STARTED,
    fits,
    make_environment,
    make_script,
)
from tests.builders import NOW, after
from tests.unit.rentals.tls_server import Authority, TlsServer, serve_tls

LONGEST_WAIT_SECONDS = 10.0
QUIET_SECONDS = 1.5
"""Long enough for a request that should not come; one that should takes 0.1 s."""

LONG_AGO = "1000000000"

DELETE = (
    b"DELETE /api/v0/instances/28104977/ HTTP/1.1\r\n"
    b"Host: localhost\r\n"
    b"Authorization: Bearer key-of-this-machine\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 2\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"{}"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@contextmanager
def running(script: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script as the machine's `/bin/sh` does, and end all that it started."""
    process = subprocess.Popen(  # noqa: S603  # the script under test
        ["/bin/sh", "-c", script],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=LONGEST_WAIT_SECONDS)


def a_machine(trusted: Path, expires: str = LONG_AGO, life_seconds: str = "3600") -> dict[str, str]:
    """Return the environment of a machine that trusts one authority."""
    return {
        EXPIRES_VARIABLE: expires,
        LIFE_VARIABLE: life_seconds,
        "CONTAINER_ID": "28104977",
        "CONTAINER_API_KEY": "key-of-this-machine",
        "SSL_CERT_FILE": str(trusted),
        "SSL_CERT_DIR": "/nonexistent",
    }


def script_for(server: TlsServer) -> str:
    script = make_script(f"https://localhost:{server.port}", start="exec sleep 60")
    assert script is not None
    return script


def test_machine_destroys_itself_when_its_time_is_over(authority: Authority) -> None:
    with (
        serve_tls(authority.certify("localhost")) as server,
        running(script_for(server), a_machine(authority.certificate)),
    ):
        assert server.has_request.wait(LONGEST_WAIT_SECONDS)
        time.sleep(0.3)  # a second request would follow a minute later, and never at once

    assert server.requests == [DELETE]


def test_machine_destroys_itself_after_so_long_when_its_clock_is_slow(authority: Authority) -> None:
    in_a_year = str(int(time.time()) + 31_536_000)
    with (
        serve_tls(authority.certify("localhost")) as server,
        running(script_for(server), a_machine(authority.certificate, in_a_year, life_seconds="0")),
    ):
        assert server.has_request.wait(LONGEST_WAIT_SECONDS)

    assert server.requests == [DELETE]


def test_machine_sends_its_key_to_nobody_of_another_name(authority: Authority) -> None:
    with (
        serve_tls(authority.certify("other.example")) as server,
        running(script_for(server), a_machine(authority.certificate)),
    ):
        assert server.has_refusal.wait(LONGEST_WAIT_SECONDS)

    assert server.requests == []


def test_machine_sends_its_key_to_nobody_of_an_unknown_authority(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority.make(tmp_path)
    with (
        serve_tls(stranger.certify("localhost")) as server,
        running(script_for(server), a_machine(authority.certificate)),
    ):
        assert server.has_refusal.wait(LONGEST_WAIT_SECONDS)

    assert server.requests == []


def test_machine_sends_nothing_before_its_time(authority: Authority) -> None:
    in_an_hour = str(int(time.time()) + 3600)
    with (
        serve_tls(authority.certify("localhost")) as server,
        running(script_for(server), a_machine(authority.certificate, in_an_hour)) as process,
    ):
        assert not server.has_request.wait(QUIET_SECONDS)
        assert process.poll() is None

    assert (server.requests, server.has_refusal.is_set()) == ([], False)


def test_machine_starts_its_server_at_once_and_in_place_of_the_shell() -> None:
    script = make_script("https://localhost:9", start='echo "$$"; exec sleep 60')
    assert script is not None

    with running(script, a_machine(Path("/nonexistent"), "99999999999")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{STARTED}\n".encode()
        assert process.stdout.readline() == f"{process.pid}\n".encode()


def test_machine_does_not_say_that_it_destroys_itself_without_what_that_takes(tmp_path: Path) -> None:
    script = make_script("https://localhost:9", start='echo "$$"; exec /bin/sleep 60')
    assert script is not None
    has_no_openssl = {**a_machine(Path("/nonexistent"), "99999999999"), "PATH": str(tmp_path)}

    with running(script, has_no_openssl) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid}\n".encode()


def test_script_itself_does_not_hold_the_line_that_shows_its_start() -> None:
    script = make_script("https://console.vast.ai")

    assert script is not None
    assert STARTED not in script


@pytest.mark.parametrize(
    "url",
    [
        "http://console.vast.ai",
        "http://127.0.0.1:9000",
        "",
        "console.vast.ai",
        "https://",
        "ftp://console.vast.ai",
    ],
)
def test_script_is_none_when_the_key_would_travel_without_tls(url: str) -> None:
    assert make_script(url) is None


def test_script_talks_to_the_providers_host_and_starts_ollama() -> None:
    script = make_script("https://console.vast.ai/")

    assert script is not None
    assert (
        "-verify_hostname console.vast.ai -servername console.vast.ai -connect console.vast.ai:443" in script
    )
    assert script.endswith(f"{START}\n")


def test_environment_gives_rune_a_quarter_of_an_hour_beyond_the_ceiling() -> None:
    assert make_environment(NOW, after(3600)) == {
        EXPIRES_VARIABLE: str(int(NOW.timestamp()) + 4500),
        LIFE_VARIABLE: "4500",
    }


@pytest.mark.parametrize(
    ("image", "starts_itself", "fitting"),
    [
        ("ollama/ollama", True, True),
        ("ollama/ollama:0.9.0", True, True),
        ("docker.io/ollama/ollama:latest", True, True),
        (f"ollama/ollama:0.33.3@sha256:{'0' * 64}", True, True),
        (f"ollama/ollama@sha256:{'0' * 64}", True, True),
        ("ollama/ollama:latest", False, False),
        ("ollama/ollama-rocm:latest", True, False),
        ("ghcr.io/ollama/ollama:latest", True, False),
        ("vllm/vllm-openai:latest", True, False),
        ("", True, False),
    ],
)
def test_script_fits_only_what_starts_just_as_it_does(image: str, starts_itself: bool, fitting: bool) -> None:
    assert fits(Template("hash", image, "", 40, starts_itself)) is fitting


def test_script_fits_where_no_template_was_named() -> None:
    assert fits(None)
