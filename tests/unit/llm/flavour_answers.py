"""What each of the servers with OpenAI's API answers: recorded, or written from its source and docs."""

from collections.abc import Mapping

from tests.unit.llm.scripted_server import Script, head, sse

LIST = "GET /v1/models"
CHAT = "POST /v1/chat/completions"
ANSWER: list[Script] = [
    [
        head(200, "text/event-stream")
        + sse({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})
    ]
]

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
SGLANG: Routes = {LIST: listing({"id": "m", "owned_by": "sglang", "root": "m", "max_model_len": 4096})}
TRT: Routes = {LIST: listing({"id": "m", "owned_by": "tensorrt_llm"})}
LMDEPLOY: Routes = {LIST: listing({"id": "m", "owned_by": "lmdeploy"})}
UNKNOWN: Routes = {LIST: listing({"id": "m", "owned_by": "me"})}
NO_LIST: Routes = {}
