"""Which kinds of model servers RUNE speaks to."""

from collections.abc import Mapping
from typing import Protocol

from rune.errors import InvalidRequestError
from rune.llm.ollama import OllamaServer
from rune.llm.openai import OpenAiServer
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy, BackendUrl, parse_backend_url


class _Opener(Protocol):
    def __call__(
        self, url: BackendUrl, policy: AddressPolicy, *, api_key: str | None = None
    ) -> ModelServer: ...


_OPENERS: Mapping[str, _Opener] = {
    "ollama": OllamaServer.open,
    "openai": OpenAiServer.open,
}

SERVER_KINDS = tuple(_OPENERS)
"""What `open_server` takes as kind."""


def open_server(kind: str, url: str, policy: AddressPolicy, *, api_key: str | None = None) -> ModelServer:
    """Return the model server at an address; nothing is sent yet. Close it with `aclose`.

    Parameters
    ----------
    api_key
        Sent to this server as a bearer token with every call; None sends none.

    Raises
    ------
    InvalidRequestError
        RUNE does not know the kind, or the key cannot be sent.
    AddressRefusedError
        The address is refused as it is written; see `parse_backend_url`.
    """
    opener = _OPENERS.get(kind)
    if opener is None:
        raise InvalidRequestError(
            f"{kind!r} is not a kind of model server; RUNE knows {', '.join(SERVER_KINDS)}.",
            pointer="/backend_type",
        )
    return opener(parse_backend_url(url, policy), policy, api_key=api_key)
