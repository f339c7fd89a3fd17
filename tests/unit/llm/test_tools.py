from collections.abc import Callable

import pytest

from rune.llm.protocol import ToolCall, ToolSpec
from rune.llm.tools import (
    ToolCallsInProgress,
    make_call_id,
    read_whole_call,
    write_ollama_call,
    write_openai_call,
    write_tools,
)

LOOK = ToolCall("a", "look", {"where": "pods"}, '{"where": "pods"}')


def counting() -> Callable[[], str]:
    """Return a maker of ids that counts."""
    numbers = iter(range(9))
    return lambda: f"own{next(numbers)}"


def fragment(
    arguments: object = None, *, index: int | None = 0, call_id: str | None = None, name: str | None = None
) -> dict[str, object]:
    """Return a fragment with the members that are given."""
    function = {"name": name, "arguments": arguments}
    members = {"index": index, "id": call_id, "type": "function"}
    return {
        **{key: value for key, value in members.items() if value is not None},
        "function": {key: value for key, value in function.items() if value is not None},
    }


def put_together(*fragments: object) -> tuple[ToolCall, ...]:
    calls = ToolCallsInProgress(counting())
    for one in fragments:
        calls.add(one)
    return calls.complete()


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        # OpenAI, vLLM, llama-server: id and name first, then the arguments.
        (
            [
                fragment("", call_id="a", name="look"),
                fragment('{"where"'),
                fragment(': "pods"}'),
            ],
            [LOOK],
        ),
        # The name again with every fragment.
        ([fragment('{"where": ', call_id="a", name="look"), fragment('"pods"}', name="look")], [LOOK]),
        # Older vLLM: another id with every fragment.
        (
            [
                fragment('{"where": ', call_id="a", name="look"),
                fragment('"pods"', call_id="b", name="look"),
                fragment("}", call_id="c", name="look"),
                fragment("", call_id="d", name="look"),
            ],
            [LOOK],
        ),
        # TGI: whole, and "0" for every id.
        (
            [fragment('{"n":1}', call_id="0", name="x"), fragment('{"n":2}', index=1, call_id="0", name="y")],
            [ToolCall("0", "x", {"n": 1}, '{"n":1}'), ToolCall("own0", "y", {"n": 2}, '{"n":2}')],
        ),
        # Two calls, their fragments mixed.
        (
            [
                fragment("{", call_id="a", name="x"),
                fragment('{"n"', index=1, call_id="b", name="y"),
                fragment("}"),
                fragment(":2}", index=1),
            ],
            [ToolCall("a", "x", {}, "{}"), ToolCall("b", "y", {"n": 2}, '{"n":2}')],
        ),
        # No index: one call in fragments, and two calls with their own ids.
        (
            [fragment('{"n"', index=None, name="x"), fragment(":1}", index=None)],
            [ToolCall("own0", "x", {"n": 1}, '{"n":1}')],
        ),
        (
            [
                fragment("{}", index=None, call_id="a", name="x"),
                fragment("{}", index=None, call_id="b", name="y"),
            ],
            [ToolCall("a", "x", {}, "{}"), ToolCall("b", "y", {}, "{}")],
        ),
        # Index 0 for every call.
        (
            [fragment("{}", call_id="a", name="x"), fragment('{"n":2}', call_id="b", name="x")],
            [ToolCall("a", "x", {}, "{}"), ToolCall("b", "x", {"n": 2}, '{"n":2}')],
        ),
        # No arguments, in all ways.
        ([fragment("", call_id="a", name="x")], [ToolCall("a", "x", {}, "")]),
        ([fragment(call_id="a", name="x")], [ToolCall("a", "x", {}, "")]),
        ([fragment("null", call_id="a", name="x")], [ToolCall("a", "x", {}, "null")]),
        # An object where text belongs.
        ([fragment({"n": "ä"}, call_id="a", name="x")], [ToolCall("a", "x", {"n": "ä"}, '{"n": "ä"}')]),
        # Cut off by a limit, and no object.
        ([fragment("{", call_id="a", name="x")], [ToolCall("a", "x", None, "{")]),
        ([fragment("[1]", call_id="a", name="x")], [ToolCall("a", "x", None, "[1]")]),
        ([fragment("[" * 100_000, call_id="a", name="x")], [ToolCall("a", "x", None, "[" * 100_000)]),
        # Halves of a character in two fragments.
        (
            [fragment('{"n":"\ud83d', call_id="a", name="x"), fragment('\ude00"}')],
            [ToolCall("a", "x", {"n": "😀"}, '{"n":"😀"}')],
        ),
        # Nonsense.
        ([None], [ToolCall("own0", "", {}, "")]),
        ([{"index": "x", "function": []}], [ToolCall("own0", "", {}, "")]),
        ([], []),
    ],
)
def test_calls_are_put_together_however_they_are_streamed(
    fragments: list[object], expected: list[ToolCall]
) -> None:
    assert list(put_together(*fragments)) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"id": "a", "function": {"index": 0, "name": "look", "arguments": {"where": "pods"}}}, LOOK),
        ({"function": {"name": "x", "arguments": {}}}, ToolCall("own0", "x", {}, "{}")),
        ({"function": {"name": "x"}}, ToolCall("own0", "x", {}, "")),
        ({"function": {"name": "x", "arguments": '{"n":1}'}}, ToolCall("own0", "x", {"n": 1}, '{"n":1}')),
        ({"function": {"name": "x", "arguments": [1]}}, ToolCall("own0", "x", None, "[1]")),
        ({"id": 7, "function": {"name": 7}}, ToolCall("own0", "", {}, "")),
        ("nonsense", ToolCall("own0", "", {}, "")),
    ],
)
def test_whole_call_is_read_with_an_id_of_its_own_where_it_has_none(sent: object, expected: ToolCall) -> None:
    assert read_whole_call(sent, counting()) == expected


def test_made_ids_are_what_mistral_takes_and_differ() -> None:
    ids = [make_call_id() for _ in range(50)]

    assert all(len(one) == 9 and one.isalnum() for one in ids)
    assert len(set(ids)) == 50


def test_tools_are_declared_as_functions() -> None:
    schema = {"type": "object", "properties": {}}

    assert write_tools([ToolSpec("look", "Looks.", schema)]) == [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": schema}}
    ]


@pytest.mark.parametrize(
    ("call", "as_object", "as_text"),
    [
        (LOOK, {"where": "pods"}, '{"where": "pods"}'),
        (ToolCall("a", "look", {}, ""), {}, "{}"),
        (ToolCall("a", "look", {}, "null"), {}, "{}"),
        (ToolCall("a", "look", None, "{"), {}, "{}"),
    ],
)
def test_call_is_replayed_as_an_object_to_one_and_as_text_to_the_other(
    call: ToolCall, as_object: object, as_text: str
) -> None:
    assert write_ollama_call(call, 1) == {
        "id": "a",
        "function": {"index": 1, "name": "look", "arguments": as_object},
    }
    assert write_openai_call(call) == {
        "id": "a",
        "type": "function",
        "function": {"name": "look", "arguments": as_text},
    }
