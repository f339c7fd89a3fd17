"""llama.cpp's server, started with a model of random weights, and looked at from behind."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.ports import IPV4_LOOPBACK, find_free_port
from tests.e2e.waiting import wait_until

SERVER_FOLDER = Path(os.environ.get("RUNE_LLAMA_SERVER", "."))
"""Where `make test-real` has put the server and its templates."""

SLOT_COUNT = 4
MODEL = "random"
API_KEY = "key-of-the-real-server"

VENVS = Path(__file__).parents[2] / ".local/venvs"
"""Where the Makefile puts the environments of tools."""
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A server that runs."""

    url: str
    process: subprocess.Popen[bytes]

    def read_counter(self, name: str) -> int:
        """Return one of the server's own counters, such as `tokens_predicted_total`."""
        text = httpx.get(f"{self.url}/metrics", timeout=10, trust_env=False).raise_for_status().text
        found = re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE)
        assert found, f"the server has no counter {name}"
        return int(float(found[1]))


def write_model(path: Path, *, width: int = 64, layers: int = 2, plain: bool = False) -> Path:
    """Return the path, with a model of random weights behind it; see `tiny_gguf.py`."""
    script = Path(__file__).with_name("tiny_gguf.py")
    sizes = ["--width", str(width), "--layers", str(layers)]
    subprocess.run(  # noqa: S603 - our own
        [VENVS / "real/bin/python", script, path, *sizes, *(["--plain"] if plain else [])],
        check=True,
        timeout=120,
    )
    return path


@contextmanager
def serve(log: Path, *options: str | Path, start_seconds: float = _START_SECONDS) -> Iterator[LlamaServer]:
    """Start a server that answers, and end it; its output goes to `log`.

    One thread computes: more of them spin while they wait for one another, and a busy machine then takes a hundred
    times as long for a token.
    """
    port = find_free_port()
    url = f"http://{IPV4_LOOPBACK}:{port}"
    command: list[str | Path] = [SERVER_FOLDER / "llama-server", "--host", IPV4_LOOPBACK, "--port", str(port)]
    command += ["-np", str(SLOT_COUNT), "-t", "1", "--metrics", "--slots", "--no-warmup", "--jinja", *options]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:  # noqa: S603
        try:
            wait_until(lambda: _is_healthy(url, process), f"{url} is up ({log})", limit_seconds=start_seconds)
            yield LlamaServer(url, process)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _is_healthy(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server has ended before it was up"
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False
