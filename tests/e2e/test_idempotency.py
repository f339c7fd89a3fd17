"""The same request a hundred times at once is one job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local.simulators.ollama import OllamaSettings
from tests.e2e.client import RuneClient
from tests.e2e.model_server import CHAT, ModelServer, model_server

REQUESTS = 100
KEY = "one hundred at once"
QUESTION = "Who is the one?"
type RecordProperty = Callable[[str, object], None]


@pytest.fixture
def own_server() -> Iterator[ModelServer]:
    with model_server(OllamaSettings(load_seconds=0.0, output_tokens_per_second=1000.0)) as server:
        yield server


def test_hundred_equal_requests_at_once_are_one_job(
    counter: RuneClient, own_server: ModelServer, record_property: RecordProperty
) -> None:
    # Warming up would be a second call of the model.
    body = {
        "question": QUESTION,
        "model": "llama3.1:8b",
        "backend_url": own_server.url,
        "backend_warmup": False,
    }
    before = newest_ids(counter)

    def post(_: int) -> httpx.Response:
        return counter.http.post("/v1/jobs/benchmark", json=body, headers={"Idempotency-Key": KEY})

    with ThreadPoolExecutor(max_workers=REQUESTS) as pool:
        answers = list(pool.map(post, range(REQUESTS)))

    statuses = Counter(answer.status_code for answer in answers)
    job_ids = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    replays = Counter(answer.headers.get("idempotency-replayed") for answer in answers)
    record_property(
        "figures",
        f"Idempotency-Key, {REQUESTS} equal requests at once: answers {dict(statuses)}, jobs {len(job_ids)},"
        f" replays {replays['true']}",
    )
    assert statuses == {202: REQUESTS}
    assert len(job_ids) == 1
    assert replays == {None: 1, "true": REQUESTS - 1}
    (job_id,) = job_ids
    assert newest_ids(counter) - before == job_ids
    assert counter.wait_for_end(job_id).status == "succeeded"
    assert len(own_server.requests(CHAT)) == 1


def newest_ids(rune: RuneClient) -> set[str]:
    listed = rune.http.get("/v1/jobs", params={"limit": 100}).raise_for_status().json()
    return {job["job_id"] for job in listed["jobs"]}


def test_key_with_another_request_is_refused(rune: RuneClient, own_server: ModelServer) -> None:
    body = {"question": QUESTION, "model": "llama3.1:8b", "backend_url": own_server.url}
    first = rune.http.post("/v1/jobs/benchmark", json=body, headers={"Idempotency-Key": "twice"})

    other = rune.http.post(
        "/v1/jobs/benchmark", json={**body, "question": "Who else?"}, headers={"Idempotency-Key": "twice"}
    )

    assert (first.status_code, other.status_code) == (202, 422)
    assert other.json()["code"] == "idempotency_key_reused"


def test_key_in_quotes_is_the_same_key_and_of_another_kind_another(
    rune: RuneClient, own_server: ModelServer
) -> None:
    body = {"backend_url": own_server.url}
    posted = [
        rune.http.post(path, json=body, headers={"Idempotency-Key": key})
        for path, key in [
            ("/v1/jobs/llm-instance", "quoted or bare"),
            ("/v1/jobs/llm-instance", '"quoted or bare"'),
            # The old name of the same thing.
            ("/v1/jobs/ollama-instance", "quoted or bare"),
            (
                "/v1/jobs/llm-instance",
                "quoted or bare and another",
            ),
        ]
    ]

    ids = [answer.json()["job_id"] for answer in posted]
    assert [answer.headers.get("idempotency-replayed") for answer in posted] == [None, "true", "true", None]
    assert ids[0] == ids[1] == ids[2] != ids[3]
