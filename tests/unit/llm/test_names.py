import pytest

from rune.llm.names import canonical_name, is_same_model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama3.2", "registry.ollama.ai/library/llama3.2:latest"),
        ("Llama3.2:7B", "registry.ollama.ai/library/llama3.2:7b"),
        ("library/llama3.2", "registry.ollama.ai/library/llama3.2:latest"),
        ("me/mine:q4", "registry.ollama.ai/me/mine:q4"),
        ("hf.co/org/repo:Q4_K_M", "hf.co/org/repo:q4_k_m"),
        ("localhost:5000/me/mine", "localhost:5000/me/mine:latest"),
        ("https://registry.ollama.ai/library/llama3.2", "registry.ollama.ai/library/llama3.2:latest"),
        ("llama3.2:", "registry.ollama.ai/library/llama3.2:latest"),
        (" llama3.2 ", "registry.ollama.ai/library/llama3.2:latest"),
    ],
)
def test_canonical_name_is_complete_when_parts_are_left_out(name: str, expected: str) -> None:
    assert canonical_name(name) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("llama3.2", "llama3.2:latest", True),
        ("llama3.2", "llama3.2:1b", False),
        ("library/llama3.2", "LLAMA3.2:latest", True),
        ("me/llama3.2", "llama3.2", False),
        ("hf.co/a/b", "a/b", False),
    ],
)
def test_names_are_the_same_model_when_their_full_forms_agree(one: str, other: str, same: bool) -> None:
    assert is_same_model(one, other) is same
