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
class Counters:
    """The server's own book; tokens of a prompt that its cache knew are not in it."""

    prompt_tokens: int
    output_tokens: int
    prompt_s: float
    output_s: float

    @property
    def busy_s(self) -> float:
        """Time in which it worked, seconds; of requests that it answered side by side each is counted."""
        return self.prompt_s + self.output_s

    def __sub__(self, before: "Counters") -> "Counters":
        """Return what was counted since then."""
        return Counters(
            self.prompt_tokens - before.prompt_tokens,
            self.output_tokens - before.output_tokens,
            self.prompt_s - before.prompt_s,
            self.output_s - before.output_s,
        )


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A server that runs."""

    url: str
    process: subprocess.Popen[bytes]

    def read_counters(self) -> Counters:
        """Return what the server has counted since it started."""
        text = httpx.get(f"{self.url}/metrics", timeout=10, trust_env=False).raise_for_status().text
        found = dict(re.findall(r"^llamacpp:(\w+) (\S+)$", text, re.MULTILINE))
        return Counters(
            prompt_tokens=int(float(found["prompt_tokens_total"])),
            output_tokens=int(float(found["tokens_predicted_total"])),
            prompt_s=float(found["prompt_seconds_total"]),
            output_s=float(found["tokens_predicted_seconds_total"]),
        )


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
def processors(numbers: set[int]) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, to these processors; does nothing for none."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, numbers or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serve(log: Path, *options: str | Path, slot_count: int = SLOT_COUNT) -> Iterator[LlamaServer]:
    """Start a server that answers, and end it; its output goes to `log`.

    One thread computes: more of them spin while they wait for one another, and a busy machine then takes a hundred
    times as long for a token.
    """
    port = find_free_port()
    url = f"http://{IPV4_LOOPBACK}:{port}"
    command: list[str | Path] = [SERVER_FOLDER / "llama-server", "--host", IPV4_LOOPBACK, "--port", str(port)]
    command += ["-np", str(slot_count), "-t", "1", "--metrics", "--slots", "--no-warmup", "--jinja", *options]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:  # noqa: S603
        try:
            wait_until(
                lambda: _is_healthy(url, process), f"{url} is up ({log})", limit_seconds=_START_SECONDS
            )
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
