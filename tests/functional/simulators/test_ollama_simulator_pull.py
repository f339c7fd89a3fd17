import itertools
import json
import time
from dataclasses import replace

import httpx
import ollama
import pytest

from local.simulators.request_log import Outcome
from tests.functional.simulators.ollama_harness import (
    FAST,
    TINY,
    Simulate,
    lines_of,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("simulated_ollama")


def test_pull_streams_its_progress_and_adds_the_model(ollama_client: ollama.Client) -> None:
    lines = [line.model_dump(exclude_none=True) for line in ollama_client.pull("tiny:1b", stream=True)]
    statuses = [status for status, _ in itertools.groupby(line["status"] for line in lines)]
    weights = [line for line in lines if line.get("digest") == TINY.weights.digest]
    assert (statuses[0], statuses[1]) == ("pulling manifest", f"pulling {TINY.weights.digest[7:19]}")
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    assert (weights[0].get("completed"), weights[-1]["completed"]) == (None, weights[-1]["total"])
    assert ollama_client.list().models[0].model == "tiny:1b"


def test_pull_gives_only_its_last_status_when_it_is_not_streamed(ollama_client: ollama.Client) -> None:
    assert ollama_client.pull("tiny:1b").model_dump(exclude_none=True) == {"status": "success"}


def test_pull_takes_one_line_for_a_layer_that_is_here(ollama_client: ollama.Client) -> None:
    progress = [line for line in ollama_client.pull("llama3.1:8b", stream=True) if line.digest]
    assert len(progress) == 4
    assert all(line.completed == line.total for line in progress)


def test_pull_fails_inside_a_200_when_the_model_is_unknown(http: httpx.Client) -> None:
    response = http.post("/api/pull", json={"model": "unknown"})
    assert (response.status_code, lines_of(response)) == (
        200,
        [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}],
    )


@pytest.mark.parametrize(("stream", "status"), [(True, -1), (False, 500)])
def test_pull_of_an_unknown_model_raises_in_the_client(
    ollama_client: ollama.Client, stream: bool, status: int
) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        list(ollama_client.pull("unknown", stream=stream))  # type: ignore[call-overload] # the client's overloads want literals
    assert (caught.value.status_code, caught.value.error) == (
        status,
        "pull model manifest: file does not exist",
    )


def test_pull_resumes_where_its_client_left(simulate_ollama: Simulate, http: httpx.Client) -> None:
    state = simulate_ollama(replace(FAST, pull_bytes_per_second=4e6))
    body = {"model": "tiny:1b"}
    with http.stream("POST", "/api/pull", json=body) as first:
        reached = next(
            line for text in first.iter_lines() if (line := json.loads(text)).get("completed", 0) > 200_000
        )
    wait_until(lambda: state.requests.records[0].outcome is Outcome.CANCELLED)
    time.sleep(0.1)
    with http.stream("POST", "/api/pull", json=body) as second:
        resumed = next(line for text in second.iter_lines() if "completed" in (line := json.loads(text)))
    # It goes on from there, and did not go on downloading in between.
    assert reached["completed"] <= resumed["completed"] < 1_000_000
