"""One call to a server whose address a caller chose: the request, the reply, and what went wrong.

httpx's errors become RUNE's own here.
"""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx
from pydantic import SecretStr

from rune.errors import (
    BadResponseError,
    ModelServerError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamTruncatedError,
)
from rune.net.addresses import BackendUrl
from rune.net.bodies import MAX_STREAM_BYTES, BodyReader, MonotonicNs, read_body, read_body_head
from rune.net.credentials import bearer_headers, key_headers
from rune.net.streams import stamped_stream

MAX_RETRY_AFTER_SECONDS = 3600
"""Longest wait that a server may ask for: no job runs longer."""

_MEDIA_TYPE_END = re.compile("[;,]")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")

# A server may close a connection that it has just promised to keep: llama-server does after every stream, up to
# a millisecond later. A request sent on it meanwhile is lost, and the client learns that one round trip later, when
# the connection is closed. Such a request is sent again (RFC 9112, 9.3.1), and counts from then.
_MAX_TRIES = 3
_STALE_SECONDS = 1.0

# A server's last bytes follow its end marker in the same segment or the next. If they take longer, the connection
# is closed: who waits for them keeps a slot of a measured load empty, and a new connection is in no measured time.
_DRAIN_SECONDS = 0.03


class Reply:
    """An answer whose head has come and whose body is still on the wire.

    Attributes
    ----------
    media_type
        Content type in lower case without parameters, the first of several; empty where the server named none.
    content_type
        The same as sent.
    retry_after_seconds
        What the server asked to wait, at most `MAX_RETRY_AFTER_SECONDS`; None where it asked nothing.
    sent_ns, headers_ns
        Just before the request was sent on a connection that was open by then, and just after the answer's head had
        arrived.
    resent_count
        How often it was sent anew, since the connection that was kept for it was just closing.
    api_key
        The key that was sent; it must be removed from what the server answered before anything is shown.
    """

    def __init__(
        self,
        response: httpx.Response,
        *,
        sent_ns: int,
        headers_ns: int,
        now_ns: MonotonicNs,
        api_key: SecretStr | None = None,
        resent_count: int = 0,
    ) -> None:
        self._response = response
        self._now_ns = now_ns
        self.status = response.status_code
        self.content_type = response.headers.get("content-type", "")
        self.media_type = _MEDIA_TYPE_END.split(self.content_type)[0].strip().lower()
        self.retry_after_seconds = retry_after_seconds(response.headers)
        self.sent_ns = sent_ns
        self.headers_ns = headers_ns
        self.api_key = api_key
        self.resent_count = resent_count

    def reader(self, *, max_bytes: int = MAX_STREAM_BYTES) -> BodyReader:
        """Return the body to be read as it arrives.

        Raises
        ------
        BadResponseError
            The body is compressed.
        """
        return BodyReader(self._response, max_bytes=max_bytes, now_ns=self._now_ns)

    async def body(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        BadResponseError
            It is compressed, or longer than `rune.net.bodies.MAX_BODY_BYTES`.
        """
        return await read_body(self._response)

    async def body_head(self) -> bytes:
        """Return the beginning of an error's body, as much as arrived."""
        return await read_body_head(self._response)


class ServerConnection:
    """A server at one address; its connections are kept open between calls.

    Parameters
    ----------
    client
        From `rune.net.client.open_client`; closed with this connection.
    api_key
        Sent with every call to this server's origin, and to no other.
    now_ns
        Monotonic clock of the stamps of connections that do not stamp themselves.

    Raises
    ------
    InvalidRequestError
        The key cannot be a header.
    """

    def __init__(
        self,
        url: BackendUrl,
        client: httpx.AsyncClient,
        *,
        api_key: str | None = None,
        now_ns: MonotonicNs = time.monotonic_ns,
    ) -> None:
        self.url = url
        self.api_key = None if api_key is None else SecretStr(api_key)
        self._client = client
        self._origin = _origin(url.url)
        bearer_headers(api_key)  # or raises, before anything is sent
        self._now_ns = now_ns

    @asynccontextmanager
    async def call(
        self,
        method: Literal["GET", "POST", "DELETE"],
        url: str,
        *,
        total_timeout_seconds: float,
        idle_timeout_seconds: float | None = None,
        body: Mapping[str, object] | None = None,
        key_header: str = "Authorization",
        accept: str | None = None,
        tls_name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Reply]:
        """Send a request and give its answer; leaving the block closes an answer that is not read to its end.

        Parameters
        ----------
        total_timeout_seconds
            From sending to leaving the block.
        idle_timeout_seconds
            Longest silence on the wire, before the head or within the body; None means only the total counts.
        key_header
            In which the key is sent: `Authorization` as a bearer token, any other as it is.
        accept
            What the answer may be, where the server has several forms of it.
        tls_name
            Which the server's certificate must have, and for which it is asked; None for the host. The same in
            every call of a connection, since an open one is not asked again.
        headers
            Sent besides, to this server's origin alone.

        Raises
        ------
        AddressError
            The policy refuses the address, or its name has none.
        ServerUnreachableError
            No connection, or it broke before an answer began.
        ServerTimeoutError
            One of the two timeouts passed.
        StreamTruncatedError
            The connection broke within the body.
        BadResponseError
            The answer is not HTTP, or a redirect, whose target no policy has checked.
        """
        idle_seconds = min(total_timeout_seconds, idle_timeout_seconds or total_timeout_seconds)
        has_begun = False
        is_own = _origin(url) == self._origin
        sent = httpx.Headers(dict(headers) if headers and is_own else None)
        if is_own and self.api_key is not None:
            sent.update(key_headers(self.api_key.get_secret_value(), key_header))
        if accept is not None:
            sent["Accept"] = accept
        extensions = {} if tls_name is None else {"sni_hostname": tls_name}
        try:
            async with asyncio.timeout(total_timeout_seconds):
                response, sent_ns, resent_count = await self._send(
                    method, url, body=body, headers=sent, extensions=extensions, idle_seconds=idle_seconds
                )
                headers_ns = self._now_ns()
                if stream := stamped_stream(response):
                    sent_ns, headers_ns = stream.sent_ns, stream.arrived_ns
                has_begun = True
                async with aclosing(response):
                    if 300 <= response.status_code < 400:  # noqa: PLR2004 the redirects of RFC 9110, 15.4
                        raise BadResponseError(
                            f"The server answered with a redirect ({response.status_code}); give the address"
                            " to which it leads."
                        )
                    yield Reply(
                        response,
                        sent_ns=sent_ns,
                        headers_ns=headers_ns,
                        now_ns=self._now_ns,
                        api_key=self.api_key,
                        resent_count=resent_count,
                    )
        except TimeoutError as error:
            raise ServerTimeoutError(
                f"The server's answer took longer than {total_timeout_seconds:g} seconds."
            ) from error
        except httpx.TransportError as error:
            raise server_error(error, has_begun=has_begun, idle_seconds=idle_seconds) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(
        self,
        method: str,
        url: str,
        *,
        body: Mapping[str, object] | None,
        headers: httpx.Headers,
        extensions: Mapping[str, str],
        idle_seconds: float,
    ) -> tuple[httpx.Response, int, int]:
        """Return the answer's head, when its request was sent, and how often it had to be sent anew."""
        for tries_left in reversed(range(_MAX_TRIES)):
            connecting = _Connecting()
            request = self._client.build_request(
                method,
                url,
                json=body,
                headers=headers,
                timeout=self._timeout(idle_seconds),
                extensions={**extensions, "trace": connecting.trace},
            )
            sent_ns = self._now_ns()
            try:
                response = await self._client.send(request, stream=True)
                return response, sent_ns, _MAX_TRIES - 1 - tries_left
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                is_stale = not connecting.has_begun and _is_closed_by_server(error)
                if not (is_stale and tries_left and self._now_ns() - sent_ns < _STALE_SECONDS * 1e9):
                    raise
        raise AssertionError("the last try returns or raises")

    def _timeout(self, idle_seconds: float) -> httpx.Timeout:
        of_client = self._client.timeout
        return httpx.Timeout(
            connect=of_client.connect, read=idle_seconds, write=of_client.write, pool=of_client.pool
        )


async def drain(reader: BodyReader) -> None:
    """Read what follows the end marker, so that the connection can serve the next call.

    Limited in time, and without errors: the answer is already complete.
    """
    with suppress(TimeoutError, httpx.TransportError, ModelServerError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await reader.read() is not None:
                pass


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return the origin (RFC 6454), which decides whether a request carries the key."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


class _Connecting:
    """Whether a connection was opened for a request, by httpcore's trace."""

    def __init__(self) -> None:
        self.has_begun = False

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        self.has_begun |= event == "connection.connect_tcp.started"


def _is_closed_by_server(error: httpx.TransportError) -> bool:
    # httpcore 1.0.9 has one class for a closed connection and for an answer that is not HTTP; only the text "Server
    # disconnected without sending a response." tells them apart.
    return not isinstance(error, httpx.RemoteProtocolError) or "disconnected" in str(error)


def server_error(error: httpx.TransportError, *, has_begun: bool, idle_seconds: float) -> ModelServerError:
    """Return RUNE's error for one of httpx.

    Parameters
    ----------
    has_begun
        Whether the answer's head had come.
    """
    if isinstance(error, (httpx.ConnectTimeout, httpx.ConnectError, httpx.PoolTimeout)):
        return ServerUnreachableError("No connection to the server could be made.")
    if isinstance(error, httpx.TimeoutException):
        return ServerTimeoutError(f"The server was silent for {idle_seconds:g} seconds.")
    if has_begun:
        return StreamTruncatedError("The connection broke before the server's answer was complete.")
    if not _is_closed_by_server(error):
        return BadResponseError("The server does not answer in HTTP.")
    return ServerUnreachableError("The connection broke before the server answered.")


def retry_after_seconds(headers: httpx.Headers) -> int | None:
    """Return the wait that an answer asks for, rounded up; None where it asks for none.

    RFC 9110, section 10.2.3: seconds, or a date, taken against the answer's own Date. Servers also send fractions
    of seconds, and OpenAI and Azure `retry-after-ms`, which is the more exact one.
    """
    for value, per_second in ((headers.get("retry-after-ms", ""), 1000), (headers.get("retry-after", ""), 1)):
        if _SECONDS.fullmatch(value.strip()):
            # Cut first: float() of many digits is infinite.
            return min(math.ceil(float(value.strip()[:12]) / per_second), MAX_RETRY_AFTER_SECONDS)
    value = headers.get("retry-after", "").strip()
    retry_at, answered_at = _http_date(value), _http_date(headers.get("date", ""))
    if retry_at is None or answered_at is None:
        return None
    return max(0, min(round((retry_at - answered_at).total_seconds()), MAX_RETRY_AFTER_SECONDS))


def _http_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    return parsed if parsed.tzinfo is not None else None
