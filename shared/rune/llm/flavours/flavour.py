"""In what servers with OpenAI's API differ, and those that differ little: vLLM, TGI, Ollama's own route.

A flavour asks its server only for what the server has. The base class stands for a server of which nothing is
known, which RUNE asks for chats alone. Routes and fields:
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
https://huggingface.co/docs/text-generation-inference, https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from collections.abc import Mapping
from typing import ClassVar, override

from rune.llm.fields import as_object, read_count, read_text
from rune.llm.flavours.routes import Routes, find_entry, ids_of
from rune.llm.protocol import Capabilities, ModelFacts, ServerFacts, WarmUpRequest


class Flavour:
    """A server of which nothing is known but OpenAI's API.

    Attributes
    ----------
    loads
        Whether the server can be told to load a model.
    ignores_eos
        Whether a chat may carry `ignore_eos`.
    answers_any_name
        Whether it answers with a model of its own whatever model a chat names, so that only its list tells.
    requires_tools
        Whether a `tool_choice` of `required` has an effect; a server that is not known is sent it.
    """

    loads = False
    ignores_eos = False
    answers_any_name = False
    requires_tools = True

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    async def describe_server(self) -> ServerFacts:
        """Return what the server says of itself; see `ModelServer`."""
        return ServerFacts()

    async def describe_model(self, model: str) -> ModelFacts:  # noqa: ARG002  # says nothing of any
        """Return what the server says of a model, now; see `ModelServer`."""
        return ModelFacts()

    async def capabilities(self, model: str) -> Capabilities:  # noqa: ARG002  # says nothing of any
        """Return what a model on the server can do; see `ModelServer`."""
        return Capabilities(ignores_eos=self.ignores_eos)

    async def list_running(self) -> tuple[str, ...]:
        """Return the names of the models in memory, sorted."""
        return ()

    async def load(self, request: WarmUpRequest) -> None:
        """Load the model and return when it is in memory; do nothing where the server loads by itself."""


class OneModelServer(Flavour):
    """A process that holds its models from start to end: all that it lists are in memory."""

    @override
    async def list_running(self) -> tuple[str, ...]:
        return ids_of(await self._routes.list_models())


class Vllm(OneModelServer):
    """vLLM's `vllm serve`; whether its models call tools depends on flags that it does not show."""

    ignores_eos = True

    @override
    async def describe_server(self) -> ServerFacts:
        version = read_text(await self._routes.probe("/version"), "version")
        return ServerFacts(name="vllm", version=version or None)

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        entry = find_entry(await self._routes.list_models(), model) or {}
        return ModelFacts(context_tokens_loaded=read_count(entry, "max_model_len"))


class EosIgnorer(OneModelServer):
    """A server that names itself in its list of models, takes `ignore_eos`, and is asked for nothing else.

    SGLang (https://docs.sglang.ai/basic_usage/openai_api_completions.html), TensorRT-LLM
    (https://nvidia.github.io/TensorRT-LLM/commands/trtllm-serve.html), LMDeploy
    (https://lmdeploy.readthedocs.io/en/latest/llm/api_server.html).
    """

    ignores_eos = True
    answers_any_name = True
    names: ClassVar[Mapping[str, str]] = {
        "sglang": "sglang",
        "tensorrt_llm": "tensorrt-llm",
        "lmdeploy": "lmdeploy",
    }
    """What the servers say in `owned_by`, and how reports name them."""

    def __init__(self, routes: Routes, owner: str) -> None:
        super().__init__(routes)
        self._owner = owner

    @override
    async def describe_server(self) -> ServerFacts:
        return ServerFacts(name=self.names[self._owner])

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        entry = find_entry(await self._routes.list_models(), model) or {}
        return ModelFacts(context_tokens_loaded=read_count(entry, "max_model_len"))


class Tgi(OneModelServer):
    """Hugging Face's text-generation-inference: one model, under any name that a request gives."""

    answers_any_name = True

    @override
    async def describe_server(self) -> ServerFacts:
        info = await self._routes.probe("/info")
        return ServerFacts(
            name="tgi",
            version=read_text(info, "version") or None,
            # Absent where no limit of the batch is set.
            parallel_count=read_count(info, "max_batch_size"),
        )

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        """Return the revision as digest, the number format as quantization, and the context."""
        info = await self._routes.probe("/info")
        if model != read_text(info, "model_id"):
            return ModelFacts()
        return ModelFacts(
            digest=read_text(info, "model_sha") or None,
            quantization=read_text(info, "model_dtype").removeprefix("torch.") or None,
            context_tokens_loaded=read_count(info, "max_total_tokens"),
        )


class OllamaRoute(Flavour):
    """Ollama behind its OpenAI route, which ignores `tool_choice`; as kind `ollama` it tells and does more."""

    requires_tools = False

    @override
    async def describe_server(self) -> ServerFacts:
        version = read_text(await self._routes.probe("/api/version"), "version")
        return ServerFacts(name="ollama", version=version or None)


def is_tgi_info(info: object) -> bool:
    """Return whether an answer to `/info` is TGI's."""
    members = as_object(info)
    return (
        bool(read_text(members, "model_id")) and {"max_total_tokens", "docker_label"} & set(members) != set()
    )
