"""Opening the model server of any kind, Bedrock among them, as one deployment reaches it."""

from dataclasses import dataclass
from typing import Protocol

from rune.llm import servers
from rune.llm.bedrock_address import bedrock_region, not_bedrocks
from rune.llm.protocol import ModelServer
from rune.net.addresses import AddressPolicy


class OpenServer(Protocol):
    """Opens the model server of a kind at an address."""

    def __call__(self, kind: str, url: str, api_key: str | None = None, /) -> ModelServer:
        """Return the server, which gets the key with every call; nothing is sent yet."""
        ...


@dataclass(frozen=True, slots=True)
class ServerOpener:
    """An `OpenServer`.

    Attributes
    ----------
    bedrock_endpoint_url
        Where Bedrock is reached instead of at AWS's own address, for every region; empty for that one.
    """

    policy: AddressPolicy
    bedrock_endpoint_url: str = ""

    def __call__(self, kind: str, url: str, api_key: str | None = None) -> ModelServer:
        """Return the server; nothing is sent yet. Close it with `aclose`.

        Raises
        ------
        InvalidRequestError
            RUNE does not know the kind, or the address is none of Bedrock's.
        AddressRefusedError
            The address is refused as it is written.
        """
        if kind != "bedrock":
            return servers.open_server(kind, url, self.policy, api_key=api_key)
        # Imported at the first call: its clients take longer to load than all others together.
        from rune.llm.bedrock import BedrockServer  # noqa: PLC0415

        region = bedrock_region(url)
        if region is None:
            raise not_bedrocks("/backend_url")
        return BedrockServer.open(region, self.bedrock_endpoint_url or None)
