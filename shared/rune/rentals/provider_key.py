"""The provider's key, which may change while a function lives."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, override

from rune.errors import ProviderFailedError, ProviderKeyError, SettingsUnavailableError
from rune.rentals.vastai import Method, VastaiTransport
from rune.rentals.vastai_responses import VastaiResponse, describe_failure


class KeySource(Protocol):
    """Where the key of this moment is; blank where there is none. Raises SettingsUnavailableError."""

    def current(self) -> str:
        """Return the key, at most 30 seconds old."""
        ...

    def reread(self) -> str:
        """Return the key after another look, since the provider has refused it."""
        ...


class NoKey(KeySource):
    """The key of a deployment without an account, such as one whose account was taken away."""

    @override
    def current(self) -> str:
        return ""

    @override
    def reread(self) -> str:
        return ""


class KeyedTransport(VastaiTransport):
    """A `VastaiTransport` with the key of each moment.

    A request whose key was refused has not been carried out. It is sent again with the key that is there now, if
    that is another. An order of a machine is never sent again.

    Parameters
    ----------
    open_transport
        Returns a transport that sends a key; it makes no call.
    """

    def __init__(self, keys: KeySource, open_transport: Callable[[str], VastaiTransport]) -> None:
        self._keys = keys
        self._open_transport = open_transport

    @override
    async def __call__(
        self,
        method: Method,
        path: str,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> VastaiResponse:
        async def send(api_key: str) -> VastaiResponse:
            if not api_key:
                raise ProviderKeyError("There is no key for Vast.ai.")
            transport = self._open_transport(api_key)
            response = await transport(method, path, timeout_seconds=timeout_seconds, query=query, body=body)
            return replace(response, key_mark=make_key_mark(api_key))

        try:
            used = self._keys.current()
        except SettingsUnavailableError:
            raise ProviderFailedError("The key for Vast.ai cannot be read now.") from None
        response = await send(used)
        if not _is_key_refused(response):
            return response
        fresh = self._keys.reread()
        return response if fresh == used or _is_order(method, path) else await send(fresh)


def make_key_mark(api_key: str) -> str:
    """Return a short name of a key that tells two keys apart; a key is random, so that it cannot be guessed."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]


def _is_key_refused(response: VastaiResponse) -> bool:
    return not response.is_success and isinstance(describe_failure(response), ProviderKeyError)


def _is_order(method: Method, path: str) -> bool:
    return method == "PUT" and path.startswith("/api/v0/asks/")
