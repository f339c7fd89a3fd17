from dataclasses import replace

import pytest

from rune.errors import ModelServerError, RequestRejectedError, ServerAccessError, UnknownPathError
from rune.llm.dialects import STANDARD, Dialect, learn, merge
from rune.llm.protocol import ChatRequest, Generation, ModelServer, WarmUpRequest
from tests.unit.llm.asking import QUESTION
from tests.unit.llm.picky_server import PickyServer, ask_picky

FREE = replace(QUESTION, max_output_tokens=1, temperature=0.0, is_free=True)
WANTED = replace(QUESTION, max_output_tokens=300, temperature=0.3)


def unsupported(name: str, instead: str = "") -> object:
    return {
        "error": {
            "message": f"Unsupported parameter: '{name}' is not supported with this model.{instead}",
            "type": "invalid_request_error",
            "param": name,
            "code": "unsupported_parameter",
        }
    }


def extra(*place: str) -> object:
    complaint = {"type": "extra_forbidden", "loc": ["body", *place], "msg": "Extra inputs are not permitted"}
    return {"object": "error", "message": {"detail": [complaint]}, "type": "invalid_request_error"}


NEW_NAME = unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
VALUE = {
    "error": {
        "message": "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1)"
        " value is supported.",
        "param": "temperature",
        "code": "unsupported_value",
    }
}
BARE = {"detail": "Extra inputs are not permitted"}
TOO_FEW = {"error": {"message": "Invalid 'max_tokens': integer below minimum value. Expected >= 16."}}


def ask(picky: PickyServer, *requests: ChatRequest) -> tuple[list[Generation], Dialect]:
    async def go(server: ModelServer) -> tuple[list[Generation], Dialect]:
        answers = [await server.chat(request, lambda _: None) for request in requests]
        return answers, server.dialect

    return ask_picky(picky, go)[0]


@pytest.mark.parametrize(
    ("refusals", "status", "expected"),
    [
        ({}, 400, STANDARD),
        ({"stream_options": extra("stream_options", "include_usage")}, 422, Dialect(("stream_options",))),
        ({"stream_options": unsupported("stream_options")}, 400, Dialect(("stream_options",))),
        ({"stream_options": BARE}, 400, Dialect(("stream_options",))),
        (
            {"stream_options": {"error": "got an unexpected keyword argument 'stream_options'"}},
            500,
            Dialect(("stream_options",)),
        ),
        ({"max_tokens": NEW_NAME}, 400, Dialect(length_field="max_completion_tokens")),
        ({"temperature": VALUE}, 400, Dialect(("temperature",))),
        ({"max_tokens": TOO_FEW}, 400, Dialect(takes_own_length=False)),
        (
            {"max_tokens": NEW_NAME, "max_completion_tokens": unsupported("max_completion_tokens")},
            400,
            Dialect(length_field="max_completion_tokens", takes_own_length=False),
        ),
        (
            {"temperature": VALUE, "max_tokens": NEW_NAME, "stream_options": extra("stream_options")},
            400,
            Dialect(("stream_options", "temperature"), "max_completion_tokens"),
        ),
    ],
)
def test_refused_field_is_left_out_and_that_is_remembered(
    refusals: dict[str, object], status: int, expected: Dialect
) -> None:
    picky = PickyServer([], refusals=refusals, status=status)

    answers, dialect = ask(picky, FREE, FREE)

    assert [answer.text for answer in answers] == ["Paris", "Paris"]
    assert dialect == expected
    # Each refusal was met once; the second chat met none.
    assert not refusals.keys() & picky.chats[-1].body.keys()
    learnt_count = len(expected.left_out) + (not expected.takes_own_length)
    assert len(picky.chats) == 2 + learnt_count + (expected.length_field != "max_tokens")


def test_server_without_streams_is_asked_for_the_whole() -> None:
    refusal = {"error": {"message": "Streaming is not supported for this model"}}
    picky = PickyServer([], refusals={"stream": refusal})

    ask(picky, FREE)

    assert not {"stream", "stream_options"} & picky.chats[-1].body.keys()


@pytest.mark.parametrize("name", ["temperature", "max_tokens"])
def test_what_the_caller_chose_is_not_left_out(name: str) -> None:
    refusal = VALUE if name == "temperature" else TOO_FEW
    picky = PickyServer([], refusals={name: refusal})

    with pytest.raises(RequestRejectedError, match=r"Only the default|Expected >= 16"):
        ask(picky, WANTED)

    assert len(picky.chats) == 1


def test_what_the_caller_chose_may_have_another_name() -> None:
    picky = PickyServer([], refusals={"max_tokens": NEW_NAME})

    ask(picky, WANTED)

    assert picky.chats[-1].body["max_completion_tokens"] == 300


def test_what_is_left_out_of_a_free_chat_is_sent_where_the_caller_wants_it() -> None:
    picky = PickyServer([], refusals={"temperature": VALUE})

    with pytest.raises(RequestRejectedError):
        ask(picky, FREE, WANTED)

    assert picky.chats[-1].body["temperature"] == 0.3


def test_refusal_that_names_nothing_is_the_answer() -> None:
    picky = PickyServer([], refusals={"messages": {"error": "The stars are not right."}})

    with pytest.raises(RequestRejectedError, match="stars"):
        ask(picky, FREE)

    assert len(picky.chats) == 1


