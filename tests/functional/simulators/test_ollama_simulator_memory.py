import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import ollama
import pytest

from local.simulators.faults import FaultKind
from local.simulators.ollama import OllamaFault
from local.simulators.ollama.durations import parse_keep_alive
from local.simulators.request_log import Outcome
from tests.functional.simulators.hosting import SkippingTimeline
from tests.functional.simulators.ollama_harness import (
    FAST,
    QUESTION,
    Simulate,
    ask,
    running_names,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("simulated_ollama")


@pytest.mark.parametrize(
    ("path", "empty"),
    [("/api/generate", {"response": ""}), ("/api/chat", {"message": {"role": "assistant", "content": ""}})],
)
def test_empty_prompt_loads_and_unloads_without_durations(
    http: httpx.Client, ollama_client: ollama.Client, path: str, empty: dict[str, Any]
) -> None:
    loaded = http.post(path, json={"model": "llama3.2"})
    assert loaded.headers["content-type"] == "application/json; charset=utf-8"
    assert loaded.json() | {"created_at": ""} == {
        "model": "llama3.2",
        "created_at": "",
        **empty,
        "done": True,
        "done_reason": "load",
    }
    assert running_names(ollama_client) == ["llama3.2:latest"]
    assert http.post(path, json={"model": "llama3.2", "keep_alive": 0}).json()["done_reason"] == "unload"
    wait_until(lambda: not running_names(ollama_client))


def test_client_unloads_with_an_empty_prompt(ollama_client: ollama.Client) -> None:
    ollama_client.generate("llama3.2")
    assert ollama_client.generate("llama3.2", keep_alive=0).done_reason == "unload"
    wait_until(lambda: not running_names(ollama_client))


def test_answer_comes_before_the_unload_when_keep_alive_is_zero(ollama_client: ollama.Client) -> None:
    answer = ollama_client.chat("llama3.2", QUESTION, keep_alive=0)
    assert (answer.done_reason, answer.eval_count) == ("stop", 20)
    wait_until(lambda: not running_names(ollama_client))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        ("10m", 600),
        ("1h30m", 5_400),
        ("1.5s", 1.5),
        ("0", 0),
        ("0s", 0),
        (-1, math.inf),
        ("-1m", math.inf),
    ],
)
def test_keep_alive_is_read_as_seconds(value: float | str, seconds: float) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize("value", ["", "300", "5 minutes", "m", "-", "1x"])
def test_keep_alive_is_refused_when_it_is_no_go_duration(value: str) -> None:
    with pytest.raises(ValueError, match=r"^time: "):
        parse_keep_alive(value)


def test_ps_shows_memory_context_and_expiry(ollama_client: ollama.Client) -> None:
    ollama_client.generate("llama3.1:8b", keep_alive="10m", options={"num_ctx": 8192})
    (model,) = ollama_client.ps().models
    assert (model.name, model.context_length) == ("llama3.1:8b", 8192)
    assert model.size == model.size_vram
    assert model.expires_at is not None
    assert model.expires_at - datetime.now(UTC) == pytest.approx(
        timedelta(minutes=10), abs=timedelta(seconds=30)
    )


@pytest.mark.parametrize(("options", "vram_bytes"), [({"num_gpu": 0}, 0), ({}, 1_000_000)])
def test_ps_shows_what_does_not_lie_on_the_gpu(
    simulate_ollama: Simulate, ollama_client: ollama.Client, options: dict[str, int], vram_bytes: int
) -> None:
    simulate_ollama(replace(FAST, vram_bytes=1_000_000))
    ollama_client.generate("llama3.1:8b", options=options)
    assert ollama_client.ps().models[0].size_vram == vram_bytes


def test_model_is_gone_once_its_keep_alive_has_passed(
    simulate_ollama: Simulate, ollama_client: ollama.Client
) -> None:
    timeline = SkippingTimeline()
    simulate_ollama(timeline=timeline)
    ollama_client.generate("llama3.1:8b")
    ollama_client.generate("llama3.2", keep_alive=-1)
    assert running_names(ollama_client) == ["llama3.2:latest", "llama3.1:8b"]
    timeline.skipped_seconds = 301
    assert running_names(ollama_client) == ["llama3.2:latest"]
    expires_at = ollama_client.ps().models[0].expires_at
    assert expires_at is not None
    assert expires_at.year > 2300


