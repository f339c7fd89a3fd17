"""A live cluster, read over the guarded client.

No client library: every address, also a cluster's, is judged where it is connected to. Each cluster has a client of
its own, since its certificates and its TLS name belong to its connections.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import override
from urllib.parse import urlencode

from rune.errors import (
    BadResponseError,
    ClusterNotUsableError,
    InvalidRequestError,
    ModelServerError,
    ServerAccessError,
    ServerUnreachableError,
)
from rune.kubernetes.access import Cluster, ClusterAnswer
from rune.kubernetes.kubeconfig import ClusterCredentials, EksBinding
from rune.kubernetes.paths import LOG_END, is_readable
from rune.net.addresses import AddressPolicy, parse_backend_url
from rune.net.calls import Reply, ServerConnection
from rune.net.client import open_client
from rune.net.tls import trusting_context

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_LOG_BYTES = 256 * 1024
REQUEST_SECONDS = 30.0
"""For one request with its answer; a log of a node that is gone takes the API server ten."""

_IDLE_SECONDS = 20.0
_MAX_CONNECTIONS = 8
_TRIES = 3
_BETWEEN_TRIES_SECONDS = 0.3
_AGAIN = frozenset({500, 502, 503, 504})
# What a server says before it hangs up on who shows no certificate, or a wrong one. Under TLS 1.3 that comes with
# the first read, long after the handshake.
_REFUSED_IDENTITY = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "UNKNOWN_CA",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "HANDSHAKE_FAILURE",
    "ACCESS_DENIED",
)

type SignToken = Callable[[EksBinding], str]
"""Returns a token that a cluster of EKS takes for 15 minutes."""


class LiveCluster(Cluster):
    """A cluster that is there.

    Parameters
    ----------
    connection
        Closed with the cluster.
    tls_name
        Which its certificate must have; None for the host.
    secrets
        What no text of it may repeat; for the tools.
    """

    def __init__(
        self, connection: ServerConnection, *, tls_name: str | None = None, secrets: tuple[str, ...] = ()
    ) -> None:
        self._connection = connection
        self._tls_name = tls_name
        self.secrets = secrets

    @override
    async def get(self, path: str, query: Mapping[str, str], *, accept: str) -> ClusterAnswer:
        """Return the answer to one GET; what fails on the server's side is asked again, twice.

        Raises
        ------
        ServerAccessError
            The cluster refuses the client's certificate.
        ClusterNotUsableError
            The cluster shows a certificate that its setting does not trust.
        ModelServerError, AddressError
            There is no answer.
        """
        if not is_readable(path, query):
            raise ValueError("Only what rune.kubernetes.paths lists may be asked of a cluster.")
        url = self._connection.url.url + path + (f"?{urlencode(query)}" if query else "")
        # The log of a dead node is a 500 after a long wait, and stays one.
        tries = 1 if path.endswith(LOG_END) else _TRIES
        for _ in range(tries - 1):
            answer = await self._get_once(url, path, accept)
            if answer.status not in _AGAIN:
                return answer
            await asyncio.sleep(_BETWEEN_TRIES_SECONDS)
        return await self._get_once(url, path, accept)

    @override
    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _get_once(self, url: str, path: str, accept: str) -> ClusterAnswer:
        max_bytes = MAX_LOG_BYTES if path.endswith(LOG_END) else MAX_BODY_BYTES
        try:
            async with self._connection.call(
                "GET",
                url,
                total_timeout_seconds=REQUEST_SECONDS,
                idle_timeout_seconds=_IDLE_SECONDS,
                accept=accept,
                tls_name=self._tls_name,
            ) as reply:
                body, is_cut = await _read(reply, max_bytes)
                return ClusterAnswer(
                    reply.status, reply.content_type, body, reply.retry_after_seconds, is_cut=is_cut
                )
        except BadResponseError as error:
            raise BadResponseError(f"The cluster's API: {error.sentence}") from error
        except ServerUnreachableError as error:
            if told := _tls_failure(error):
                raise told from error
            raise


def open_cluster(
    credentials: ClusterCredentials, policy: AddressPolicy, *, sign: SignToken | None = None
) -> LiveCluster:
    """Return a cluster; nothing is sent yet. Close it with `aclose`.

    Parameters
    ----------
    sign
        For clusters of EKS, whose token goes to the binding's own address and to no other.

    Raises
    ------
    AddressRefusedError
        The policy does not allow the address.
    ClusterNotUsableError
        Its certificates or its key cannot be read, or this deployment signs for no cluster of EKS.
    """
    url = parse_backend_url(credentials.server, policy)
    try:
        context = trusting_context(
            credentials.ca_pem, certificate_pem=credentials.certificate_pem, key_pem=credentials.key_pem
        )
    except (ssl.SSLError, ValueError):
        # OpenSSL's words may quote what it was given.
        raise ClusterNotUsableError(
            "The certificates or the key cannot be read, or do not belong together."
        ) from None
    token = credentials.token
    if credentials.eks is not None:
        if sign is None:
            raise ClusterNotUsableError("This deployment signs no tokens for clusters of EKS.")
        token = sign(credentials.eks)
    client = open_client(policy, ssl_context=context, max_connections=_MAX_CONNECTIONS)
    try:
        connection = ServerConnection(url, client, api_key=token)
    except InvalidRequestError:
        raise ClusterNotUsableError("The token cannot be sent as a header.") from None
    secrets = credentials.secrets() if token is None else (token, *credentials.secrets())
    return LiveCluster(connection, tls_name=credentials.tls_name, secrets=secrets)


async def _read(reply: Reply, max_bytes: int) -> tuple[bytes, bool]:
    """Return a body, and whether it was longer than what is read."""
    reader = reply.reader(max_bytes=2 * max_bytes)
    body = bytearray()
    while len(body) <= max_bytes and (received := await reader.read()) is not None:
        body += received.data
    return bytes(body[:max_bytes]), len(body) > max_bytes


def _tls_failure(error: ServerUnreachableError) -> ModelServerError | None:
    """Return what a broken connection means where TLS has said why; None where it has not."""
    for told in _causes(error):
        if "CERTIFICATE_VERIFY_FAILED" in told:
            return ClusterNotUsableError(
                "The cluster shows a certificate that its setting does not trust: another authority, another name, "
                "or its time is over."
            )
        if any(alert in told for alert in _REFUSED_IDENTITY):
            return ServerAccessError("The cluster refuses the client's certificate, or wants one.")
    return None


def _causes(error: BaseException) -> Iterator[str]:
    cause: BaseException | None = error
    while cause is not None:
        yield str(cause).upper().replace(" ", "_")
        cause = cause.__cause__
