"""HTTP requests to Vast.ai with the key, and whether a request without a response may have arrived."""

import asyncio
from collections.abc import Mapping
from typing import override

import httpx

from rune.rentals.vastai import Method, RequestNotSentError, ResponseLostError, VastaiTransport
from rune.rentals.vastai_responses import VastaiResponse

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""A search of 64 offers takes some 200 KB."""

LOG_TIMEOUT_SECONDS = 2.0
_CONNECT_TIMEOUT_SECONDS = 5.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpVastaiTransport(VastaiTransport):
    """The transport over httpx, with a new connection for each call, since calls are minutes apart.

    Redirects are not followed: they could send the key to another host, and an order twice.

    Parameters
    ----------
    base_url
        Chosen by the operator, so no address policy applies.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": "rune",
            "Accept": "application/json",
        }

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
        timeout = httpx.Timeout(timeout_seconds, connect=_CONNECT_TIMEOUT_SECONDS)
        try:
            async with (
                # The timeouts of httpx apply to each chunk alone; a slow response could last forever.
                asyncio.timeout(timeout_seconds),
                httpx.AsyncClient(trust_env=False, timeout=timeout, headers=self._headers) as client,
                client.stream(method, self._base_url + path, params=query, json=body) as response,
            ):
                text = await _read(response)
                return VastaiResponse(response.status_code, text, response.headers.get("retry-after", ""))
        except _NOT_SENT as error:
            raise RequestNotSentError from error
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            raise ResponseLostError from error


async def fetch_log(url: str) -> str | None:
    """Return the text at an address that the provider named for a log; None while there is none.

    It is another host's, so it is asked without the key.
    """
    try:
        async with (
            asyncio.timeout(LOG_TIMEOUT_SECONDS),
            httpx.AsyncClient(trust_env=False, timeout=LOG_TIMEOUT_SECONDS) as client,
            client.stream("GET", url) as response,
        ):
            return await _read(response) if response.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, httpx.InvalidURL, ResponseLostError, TimeoutError):
        return None


async def _read(response: httpx.Response) -> str:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise ResponseLostError
    return body.decode("utf-8", "replace")
