import asyncio
from dataclasses import replace

import pytest

from rune.errors import (
    BadResponseError,
    ContextOverflowError,
    ModelNotFoundError,
    OutOfMemoryError,
    RuneError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
    UnknownPathError,
)
from rune.llm.opener import ServerOpener
from rune.llm.protocol import FinishReason, ServerTimings, TokenCounts, TokenCountSource, WarmUpRequest
from tests.unit.llm.asking import LOOPBACK, QUESTION, ask, chat
from tests.unit.llm.scripted_server import (
    Close,
    Hold,
    Pause,
    Reset,
    Script,
    Step,
    chunked,
    head,
    ndjson,
    serve,
    sse,
    whole,
)

HEAD = head(200, "application/x-ndjson")
FINAL = {
    "model": "m",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 12,
    "prompt_eval_duration": 1_500_000,
    "eval_count": 3,
    "eval_duration": 2_000_000,
}
LOADED = whole(200, {"model": "m", "done": True, "done_reason": "load"})


def chunk(text: str = "", **more: object) -> dict[str, object]:
    return {"model": "m", "message": {"role": "assistant", "content": text, **more}, "done": False}


def test_chat_returns_answer_with_evidence_when_the_stream_is_whole() -> None:
    answer = chat("ollama", HEAD + ndjson(chunk("Be"), chunk("cause"), FINAL))

    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Because", "", FinishReason.STOP)
    assert answer.tokens == TokenCounts(12, 3, None, None, TokenCountSource.USAGE)
    assert answer.server_timings == ServerTimings(5.0, 1.0, 1.5, 2.0)
    assert len(answer.chunk_arrivals_ns) == 2


def test_chat_stamps_chunks_apart_when_they_come_apart() -> None:
    stamps = chat(
        "ollama",
        HEAD,
        Pause(0.02),
        ndjson(chunk()),
        Pause(0.02),
        ndjson(chunk(thinking="hm")),
        Pause(0.02),
        ndjson(chunk("a")),
        Pause(0.02),
        ndjson(FINAL),
    ).stamps

    assert stamps.first_content_ns is not None
    assert stamps.first_visible_ns is not None
    instants_ns = [stamps.sent_ns, stamps.headers_ns, stamps.first_chunk_ns, stamps.first_content_ns]
    instants_ns += [stamps.first_visible_ns, stamps.ended_ns]
    assert instants_ns == sorted(set(instants_ns))
    assert stamps.last_content_ns == stamps.first_visible_ns


def test_chat_tells_how_many_chunks_have_come() -> None:
    counts: list[int] = []
    script = [HEAD + ndjson(chunk(), chunk("a"), chunk(thinking="b"), FINAL)]

    ask("ollama", [script], lambda server: server.chat(QUESTION, counts.append))

    assert counts == [1, 2]


