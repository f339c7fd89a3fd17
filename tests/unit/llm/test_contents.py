import pytest

from rune.llm.contents import Content, read_content


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({}, Content()),
        ({"role": "assistant", "content": None}, Content()),
        ({"content": "a"}, Content("a")),
        ({"content": "a", "role": "assistant", "tool_calls": []}, Content("a")),
        ({"content": ["a", "b"]}, Content("ab")),
        ({"content": {"type": "text", "text": "a"}}, Content("a")),
        ({"content": [{"type": "text", "text": "a"}, {"text": "b"}]}, Content("ab")),
        ({"content": [{"type": "output_text", "text": "a"}]}, Content("a")),
        ({"content": [{"type": "text", "text": {"value": "a", "annotations": []}}]}, Content("a")),
        ({"content": {"parts": ["a", {"text": "b"}]}}, Content("ab")),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}]},
            Content(reasoning="r"),
        ),
        ({"content": [{"type": "thinking", "thinking": "r"}]}, Content(reasoning="r")),
        ({"content": [{"type": "reasoning", "text": "r"}]}, Content(reasoning="r")),
        ({"content": {"parts": [{"thought": True, "text": "r"}, {"text": "a"}]}}, Content("a", "r")),
        ({"content": [{"type": "redacted_thinking", "data": "x"}]}, Content(is_hidden=True)),
        ({"content": "", "reasoning": "r"}, Content(reasoning="r")),
        ({"reasoning_content": "r"}, Content(reasoning="r")),
        ({"thinking": "r", "content": "a"}, Content("a", "r")),
        ({"reasoning": "r", "reasoning_content": "r"}, Content(reasoning="r")),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "r"}]}, Content(reasoning="r")),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "r"}]}, Content(reasoning="r")),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, Content(is_hidden=True)),
        ({"reasoning": "r", "reasoning_details": [{"text": "r"}]}, Content(reasoning="r")),
        ({"content": None, "refusal": "I cannot."}, Content("I cannot.")),
        ({"content": {}}, Content()),
        ({"content": []}, Content()),
        ({"content": 7}, Content(is_unread=True)),
        ({"content": [{"type": "audio", "data": "x"}]}, Content(is_unread=True)),
        ({"content": [{"type": "text", "text": "a"}, {"type": "audio"}]}, Content("a", is_unread=True)),
        ({"content": [[[[[["a"]]]]]]}, Content(is_unread=True)),
    ],
)
def test_content_is_read_in_whichever_shape_it_comes(delta: dict[str, object], expected: Content) -> None:
    assert read_content(delta) == expected