def test_stored_keep_alive_holds_when_a_request_names_none(
    simulate_ollama: Simulate, ollama_client: ollama.Client
) -> None:
    timeline = SkippingTimeline()
    simulate_ollama(timeline=timeline)
    ollama_client.generate("llama3.2", keep_alive="1h")
    ollama_client.chat("llama3.2", QUESTION)
    timeline.skipped_seconds = 3_000
    assert running_names(ollama_client) == ["llama3.2:latest"]


def test_other_context_loads_the_model_anew(ollama_client: ollama.Client) -> None:
    loads = [
        ollama_client.chat("llama3.2", QUESTION, options={"num_ctx": tokens}).load_duration or 0
        for tokens in (64, 64, 128)
    ]
    assert [load >= 0.02 * 1e9 for load in loads] == [True, False, True]
    assert ollama_client.ps().models[0].context_length == 128


def test_soonest_to_expire_makes_room_when_too_many_are_loaded(
    simulate_ollama: Simulate, ollama_client: ollama.Client
) -> None:
    simulate_ollama(replace(FAST, loaded_limit_count=2))
    for name, keep_alive in (("llama3.1:8b", "1h"), ("llama3.2", "1m"), ("qwen3:8b", "2h")):
        ollama_client.generate(name, keep_alive=keep_alive)
    assert running_names(ollama_client) == ["qwen3:8b", "llama3.1:8b"]


def answers_soon(http: httpx.Client) -> bool:
    try:
        return http.post(
            "/api/chat",
            json={"model": "llama3.1:8b", "messages": QUESTION, "stream": False},
            timeout=httpx.Timeout(5, read=0.5),
        ).is_success
    except httpx.ReadTimeout:
        return False


@pytest.mark.parametrize(("parallel_count", "is_answered"), [(1, False), (2, True)])
def test_request_waits_when_all_slots_are_taken(
    simulate_ollama: Simulate, http: httpx.Client, parallel_count: int, is_answered: bool
) -> None:
    simulate_ollama(replace(FAST, parallel_count=parallel_count, faults=(OllamaFault(kind=FaultKind.HANG),)))
    with http.stream("POST", "/api/chat", json={"model": "llama3.1:8b", "messages": QUESTION}) as hanging:
        arriving = hanging.iter_lines()
        next(arriving)
        assert answers_soon(http) is is_answered


def test_waiting_for_a_slot_shows_in_the_total_alone(simulate_ollama: Simulate, http: httpx.Client) -> None:
    simulate_ollama(replace(FAST, output_tokens_per_second=200))
    ask(http, options={"num_predict": 1})
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(http, stream=False).json(), range(2)))
    parts = ("load_duration", "prompt_eval_duration", "eval_duration")
    waited_ns = [answer["total_duration"] - sum(answer[part] for part in parts) for answer in answers]
    # Two answers of 100 ms each; the second may have come somewhat later than the first.
    assert max(waited_ns) > 50e6


def test_request_is_refused_when_the_queue_is_full(
    simulate_ollama: Simulate, http: httpx.Client, ollama_client: ollama.Client
) -> None:
    state = simulate_ollama(replace(FAST, queue_limit_count=0, faults=(OllamaFault(kind=FaultKind.HANG),)))
    with http.stream("POST", "/api/chat", json={"model": "llama3.2", "messages": QUESTION}) as hanging:
        arriving = hanging.iter_lines()
        next(arriving)
        with pytest.raises(ollama.ResponseError) as caught:
            ollama_client.chat("llama3.2", QUESTION)
    assert (caught.value.status_code, caught.value.error) == (
        503,
        "server busy, please try again.  maximum pending requests exceeded",
    )
    wait_until(lambda: state.requests.records[0].outcome is Outcome.CANCELLED)


@pytest.mark.parametrize("stream", [True, False])
def test_generation_stops_when_the_client_leaves(
    simulate_ollama: Simulate, http: httpx.Client, stream: bool
) -> None:
    state = simulate_ollama(replace(FAST, output_tokens_per_second=1))
    with pytest.raises(httpx.ReadTimeout):
        http.post(
            "/api/chat",
            json={"model": "llama3.2", "messages": QUESTION, "stream": stream},
            timeout=httpx.Timeout(5, read=0.1),
        )
    wait_until(lambda: state.requests.records[0].outcome is Outcome.CANCELLED)
    ((runner, _),) = state.runners.running()
    assert (runner.in_flight_count, runner.slots.locked()) == (0, False)


def test_load_is_given_up_when_the_client_leaves(simulate_ollama: Simulate, http: httpx.Client) -> None:
    state = simulate_ollama(replace(FAST, load_seconds=60))
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/generate", json={"model": "llama3.2"}, timeout=httpx.Timeout(5, read=0.1))
    wait_until(lambda: not state.runners.running())
