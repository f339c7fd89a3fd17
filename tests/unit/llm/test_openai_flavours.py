"""The servers with OpenAI's API, by what each of them answers: recorded, or written from its source and docs."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rune.errors import (
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    OutOfMemoryError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
)
from rune.llm.flavours.llamacpp import format_parameters
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    ModelFacts,
    ModelServer,
    ServerFacts,
    ToolSpec,
    WarmUpRequest,
)
from tests.unit.llm.asking import QUESTION, ask_routed, ask_routes
from tests.unit.llm.scripted_server import Pause, Script, head, sse, whole

LIST = "GET /v1/models"
CHAT = "POST /v1/chat/completions"
ANSWER: list[Script] = [
    [
        head(200, "text/event-stream")
        + sse({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})
    ]
]
TOOL = ToolSpec("look", "Looks.", {"type": "object"})

type Routes = Mapping[str, object]


def listing(*entries: Mapping[str, object]) -> dict[str, object]:
    return {"object": "list", "data": [{"object": "model", "created": 1, **entry} for entry in entries]}


VLLM: Routes = {
    LIST: listing({"id": "m", "owned_by": "vllm", "root": "org/m", "parent": None, "max_model_len": 8192}),
    "GET /version": {"version": "0.16.0"},
}
META = {
    "vocab_type": 2,
    "n_vocab": 128_256,
    "n_ctx": 4096,
    "n_ctx_train": 131_072,
    "n_embd": 4096,
    "n_params": 8_030_261_248,
    "size": 4_912_898_304,
    "ftype": "Q4_K - Medium",
}
PROPS = {
    "default_generation_settings": {"n_ctx": 4096},
    "total_slots": 4,
    "modalities": {"vision": False, "audio": False},
    "chat_template_caps": {"supports_tools": True, "supports_tool_calls": True},
    "build_info": "b8000-abcdef",
}
LLAMA: Routes = {
    LIST: listing({"id": "m", "aliases": ["n"], "owned_by": "llamacpp", "meta": META})
    | {"models": [{"name": "m", "details": {"format": "gguf"}}]},
    "GET /props": PROPS,
}
OLD_LLAMA: Routes = {LIST: listing({"id": "m", "owned_by": "me", "meta": {"n_ctx_train": 2048}})}


def router_listing(status: str, **more: object) -> dict[str, object]:
    other = {"id": "o", "owned_by": "llamacpp", "status": {"value": "unloaded", "args": []}}
    mine = {"id": "m", "aliases": ["n"], "owned_by": "llamacpp", "status": {"value": status, **more}}
    return listing(other, mine | ({"meta": META} if status == "loaded" else {}))


ROUTER: Routes = {
    LIST: router_listing("loaded"),
    "GET /props": {"role": "router", "max_instances": 4, "build_info": "b8000-abcdef"},
    "GET /props?model=m&autoload=false": PROPS,
}
TGI: Routes = {
    LIST: listing({"id": "org/m", "owned_by": "org/m"}),
    "GET /info": {
        "model_id": "org/m",
        "model_sha": "4847e87",
        "model_dtype": "torch.float16",
        "max_concurrent_requests": 128,
        "max_total_tokens": 32_768,
        "max_batch_size": 16,
        "version": "3.2.1",
        "docker_label": "sha-4d28897",
    },
}
STUDIO_MODEL = {
    "type": "llm",
    "key": "m",
    "architecture": "gemma3",
    "quantization": {"name": "Q4_0", "bits_per_weight": 4},
    "size_bytes": 241_410_208,
    "params_string": "270M",
    "loaded_instances": [{"id": "m:2", "config": {"context_length": 4096, "parallel": 4}}],
    "max_context_length": 32_768,
    "capabilities": {"vision": True, "trained_for_tool_use": False},
}
STUDIO_EMBEDDING = {"type": "embedding", "key": "e", "loaded_instances": [], "max_context_length": 2048}
STUDIO: Routes = {
    LIST: listing({"id": "m", "owned_by": "organization_owner"}),
    "GET /api/v1/models": {"models": [STUDIO_MODEL, STUDIO_EMBEDDING]},
}
OLD_STUDIO: Routes = {
    LIST: listing({"id": "m", "owned_by": "organization_owner"}),
    "GET /api/v0/models": {
        "object": "list",
        "data": [
            {
                "id": "m",
                "type": "vlm",
                "arch": "qwen2_vl",
                "quantization": "4bit",
                "state": "loaded",
                "max_context_length": 32_768,
                "loaded_context_length": 4096,
                "capabilities": ["tool_use"],
            },
            {"id": "e", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        ],
    },
}
OLLAMA: Routes = {
    LIST: listing({"id": "m:latest", "owned_by": "library"}),
    "GET /api/version": {"version": "0.33.0"},
}
UNKNOWN: Routes = {LIST: listing({"id": "m", "owned_by": "me"})}
NO_LIST: Routes = {}


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (VLLM, ServerFacts("vllm", "0.16.0", None)),
        (LLAMA, ServerFacts("llama.cpp", "b8000-abcdef", 4)),
        (OLD_LLAMA, ServerFacts("llama.cpp", None, None)),
        (ROUTER, ServerFacts("llama.cpp", "b8000-abcdef", 4)),
        (TGI, ServerFacts("tgi", "3.2.1", 16)),
        (STUDIO, ServerFacts("lmstudio", None, 4)),
        (OLD_STUDIO, ServerFacts("lmstudio", None, None)),
        (OLLAMA, ServerFacts("ollama", "0.33.0", None)),
        (UNKNOWN, ServerFacts()),
        (NO_LIST, ServerFacts()),
    ],
)
def test_server_is_recognised_by_what_it_says(routes: Routes, expected: ServerFacts) -> None:
    assert ask_routes("openai", routes, lambda server: server.describe_server())[0] == expected


@pytest.mark.parametrize(
    ("routes", "model", "expected"),
    [
        (VLLM, "m", ModelFacts(context_tokens_loaded=8192)),
        (
            LLAMA,
            "m",
            ModelFacts(None, "Q4_K - Medium", "8.0B", None, 131_072, 4096, 4_912_898_304, None),
        ),
        (
            ROUTER,
            "n",
            ModelFacts(None, "Q4_K - Medium", "8.0B", None, 131_072, 4096, 4_912_898_304, None),
        ),
        (ROUTER, "o", ModelFacts()),
        (TGI, "org/m", ModelFacts("4847e87", "float16", None, None, None, 32_768, None, None)),
        (STUDIO, "m", ModelFacts(None, "Q4_0", "270M", "gemma3", 32_768, 4096, 241_410_208, None)),
        (STUDIO, "m:2", ModelFacts(None, "Q4_0", "270M", "gemma3", 32_768, 4096, 241_410_208, None)),
        (STUDIO, "e", ModelFacts(context_tokens_trained=2048)),
        (OLD_STUDIO, "m", ModelFacts(None, "4bit", None, "qwen2_vl", 32_768, 4096, None, None)),
        *[(routes, "nobody", ModelFacts()) for routes in (VLLM, LLAMA, ROUTER, TGI, STUDIO, OLD_STUDIO)],
        (OLLAMA, "m", ModelFacts()),
        (UNKNOWN, "m", ModelFacts()),
    ],
)
def test_model_is_described_by_what_its_server_says(routes: Routes, model: str, expected: ModelFacts) -> None:
    assert ask_routes("openai", routes, lambda server: server.describe_model(model))[0] == expected


@pytest.mark.parametrize(
    ("routes", "model", "expected"),
    [
        (VLLM, "m", Capabilities(ignores_eos=True)),
        (LLAMA, "m", Capabilities(calls_tools=True, sees=False, ignores_eos=True)),
        (OLD_LLAMA, "m", Capabilities(ignores_eos=True)),
        (
            ROUTER,
            "m",
            Capabilities(calls_tools=True, sees=False, ignores_eos=True, loads=True, unloads=True),
        ),
        (ROUTER, "o", Capabilities(ignores_eos=True, loads=True, unloads=True)),
        (TGI, "org/m", Capabilities()),
        (STUDIO, "m", Capabilities(chats=True, calls_tools=False, sees=True, loads=True, unloads=True)),
        (STUDIO, "e", Capabilities(chats=False, loads=True, unloads=True)),
        (OLD_STUDIO, "m", Capabilities(chats=True, calls_tools=True, sees=True)),
        (OLLAMA, "m", Capabilities()),
        (UNKNOWN, "m", Capabilities()),
        (NO_LIST, "m", Capabilities()),
    ],
)
def test_capabilities_are_what_the_server_has(routes: Routes, model: str, expected: Capabilities) -> None:
    assert ask_routes("openai", routes, lambda server: server.capabilities(model))[0] == expected


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (VLLM, ("m",)),
        (LLAMA, ("m",)),
        (ROUTER, ("m",)),
        ({LIST: router_listing("loading")}, ()),
        ({LIST: router_listing("sleeping")}, ()),
        (TGI, ("org/m",)),
        (STUDIO, ("m",)),
        (OLD_STUDIO, ("m",)),
        (OLLAMA, ()),
        (UNKNOWN, ()),
    ],
)
def test_running_are_the_models_in_memory(routes: Routes, expected: tuple[str, ...]) -> None:
    assert ask_routes("openai", routes, lambda server: server.list_running())[0] == expected


@pytest.mark.parametrize(("model", "expected"), [("m", True), ("n", True), ("other", False)])
def test_server_has_model_only_when_its_list_says_so_although_it_answers_to_every_name(
    model: str, expected: bool
) -> None:
    assert ask_routes("openai", LLAMA, lambda server: server.has_model(model))[0] is expected


def test_server_is_recognised_once_and_only_when_that_is_needed() -> None:
    async def question(server: ModelServer) -> None:
        await server.chat(QUESTION, lambda _: None)
        for _ in range(2):
            await server.chat(replace(QUESTION, ignore_eos=True), lambda _: None)

    _, asked = ask_routes("openai", {**VLLM, CHAT: ANSWER}, question)

    assert asked == [CHAT, LIST, CHAT, CHAT]


def test_unknown_server_is_asked_a_few_bounded_questions_that_it_may_leave_open() -> None:
    routes = {**UNKNOWN, "GET /info": [[whole(500, {})]], "GET /api/v1/models": {"models": [{"name": "m"}]}}

    facts, asked = ask_routes("openai", routes, lambda server: server.describe_server(), path="/proxy/v1")

    assert facts == ServerFacts()
    assert asked == [
        "GET /proxy/v1/models",
        "GET /proxy/info",
        "GET /proxy/api/v1/models",
        "GET /proxy/api/v0/models",
        "GET /proxy/api/version",
    ]


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ([whole(401, {"error": {"message": "Invalid API Key"}})], ServerAccessError),
        ([whole(503, {"error": {"message": "Loading model"}})], ServerOverloadedError),
    ],
)
def test_server_that_cannot_answer_now_is_not_taken_for_unknown(
    answer: Script, error_type: type[ModelServerError]
) -> None:
    async def question(server: ModelServer) -> ServerFacts:
        with pytest.raises(error_type):
            await server.describe_server()
        return await server.describe_server()

    routes = {**VLLM, LIST: [answer, [whole(200, VLLM[LIST])]]}

    assert ask_routes("openai", routes, question)[0].name == "vllm"


# ---------------------------------------------------------------- loading


def warm_up(routes: Routes, *, model: str = "m", timeout_seconds: float = 5.0) -> tuple[float, list[str]]:
    """Return how long loading took, and what was asked."""
    request = WarmUpRequest(model, timeout_seconds, context_tokens=2048)
    done, asked = ask_routes("openai", {**routes, CHAT: ANSWER}, lambda server: server.warm_up(request))
    return done.load_ms, asked


def statuses(*values: str, **more: object) -> list[Script]:
    return [[whole(200, router_listing(value, **more))] for value in values]


LOAD = "POST /models/load"
UNLOAD = "POST /models/unload"
SUCCESS = {"success": True}
ALREADY = [[whole(400, {"error": {"code": 400, "message": "model is already running"}})]]


@pytest.mark.parametrize("routes", [VLLM, LLAMA, TGI, OLD_STUDIO, OLLAMA, UNKNOWN])
def test_warm_up_asks_for_no_load_where_the_server_cannot(routes: Routes) -> None:
    load_ms, asked = warm_up(routes)

    assert load_ms == 0.0
    assert {route for route in asked if route.startswith("POST")} == {CHAT}


@pytest.mark.parametrize("loaded", [SUCCESS, ALREADY])
def test_router_loads_and_waits_until_the_model_is_there(loaded: object) -> None:
    routes = {**ROUTER, LIST: statuses("unloaded", "unloaded", "loading", "loading", "loaded"), LOAD: loaded}

    load_ms, asked = warm_up(routes)

    assert load_ms > 100
    assert asked == [LIST, LIST, "GET /props", LOAD, LIST, LIST, LIST, CHAT]


@pytest.mark.parametrize(("status", "list_count"), [("loaded", 3), ("sleeping", 3), ("loading", 3)])
def test_router_is_not_told_to_load_what_is_loaded_or_on_its_way(status: str, list_count: int) -> None:
    _, asked = warm_up({**ROUTER, LIST: statuses(status, status, "loaded")})

    assert asked == [LIST] * list_count + [CHAT]


@pytest.mark.parametrize(
    ("routes", "error_type"),
    [
        ({LIST: statuses("unloaded"), LOAD: SUCCESS}, ServerFailedError),
        ({LIST: statuses("unloaded", "unloaded", "loading"), LOAD: SUCCESS}, ServerTimeoutError),
        ({LIST: listing({"id": "o", "status": {"value": "unloaded"}})}, ModelNotFoundError),
        (
            {
                LIST: statuses("unloaded"),
                LOAD: [[whole(404, {"error": {"code": 404, "message": "model is not found"}})]],
            },
            ModelNotFoundError,
        ),
    ],
)
def test_router_load_fails_with_a_name_when_the_model_does_not_come(
    routes: Routes, error_type: type[ModelServerError]
) -> None:
    with pytest.raises(error_type):
        warm_up({**ROUTER, **routes}, timeout_seconds=0.3)


def test_router_load_says_with_which_code_the_model_died() -> None:
    with pytest.raises(ServerFailedError, match=r"'m' \(exit code 1\)"):
        warm_up({**ROUTER, LIST: statuses("unloaded", failed=True, exit_code=1), LOAD: SUCCESS})


def test_router_that_is_full_is_not_made_to_drop_a_model() -> None:
    entries = [{"id": "m", "status": {"value": "unloaded"}}, {"id": "o", "status": {"value": "loaded"}}]
    routes = {LIST: listing(*entries), "GET /props": {"role": "router", "max_instances": 1}, LOAD: SUCCESS}

    with pytest.raises(ServerOverloadedError, match="holds 1 models"):
        warm_up(routes)


def test_lm_studio_loads_with_the_context_that_is_asked_for() -> None:
    unloaded = {"models": [STUDIO_MODEL | {"loaded_instances": []}]}
    loading: list[Script] = [[Pause(0.03), whole(200, {"instance_id": "m", "status": "loaded"})]]
    routes = {**STUDIO, "GET /api/v1/models": unloaded, "POST /api/v1/models/load": loading}

    request = WarmUpRequest("m", 5.0, context_tokens=2048)
    done, server = ask_routed("openai", {**routes, CHAT: ANSWER}, lambda one: one.warm_up(request))

    assert done.load_ms > 25
    assert server.asked[-2:] == ["POST /api/v1/models/load", CHAT]
    assert server.requests[-2].body == {"model": "m", "context_length": 2048}


def test_lm_studio_loads_no_second_instance() -> None:
    assert "POST /api/v1/models/load" not in warm_up(STUDIO)[1]


def test_lm_studio_loads_nothing_when_it_cannot_be_asked_what_is_loaded() -> None:
    models: list[Script] = [[whole(200, STUDIO["GET /api/v1/models"])], [whole(500, {"error": "strange"})]]

    with pytest.raises(ServerFailedError):
        warm_up({**STUDIO, "GET /api/v1/models": models})


def test_load_failure_has_its_name() -> None:
    routes = {
        **STUDIO,
        "GET /api/v1/models": {"models": [STUDIO_MODEL | {"loaded_instances": []}]},
        "POST /api/v1/models/load": [[whole(500, {"error": {"message": "out of memory"}})]],
    }

    with pytest.raises(OutOfMemoryError):
        warm_up(routes)


# ---------------------------------------------------------------- unloading


def unload(routes: Routes, model: str = "m") -> list[str]:
    return ask_routes("openai", routes, lambda server: server.unload(model))[1]


@pytest.mark.parametrize("routes", [VLLM, LLAMA, TGI, OLD_STUDIO, OLLAMA, UNKNOWN])
def test_unload_is_refused_and_not_asked_where_the_server_cannot(routes: Routes) -> None:
    with pytest.raises(ModelUnsupportedError):
        unload(routes)


def test_router_unloads_and_waits_until_the_model_is_gone() -> None:
    routes = {**ROUTER, LIST: statuses("loaded", "loaded", "loaded", "unloaded"), UNLOAD: SUCCESS}

    assert unload(routes, "n") == [LIST, LIST, UNLOAD, LIST, LIST]


def test_router_unloads_what_is_not_loaded_without_complaint() -> None:
    not_running: list[Script] = [[whole(400, {"error": {"code": 400, "message": "model is not running"}})]]

    assert unload({**ROUTER, LIST: statuses("unloaded"), UNLOAD: not_running})[-1] == LIST


def test_lm_studio_unloads_every_instance_of_the_model() -> None:
    instances = {"loaded_instances": [{"id": "m"}, {"id": "m:2"}]}
    routes = {
        **STUDIO,
        "GET /api/v1/models": {"models": [STUDIO_MODEL | instances, STUDIO_EMBEDDING]},
        "POST /api/v1/models/unload": {"instance_id": "m"},
    }

    assert unload(routes)[-2:] == ["POST /api/v1/models/unload"] * 2


@pytest.mark.parametrize("routes", [ROUTER, STUDIO])
def test_unload_raises_when_the_server_does_not_have_the_model(routes: Routes) -> None:
    with pytest.raises(ModelNotFoundError):
        unload(routes, "nobody")


# ---------------------------------------------------------------- what a chat may carry


def sent_by_chat(routes: Routes, request: ChatRequest) -> dict[str, object]:
    """Return the body of the chat."""
    _, server = ask_routed("openai", {**routes, CHAT: ANSWER}, lambda one: one.chat(request, lambda _: None))
    return server.requests[-1].body


@pytest.mark.parametrize(
    ("routes", "is_sent"),
    [
        (VLLM, True),
        (LLAMA, True),
        (ROUTER, True),
        (TGI, False),
        (STUDIO, False),
        (OLD_STUDIO, False),
        (OLLAMA, False),
        (UNKNOWN, False),
        (NO_LIST, False),
    ],
)
def test_ignore_eos_is_sent_only_where_it_is_known(routes: Routes, is_sent: bool) -> None:
    asked = replace(QUESTION, ignore_eos=True, max_output_tokens=64)

    assert ("ignore_eos" in sent_by_chat(routes, asked)) is is_sent


def test_required_tool_is_refused_unsent_where_the_server_would_ignore_it() -> None:
    with pytest.raises(ModelUnsupportedError):
        sent_by_chat(OLLAMA, replace(QUESTION, tools=(TOOL,), tool_choice="required"))


@pytest.mark.parametrize(
    ("count", "expected"),
    [(None, None), (999, "999"), (500_000, "500.0K"), (270_000_000, "270.0M"), (8_030_261_248, "8.0B")],
)
def test_parameters_are_written_as_people_write_them(count: int | None, expected: str | None) -> None:
    assert format_parameters(count) == expected
