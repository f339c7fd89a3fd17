"""The one HTTP client for addresses that a caller chose.

httpx's own transport has no parameter for the network beneath it, so this one uses httpcore directly. httpcore must
therefore stay below 2 in `shared/requirements.in`: `network_backend` is public API within a major version.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx

from rune.net.addresses import AddressPolicy
from rune.net.guarded_network import GuardedNetwork
from rune.net.pool import ConnectionPool

MAX_CONNECTIONS = 80
"""Per client: above any benchmark's concurrency (64), since waiting for a connection would distort its numbers."""

# Below the 5 s after which uvicorn (vLLM, llama_cpp.server) closes an idle connection, so that no request is sent
# on a connection that is about to be closed.
_KEEPALIVE_SECONDS = 4.0
_WRITE_TIMEOUT_SECONDS = 30.0

# Most specific first: the first match is taken.
_ERROR_PAIRS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.TimeoutException, httpx.TimeoutException),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.ProtocolError, httpx.ProtocolError),
)
_CORE_ERRORS = tuple(core for core, _ in _ERROR_PAIRS)


def open_client(
    policy: AddressPolicy,
    *,
    connect_timeout_seconds: float = 5.0,
    read_timeout_seconds: float = 60.0,
    max_connections: int = MAX_CONNECTIONS,
    ssl_context: ssl.SSLContext | None = None,
    network: httpcore.AsyncNetworkBackend | None = None,
) -> httpx.AsyncClient:
    """Return a client that reaches only what the policy allows; close it with `aclose`.

    It follows no redirects, uses no proxy and keeps no cookies. It asks for uncompressed bodies, since a limit on
    the bytes read does not limit the decompressed size. Requests raise `AddressRefusedError` and
    `AddressUnresolvedError` besides httpx's own errors.

    Parameters
    ----------
    connect_timeout_seconds
        For one connection: TCP to all of a name's addresses together, then again for TLS. Resolving has its own.
    read_timeout_seconds
        Longest silence while reading. httpx has no total timeout: callers set `asyncio.timeout`.
    ssl_context
        Whom to trust, and as whom to appear; None for the public roots. A pool keeps connections by their origin
        alone, so a client serves one context, and one name in `sni_hostname`.
    network
        Replaced in tests.
    """
    pool = ConnectionPool(
        ssl_context=ssl_context or _tls_context(),
        max_connections=max_connections,
        keepalive_seconds=_KEEPALIVE_SECONDS,
        network=network or GuardedNetwork(policy),
    )
    return httpx.AsyncClient(
        transport=_PoolTransport(pool),
        timeout=httpx.Timeout(
            connect=connect_timeout_seconds,
            read=read_timeout_seconds,
            write=_WRITE_TIMEOUT_SECONDS,
            pool=connect_timeout_seconds,
        ),
        headers={"Accept-Encoding": "identity", "User-Agent": "rune"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        # A proxy from the environment would connect to addresses that no policy has checked. With a transport
        # given, httpx 0.28 uses none anyway.
        trust_env=False,
    )


class _PoolTransport(httpx.AsyncBaseTransport):
    """Carries httpx's requests over a pool of httpcore's connections."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        core_request = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _errors_of_httpx():
            response = await self._pool.handle_async_request(core_request)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_CoreStream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _CoreStream(httpx.AsyncByteStream):
    """The body of an answer, read when httpx asks for it."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    try:
        yield
    except _CORE_ERRORS as error:
        httpx_type = next(to for core, to in _ERROR_PAIRS if isinstance(error, core))
        raise httpx_type(str(error)) from error


@cache
def _tls_context() -> ssl.SSLContext:
    # One for all: reading the certificate bundle takes about 19 ms, and a client is opened per job step.
    return httpx.create_ssl_context(trust_env=False)
