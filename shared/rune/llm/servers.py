"""Which kinds of model servers RUNE speaks to."""

from collections.abc import Callable, Mapping

from rune.errors import InvalidRequestError
from rune.llm.ollama import OllamaServer
from rune.llm.openai import OpenAiServer
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy, BackendUrl, parse_backend_url

_OPENERS: Mapping[str, Callable[[BackendUrl, AddressPolicy], ModelServer]] = {
    "ollama": OllamaServer.open,
    "openai": OpenAiServer.open,
}

SERVER_KINDS = tuple(_OPENERS)
"""What `open_server` takes as kind."""


def open_server(kind: str, url: str, policy: AddressPolicy) -> ModelServer:
    """Return the model server at an address; nothing is sent yet. Close it with `aclose`.

    Raises
    ------
    InvalidRequestError
        RUNE does not know the kind.
    AddressRefusedError
        The address is refused as it is written; see `parse_backend_url`.
    """
    opener = _OPENERS.get(kind)
    if opener is None:
        raise InvalidRequestError(
            f"{kind!r} is not a kind of model server; RUNE knows {', '.join(SERVER_KINDS)}.",
            pointer="/backend_type",
        )
    return opener(parse_backend_url(url, policy), policy)
