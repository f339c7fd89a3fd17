import pytest

from rune.llm.thinking import visible_from


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("Seven.", "Seven."),
        ("", ""),
        ("<think>Hm.</think>Seven.", "Seven."),
        ("\n<THINK>\nHm.\n</think>\n\nSeven.", "Seven."),
        ("<thinking>Hm.</thinking> Seven.", "Seven."),
        ("[THINK]Hm.[/THINK]Seven.", "Seven."),
        ("<think></think>\n\n<think>Hm.</think>Seven.", "Seven."),
        ("<think>Hm. Seven.", ""),
        # A template that opens the tag itself.
        ("Hm.\n</think>\n\nSeven.", "Seven."),
        # An answer that speaks of tags.
        ("A thought stands between <think> and </think>.", "A thought stands between <think> and </think>."),
        ("<thinker>Rodin</thinker>", "<thinker>Rodin</thinker>"),
        ("<think>\u0130.</think>Seven.", "Seven."),  # longer in small letters
    ],
)
def test_visible_answer_is_what_follows_the_thought(text: str, visible: str) -> None:
    assert text[visible_from(text) :] == visible
