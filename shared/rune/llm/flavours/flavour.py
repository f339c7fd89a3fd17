"""What the servers with OpenAI's API differ in, and those that differ little: vLLM, TGI, Ollama's own route.

A flavour is asked only for what its server really has. The base class is a server of which nothing is known: it can
chat, and that is all that RUNE asks of it.
"""

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
    requires_tools
        Whether it does anything with a `tool_choice` of `required`; one that is not known is asked.
    """

    loads = False
    ignores_eos = False
    requires_tools = True

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    async def describe_server(self) -> ServerFacts:
        """Return what the server says of itself."""
        return ServerFacts()

    async def describe_model(self, model: str) -> ModelFacts:  # noqa: ARG002  # says nothing of any
        """Return what the server says of a model, now."""
        return ModelFacts()

    async def capabilities(self, model: str) -> Capabilities:  # noqa: ARG002  # says nothing of any
        """Return what can be asked of the server for a model."""
        return Capabilities(ignores_eos=self.ignores_eos)

    async def list_running(self) -> tuple[str, ...]:
        """Return the names of the models in memory, sorted."""
        return ()

    async def load(self, request: WarmUpRequest) -> None:
        """Bring the model into memory and return when it is there, at once where that is not for us to do."""


class OneModelServer(Flavour):
    """A process that holds its models from its start to its end: all that it lists are in memory."""

    async def list_running(self) -> tuple[str, ...]:
        """Return the names of the models that the server lists."""
        return ids_of(await self._routes.list_models())


class Vllm(OneModelServer):
    """vLLM's `vllm serve`; whether its models call tools depends on flags that it does not show."""

    ignores_eos = True

    async def describe_server(self) -> ServerFacts:
        """Return name and version."""
        version = read_text(await self._routes.probe("/version"), "version")
        return ServerFacts(name="vllm", version=version or None)

    async def describe_model(self, model: str) -> ModelFacts:
        """Return the context: the one thing that the list tells."""
        entry = find_entry(await self._routes.list_models(), model) or {}
        return ModelFacts(context_tokens_loaded=read_count(entry, "max_model_len"))


class Tgi(OneModelServer):
    """Hugging Face's text-generation-inference: one model, whatever the request calls it."""

    async def describe_server(self) -> ServerFacts:
        """Return name, version, and the batch's limit where one is set."""
        info = await self._routes.probe("/info")
        return ServerFacts(
            name="tgi",
            version=read_text(info, "version") or None,
            parallel_count=read_count(info, "max_batch_size"),
        )

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
    """Ollama behind its OpenAI route, which ignores `tool_choice`; as kind `ollama` it says and does more."""

    requires_tools = False

    async def describe_server(self) -> ServerFacts:
        """Return name and version."""
        version = read_text(await self._routes.probe("/api/version"), "version")
        return ServerFacts(name="ollama", version=version or None)


def is_tgi_info(info: object) -> bool:
    """Return whether an answer to `/info` is TGI's."""
    members = as_object(info)
    return (
        bool(read_text(members, "model_id")) and {"max_total_tokens", "docker_label"} & set(members) != set()
    )
