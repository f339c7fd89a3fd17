import httpx
import ollama
import pytest

from local.simulators.faults import FaultKind, StreamFaultKind
from local.simulators.ollama import OllamaFault, OllamaFaultKind, SimulatedOllama
from local.simulators.request_log import Outcome
from tests.functional.simulators.ollama_harness import (
    QUESTION,
    ask,
    lines_of,
    running_names,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("simulated_ollama")


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        (
            OllamaFaultKind.OUT_OF_MEMORY,
            500,
            "llama-server process has terminated: cudaMalloc failed: out of memory",
        ),
        (
            OllamaFaultKind.OVERLOADED,
            503,
            "server busy, please try again.  maximum pending requests exceeded",
        ),
    ],
)
def test_fault_refuses_one_request_and_then_is_used_up(
    simulated_ollama: SimulatedOllama, ollama_client: ollama.Client, kind: FaultKind, status: int, text: str
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=kind))
    with pytest.raises(ollama.ResponseError) as caught:
        ollama_client.chat("llama3.2", QUESTION)
    assert (caught.value.status_code, caught.value.error) == (status, text)
    assert ollama_client.chat("llama3.2", QUESTION).done


def test_out_of_memory_evicts_what_is_idle(
    simulated_ollama: SimulatedOllama, ollama_client: ollama.Client
) -> None:
    ollama_client.generate("llama3.2")
    simulated_ollama.faults.add(OllamaFault(kind=OllamaFaultKind.OUT_OF_MEMORY))
    with pytest.raises(ollama.ResponseError):
        ollama_client.generate("qwen3:8b")
    assert running_names(ollama_client) == []


def test_fault_strikes_its_own_model_after_the_requests_let_through(
    simulated_ollama: SimulatedOllama, ollama_client: ollama.Client
) -> None:
    simulated_ollama.faults.add(
        OllamaFault(kind=OllamaFaultKind.OVERLOADED, model="Llama3.2", after_requests=1, times=None)
    )
    ollama_client.chat("llama3.1:8b", QUESTION)
    ollama_client.chat("llama3.2", QUESTION)
    for _ in range(2):
        with pytest.raises(ollama.ResponseError, match="server busy"):
            ollama_client.chat("llama3.2:latest", QUESTION)
    assert len(simulated_ollama.requests.select(path="/api/chat", model="llama3.2")) == 3


def test_stream_error_raises_in_the_client_after_the_chunks(
    simulated_ollama: SimulatedOllama, ollama_client: ollama.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=StreamFaultKind.STREAM_ERROR, after_chunks=3, text="boom"))
    parts = ollama_client.chat("llama3.2", QUESTION, stream=True)
    assert len([next(iter(parts)) for _ in range(3)]) == 3
    with pytest.raises(ollama.ResponseError, match="boom"):
        next(iter(parts))
    wait_until(lambda: simulated_ollama.requests.records[-1].outcome is Outcome.STREAM_ERROR)


def test_error_before_the_first_chunk_is_a_status(
    simulated_ollama: SimulatedOllama, http: httpx.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=StreamFaultKind.STREAM_ERROR, after_chunks=0, text="boom"))
    response = ask(http)
    assert (response.status_code, response.json()) == (500, {"error": "boom"})


def test_truncated_stream_ends_without_done(simulated_ollama: SimulatedOllama, http: httpx.Client) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=StreamFaultKind.TRUNCATED, after_chunks=2))
    assert [line["done"] for line in lines_of(ask(http))] == [False, False]
    assert simulated_ollama.requests.records[-1].outcome is Outcome.TRUNCATED


def test_connection_breaks_in_the_middle_when_disconnected(
    simulated_ollama: SimulatedOllama, http: httpx.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=FaultKind.DISCONNECTED, after_chunks=2))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(http)
    assert simulated_ollama.requests.records[-1].outcome is Outcome.DISCONNECTED


CHAT = {"model": "llama3.1:8b", "messages": QUESTION}


