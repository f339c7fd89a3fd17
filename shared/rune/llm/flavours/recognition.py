"""Which server it is that speaks OpenAI's API, by what it already says."""

from rune.llm.fields import as_object, read_text
from rune.llm.flavours.flavour import Flavour, OllamaRoute, Tgi, Vllm, is_tgi_info
from rune.llm.flavours.llamacpp import LlamaRouter, LlamaServer, has_router_status
from rune.llm.flavours.lmstudio import (
    MODELS_PATH,
    OLD_MODELS_PATH,
    LmStudio,
    OldLmStudio,
    read_models,
    read_old_models,
)
from rune.llm.flavours.routes import Entry, Routes


async def recognise(entries: tuple[Entry, ...], routes: Routes) -> Flavour:
    """Return the server's flavour: told by its list of models, or else by the routes that only one kind has.

    vLLM and llama-server sign their lists. TGI signs with the model's name, LM Studio and Ollama with an owner that
    proves nothing, so these are asked, one probe after another until one fits.
    """
    return _recognise_by_list(entries, routes) or await _recognise_by_routes(routes)


def _recognise_by_list(entries: tuple[Entry, ...], routes: Routes) -> Flavour | None:
    owners = {read_text(entry, "owned_by") for entry in entries}
    if "vllm" in owners:
        return Vllm(routes)
    if has_router_status(entries):
        return LlamaRouter(routes)
    if "llamacpp" in owners or any("n_ctx_train" in as_object(entry.get("meta")) for entry in entries):
        return LlamaServer(routes)
    return None


async def _recognise_by_routes(routes: Routes) -> Flavour:
    if is_tgi_info(await routes.probe("/info")):
        return Tgi(routes)
    if read_models(await routes.probe(MODELS_PATH)):
        return LmStudio(routes)
    if read_old_models(await routes.probe(OLD_MODELS_PATH)):
        return OldLmStudio(routes)
    if read_text(await routes.probe("/api/version"), "version"):
        return OllamaRoute(routes)
    return Flavour(routes)
