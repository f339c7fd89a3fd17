import json
from typing import Any

import pytest
from pydantic import ValidationError

from rune.money.catalog import CATALOG, CATALOG_PATH, CATALOG_ROWS, CatalogFile, SizedModel, find_model

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


def test_row_of_the_file_is_what_is_rented_for() -> None:
    assert CATALOG[-1] == SizedModel(
        "llama3.1:8b", 8_000, kib_per_token=128, weights_gb=4.9, disk_gb=41, context_tokens=8_192
    )
    assert [row.licence for row in CATALOG_ROWS if row.name.startswith("command-r")] == ["CC-BY-NC-4.0"] * 2


def test_disk_and_download_of_a_model_outside_the_file_follow_from_its_memory() -> None:
    assert [(each.required_disk_gb, each.download_gb) for each in CATALOG] == [
        (other.required_disk_gb, other.download_gb)
        for other in (SizedModel(each.name, each.vram_mb) for each in CATALOG)
    ]


def a_file(**changes: object) -> dict[str, Any]:
    """Return the file with the last row changed; None takes a member away."""
    document: dict[str, Any] = json.loads(CATALOG_PATH.read_text())
    row = document["models"][-1] | changes
    document["models"][-1] = {name: value for name, value in row.items() if value is not None}
    return document


@pytest.mark.parametrize(
    "changes",
    [
        {"licence": None},
        {"licence": ""},
        {"source": "ollama.com"},
        {"name": "llama3.1"},
        {"name": "mixtral:8x7b"},
        {"vram_mb": 8_000.5},
        {"vram_mb": 260_001},
        {"vram_mb": 4_600},
        {"disk_gb": 36},
        {"weights_gb": 0},
        {"context_tokens": 0},
        {"quantization": "Q4_K_M"},
    ],
)
def test_file_is_refused_when_a_row_is_wrong(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CatalogFile.model_validate_json(json.dumps(a_file(**changes)))


@pytest.mark.parametrize("changes", [{}, {"note": "Small."}, {"vram_mb": 4_700}, {"disk_gb": 37}])
def test_file_is_taken_when_each_row_is_right(changes: dict[str, object]) -> None:
    assert len(CatalogFile.model_validate_json(json.dumps(a_file(**changes))).models) == len(BY_HAND)
