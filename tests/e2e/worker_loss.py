"""Workers that die in the middle of an answer, and in the middle of a sweep."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from local.simulators.ollama import OllamaSettings
from tests.e2e.client import RuneClient
from tests.e2e.model_server import CHAT, ModelServer, SeenRequest, model_server
from tests.e2e.sweeps import PACED, a_sweep
from tests.e2e.waiting import wait_until

# An answer of 25 seconds: long enough to be met in its middle, whatever else the machine does.
SLOW = OllamaSettings(load_seconds=0.0, output_tokens_per_second=4.0, answer_tokens=100)


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A job whose worker is dead.

    Attributes
    ----------
    server_url
        Of the model server that only this job asks.
    killed_at
        When, on the monotonic clock, which all processes of a machine share.
    """

    job_id: str
    server_url: str
    killed_at: float

    def read_chats(self) -> list[SeenRequest]:
        """Return every chat that the model server saw, oldest first."""
        with closing(ModelServer(self.server_url)) as server:
            return server.requests(CHAT)


@contextmanager
def lose_inference_workers(
    rune: RuneClient, find_workers: Callable[[], list[int]]
) -> Iterator[tuple[LostWorker, LostWorker]]:
    """Post a job and a sweep, and kill -9 every process of the inference lane in the middle of both.

    The job's answer has then begun, and the sweep is in its second point. Nothing else may run in that lane. The
    model servers live as long as the block.
    """
    with model_server(PACED) as paced, model_server(SLOW) as slow:
        job_id = rune.post_benchmark(
            {
                "question": "Who answers when the worker is gone?",
                "model": "llama3.1:8b",
                "backend_url": slow.url,
                "backend_warmup": False,
            }
        )
        rune.wait_for_tokens(job_id)
        sweep_id = rune.post_benchmark(a_sweep(paced))

        def is_in_second_point() -> bool:
            progress = rune.get_job(sweep_id).progress
            return progress.get("point") == 2 and int(progress.get("chunks", 0)) > 0

        wait_until(is_in_second_point, "the sweep is in its second point", limit_seconds=90.0)
        for worker in wait_until(find_workers, "a worker of the inference lane runs", limit_seconds=10.0):
            os.kill(worker, signal.SIGKILL)
        killed_at = time.monotonic()
        yield LostWorker(job_id, slow.url, killed_at), LostWorker(sweep_id, paced.url, killed_at)
