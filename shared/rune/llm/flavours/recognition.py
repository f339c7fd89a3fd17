"""Which software speaks OpenAI's API at an address."""

from rune.llm.fields import as_object, read_text
from rune.llm.flavours.flavour import EosIgnorer, Flavour, OllamaRoute, Tgi, Vllm, is_tgi_info
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
    """Return the server's flavour, by its list of models, or else by a route that only one kind of server has.

    vLLM, SGLang, TensorRT-LLM, LMDeploy and llama-server name themselves as `owned_by` in the list. The others name
    something else there, so their own routes are probed, one after another until one fits.

    Raises
    ------
    AddressError
        A probe's address is refused.
    """
    return _recognise_by_list(entries, routes) or await _recognise_by_routes(routes)


def _recognise_by_list(entries: tuple[Entry, ...], routes: Routes) -> Flavour | None:
    owners = {read_text(entry, "owned_by") for entry in entries}
    if "vllm" in owners:
        return Vllm(routes)
    if others := owners & EosIgnorer.names.keys():
        return EosIgnorer(routes, min(others))
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