@pytest.mark.parametrize(
    ("path", "body", "after_chunks"),
    [
        ("/api/show", CHAT, 1),
        ("/api/chat", {**CHAT, "stream": False}, 1),
        ("/api/chat", CHAT, 0),
    ],
    ids=["whole", "folded", "no chunk"],
)
def test_connection_breaks_within_every_form_of_answer(
    simulated_ollama: SimulatedOllama,
    http: httpx.Client,
    path: str,
    body: dict[str, object],
    after_chunks: int,
) -> None:
    simulated_ollama.faults.add(
        OllamaFault(kind=FaultKind.DISCONNECTED, path=path, after_chunks=after_chunks)
    )
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(path, json=body)
    record = simulated_ollama.requests.records[-1]
    assert (record.status, record.outcome, record.chunk_count) == (200, Outcome.DISCONNECTED, 0)


def test_refusal_has_its_own_status_and_text(simulated_ollama: SimulatedOllama, http: httpx.Client) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=FaultKind.REFUSED, status=418, text="tea"))
    response = ask(http)
    assert (response.status_code, response.json()) == (418, {"error": "tea"})


def test_hanging_stream_is_silent_after_its_chunks(
    simulated_ollama: SimulatedOllama, http: httpx.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=FaultKind.HANG, after_chunks=2))
    with pytest.raises(httpx.ReadTimeout):
        http.post(
            "/api/chat", json={"model": "llama3.2", "messages": QUESTION}, timeout=httpx.Timeout(5, read=0.2)
        )
    wait_until(lambda: simulated_ollama.requests.records[-1].outcome is Outcome.CANCELLED)
    assert simulated_ollama.requests.records[-1].chunk_count == 2


def test_slow_request_reports_a_slow_model(
    simulated_ollama: SimulatedOllama, ollama_client: ollama.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=StreamFaultKind.SLOW, slow_factor=4))
    answer = ollama_client.chat("llama3.2", QUESTION)
    assert 20 / (answer.eval_duration or 1) * 1e9 == pytest.approx(1_250)


def test_wrong_content_type_is_a_page_under_200(
    simulated_ollama: SimulatedOllama, http: httpx.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=FaultKind.NOT_JSON))
    response = ask(http)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html")


def test_stream_without_final_newline_is_whole_otherwise(
    simulated_ollama: SimulatedOllama, http: httpx.Client
) -> None:
    simulated_ollama.faults.add(OllamaFault(kind=OllamaFaultKind.NO_FINAL_NEWLINE))
    response = ask(http)
    assert response.text.endswith("}")
    assert lines_of(response)[-1]["done"]


def test_faults_are_set_listed_and_cleared_over_http(http: httpx.Client) -> None:
    added = http.post("/_sim/faults", json=[{"kind": "hang", "model": "qwen3:8b", "after_chunks": 3}])
    assert [fault["kind"] for fault in added.json()["faults"]] == ["hang"]
    assert http.get("/_sim/faults").json() == added.json()
    assert http.delete("/_sim/faults").json() == {"faults": []}


def test_fault_is_refused_when_its_kind_is_unknown(http: httpx.Client) -> None:
    assert http.post("/_sim/faults", json=[{"kind": "earthquake"}]).status_code == 422


def test_requests_are_not_narrowed_by_what_the_log_lacks(http: httpx.Client) -> None:
    assert http.get("/_sim/requests", params={"modle": "llama3.1:8b"}).status_code == 422


def test_requests_are_listed_with_how_they_ended(http: httpx.Client) -> None:
    ask(http)
    ask(http, model="unknown")
    http.get("/api/tags")
    listed = http.get("/_sim/requests", params={"path": "/api/chat"}).json()["requests"]
    assert [(one["model"], one["status"], one["outcome"], one["chunk_count"]) for one in listed] == [
        ("llama3.1:8b", 200, "completed", 21),
        ("unknown", 404, "refused", 0),
    ]
    assert http.delete("/_sim/requests").json() == {"requests": []}
