import json
from dataclasses import replace

import pytest

from rune.errors import (
    BadResponseError,
    ContextOverflowError,
    ModelNotFoundError,
    RuneError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.llm.protocol import FinishReason, ServerTimings, TokenCounts, TokenCountSource, WarmUpRequest
from tests.unit.llm.asking import QUESTION, ask, ask_routed, chat
from tests.unit.llm.scripted_server import (
    Close,
    Pause,
    Reset,
    Script,
    chunked,
    head,
    ndjson,
    sse,
    whole,
)

HEAD = head(200, "text/event-stream; charset=utf-8")
USAGE: dict[str, object] = {
    "prompt_tokens": 30,
    "completion_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 29},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
TIMINGS = {"cache_n": 29, "prompt_n": 1, "prompt_ms": 2.5, "predicted_n": 8, "predicted_ms": 40.0}


def event(finish_reason: str | None = None, /, **delta: object) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice], "usage": None}


def summary(**members: object) -> dict[str, object]:
    return {"object": "chat.completion.chunk", "choices": [], **members}


def said(content: str, finish_reason: str | None = None) -> dict[str, object]:
    """Return a chunk with a `message`, as of a server that does not stream."""
    message = {"role": "assistant", "content": content}
    return {"object": "chat.completion", "choices": [{"message": message, "finish_reason": finish_reason}]}


ROLE = event(role="assistant", content=None)
STOP = event("stop")


def test_chat_returns_answer_with_evidence_when_the_stream_is_whole() -> None:
    stream = sse(
        ROLE, event(content="Be"), event(content="cause"), STOP, summary(usage=USAGE, timings=TIMINGS)
    )

    answer = chat("openai", HEAD + stream)

    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Because", "", FinishReason.STOP)
    assert answer.tokens == TokenCounts(30, 9, 29, 4, TokenCountSource.USAGE)
    assert answer.server_timings == ServerTimings(None, None, 2.5, 40.0)
    assert len(answer.chunk_arrivals_ns) == 2


def test_chat_leaves_other_choices_than_the_first_out() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "No."}, "finish_reason": "length"}]}

    answer = chat("openai", HEAD + sse(other, event(content="Yes."), other, STOP, summary(usage=USAGE)))

    assert (answer.text, answer.finish_reason) == ("Yes.", FinishReason.STOP)


@pytest.mark.parametrize("role", [ROLE, event(role="assistant", content="")])
def test_chat_takes_first_content_for_the_first_token_when_a_role_comes_early(role: object) -> None:
    stamps = chat(
        "openai",
        HEAD + sse(role, done=False),
        Pause(0.06),
        sse(event(reasoning="hm"), event(content="a"), STOP),
    ).stamps

    assert stamps.first_content_ns is not None
    assert stamps.first_content_ns - stamps.first_chunk_ns > 20_000_000
    assert stamps.last_content_ns == stamps.first_visible_ns


