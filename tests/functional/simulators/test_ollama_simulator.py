import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import httpx
import ollama
import pytest

from local.simulators.ollama import SimulatedOllama, create_app
from local.simulators.ollama.names import parse_name
from local.simulators.serving import running_server
from tests.functional.simulators.ollama_harness import (
    FAST,
    QUESTION,
    ask,
    running_names,
)

pytestmark = pytest.mark.usefixtures("simulated_ollama")


@pytest.mark.parametrize(("method", "text"), [("GET", "Ollama is running"), ("HEAD", "")])
def test_root_says_that_it_is_running(http: httpx.Client, method: str, text: str) -> None:
    response = http.request(method, "/")
    assert (response.status_code, response.text) == (200, text)


def test_version_is_the_one_that_was_set(http: httpx.Client) -> None:
    assert http.get("/api/version").json() == {"version": "0.33.0"}


def test_unknown_path_is_a_plain_404(http: httpx.Client) -> None:
    response = http.get("/api/nothing")
    assert (response.status_code, response.text) == (404, "404 page not found")


def test_list_shows_every_model_with_its_tag(ollama_client: ollama.Client) -> None:
    listed = ollama_client.list().models
    assert [model.model for model in listed] == [
        "llama3.1:8b",
        "llama3.2:latest",
        "nomic-embed-text:latest",
        "qwen3:8b",
    ]
    assert listed[0].details is not None
    assert listed[0].details.parameter_size == "8.2B"


def test_show_tells_context_and_capabilities(ollama_client: ollama.Client) -> None:
    shown = ollama_client.show("llama3.2")
    assert shown.modelinfo is not None
    assert shown.modelinfo[f"{shown.modelinfo['general.architecture']}.context_length"] == 131_072
    assert shown.capabilities == ["completion", "tools"]


def test_show_answers_404_when_the_model_is_unknown(ollama_client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        ollama_client.show("unknown")
    assert (caught.value.status_code, caught.value.error) == (404, "model 'unknown' not found")


@pytest.mark.parametrize(
    ("written", "shortest"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("library/llama3.2", "llama3.2:latest"),
        ("registry.ollama.ai/library/llama3.2:1b", "llama3.2:1b"),
        ("team/model", "team/model:latest"),
        ("hf.co/org/repo:Q4_K_M", "hf.co/org/repo:Q4_K_M"),
        ("http://localhost:5000/org/repo", "localhost:5000/org/repo:latest"),
    ],
)
def test_name_is_listed_in_its_shortest_form(written: str, shortest: str) -> None:
    assert parse_name(written).shortest == shortest


@pytest.mark.parametrize("written", ["", ":tag", "a b", "model:", "-model", "a" * 81])
def test_name_is_refused_when_a_part_is_invalid(written: str) -> None:
    with pytest.raises(ValueError, match="invalid model name"):
        parse_name(written)


def test_answer_echoes_the_name_as_the_client_wrote_it(ollama_client: ollama.Client) -> None:
    assert ollama_client.chat("LIBRARY/Llama3.2", QUESTION).model == "LIBRARY/Llama3.2"
    assert running_names(ollama_client) == ["llama3.2:latest"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/chat", {"model": "x", "messages": QUESTION}, 404, "model 'x' not found"),
        ("/api/generate", {"model": "x"}, 404, "model 'x' not found"),
        ("/api/chat", {"messages": QUESTION}, 400, "model is required"),
        (
            "/api/chat",
            {"model": "nomic-embed-text", "messages": QUESTION},
            400,
            '"nomic-embed-text" does not support chat',
        ),
        (
            "/api/generate",
            {"model": "nomic-embed-text"},
            400,
            '"nomic-embed-text" does not support generate',
        ),
        (
            "/api/chat",
            {"model": "llama3.2", "messages": QUESTION, "think": True},
            400,
            '"llama3.2" does not support thinking',
        ),
        (
            "/api/generate",
            {"model": "llama3.2", "prompt": "hi"},
            400,
            "the simulator answers prompts at /api/chat alone",
        ),
        (
            "/api/generate",
            {"model": "llama3.2", "keep_alive": "300"},
            400,
            'time: missing unit in duration "300"',
        ),
        (
            "/api/chat",
            {"model": "llama3.2", "messages": "hi"},
            400,
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []json.RawMessage",
        ),
        (
            "/api/chat",
            {"model": "llama3.2", "messages": QUESTION, "options": {"num_ctx": "big"}},
            500,
            'option "num_ctx" must be of type integer',
        ),
        ("/api/pull", {"model": "not a name"}, 400, "invalid model name"),
        ("/api/show", {}, 400, "model is required"),
    ],
)
def test_request_is_refused_with_ollamas_words(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, text: str
) -> None:
    response = http.post(path, json=body)
    assert (response.status_code, response.json()) == (status, {"error": text})


@pytest.mark.parametrize(
    ("raw", "text"),
    [("", "missing request body"), ("{", "unexpected EOF"), ("[]", "cannot unmarshal array"), ("{x", "'x'")],
)
def test_body_is_refused_when_it_is_no_json_object(http: httpx.Client, raw: str, text: str) -> None:
    response = http.post("/api/chat", content=raw)
    assert response.status_code == 400
    assert text in response.json()["error"]


def test_cloud_model_asks_to_sign_in(http: httpx.Client) -> None:
    response = ask(http, model="gpt-oss:120b-cloud")
    assert (response.status_code, sorted(response.json())) == (401, ["error", "signin_url"])


def test_servers_in_one_process_share_nothing() -> None:
    before = threading.active_count()
    apps = [create_app(SimulatedOllama(replace(FAST, version=version))) for version in ("1", "2")]
    with running_server(apps[0]) as one, running_server(apps[1]) as two:
        assert [httpx.get(f"{address}/api/version").json()["version"] for address in (one, two)] == ["1", "2"]
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_prints_its_address_and_stops_on_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "local.simulators.ollama", "--port", "0", "--model", "tiny:1b=1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 # our own program
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening on ").strip()
        with ollama.Client(address) as client:
            listed = client.list().models
        process.send_signal(number)
        assert (process.wait(10), process.stdout.read()) == (0, "")
    assert (address.startswith("http://127.0.0.1:"), [model.model for model in listed]) == (True, ["tiny:1b"])
