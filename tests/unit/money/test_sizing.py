import pytest

from rune.errors import InvalidRequestError
from rune.money.catalog import CATALOG, SizedModel, find_model
from rune.money.sizing import (
    SMALLEST_MODEL,
    context_vram_mb,
    estimate_vram_mb,
    estimate_weights_gb,
    size_model,
)


@pytest.mark.parametrize(
    ("name", "vram_mb"),
    [
        ("qwen3:14b", 14 * 720 + 2000),
        ("qwen3:0.6b", 432 + 2000),
        ("phi3:3.8b-mini-4k-instruct-q4_K_M", 2736 + 2000),
        ("mixtral:8x7b", 56 * 720 + 2000),
        ("qwen3:30b-a3b", 30 * 720 + 2000),
        ("qwen3:14B", 14 * 720 + 2000),
        ("llama3.2-13b:latest", 13 * 720 + 2000),
        ("hf.co/unsloth/Llama-3.2-1B-Instruct-GGUF:Q8_0", 1150 + 2000),
        ("qwen3:14b-q8_0", 14 * 1150 + 2000),
        ("llama3.1:8b-instruct-fp16", 8 * 2100 + 2000),
        ("gemma3:12b-it-bf16", 12 * 2100 + 2000),
        ("tiny:1b-fp32", 4200 + 2000),
        ("deepseek-r1:671b", 671 * 720 + 2000),
    ],
)
def test_estimate_tells_the_memory_that_a_name_tells_of(name: str, vram_mb: int) -> None:
    assert estimate_vram_mb(name) == vram_mb


@pytest.mark.parametrize(
    "name", ["phi3", "phi3:latest", "smollm:135m", "nomic-embed-text", "x:q8_0", "b", ""]
)
def test_estimate_tells_nothing_when_a_name_has_no_size(name: str) -> None:
    assert estimate_vram_mb(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("x:\u0663b", "x:\u06631b", "x:1\u0663b", "x:\uff17b"),
        *("x:0b", "x:0.0b", "x:00b", "x:0x7b", "x:8x0b", "llama-13b:0b"),
        *("x:99x9999b", "x:99x999b-fp32", "x:99999b", "x:100x7b", "x:0.0001b"),
    ],
)
def test_size_in_a_name_that_no_model_has_is_none(name: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        size_model(name)

    assert raised.value.specific_code == "model_size_unknown"


def test_largest_size_in_a_name_is_taken() -> None:
    assert estimate_vram_mb("x:2x2775b") == 5550 * 720 + 2000 < 4_000_000


@pytest.mark.parametrize(
    ("name", "weights_mb"),
    # Files of Llama-3.1-70B by bartowski, as listed at ozeki.chat/p_8590-understanding-ai-model-files.html.
    [
        ("llama3.1:70b-instruct-q4_K_M", 42_520),
        ("llama3.1:70b-instruct-q5_K_M", 49_950),
        ("llama3.1:70b-instruct-q6_K", 57_890),
        ("llama3.1:70b-instruct-q8_0", 74_980),
    ],
)
def test_estimate_holds_the_published_weights_of_every_quantisation(name: str, weights_mb: int) -> None:
    estimated_mb = estimate_vram_mb(name)

    assert estimated_mb is not None
    assert estimated_mb >= weights_mb


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_size_is_the_catalogs_when_it_knows_the_model(model: SizedModel) -> None:
    assert size_model(model.name) == model


@pytest.mark.parametrize(("said_mb", "vram_mb"), [(50_000, 50_000), (8_000, 8_000), (1_000, 8_000)])
def test_size_is_the_callers_but_never_below_the_catalogs(said_mb: int, vram_mb: int) -> None:
    assert size_model("llama3.1:8b", said_mb) == SizedModel("llama3.1:8b", vram_mb)


def test_size_is_the_callers_when_only_the_caller_knows() -> None:
    assert size_model("house-model", 4_000) == SizedModel("house-model", 4_000)
    assert size_model("qwen3:14b", 9_000) == SizedModel("qwen3:14b", 9_000)


def test_size_comes_from_the_name_when_neither_catalog_nor_caller_know() -> None:
    assert find_model("qwen3:14b") is None
    assert size_model("qwen3:14b") == SizedModel("qwen3:14b", 12_080)


def test_size_is_asked_for_when_nothing_tells_it() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        size_model("house-model")

    assert (raised.value.specific_code, raised.value.pointer) == ("model_size_unknown", "/min_vram_mb")
    assert "'house-model'" in raised.value.sentence

    assert SMALLEST_MODEL.vram_mb == min(each.vram_mb for each in CATALOG)


@pytest.mark.parametrize(
    ("name", "min_vram_mb", "weights_gb"),
    [
        ("llama3.1:8b", None, 4.9),
        ("llama3.1:70b", None, 43),
        ("llama3.1:405b", None, 243),
        ("qwen3:14b", None, 9.3),
        ("qwen3:14b-q8_0", None, 16),
        ("house-model", 8_000, 5),
    ],
)
def test_weights_are_estimated_as_the_library_has_them(
    name: str, min_vram_mb: int | None, weights_gb: float
) -> None:
    model = size_model(name, min_vram_mb)

    assert estimate_weights_gb(model) == pytest.approx(weights_gb, rel=0.1)
    assert estimate_weights_gb(model) <= model.download_gb


@pytest.mark.parametrize(
    ("name", "context_tokens", "mib"),
    [
        ("llama3.1:8b", 0, 0),
        ("llama3.1:8b", 8_192, 0),
        ("llama3.1:8b", 131_072, 15_360),
        ("llama3.1:70b", 32_768, 7_680),
        ("qwen3:14b", 32_768, 4_800),
        ("qwen3:4b", 32_768, 3_456),
        ("gemma2:27b", 16_384, 3_072),
        ("deepseek-v3:671b", 16_384, 4_096),
    ],
)
def test_context_beyond_the_usual_needs_memory_of_its_own(name: str, context_tokens: int, mib: int) -> None:
    assert context_vram_mb(size_model(name), context_tokens) == mib


def test_context_of_a_model_without_a_size_in_its_name_is_estimated_from_its_memory() -> None:
    assert context_vram_mb(size_model("house-model", 8_000), 9_216) == 200
