"""`--debug`: every request and answer on stderr, without headers, since the token is one of them."""

from __future__ import annotations

import time

import httpx
from rich.text import Text

from rune_client.cli.output import Output

SHOWN_CHARACTERS = 4000
"""Of a body."""

SECRET_PATHS = ("/key", "/callback-secret", "/rotate-secret", "/links")
"""Whose answers have a secret or a link that opens something."""


class ShownTransport(httpx.BaseTransport):
    """Sends as another transport does, and shows what was sent and answered."""

    def __init__(self, transport: httpx.BaseTransport, output: Output) -> None:
        self._transport, self._output = transport, output

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        self._say(f"> {request.method} {request.url.path}", request.read())
        began = time.monotonic()
        try:
            response = self._transport.handle_request(request)
            content = response.read()
        except httpx.HTTPError as error:
            self._say(f"< {type(error).__name__}", b"")
            raise
        took_ms = (time.monotonic() - began) * 1000
        is_secret = request.url.path.endswith(SECRET_PATHS) or request.url.path == "/v1/webhooks"
        self._say(
            f"< {response.status_code} in {took_ms:.0f} ms",
            b"(not shown: a secret)" if is_secret else content,
        )
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            # The content was decoded by reading it.
            if name.lower() not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(response.status_code, headers=headers, content=content, request=request)

    def close(self) -> None:
        """Close connections."""
        self._transport.close()

    def _say(self, line: str, body: bytes) -> None:
        text = body.decode(errors="replace")
        shown = (
            text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
        )
        self._output.say(Text(f"{line} {shown}".rstrip(), style="dim"))