@pytest.mark.parametrize(
    ("body", "text", "reasoning", "finish_reason"),
    [
        (ndjson(chunk("a"), FINAL | {"message": {"content": "b"}}), "ab", "", FinishReason.STOP),
        (ndjson(chunk("a"), FINAL).removesuffix(b"\n"), "a", "", FinishReason.STOP),
        (ndjson(chunk("a"), FINAL).replace(b"\n", b"\r\n\r\n"), "a", "", FinishReason.STOP),
        (ndjson(chunk(thinking="hm"), chunk("a"), FINAL), "a", "hm", FinishReason.STOP),
        (ndjson(chunk("a"), FINAL | {"done_reason": "length"}), "a", "", FinishReason.LENGTH),
        (ndjson(chunk("a"), FINAL | {"done_reason": "novel"}), "a", "", FinishReason.OTHER),
        (ndjson(chunk("a"), FINAL | {"done_reason": None}), "a", "", FinishReason.OTHER),
        (ndjson(chunk("a"), {"model": "m", "done": True}), "a", "", FinishReason.OTHER),
        (ndjson({"response": "a", "done": False}, FINAL | {"message": None}), "a", "", FinishReason.STOP),
        (sse(chunk("a"), FINAL, done=False), "a", "", FinishReason.STOP),
        (ndjson(FINAL | {"message": {"tool_calls": [{"function": {}}]}}), "", "", FinishReason.TOOL_CALLS),
        (ndjson(chunk("\ud83d"), chunk("\ude00"), FINAL), "😀", "", FinishReason.STOP),
        (ndjson(chunk("a") | {"error": None}, FINAL, {"error": "after the end"}), "a", "", FinishReason.STOP),
    ],
)
def test_chat_returns_what_came_when_the_server_has_its_ways(
    body: bytes, text: str, reasoning: str, finish_reason: FinishReason
) -> None:
    answer = chat("ollama", HEAD + body)

    assert (answer.text, answer.reasoning, answer.finish_reason) == (text, reasoning, finish_reason)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompt_eval_count": None}, TokenCounts(None, 3, None, None, TokenCountSource.USAGE)),
        ({"prompt_eval_count": 0}, TokenCounts(None, 3, None, None, TokenCountSource.USAGE)),
        ({"eval_count": None}, TokenCounts(12, 1, None, None, TokenCountSource.CHUNKS)),
        ({"eval_count": "three"}, TokenCounts(12, 1, None, None, TokenCountSource.CHUNKS)),
        ({"eval_count": -3}, TokenCounts(12, 1, None, None, TokenCountSource.CHUNKS)),
    ],
)
def test_chat_counts_chunks_when_the_server_does_not_count(
    changes: dict[str, object], expected: TokenCounts
) -> None:
    assert chat("ollama", HEAD + ndjson(chunk("a"), FINAL | changes)).tokens == expected


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ([HEAD + ndjson(chunk("a"))], StreamTruncatedError),
        ([HEAD + ndjson(chunk("a")) + b'{"model":"m","mess'], StreamTruncatedError),
        ([HEAD + ndjson(chunk("a")), Pause(0.01), Reset()], StreamTruncatedError),
        ([HEAD + ndjson({"model": "m", "done": True})], BadResponseError),
        ([HEAD + ndjson(FINAL | {"done_reason": "novel"})], BadResponseError),
        ([HEAD + ndjson({"choices": [{"delta": {"content": "a"}}]})], BadResponseError),
        ([HEAD + ndjson(chunk(content={"x": 1}), FINAL)], BadResponseError),
        ([HEAD + ndjson(chunk("a"), FINAL | {"done": "true"})], StreamTruncatedError),
        ([HEAD + ndjson(FINAL | {"done_reason": "load"})], StreamTruncatedError),
        ([HEAD + ndjson(chunk("a"), {"error": "strange"})], StreamFailedError),
        ([HEAD + ndjson({"error": "strange"}, FINAL)], StreamFailedError),
        ([HEAD + ndjson(chunk("a"), {"error": "CUDA error: out of memory"})], OutOfMemoryError),
        ([HEAD], BadResponseError),
        ([HEAD + b"\n\n"], BadResponseError),
        ([HEAD + b"hello\n"], BadResponseError),
        ([HEAD + b"[1]\n"], BadResponseError),
        ([HEAD + b"[" * 100_000 + b"\n"], BadResponseError),
        ([HEAD + b"x" * 2_000_000], BadResponseError),
        ([head(200, "text/html") + b"<html>"], UnknownPathError),
        ([head(200, "text/event-stream") + b"data: {}\n\n"], BadResponseError),
        ([head(200, "application/x-ndjson", "Content-Encoding: gzip") + b"x"], BadResponseError),
        ([whole(200, {"error": "strange"})], StreamFailedError),
        ([whole(204, {})], BadResponseError),
        ([whole(302, {}, "Location: /")], BadResponseError),
        ([whole(404, {"error": "model 'm' not found"})], ModelNotFoundError),
        ([whole(400, {"error": "the prompt is longer than the context length"})], ContextOverflowError),
        ([whole(503, {"error": "server busy, please try again."})], ServerOverloadedError),
        ([Close()], ServerUnreachableError),
        ([Pause(0.3)], ServerTimeoutError),
        ([HEAD + ndjson(chunk("a")), Pause(0.3)], ServerTimeoutError),
    ],
)
def test_chat_raises_named_error_when_the_answer_is_no_answer(
    script: Script, error_type: type[RuneError]
) -> None:
    with pytest.raises(error_type) as raised:
        chat("ollama", *script, request=replace(QUESTION, idle_timeout_seconds=0.1))

    assert type(raised.value) is error_type


def test_chat_ends_in_time_when_the_server_never_ends() -> None:
    trickle: list[Step] = [ndjson(chunk("a")), Pause(0.02)]

    with pytest.raises(ServerTimeoutError):
        chat("ollama", HEAD, *trickle * 20, request=replace(QUESTION, timeout_seconds=0.1))


def test_chat_sends_options_that_keep_the_server_from_cutting_the_question() -> None:
    request = replace(QUESTION, context_tokens=2048, max_output_tokens=7, temperature=0.0)

    _, server = ask("ollama", [[HEAD + ndjson(FINAL)]], lambda s: s.chat(request, lambda _: None))

    assert (server.requests[0].method, server.requests[0].path) == ("POST", "/api/chat")
    assert server.requests[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": 2048, "num_predict": 7, "temperature": 0.0},
    }


