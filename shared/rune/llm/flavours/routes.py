"""What a server with OpenAI's API answers besides chats: its list of models, and routes of its own."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from urllib.parse import quote, urlsplit

from rune.errors import BadResponseError, ModelServerError, UnknownPathError
from rune.llm.dialects import STANDARD
from rune.llm.fields import as_list, as_object, read_text
from rune.llm.replies import read_object, read_value
from rune.net.calls import Reply, ServerConnection

LIST_TIMEOUT_SECONDS = 15.0

PROBE_TIMEOUT_SECONDS = 2.0
"""Of a route that a server may not have; a few of them must fit into one API call."""

MODEL_IN_PATH = "{model}"
"""Stands in a path for the model's name."""

type Entry = Mapping[str, object]
"""A model in the server's list."""

_VERSION = re.compile(r"/v\d+$")
_VERSIONED_BELOW = re.compile(r"/v\d+[a-z0-9]*/|/(?:openai|inference|compat)$|/deployments/")
_PASTED = re.compile(r"/(?:chat/completions|completions|models)$")


class Routes:
    """A server's routes.

    The address may be given with or without `/v1` at its end, with another path under which a gateway has its API,
    or whole, with `/chat/completions`. With `api-version` as query it is one of Azure's, where the model's
    deployment may be a part of the path.

    Attributes
    ----------
    dialect
        What has been learnt of the server; where chats go is a part of it.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        url, _, self._query = connection.url.url.partition("?")
        self._base = _PASTED.sub("", url)
        # Below which the server's own routes are, those that are not OpenAI's.
        self._own_url = _VERSION.sub("", self._base)
        self.dialect = STANDARD
        if self._query or "/deployments/" in self._base:
            self.dialect = replace(STANDARD, key_header="api-key")

    def api_paths(self) -> tuple[str, ...]:
        """Return what may follow the address before OpenAI's routes, the most likely first."""
        known = self.dialect.api_path
        likely = _likely_paths(self._base, has_query=bool(self._query))
        return likely if known is None else (known, *(path for path in likely if path != known))

    def chat_url(self, api_path: str, model: str) -> str:
        """Return where chats with a model go."""
        return self._url(api_path.replace(MODEL_IN_PATH, quote(model, safe="")) + "/chat/completions")

    async def list_models(self) -> tuple[Entry, ...]:
        """Return the entries of the server's list of models that have an id.

        Raises
        ------
        UnknownPathError
            The server has no such list.
        ModelServerError, AddressError
            Any other of them.
        """
        paths = dict.fromkeys(path.partition("/deployments/")[0] for path in self.api_paths())
        error: UnknownPathError | None = None
        for path in paths:
            try:
                entries = await self._list_models(self._url(path + "/models"))
            except UnknownPathError as unknown:
                error = error or unknown
                continue
            if self.dialect.api_path is None and path != self.api_paths()[0] and not self._query:
                self.dialect = replace(self.dialect, api_path=path)
            return entries
        raise error or UnknownPathError("The server has no list of models.")

    def get(self, path: str, timeout_seconds: float) -> AbstractAsyncContextManager[Reply]:
        """Begin to read a route of the server's own; raises as `ServerConnection.call`."""
        return self._connection.call(
            "GET",
            self._own(path),
            total_timeout_seconds=timeout_seconds,
            key_header=self.dialect.key_header,
        )

    async def ask(self, path: str, *, timeout_seconds: float = LIST_TIMEOUT_SECONDS) -> Mapping[str, object]:
        """Return what a route of the server's own answers.

        Raises
        ------
        ModelServerError, AddressError
            Any of them.
        """
        async with self.get(path, timeout_seconds) as reply:
            return await read_object(reply)

    async def probe(self, path: str) -> Mapping[str, object]:
        """Return the answer of a route that the server may not have; empty where it has none or is too slow."""
        try:
            return await self.ask(path, timeout_seconds=PROBE_TIMEOUT_SECONDS)
        except ModelServerError:
            return {}

    async def tell(
        self, path: str, body: Mapping[str, object], *, model: str, timeout_seconds: float
    ) -> Mapping[str, object]:
        """Return the answer to a command about a model.

        Raises
        ------
        ModelServerError, AddressError
            Any of them.
        """
        async with self._connection.call(
            "POST",
            self._own(path),
            body=body,
            total_timeout_seconds=timeout_seconds,
            key_header=self.dialect.key_header,
        ) as reply:
            return await read_object(reply, model=model)

    def _url(self, path: str) -> str:
        return self._base + path + (f"?{self._query}" if self._query else "")

    def _own(self, path: str) -> str:
        mark = "&" if "?" in path else "?"
        return self._own_url + path + (f"{mark}{self._query}" if self._query else "")

    async def _list_models(self, url: str) -> tuple[Entry, ...]:
        async with self._connection.call(
            "GET", url, total_timeout_seconds=LIST_TIMEOUT_SECONDS, key_header=self.dialect.key_header
        ) as reply:
            listing = await read_value(reply)
        # `data` first: llama-server adds `models` in Ollama's form beside it.
        members = as_object(listing)
        if not isinstance(listing, list) and not {"data", "models"} & members.keys():
            raise BadResponseError("The server's list of models has no data: does it speak OpenAI's API?")
        return tuple(_entries(as_list(listing) or as_list(members.get("data", members.get("models")))))


def _entries(listed: list[object]) -> Iterator[Entry]:
    """Yield the models of a list: objects with an `id` or a `name`, or names alone."""
    for each in listed:
        entry = {"id": each} if isinstance(each, str) else as_object(each)
        if name := read_text(entry, "id") or read_text(entry, "name"):
            yield entry if "id" in entry else {**entry, "id": name}


def _likely_paths(base: str, *, has_query: bool) -> tuple[str, ...]:
    path = urlsplit(base).path
    if _VERSION.search(path):
        return ("",)
    if has_query and "/deployments/" not in path:
        openai = "" if path.endswith("/openai") else "/openai"
        return (f"{openai}/deployments/{MODEL_IN_PATH}", openai, f"{openai}/v1")
    return ("", "/v1") if _VERSIONED_BELOW.search(path) else ("/v1", "")


def ids_of(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """Return the ids of the entries, each once, sorted."""
    return tuple(sorted({read_text(entry, "id") for entry in entries}))


def find_entry(entries: tuple[Entry, ...], model: str) -> Entry | None:
    """Return the entry whose id or (llama-server) one of whose aliases is the model's name.

    Gemini's list has `models/` before each name.
    """
    names = {model, f"models/{model}"}
    return next(
        (
            entry
            for entry in entries
            if read_text(entry, "id") in names or model in as_list(entry.get("aliases"))
        ),
        None,
    )
