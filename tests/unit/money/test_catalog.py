import pytest

from rune.money.catalog import CATALOG, find_model

# By hand: MB / 1024 x 1.15, rounded up, and 32. For llama3.1:8b: 7.8125 x 1.15 = 8.98, so 9 + 32.
BY_HAND = [
    ("llama3.1:405b", 260_000, 324),
    ("mixtral:8x22b", 95_000, 139),
    ("command-r-plus:104b", 75_000, 117),
    ("qwen2.5-coder:72b", 55_000, 94),
    ("llama3.1:70b", 50_000, 89),
    ("mixtral:8x7b", 32_000, 68),
    ("command-r:35b", 28_000, 64),
    ("llama3.1:8b", 8_000, 41),
]


def test_catalog_lists_each_model_with_the_disk_it_needs() -> None:
    assert [(model.name, model.vram_mb, model.required_disk_gb) for model in CATALOG] == BY_HAND


@pytest.mark.parametrize("name", ["", "llama3.1", "LLAMA3.1:8B", "llama3.1:8b ", "phi3"])
def test_find_model_returns_none_when_the_name_is_not_exactly_one_of_them(name: str) -> None:
    assert find_model(name) is None


def test_find_model_returns_the_model_when_the_name_is_in_the_catalog() -> None:
    assert find_model("mixtral:8x7b") == CATALOG[5]
