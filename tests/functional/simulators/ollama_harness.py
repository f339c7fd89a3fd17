"""Shared parts of the tests of the simulated Ollama."""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import httpx
import ollama

from local.simulators.ollama import ModelCard, OllamaSettings, SimulatedOllama
from local.simulators.timing import Timeline

TINY = ModelCard.named("tiny:1b", size_bytes=1_000_000)
FAST = OllamaSettings(
    pullable=(TINY,),
    prompt_tokens_per_second=50_000,
    output_tokens_per_second=5_000,
    load_seconds=0.02,
    unload_seconds=0.01,
    answer_tokens=20,
    thinking_tokens=6,
    pull_bytes_per_second=20e6,
    progress_interval_seconds=0.005,
)
QUESTION = [{"role": "user", "content": "What is unhealthy?"}]


class Simulate(Protocol):
    def __call__(
        self, settings: OllamaSettings = FAST, *, timeline: Timeline | None = None
    ) -> SimulatedOllama: ...


def ask(http: httpx.Client, **changes: object) -> httpx.Response:
    return http.post("/api/chat", json={"model": "llama3.1:8b", "messages": QUESTION, **changes})


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def running_names(client: ollama.Client) -> list[str | None]:
    return [model.name for model in client.ps().models]


def wait_until(condition: Callable[[], object]) -> None:
    given_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < given_up_at, "it never happened"
        time.sleep(0.005)
