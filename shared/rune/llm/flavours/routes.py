"""What a server with OpenAI's API answers besides chats: its list of models, and routes of its own."""

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from rune.errors import BadResponseError, ModelServerError
from rune.llm.fields import as_list, as_object, read_text
from rune.llm.replies import read_object
from rune.net.calls import Reply, ServerConnection

LIST_TIMEOUT_SECONDS = 15.0

PROBE_TIMEOUT_SECONDS = 2.0
"""Of a route that a server may not have; a few of them must fit into one API call."""

type Entry = Mapping[str, object]
"""A model in the server's list."""


class Routes:
    """A server's routes; its address may be given with or without `/v1` at its end."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        url = connection.url.url
        has_version = re.search(r"/v\d+$", url)
        self._api_url = url if has_version else url + "/v1"
        # Below which the server's own routes are, those that are not OpenAI's.
        self._own_url = url[: has_version.start()] if has_version else url

    @property
    def chat_url(self) -> str:
        """Where chats go."""
        return self._api_url + "/chat/completions"

    async def list_models(self) -> tuple[Entry, ...]:
        """Return the entries of the server's list of models that have an id.

        Raises
        ------
        ModelServerError, AddressError
            Any of them.
        """
        url = self._api_url + "/models"
        async with self._connection.call("GET", url, total_timeout_seconds=LIST_TIMEOUT_SECONDS) as reply:
            listing = await read_object(reply)
        # Only `data`: llama-server adds `models` in Ollama's form beside it.
        if "data" not in listing:
            raise BadResponseError("The server's list of models has no data: does it speak OpenAI's API?")
        entries = [as_object(entry) for entry in as_list(listing["data"])]
        return tuple(entry for entry in entries if read_text(entry, "id"))

    def get(self, path: str, timeout_seconds: float) -> AbstractAsyncContextManager[Reply]:
        """Begin to read a route of the server's own; raises as `ServerConnection.call`."""
        return self._connection.call("GET", self._own_url + path, total_timeout_seconds=timeout_seconds)

    async def ask(self, path: str, *, timeout_seconds: float = LIST_TIMEOUT_SECONDS) -> Mapping[str, object]:
        """Return what a route of the server's own answers.

        Raises
        ------
        ModelServerError, AddressError
            Any of them.
        """
        async with self._connection.call(
            "GET", self._own_url + path, total_timeout_seconds=timeout_seconds
        ) as reply:
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
            "POST", self._own_url + path, body=body, total_timeout_seconds=timeout_seconds
        ) as reply:
            return await read_object(reply, model=model)


def ids_of(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """Return the ids of the entries, each once, sorted."""
    return tuple(sorted({read_text(entry, "id") for entry in entries}))


def find_entry(entries: tuple[Entry, ...], model: str) -> Entry | None:
    """Return the entry whose id or (llama-server) one of whose aliases is the model's name."""
    return next(
        (
            entry
            for entry in entries
            if model == read_text(entry, "id") or model in as_list(entry.get("aliases"))
        ),
        None,
    )
