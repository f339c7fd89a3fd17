"""Connecting to a host that a caller chose: the name is resolved once, its addresses are checked, and one is used.

A check before the request would not be enough: httpx resolves again when it connects, and a name server under the
caller's control can answer differently the second time (DNS rebinding). So resolving, checking and connecting
happen here, beneath httpx. The URL keeps the name, which the Host header, SNI and the certificate's check are
about. (With the address in the URL, the pool would reuse one TLS session for different names.)
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address

import httpcore

from rune.errors import AddressUnresolvedError
from rune.net.addresses import Address, AddressPolicy, address_refused, numeric_address
from rune.net.streams import StampingNetwork

type Resolve = Callable[[str], Awaitable[tuple[Address, ...]]]
"""From a host name to all its addresses; raises OSError when there are none."""

RESOLVE_TIMEOUT_SECONDS = 2.0
"""After which a name server counts as down: RUNE's choice, not a protocol's."""

MAX_ADDRESSES = 8
"""Tried per connection. Round-robin names have up to six; trying hundreds would only take time."""


async def resolve_ipv4(host: str) -> tuple[Address, ...]:
    """Return the IPv4 addresses of a name.

    IPv4 only: a function outside a VPC has no IPv6 route, and IPv6 has many notations for an IPv4 address. An IPv6
    address in the URL needs no resolving, and is used where the policy allows it.

    Raises
    ------
    OSError
        The name has no address, or no name server answered.
    """
    answers = await asyncio.get_running_loop().getaddrinfo(
        host, None, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    return tuple(dict.fromkeys(IPv4Address(answer[4][0]) for answer in answers))


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the policy allows.

    Parameters
    ----------
    resolve
        Replaced in tests.
    network
        Makes the connection to an address that has been checked.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolve: Resolve = resolve_ipv4,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._network = network or StampingNetwork()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to one of the host's addresses, tried in the order of the answer.

        Raises
        ------
        AddressRefusedError
            At least one of the host's addresses is not allowed. One is enough, since a name with a public and an
            inner address may be an attempt to reach the inner one.
        AddressUnresolvedError
            The host has no address, or resolving took longer than `RESOLVE_TIMEOUT_SECONDS`.
        httpcore.ConnectError, httpcore.ConnectTimeout
            No address took the connection; `timeout` is for all of them together.
        """
        addresses = await self._checked_addresses(host)
        deadline = None if timeout is None else time.monotonic() + timeout
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for index, address in enumerate(addresses):
            # Each gets a share of the remaining time, so that a silent first address leaves time for the second.
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            share = None if remaining is None else remaining / (len(addresses) - index)
            try:
                return await self._network.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 the signature is httpcore's
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 as above
    ) -> httpcore.AsyncNetworkStream:
        """Refuse, since no caller may reach a socket file.

        Raises
        ------
        AddressRefusedError
            Always.
        """
        raise address_refused(path)

    async def sleep(self, seconds: float) -> None:
        """Wait. httpcore calls it between retries, of which the pool makes none."""
        await self._network.sleep(seconds)

    async def _checked_addresses(self, host: str) -> tuple[Address, ...]:
        literal = numeric_address(host)
        addresses = (literal,) if literal is not None else await self._resolved_addresses(host)
        if not all(self._policy.allows(address) for address in addresses):
            raise address_refused(host)
        return addresses[:MAX_ADDRESSES]

    async def _resolved_addresses(self, host: str) -> tuple[Address, ...]:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
                addresses = await self._resolve(host)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise AddressUnresolvedError(f"The name {host!r} has no address at the moment.") from error
        if not addresses:
            raise AddressUnresolvedError(f"The name {host!r} has no address at the moment.")
        return addresses