def test_earlier_turn_s_dialect_is_spoken_at_once() -> None:
    picky = PickyServer([], refusals={"stream_options": extra("stream_options"), "max_tokens": NEW_NAME})

    async def go(server: ModelServer) -> None:
        server.speak(Dialect(("stream_options",), "max_completion_tokens"))
        await server.chat(FREE, lambda _: None)

    ask_picky(picky, go)

    assert len(picky.chats) == 1


@pytest.mark.parametrize("page", [b"", b"<!doctype html>"])
@pytest.mark.parametrize(
    ("path", "chat_path"),
    [
        ("", "/chat/completions"),
        ("/v1beta/openai", "/v1beta/openai/chat/completions"),
        ("/inference", "/inference/chat/completions"),
        ("/inference", "/inference/v1/chat/completions"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("/gateway/x", "/gateway/x/v1/chat/completions"),
        ("/gateway/x", "/gateway/x/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/acct/gw/compat", "/v1/acct/gw/compat/chat/completions"),
        (
            "/openai/deployments/m?api-version=2024-10-21",
            "/openai/deployments/m/chat/completions?api-version=2024-10-21",
        ),
        ("?api-version=2024-10-21", "/openai/deployments/m/chat/completions?api-version=2024-10-21"),
        ("/?api-version=preview", "/openai/v1/chat/completions?api-version=preview"),
        ("/openai/v1?api-version=preview", "/openai/v1/chat/completions?api-version=preview"),
    ],
)
def test_chat_finds_its_path_below_any_address(path: str, chat_path: str, page: bytes) -> None:
    picky = PickyServer([], chat_path=chat_path, page=page)

    async def go(server: ModelServer) -> tuple[Generation, bool | None]:
        await server.chat(FREE, lambda _: None)
        return await server.chat(FREE, lambda _: None), await server.has_model("m")

    (answer, has_model), server = ask_picky(picky, go, path=path)

    assert (answer.text, has_model) == ("Paris", None)
    asked = [request.path for request in server.requests if request.method == "POST"]
    assert asked[-2:] == [chat_path] * 2


def test_version_in_the_address_goes_with_every_request() -> None:
    picky = PickyServer([], chat_path="/openai/v1/chat/completions?api-version=preview")

    async def go(server: ModelServer) -> None:
        await server.chat(FREE, lambda _: None)
        await server.has_model("m")
        await server.read_metrics("m")
        await server.describe_server()

    _, server = ask_picky(picky, go, path="/openai/v1?api-version=preview")

    assert len(server.requests) > 3
    assert [request.path for request in server.requests if "api-version=preview" not in request.path] == []


def test_chat_says_so_when_no_path_is_known() -> None:
    with pytest.raises(UnknownPathError, match="does not know the path"):
        ask(PickyServer([], chat_path="/elsewhere"), FREE)


@pytest.mark.parametrize(
    ("path", "header"),
    [("", "authorization"), ("", "api-key"), ("", "x-api-key"), ("?api-version=1", "api-key")],
)
def test_key_is_sent_in_the_header_that_the_server_names(path: str, header: str) -> None:
    chat_path = "/openai/deployments/m/chat/completions?api-version=1" if path else "/v1/chat/completions"
    picky = PickyServer([], key_header=header, chat_path=chat_path)

    ask_picky(picky, lambda server: server.chat(FREE, lambda _: None), path=path, api_key="sk-1")

    sent = picky.chats[-1].headers
    assert sent[header] == ("Bearer sk-1" if header == "authorization" else "sk-1")
    assert len({"authorization", "api-key", "x-api-key"} & sent.keys()) == 1


def test_no_key_is_asked_for_in_vain() -> None:
    picky = PickyServer([], key_header="api-key")

    with pytest.raises(ServerAccessError):
        ask(picky, FREE)

    assert len(picky.chats) == 1


def test_warm_up_is_done_on_a_server_that_refuses_its_length() -> None:
    picky = PickyServer([], refusals={"max_tokens": TOO_FEW})

    ask_picky(picky, lambda server: server.warm_up(WarmUpRequest("m", 30.0)))

    assert "max_tokens" not in picky.chats[-1].body


@pytest.mark.parametrize(
    "told",
    [
        "",
        "temperature is a fine thing",
        "the stream broke",
        "max_tokens_per_day used up",
        "seeds of unknown doubt",
    ],
)
def test_nothing_is_learnt_from_other_words(told: str) -> None:
    error = RequestRejectedError("No.")
    error.told = told
    body = {"stream": True, "stream_options": {}, "temperature": 0, "max_tokens": 1}

    assert learn(STANDARD, body, error, wanted=()) is None


def test_nothing_is_learnt_from_another_error() -> None:
    error = ModelServerError("No.")
    error.told = "unsupported parameter: stream_options"

    assert learn(STANDARD, {"stream_options": {}}, error, wanted=()) is None


def test_dialects_add_up() -> None:
    one = Dialect(("seed",), "max_completion_tokens", api_path="")
    other = Dialect(("stream_options",), takes_own_length=False)

    expected = Dialect(("seed", "stream_options"), "max_completion_tokens", False, "")
    assert merge(one, other) == expected
    assert merge(other, one) == expected
    assert len(expected.notes()) == 4
    assert STANDARD.notes() == ()