def test_chat_hangs_up_when_its_task_is_cancelled() -> None:
    async def go() -> int:
        async with serve([HEAD + ndjson(chunk("a")), Hold()]) as scripted:
            server = ServerOpener(LOOPBACK)("ollama", scripted.url)
            begun = asyncio.Event()
            task = asyncio.create_task(server.chat(QUESTION, lambda _: begun.set()))
            await asyncio.wait_for(begun.wait(), 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(scripted.hung_up.wait(), 1)
            await server.aclose()
            return scripted.hang_up_count

    assert asyncio.run(go()) == 1


@pytest.mark.parametrize("gap_seconds", [0.0, 0.02])
def test_chat_keeps_the_connection_when_the_end_of_the_body_comes_a_little_later(gap_seconds: float) -> None:
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(ndjson(chunk("a"), FINAL))
    script: Script = [stream, Pause(gap_seconds), chunked(b"")]

    async def go() -> int:
        async with serve(script, script) as scripted:
            server = ServerOpener(LOOPBACK)("ollama", scripted.url)
            for _ in range(2):
                await server.chat(QUESTION, lambda _: None)
            await server.aclose()
            return scripted.connection_count

    assert asyncio.run(go()) == 1


def test_chat_returns_answer_when_the_server_never_closes_the_body() -> None:
    assert chat("ollama", HEAD + ndjson(chunk("a"), FINAL), Hold()).text == "a"


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ({"models": [{"name": "b:latest"}, {"name": "a:7b"}]}, ("a:7b", "b:latest")),
        ({"models": [{"model": "a:7b"}, {"name": "a:7b"}]}, ("a:7b",)),
        ({"models": [{"name": 7}, {}, None, "x"]}, ()),
        ({"models": []}, ()),
        ({"models": None}, ()),
    ],
)
def test_lists_are_sorted_names_when_entries_are_odd(listing: object, expected: tuple[str, ...]) -> None:
    models, server = ask("ollama", [[whole(200, listing)]], lambda s: s.list_models())
    running, running_server = ask("ollama", [[whole(200, listing)]], lambda s: s.list_running())

    assert models == running == expected
    assert (server.requests[0].path, running_server.requests[0].path) == ("/api/tags", "/api/ps")


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ([whole(200, {"data": []})], BadResponseError),
        ([whole(200, [])], BadResponseError),
        ([whole(404, {"detail": "Not Found"})], BadResponseError),
        ([head(200, "text/html") + b"<html>"], BadResponseError),
        ([head(200, "application/json") + b" " * 5_000_000], BadResponseError),
        ([head(200, "application/json", "Content-Length: 50") + b"{"], StreamTruncatedError),
        ([Reset()], ServerUnreachableError),
    ],
)
def test_list_raises_when_it_is_no_list(script: Script, error_type: type[RuneError]) -> None:
    with pytest.raises(error_type):
        ask("ollama", [script], lambda server: server.list_models())


@pytest.mark.parametrize(
    ("model", "expected"), [("llama3", True), ("LLAMA3:latest", True), ("llama3:8b", False)]
)
def test_server_has_model_when_its_full_name_is_listed(model: str, expected: bool) -> None:
    listing = whole(200, {"models": [{"name": "llama3:latest"}]})

    assert ask("ollama", [[listing]], lambda server: server.has_model(model))[0] is expected


def test_warm_up_loads_then_generates_one_token_with_the_same_context() -> None:
    request = WarmUpRequest("m", timeout_seconds=5, context_tokens=2048)
    scripts: list[Script] = [[Pause(0.03), LOADED], [HEAD + ndjson(chunk("a"), FINAL)]]

    warm_up, server = ask("ollama", scripts, lambda s: s.warm_up(request))

    load, tiny = server.requests
    assert (load.path, load.body) == (
        "/api/generate",
        {"model": "m", "stream": False, "options": {"num_ctx": 2048}},
    )
    assert (tiny.path, tiny.body["options"]) == ("/api/chat", {"num_ctx": 2048, "num_predict": 1})
    assert warm_up.load_ms > 25
    assert 0 < warm_up.first_token_ms < warm_up.load_ms


def test_warm_up_measures_to_the_end_when_the_one_token_has_no_text() -> None:
    scripts: list[Script] = [[LOADED], [HEAD, Pause(0.02), ndjson(FINAL)]]

    warm_up, _ = ask("ollama", scripts, lambda server: server.warm_up(WarmUpRequest("m", 5)))

    assert warm_up.first_token_ms > 15


@pytest.mark.parametrize(
    ("scripts", "error_type"),
    [
        ([[whole(404, {"error": "model 'm' not found"})]], ModelNotFoundError),
        ([[whole(500, {"error": "cudaMalloc failed: out of memory"})]], OutOfMemoryError),
        ([[whole(200, {"error": "cudaMalloc failed: out of memory"})]], OutOfMemoryError),
        ([[whole(200, {"model": "m"})]], BadResponseError),
        ([[Pause(0.4)]], ServerTimeoutError),
        ([[Pause(0.1), LOADED], [HEAD, Pause(0.4)]], ServerTimeoutError),
        ([[LOADED], [HEAD + ndjson({"error": "strange"})]], StreamFailedError),
    ],
)
def test_warm_up_raises_when_either_part_fails(scripts: list[Script], error_type: type[RuneError]) -> None:
    request = WarmUpRequest("m", timeout_seconds=0.2)

    with pytest.raises(error_type):
        ask("ollama", scripts, lambda server: server.warm_up(request))
