"""What Ollama says of itself and of its models, and how it loads and unloads them."""

from collections.abc import Mapping

import pytest

from rune.errors import (
    ModelNotFoundError,
)
from rune.llm.protocol import Capabilities, ModelFacts, ServerFacts
from tests.unit.llm.asking import ask_routes
from tests.unit.llm.scripted_server import Script, whole

SHOW = "POST /api/show"
TAGS = "GET /api/tags"
PS = "GET /api/ps"

SHOWN: Mapping[str, object] = {
    "details": {
        "format": "gguf",
        "family": "llama",
        "parameter_size": "8.0B",
        "quantization_level": "Q4_K_M",
    },
    "model_info": {"general.architecture": "llama", "llama.context_length": 131_072, "llama.block_count": 32},
    "capabilities": ["completion", "tools"],
}
STORED = {"models": [{"name": "other:latest"}, {"name": "m:latest", "digest": "46e0c10c039e", "size": 7}]}
RUNNING = {
    "models": [
        {"name": "m:latest", "digest": "46e0c10c039e", "size": 900, "size_vram": 700, "context_length": 8192}
    ]
}
NOT_FOUND: list[Script] = [[whole(404, {"error": "model 'm' not found"})]]
NOTHING: Mapping[str, object] = {"models": []}


def test_server_says_its_version() -> None:
    facts, asked = ask_routes(
        "ollama", {"GET /api/version": {"version": "0.33.0"}}, lambda server: server.describe_server()
    )

    assert (facts, asked) == (ServerFacts("ollama", "0.33.0", None), ["GET /api/version"])


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            {SHOW: SHOWN, TAGS: STORED, PS: RUNNING},
            ModelFacts("46e0c10c039e", "Q4_K_M", "8.0B", "llama", 131_072, 8192, 900, 700),
        ),
        (
            {SHOW: SHOWN, TAGS: STORED, PS: NOTHING},
            ModelFacts("46e0c10c039e", "Q4_K_M", "8.0B", "llama", 131_072, None, None, None),
        ),
        # Go leaves a zero out: nothing of it is on a GPU.
        (
            {SHOW: {}, TAGS: NOTHING, PS: {"models": [{"model": "m:latest", "digest": "d", "size": 900}]}},
            ModelFacts(digest="d", size_bytes=900, size_vram_bytes=0),
        ),
        # The architecture is not told, or the key does not keep to it.
        (
            {SHOW: {"model_info": {"gemma3.context_length": 4096}}, TAGS: NOTHING, PS: NOTHING},
            ModelFacts(context_tokens_trained=4096),
        ),
        (
            {
                SHOW: {"model_info": {"clip.context_length": 77, "gemma3.context_length": 4096}},
                TAGS: NOTHING,
                PS: NOTHING,
            },
            ModelFacts(),
        ),
        ({SHOW: {"details": 7, "model_info": None}, TAGS: NOTHING, PS: NOTHING}, ModelFacts()),
        ({SHOW: NOT_FOUND}, ModelFacts()),
    ],
)
def test_model_is_described_from_its_file_and_its_place_in_memory(
    routes: Mapping[str, object], expected: ModelFacts
) -> None:
    assert ask_routes("ollama", routes, lambda server: server.describe_model("M"))[0] == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["completion", "tools", "thinking"], Capabilities(chats=True, calls_tools=True)),
        (["completion", "vision"], Capabilities(chats=True, calls_tools=False)),
        (["embedding", 7], Capabilities(chats=False, calls_tools=False)),
        (None, Capabilities()),
    ],
)
def test_capabilities_are_what_the_model_s_template_has(told: object, expected: Capabilities) -> None:
    routes = {SHOW: {"capabilities": told}}

    assert ask_routes("ollama", routes, lambda server: server.capabilities("m"))[0] == expected


def test_capabilities_raise_when_the_model_is_not_there() -> None:
    with pytest.raises(ModelNotFoundError, match='"m"'):
        ask_routes("ollama", {SHOW: NOT_FOUND}, lambda server: server.capabilities("m"))
