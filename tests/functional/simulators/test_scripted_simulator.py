import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import ollama
import pytest

from local.simulators.scripted import MODEL, Exchange, Script, ScriptedServer, running_scripted
from local.simulators.scripted.__main__ import parse_server

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]  # 20 bytes, so 5 tokens and 10 around them


def ask_ollama(address: str) -> tuple[list[str], int, int]:
    with ollama.Client(address) as client:
        parts = list(client.chat(MODEL, MESSAGES, stream=True))
    texts = [part.message.content or "" for part in parts[:-1]]
    return texts, parts[-1].prompt_eval_count or 0, parts[-1].eval_count or 0


def ask_openai(address: str) -> tuple[list[str], int, int]:
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    response = httpx.post(f"{address}/v1/chat/completions", json=body)
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest, response.headers["content-type"]) == ("data: [DONE]", "", "text/event-stream")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    usage = chunks[-1]["usage"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert choices[-1]["finish_reason"] == "stop"
    texts = [choice["delta"]["content"] for choice in choices[:-1]]
    return texts, usage["prompt_tokens"], usage["completion_tokens"]


ASK = {"ollama": ask_ollama, "openai": ask_openai}


@pytest.fixture
def script() -> Script:
    return Script(ttft_ms=30.0, gap_ms=(5.0, 15.0), output_tokens=6, tokens_per_chunk=1.5)


@pytest.fixture
def server(script: Script) -> ScriptedServer:
    return ScriptedServer(script)


@pytest.fixture
def address(server: ScriptedServer) -> Iterator[str]:
    with running_scripted(server) as url:
        yield url


@pytest.mark.parametrize("kind", ASK)
def test_answer_is_what_the_protocol_says(kind: str, address: str) -> None:
    assert ASK[kind](address) == ([" w0 tok", " w1 tok", " w2 tok", " w3 tok"], 15, 6)


@pytest.mark.parametrize("kind", ASK)
def test_chunks_leave_at_their_scripted_times(kind: str, server: ScriptedServer, address: str) -> None:
    ASK[kind](address)

    [exchange] = server.exchanges
    times_ms = [(sent_ns - exchange.received_ns) / 1e6 for sent_ns in exchange.times_ns("text")]
    for due_ms, time_ms in zip([30.0, 35.0, 50.0, 55.0], times_ms, strict=True):
        assert due_ms <= time_ms < due_ms + 100
    assert exchange.times_ns("end")[0] >= exchange.times_ns("text")[-1]


def test_requests_wait_for_each_other_when_slots_are_few() -> None:
    server = ScriptedServer(Script(ttft_ms=20.0, output_tokens=1), slots=1)
    with running_scripted(server) as address, ThreadPoolExecutor(3) as threads:
        list(threads.map(ask_ollama, [address] * 3))

    began_ns = sorted(exchange.slot_ns or 0 for exchange in server.exchanges)
    ended_ns = sorted(exchange.times_ns("end")[0] for exchange in server.exchanges)
    assert all(began >= ended for began, ended in zip(began_ns[1:], ended_ns, strict=False))


def test_exchange_is_aborted_when_the_client_leaves() -> None:
    server = ScriptedServer(Script(gap_ms=60_000.0))
    with (
        running_scripted(server) as address,
        httpx.Client() as client,
        client.stream("POST", f"{address}/api/chat", json={"model": MODEL, "messages": MESSAGES}) as response,
    ):
        next(response.iter_raw())

    exchange = ended(server)
    assert exchange.is_aborted
    assert len(exchange.times_ns("text")) == 1


def ended(server: ScriptedServer) -> Exchange:
    given_up_at = time.monotonic() + 5
    while server.exchanges[0].ended_ns is None:
        assert time.monotonic() < given_up_at, "it never ended"
        time.sleep(0.005)
    return server.exchanges[0]


@pytest.mark.parametrize("kind", ASK)
def test_prompt_is_cut_without_a_word_when_the_context_is_full(kind: str, script: Script) -> None:
    with running_scripted(ScriptedServer(script, context_tokens=12)) as address:
        assert ASK[kind](address)[1] == 12


def test_chunks_of_a_segment_leave_at_once() -> None:
    server = ScriptedServer(Script(output_tokens=6, chunks_per_segment=3))
    with running_scripted(server) as address:
        ask_openai(address)

    gaps_ns = [later - earlier for earlier, later in pairwise(server.exchanges[0].times_ns("text"))]
    assert [gap_ns > 0 for gap_ns in gaps_ns] == [False, False, True, False, False]


def test_command_line_makes_the_server_that_it_describes() -> None:
    server, port = parse_server(["--port", "0", "--ttft-ms", "5", "--output-tokens", "3", "--slots", "2"])

    with running_scripted(server, port=port) as address:
        assert ask_ollama(address) == ([" w0", " w1", " w2"], 15, 3)
