"""Opening the model server of any kind, as one deployment reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, override

from rune.errors import InvalidRequestError
from rune.llm.bedrock_address import bedrock_region, not_bedrocks
from rune.net.addresses import AddressPolicy, parse_backend_url

if TYPE_CHECKING:
    from rune.llm.protocol import ModelServer

SERVER_KINDS = ("ollama", "openai", "bedrock")
"""What `OpenServer` takes as kind."""


class OpenServer(Protocol):
    """Opens the model server of a kind at an address."""

    def __call__(self, kind: str, url: str, api_key: str | None = None, /) -> ModelServer:
        """Return the server; nothing is sent yet. Close it with `aclose`.

        Parameters
        ----------
        api_key
            Sent to this server as a bearer token with every call; None sends none. Bedrock takes none.

        Raises
        ------
        InvalidRequestError
            RUNE does not know the kind, the key cannot be sent, or the address is not one of Bedrock's.
        AddressRefusedError
            The address is refused as it is written; see `parse_backend_url`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServerOpener(OpenServer):
    """Opens servers at the addresses that a policy allows.

    Attributes
    ----------
    bedrock_endpoint_url
        Where Bedrock is reached instead of at AWS's own address, for every region; empty for that one.
    """

    policy: AddressPolicy
    bedrock_endpoint_url: str = ""

    @override
    def __call__(self, kind: str, url: str, api_key: str | None = None, /) -> ModelServer:
        # Each kind is imported when it is first opened: its HTTP or AWS client takes longer to load than all of
        # RUNE's own code, and few invocations open a server.
        match kind:
            case "ollama":
                from rune.llm.ollama import OllamaServer  # noqa: PLC0415

                return OllamaServer.open(parse_backend_url(url, self.policy), self.policy, api_key=api_key)
            case "openai":
                from rune.llm.openai import OpenAiServer  # noqa: PLC0415

                address = parse_backend_url(url, self.policy, may_name_version=True)
                return OpenAiServer.open(address, self.policy, api_key=api_key)
            case "bedrock":
                from rune.llm.bedrock import BedrockServer  # noqa: PLC0415

                region = bedrock_region(url)
                if region is None:
                    raise not_bedrocks("/backend_url")
                return BedrockServer.open(region, self.bedrock_endpoint_url or None)
        raise InvalidRequestError(
            f"{kind!r} is not a kind of model server; RUNE knows {', '.join(SERVER_KINDS)}.",
            pointer="/backend_type",
        )
