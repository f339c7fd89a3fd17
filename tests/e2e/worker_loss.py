"""A worker that dies in the middle of an answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from local.simulators.ollama import OllamaSettings
from tests.e2e.client import RuneClient
from tests.e2e.model_server import ModelServer, model_server
from tests.e2e.waiting import wait_until

# An answer of 25 seconds: long enough to be met in its middle, whatever else the machine does.
SLOW = OllamaSettings(load_seconds=0.0, output_tokens_per_second=4.0, answer_tokens=100)


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A job whose worker is dead.

    Attributes
    ----------
    killed_at
        When, on the monotonic clock.
    """

    job_id: str
    server: ModelServer
    killed_at: float


@contextmanager
def lose_a_worker(rune: RuneClient, find_workers: Callable[[], list[int]]) -> Iterator[LostWorker]:
    """Post a job, wait until its answer comes, and kill -9 every process of the inference lane.

    Nothing else may run in that lane. The model server lives as long as the block.
    """
    with model_server(SLOW) as server:
        body = {
            "question": "Who answers when the worker is gone?",
            "model": "llama3.1:8b",
            "backend_url": server.url,
            "backend_warmup": False,
        }
        job_id = rune.post_benchmark(body)
        rune.wait_for_tokens(job_id)
        workers = wait_until(find_workers, "a worker of the inference lane runs", limit_seconds=10.0)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        yield LostWorker(job_id, server, time.monotonic())