@pytest.mark.parametrize(
    ("body", "text", "reasoning", "finish_reason"),
    [
        (sse(event("stop", content="a")), "a", "", FinishReason.STOP),
        (sse(event(reasoning="r"), event(content="a"), STOP), "a", "r", FinishReason.STOP),
        (sse(event(reasoning_content="r"), event(content="a"), STOP), "a", "r", FinishReason.STOP),
        (sse(event(reasoning="r", reasoning_content="r"), STOP), "", "r", FinishReason.STOP),
        (sse(event(content="a"), event("length")), "a", "", FinishReason.LENGTH),
        (sse(event(content="a"), event("content_filter")), "a", "", FinishReason.CONTENT_FILTER),
        (sse(event(content="a"), event("novel")), "a", "", FinishReason.OTHER),
        (sse(event(tool_calls=[{"index": 0}]), event("tool_calls")), "", "", FinishReason.TOOL_CALLS),
        (sse(event(tool_calls=[{"index": 0}]), STOP), "", "", FinishReason.TOOL_CALLS),
        (sse(event(function_call={"name": "f"}), STOP), "", "", FinishReason.TOOL_CALLS),
        (sse(event(content="a"), STOP).replace(b"\n", b"\r\n"), "a", "", FinishReason.STOP),
        (sse(event(content="a"), STOP).replace(b"data: ", b"data:"), "a", "", FinishReason.STOP),
        (b": ping\n\n" + sse(event(content="a"), STOP) + b": bye\n\n", "a", "", FinishReason.STOP),
        (b"data:\n\n" + sse(event(content="a"), STOP), "a", "", FinishReason.STOP),
        (
            b"event: ping\ndata: now\n\ndata: \n\n" + sse(event("stop", content="a")),
            "a",
            "",
            FinishReason.STOP,
        ),
        (sse(event(content="a"), STOP).rstrip(b"\n"), "a", "", FinishReason.STOP),
        (sse(event(content="a"), {"object": "x"}, {"choices": None}, STOP), "a", "", FinishReason.STOP),
        (sse({"choices": [{"delta": None}, None, 1]}, STOP), "", "", FinishReason.STOP),
        (sse(event(content="a") | {"error": None}, STOP), "a", "", FinishReason.STOP),
        (sse(event(content="a"), STOP, done=False), "a", "", FinishReason.STOP),
        (sse(event("null", content="a"), STOP), "a", "", FinishReason.STOP),
        (sse(said("Be"), said("cause"), STOP), "Because", "", FinishReason.STOP),
        (sse(said("Be"), said("Because"), STOP), "Because", "", FinishReason.STOP),
        (sse(event(content="Because"), said("Because", "stop")), "Because", "", FinishReason.STOP),
        (sse({"choices": [{"text": "a", "finish_reason": "stop"}]}), "a", "", FinishReason.STOP),
        (json.dumps(said("a", "stop"), indent=2).encode(), "a", "", FinishReason.STOP),
        (ndjson(event(content="a"), STOP), "a", "", FinishReason.STOP),
        (sse(event(content="a"), STOP) + sse({"error": "after the end"}), "a", "", FinishReason.STOP),
    ],
)
def test_chat_returns_what_came_when_the_server_has_its_ways(
    body: bytes, text: str, reasoning: str, finish_reason: FinishReason
) -> None:
    answer = chat("openai", HEAD + body)

    assert (answer.text, answer.reasoning, answer.finish_reason) == (text, reasoning, finish_reason)


def test_chat_reads_a_stream_whose_head_names_two_media_types() -> None:
    answer = chat(
        "openai", head(200, "application/json, text/event-stream") + sse(event("stop", content="a"))
    )

    assert answer.text == "a"


@pytest.mark.parametrize("sign", [b": keep-alive\n\n", b"data:\n\n", sse(summary(), done=False)])
def test_chat_gives_up_when_only_signs_of_life_come_after_the_first_piece(sign: bytes) -> None:
    first = HEAD + sse(event(content="Paris"), done=False)
    stalled: Script = [first, *(step for _ in range(12) for step in (Pause(0.04), sign))]

    with pytest.raises(ServerTimeoutError, match=r"stood still for 0\.2 seconds"):
        chat("openai", *stalled, request=replace(QUESTION, idle_timeout_seconds=0.2))


def test_chat_waits_when_signs_of_life_come_before_the_first_piece() -> None:
    waiting = (step for _ in range(6) for step in (Pause(0.04), b": keep-alive\n\n"))
    queued: Script = [HEAD, *waiting, sse(event("stop", content="a"))]

    assert chat("openai", *queued, request=replace(QUESTION, idle_timeout_seconds=0.2)).text == "a"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"usage": USAGE, "timings": TIMINGS}, TokenCounts(30, 9, 29, 4, TokenCountSource.USAGE)),
        ({"timings": TIMINGS}, TokenCounts(30, 8, 29, None, TokenCountSource.SERVER)),
        ({"timings": {"prompt_n": 5}}, TokenCounts(5, 1, None, None, TokenCountSource.CHUNKS)),
        ({}, TokenCounts(None, 1, None, None, TokenCountSource.CHUNKS)),
        (
            {"usage": {"prompt_tokens": 5, "completion_tokens": 0}},
            TokenCounts(5, 1, None, None, TokenCountSource.CHUNKS),
        ),
        ({"usage": USAGE | {"prompt_tokens": 0}}, TokenCounts(None, 9, 29, 4, TokenCountSource.USAGE)),
        ({"x_groq": {"usage": USAGE}}, TokenCounts(30, 9, 29, 4, TokenCountSource.USAGE)),
        ({"choices": [{"usage": USAGE}]}, TokenCounts(30, 9, 29, 4, TokenCountSource.USAGE)),
        ({"usage": {"completion_tokens": "9"}}, TokenCounts(None, 1, None, None, TokenCountSource.CHUNKS)),
    ],
)
def test_chat_counts_tokens_by_the_best_source_that_there_is(
    members: dict[str, object], expected: TokenCounts
) -> None:
    assert chat("openai", HEAD + sse(event(content="a"), STOP, summary(**members))).tokens == expected


