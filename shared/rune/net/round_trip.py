"""The network's round trip to a server: the time of one TCP handshake.

It is a part of every time to first token. A handshake is one round trip and involves only the server's kernel, so
that it takes no longer on a busy server.
"""

import time
from collections.abc import Iterable

import httpcore

from rune.errors import AddressError
from rune.net.addresses import AddressPolicy, BackendUrl
from rune.net.bodies import MonotonicNs
from rune.net.guarded_network import GuardedNetwork, Resolve, resolve_ipv4
from rune.net.streams import StampingNetwork

TIMEOUT_SECONDS = 5.0
"""For the handshakes with all of a name's addresses together."""

_NS_PER_MS = 1_000_000


async def measure_round_trip_ms(
    url: BackendUrl,
    policy: AddressPolicy,
    *,
    resolve: Resolve = resolve_ipv4,
    network: httpcore.AsyncNetworkBackend | None = None,
    now_ns: MonotonicNs = time.monotonic_ns,
) -> float | None:
    """Return how long one TCP handshake with the server takes, in milliseconds; None if it fails.

    The address is checked like every other, and the connection closed at once. Resolving the name and TLS are not
    included.

    Parameters
    ----------
    resolve, network, now_ns
        Replaced in tests.
    """
    watch = _Stopwatch(network or StampingNetwork(), now_ns)
    guarded = GuardedNetwork(policy, resolve=resolve, network=watch)
    try:
        connection = await guarded.connect_tcp(url.host, url.port, TIMEOUT_SECONDS)
    except (AddressError, httpcore.ConnectError, httpcore.ConnectTimeout):
        return None
    await connection.aclose()
    return watch.last_ns / _NS_PER_MS


class _Stopwatch(httpcore.AsyncNetworkBackend):
    """Times each handshake alone: without those with addresses that did not answer before it."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, now_ns: MonotonicNs) -> None:
        self._network = network
        self._now_ns = now_ns
        self.last_ns = 0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        began_ns = self._now_ns()
        connection = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        self.last_ns = self._now_ns() - began_ns
        return connection
