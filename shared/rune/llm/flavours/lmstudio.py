"""LM Studio: its native API from 0.4 (`/api/v1`), and the read-only one from 0.3.6 (`/api/v0`).

Routes and fields: https://lmstudio.ai/docs/developer/rest, read 2026-11.
"""

from collections.abc import Mapping
from typing import override

from rune.llm.fields import as_list, as_object, read_count, read_text
from rune.llm.flavours.flavour import Flavour
from rune.llm.protocol import Capabilities, ModelFacts, ServerFacts, WarmUpRequest

MODELS_PATH = "/api/v1/models"
OLD_MODELS_PATH = "/api/v0/models"

_NAME = "lmstudio"


class LmStudio(Flavour):
    """LM Studio from 0.4. A model may be loaded more than once, each time as an instance with its own context."""

    loads = True
    answers_any_name = True

    @override
    async def describe_server(self) -> ServerFacts:
        """Return the name, and the parallel requests of the instance in memory if exactly one is."""
        instances = [instance for model in await self._models() for instance in _instances(model)]
        config = as_object(instances[0].get("config")) if len(instances) == 1 else {}
        return ServerFacts(name=_NAME, parallel_count=read_count(config, "parallel"))

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        """Return what the list tells of the model and of its first instance."""
        entry = await self._find(model)
        instances = _instances(entry)
        config = as_object(instances[0].get("config")) if instances else {}
        return ModelFacts(
            quantization=read_text(as_object(entry.get("quantization")), "name") or None,
            parameter_size=read_text(entry, "params_string") or None,
            family=read_text(entry, "architecture") or None,
            context_tokens_trained=read_count(entry, "max_context_length"),
            context_tokens_loaded=read_count(config, "context_length"),
            # The weights alone: the server does not tell the context's memory.
            size_bytes=read_count(entry, "size_bytes") if instances else None,
        )

    @override
    async def capabilities(self, model: str) -> Capabilities:
        entry = await self._find(model)
        told = as_object(entry.get("capabilities"))
        kind, calls_tools = read_text(entry, "type"), told.get("trained_for_tool_use")
        return Capabilities(
            chats=kind == "llm" if kind else None,
            calls_tools=calls_tools if isinstance(calls_tools, bool) else None,
        )

    @override
    async def list_running(self) -> tuple[str, ...]:
        return tuple(sorted(_key(model) for model in await self._models() if _instances(model)))

    @override
    async def load(self, request: WarmUpRequest) -> None:
        """Load the model, unless an instance of it is in memory: loading again would make a second instance."""
        if _instances(await self._find(request.model)):
            return
        await self._routes.tell(
            MODELS_PATH + "/load",
            {"model": request.model},
            model=request.model,
            timeout_seconds=request.timeout_seconds,
        )

    async def _models(self) -> list[Mapping[str, object]]:
        return read_models(await self._routes.ask(MODELS_PATH))

    async def _find(self, model: str) -> Mapping[str, object]:
        """Return the model with this key, or with an instance of this id; empty where there is none."""
        for entry in await self._models():
            if model == _key(entry) or any(model == read_text(one, "id") for one in _instances(entry)):
                return entry
        return {}


class OldLmStudio(Flavour):
    """LM Studio before 0.4: it tells what is loaded, and loads at the first chat."""

    answers_any_name = True

    @override
    async def describe_server(self) -> ServerFacts:
        return ServerFacts(name=_NAME)

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        entry = await self._find(model)
        return ModelFacts(
            quantization=read_text(entry, "quantization") or None,
            family=read_text(entry, "arch") or None,
            context_tokens_trained=read_count(entry, "max_context_length"),
            context_tokens_loaded=read_count(entry, "loaded_context_length"),
        )

    @override
    async def capabilities(self, model: str) -> Capabilities:
        entry = await self._find(model)
        kind, told = read_text(entry, "type"), entry.get("capabilities")
        return Capabilities(
            chats=kind != "embeddings" if kind else None,
            calls_tools="tool_use" in told if isinstance(told, list) else None,
        )

    @override
    async def list_running(self) -> tuple[str, ...]:
        models = read_old_models(await self._routes.ask(OLD_MODELS_PATH))
        return tuple(sorted(read_text(one, "id") for one in models if read_text(one, "state") == "loaded"))

    async def _find(self, model: str) -> Mapping[str, object]:
        models = read_old_models(await self._routes.ask(OLD_MODELS_PATH))
        return next((entry for entry in models if read_text(entry, "id") == model), {})


def read_models(listing: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the models of `/api/v1/models`; an empty list for another server's answer."""
    models = [as_object(model) for model in as_list(listing.get("models"))]
    return [model for model in models if _key(model) and "loaded_instances" in model]


def read_old_models(listing: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the models of `/api/v0/models`; an empty list for another server's answer."""
    models = [as_object(model) for model in as_list(listing.get("data"))]
    return [model for model in models if read_text(model, "id") and read_text(model, "state")]


def _key(model: Mapping[str, object]) -> str:
    return read_text(model, "key")


def _instances(model: Mapping[str, object]) -> list[Mapping[str, object]]:
    return [as_object(one) for one in as_list(model.get("loaded_instances")) if as_object(one)]