def test_chat_takes_the_latest_usage_when_every_chunk_carries_it() -> None:
    growing = [event(content="a") | {"usage": USAGE | {"completion_tokens": count}} for count in (1, 2, 9)]

    assert chat("openai", HEAD + sse(*growing, STOP)).tokens.output_count == 9


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        (
            [head(200, "", "Content-Length: 9999") + sse(event("stop", content="a"), done=False)],
            StreamTruncatedError,
        ),
        ([HEAD + sse(event("null", content="a"))], StreamTruncatedError),
        ([HEAD + sse(event("insufficient_system_resource", content="a"))], StreamTruncatedError),
        ([HEAD + sse(event("novel"))], BadResponseError),
        ([HEAD + sse({"type": "message_start"}, {"delta": {"text": "a"}})], BadResponseError),
        ([HEAD + sse({"candidates": [{"content": "a"}]}, done=False)], BadResponseError),
        ([HEAD + sse(event(content=[{"type": "audio", "data": "x"}]), STOP)], BadResponseError),
        ([HEAD + sse(event(content="a"))], StreamTruncatedError),
        ([HEAD + sse(event(content="a"), event("abort"))], StreamTruncatedError),
        ([HEAD + sse(event(content="a"), done=False) + b'data: {"cho'], StreamTruncatedError),
        ([HEAD + sse(event(content="a"), done=False), Pause(0.01), Reset()], StreamTruncatedError),
        (
            [head(200, "text/event-stream", "Transfer-Encoding: chunked") + chunked(sse(ROLE, done=False))],
            StreamTruncatedError,
        ),
        ([HEAD + sse(event(content="a"), {"error": {"message": "strange", "code": 500}})], StreamFailedError),
        ([HEAD + sse({"error": {"message": "strange", "http_status_code": 422}})], StreamFailedError),
        ([HEAD + sse(event(content="a"), STOP, {"error": "strange"})], StreamFailedError),
        ([HEAD + sse({"object": "error", "message": "strange", "code": 500})], StreamFailedError),
        ([HEAD + b'event: error\ndata: {"detail": "strange"}\n\n'], StreamFailedError),
        ([HEAD + b'error: {"code": 500, "message": "strange"}\n\n'], StreamFailedError),
        ([HEAD + b"error: strange\n\n"], StreamFailedError),
        ([HEAD + sse({"error": {"message": "past the context length"}})], ContextOverflowError),
        ([HEAD], BadResponseError),
        ([HEAD + b": ping\n\n"], BadResponseError),
        ([HEAD + b"data: [DONE]\n\n"], BadResponseError),
        ([HEAD + b"data: hello\n\n"], BadResponseError),
        ([HEAD + b"data: " + b"x" * 2_000_000], BadResponseError),
        ([HEAD + b"data: xxxxxxxxxxxxxxxxxxx\n" * 60_000], BadResponseError),
        ([whole(200, {"choices": [{"message": {"content": "not ended"}}]})], StreamTruncatedError),
        ([whole(200, {"error": {"message": "strange"}})], StreamFailedError),
        ([whole(404, {"error": {"message": "The model `m` does not exist."}})], ModelNotFoundError),
        ([whole(400, {"error": {"message": "model 'm' not found"}})], ModelNotFoundError),
        ([whole(503, {"error": {"message": "Loading model", "code": 503}})], ServerOverloadedError),
        ([Close()], ServerUnreachableError),
        ([Pause(0.3)], ServerTimeoutError),
        ([HEAD + sse(ROLE, done=False), Pause(0.3)], ServerTimeoutError),
    ],
)
def test_chat_raises_named_error_when_the_answer_is_no_answer(
    script: Script, error_type: type[RuneError]
) -> None:
    with pytest.raises(error_type) as raised:
        chat("openai", *script, request=replace(QUESTION, idle_timeout_seconds=0.1))

    assert type(raised.value) is error_type


