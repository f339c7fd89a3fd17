from collections.abc import Iterator

import pytest

from tests.e2e.client import RuneClient
from tests.e2e.model_server import CHAT, ModelServer, model_server
from tests.e2e.queues import Queues
from tests.e2e.worker_loss import SLOW


@pytest.fixture
def slow() -> Iterator[ModelServer]:
    with model_server(SLOW) as running:
        yield running


def test_running_job_stops_within_ten_seconds_when_it_is_cancelled(
    rune: RuneClient, queues: Queues, slow: ModelServer
) -> None:
    body = {"question": "Why?", "model": "llama3.1:8b", "backend_url": slow.url, "backend_warmup": False}
    job_id = rune.post_benchmark(body)
    rune.wait_for_tokens(job_id)

    asked = rune.cancel(job_id)
    job = rune.wait_for_end(job_id, limit_seconds=10.0)

    assert (asked.status, asked.message) == ("running", "Stopping, as was asked.")
    assert (job.status, job.result, job.error) == ("cancelled", None, None)
    (chat,) = slow.requests(CHAT)
    assert (chat.outcome, chat.status) == ("cancelled", 200)
    assert rune.get_events(job_id)[-1].event == "job.cancelled"
    # The message that the cancel sent comes to a job that has ended, and is dropped.
    queues.wait_until_empty(job_id)
