"""Posting bytes to an address that a caller chose, where only the status of the answer counts."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

import httpx

from rune.errors import ModelServerError, ServerTimeoutError
from rune.net.addresses import AddressPolicy, receiver_policy
from rune.net.bodies import read_body_head
from rune.net.calls import retry_after_seconds, server_error
from rune.net.client import open_client
from rune.net.guarded_network import GuardedNetwork, Resolve, resolve_ipv4

CONNECT_TIMEOUT_SECONDS = 5.0
TOTAL_TIMEOUT_SECONDS = 15.0

_BODY_SECONDS = 2.0
"""For the beginning of the answer's body: the status has told what counts."""


@dataclass(frozen=True, slots=True)
class PostAnswer:
    """What came back.

    Attributes
    ----------
    retry_after_seconds
        What the receiver asked to wait, at most an hour; None where it asked nothing.
    head
        The body's beginning, as much as came soon.
    """

    status: int
    retry_after_seconds: int | None
    head: bytes


class PostClient:
    """Posts to receivers, each of whose addresses is judged when it is connected to.

    Each post has a connection of its own: a receiver may close one that it keeps just as the next post is sent.

    Parameters
    ----------
    total_timeout_seconds
        For all of a post, but reading the body's beginning.
    resolve
        Replaced in tests.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        total_timeout_seconds: float = TOTAL_TIMEOUT_SECONDS,
        resolve: Resolve = resolve_ipv4,
    ) -> None:
        self._policy = policy
        self._total_timeout_seconds = total_timeout_seconds
        self._resolve = resolve
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, head_bytes: int) -> PostAnswer:
        """Return the answer, whatever its status; a redirect is not followed.

        Raises
        ------
        AddressError
            The policy refuses the address, or its name has none.
        ModelServerError
            There is no answer: not reached, not in time, or not HTTP.
        """
        has_begun = False
        try:
            async with asyncio.timeout(self._total_timeout_seconds):
                client = self._client_for(url)
                request = client.build_request(
                    "POST", url, content=body, headers={**headers, "Connection": "close"}
                )
                response = await client.send(request, stream=True)
            has_begun = True
            async with aclosing(response):
                head = await _read_head(response, head_bytes)
        except TimeoutError as error:
            raise ServerTimeoutError(
                f"There was no answer within {self._total_timeout_seconds:g} seconds."
            ) from error
        except httpx.TransportError as error:
            raise server_error(
                error, has_begun=has_begun, idle_seconds=self._total_timeout_seconds
            ) from error
        return PostAnswer(response.status_code, retry_after_seconds(response.headers), head)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def _client_for(self, url: str) -> httpx.AsyncClient:
        scheme = url.partition(":")[0]
        if scheme not in self._clients:
            policy = receiver_policy(scheme, self._policy)
            self._clients[scheme] = open_client(
                policy,
                connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
                read_timeout_seconds=self._total_timeout_seconds,
                network=GuardedNetwork(policy, resolve=self._resolve),
            )
        return self._clients[scheme]


async def _read_head(response: httpx.Response, head_bytes: int) -> bytes:
    with suppress(TimeoutError, ModelServerError, httpx.TransportError):
        async with asyncio.timeout(_BODY_SECONDS):
            return await read_body_head(response, max_bytes=head_bytes)
    return b""
