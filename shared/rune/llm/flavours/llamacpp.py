"""llama.cpp's `llama-server`: with one model, and as a router that loads and unloads models.

Routes and fields: https://github.com/ggml-org/llama.cpp/tree/master/tools/server, as vendored by llama-cpp-python
0.3.36.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import override
from urllib.parse import quote

from rune.errors import (
    ModelNotFoundError,
    RequestRejectedError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
)
from rune.llm.fields import as_object, read_count, read_text
from rune.llm.flavours.flavour import Flavour, OneModelServer
from rune.llm.flavours.routes import Entry, find_entry, ids_of
from rune.llm.protocol import Capabilities, ModelFacts, ServerFacts, WarmUpRequest

_COMMAND_TIMEOUT_SECONDS = 30.0
# A small model is loaded within 50 ms, a large one within minutes.
_FIRST_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 2.0

# A sleeping model wakes by itself at the next request.
_READY = frozenset({"loaded", "sleeping"})
_UNDER_WAY = frozenset({"loading", "downloading", "downloaded"})

_THOUSAND = 1000


class LlamaServer(OneModelServer):
    """`llama-server` with one model. A chat may name any model; the list names the one that answers."""

    ignores_eos = True
    answers_any_name = True

    @override
    async def describe_server(self) -> ServerFacts:
        return _server_facts(await self._routes.probe("/props"), {})

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        return _model_facts(find_entry(await self._routes.list_models(), model) or {})

    @override
    async def capabilities(self, model: str) -> Capabilities:
        return _capabilities(await self._routes.probe("/props"))


class LlamaRouter(Flavour):
    """`llama-server --models-dir`: a process per loaded model behind one address."""

    loads = True
    ignores_eos = True

    @override
    async def describe_server(self) -> ServerFacts:
        """Return name and build, and the slots of the model in memory if exactly one is."""
        running = await self.list_running()
        props = await self._routes.probe(_props_path(running[0])) if len(running) == 1 else {}
        return _server_facts(await self._routes.probe("/props"), props)

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        """Return what the list tells of the model: nothing until it is loaded."""
        return _model_facts(find_entry(await self._routes.list_models(), model) or {})

    @override
    async def capabilities(self, model: str) -> Capabilities:
        """Return what the model can do; the router knows that only of a loaded model."""
        props = await self._routes.probe(_props_path(model)) if model in await self.list_running() else {}
        return _capabilities(props)

    @override
    async def list_running(self) -> tuple[str, ...]:
        entries = await self._routes.list_models()
        return ids_of(tuple(entry for entry in entries if _status(entry) == "loaded"))

    @override
    async def load(self, request: WarmUpRequest) -> None:
        """Load the model and return when it is in memory.

        Raises
        ------
        ServerOverloadedError
            The router holds as many models as it may, and would drop one that another client may use.
        ModelNotFoundError, ServerFailedError, ServerTimeoutError
            It has no such model, could not load it, or not in time.
        """
        entries = await self._routes.list_models()
        entry = find_entry(entries, request.model)
        if entry is None:
            raise ModelNotFoundError(f"The model server does not have the model {request.model!r}.")
        name = read_text(entry, "id")
        if _status(entry) not in {*_READY, *_UNDER_WAY}:
            await self._require_room(entries)
            await self._tell_to_load(name)
        await self._wait_until_ready(name, request.timeout_seconds)

    async def _tell_to_load(self, name: str) -> None:
        # Another client may have given the same command since the list was read ("already running"). What counts
        # is the status afterwards.
        with suppress(RequestRejectedError):
            await self._routes.tell(
                "/models/load",
                {"model": name},
                model=name,
                timeout_seconds=_COMMAND_TIMEOUT_SECONDS,
            )

    async def _require_room(self, entries: tuple[Entry, ...]) -> None:
        limit = read_count(await self._routes.ask("/props"), "max_instances")
        taken = [entry for entry in entries if _status(entry) in {*_READY, "loading"}]
        if limit and len(taken) >= limit:
            raise ServerOverloadedError(
                f"The model server holds {limit} models at a time, and would drop one that others may use."
            )

    async def _wait_until_ready(self, name: str, timeout_seconds: float) -> None:
        pause_seconds = _FIRST_POLL_SECONDS
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    entry = find_entry(await self._routes.list_models(), name) or {}
                    if _status(entry) in _READY:
                        return
                    if _status(entry) not in _UNDER_WAY:
                        raise ServerFailedError(_load_failure(name, entry))
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, _LONGEST_POLL_SECONDS)
        except TimeoutError as error:
            raise ServerTimeoutError(
                f"The model server did not load the model {name!r} in {timeout_seconds:.0f} seconds."
            ) from error


def has_router_status(entries: tuple[Entry, ...]) -> bool:
    """Return whether the list is a router's."""
    return any(_status(entry) for entry in entries)


def _props_path(model: str) -> str:
    # Without `autoload=false` the request would load the model.
    return f"/props?model={quote(model, safe='')}&autoload=false"


def _status(entry: Entry) -> str:
    return read_text(as_object(entry.get("status")), "value")


def _load_failure(name: str, entry: Entry) -> str:
    exit_code = as_object(entry.get("status")).get("exit_code")
    code = f" (exit code {exit_code})" if isinstance(exit_code, int) else ""
    return f"The model server could not load the model {name!r}{code}."


def _server_facts(own: Mapping[str, object], of_model: Mapping[str, object]) -> ServerFacts:
    slots = read_count(own, "total_slots")
    return ServerFacts(
        name="llama.cpp",
        version=read_text(own, "build_info") or None,
        parallel_count=read_count(of_model, "total_slots") if slots is None else slots,
    )


def _model_facts(entry: Entry) -> ModelFacts:
    meta = as_object(entry.get("meta"))
    return ModelFacts(
        quantization=read_text(meta, "ftype") or None,
        parameter_size=format_parameters(read_count(meta, "n_params")),
        context_tokens_trained=read_count(meta, "n_ctx_train"),
        context_tokens_loaded=read_count(meta, "n_ctx"),
        # The weights alone: the server does not tell the context's memory.
        size_bytes=read_count(meta, "size"),
    )


def _capabilities(props: Mapping[str, object]) -> Capabilities:
    calls_tools = as_object(props.get("chat_template_caps")).get("supports_tools")
    return Capabilities(calls_tools=calls_tools if isinstance(calls_tools, bool) else None, ignores_eos=True)


def format_parameters(count: int | None) -> str | None:
    """Return a number of parameters as people write it, None for an unknown one.

    >>> format_parameters(8_030_261_248)
    '8.0B'
    """
    if count is None:
        return None
    size, units = float(count), ["", "K", "M", "B", "T"]
    while size >= _THOUSAND and len(units) > 1:
        size /= _THOUSAND
        units.pop(0)
    return f"{size:.1f}{units[0]}" if units[0] else str(count)