def test_chat_keeps_the_wait_that_the_server_asked_for() -> None:
    with pytest.raises(ServerOverloadedError) as raised:
        chat("openai", whole(429, {"error": {"message": "slow down"}}, "Retry-After: 12"))

    assert raised.value.retry_after_seconds == 12


def test_chat_sends_no_option_when_none_is_asked_for() -> None:
    _, server = ask("openai", [[HEAD + sse(STOP)]], lambda s: s.chat(QUESTION, lambda _: None))

    assert server.requests[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_chat_sends_max_tokens_and_temperature_when_asked_for() -> None:
    request = replace(QUESTION, max_output_tokens=7, temperature=0.0, context_tokens=2048)

    _, server = ask("openai", [[HEAD + sse(STOP)]], lambda s: s.chat(request, lambda _: None))

    body = server.requests[0].body
    assert (body["max_tokens"], body["temperature"]) == (7, 0.0)
    assert not {"num_ctx", "options"} & set(body)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/v1/models"),
        ("/", "/v1/models"),
        ("/v1", "/v1/models"),
        ("/v1/", "/v1/models"),
        ("/proxy/llm", "/proxy/llm/v1/models"),
        ("/api/paas/v4", "/api/paas/v4/models"),
    ],
)
def test_server_finds_its_routes_when_the_address_ends_in_any_way(path: str, expected: str) -> None:
    _, server = ask("openai", [[whole(200, {"data": []})]], lambda s: s.list_models(), path=path)

    assert server.requests[0].path == expected


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ({"data": [{"id": "b"}, {"id": "a"}], "models": [{"name": "c"}]}, ("a", "b")),
        ({"data": [{"id": 7}, {}, None]}, ()),
        ({"data": None}, ()),
        ({"data": ["b", "a"]}, ("a", "b")),
        ([{"id": "b"}, {"id": "a"}], ("a", "b")),
        ({"models": [{"name": "models/a"}]}, ("models/a",)),
    ],
)
def test_list_is_sorted_ids_when_entries_are_odd(listing: object, expected: tuple[str, ...]) -> None:
    assert ask("openai", [[whole(200, listing)]], lambda server: server.list_models())[0] == expected


def test_list_raises_when_it_has_no_data() -> None:
    with pytest.raises(BadResponseError):
        ask("openai", [[whole(200, {"object": "list"})]], lambda server: server.list_models())


@pytest.mark.parametrize(
    ("model", "expected"),
    [("a", True), ("b", True), ("A", None), ("a:latest", None), ("models/a", None)],
)
def test_server_may_have_a_model_that_its_list_lacks(model: str, expected: bool | None) -> None:
    routes = {"GET /v1/models": {"data": [{"id": "a"}, {"id": "models/b"}]}}

    assert ask_routed("openai", routes, lambda server: server.has_model(model))[0] is expected


def test_warm_up_generates_one_token() -> None:
    routes: dict[str, object] = {
        "POST /v1/chat/completions": [[HEAD, Pause(0.02), sse(event(content="a"), event("length"))]]
    }

    warm_up, server = ask_routed(
        "openai", routes, lambda s: s.warm_up(WarmUpRequest("m", 5, context_tokens=9))
    )

    assert server.requests[-1].body["max_tokens"] == 1
    assert (warm_up.load_ms, warm_up.first_token_ms > 15) == (0.0, True)
