"""Posting to receivers over HTTP, by the client that judges each address."""

from collections.abc import Mapping
from datetime import timedelta
from typing import override

from rune.clock import Clock
from rune.errors import (
    AddressRefusedError,
    AddressUnresolvedError,
    RuneError,
    ServerTimeoutError,
    ServerUnreachableError,
)
from rune.net.posts import PostClient
from rune.webhooks.answers import MAX_RESPONSE_CHARS, Answer, AttemptError
from rune.webhooks.store import Sender

_ERRORS: Mapping[type[RuneError], AttemptError] = {
    AddressRefusedError: AttemptError.ADDRESS_REFUSED,
    AddressUnresolvedError: AttemptError.ADDRESS_UNRESOLVED,
    ServerTimeoutError: AttemptError.TIMEOUT,
    ServerUnreachableError: AttemptError.UNREACHABLE,
}


class HttpSender(Sender):
    """Posts, and tells what came of it."""

    def __init__(self, client: PostClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    @override
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        at, began = self._clock.now(), self._clock.monotonic_seconds()
        try:
            answer = await self._client.post(url, body, headers, head_bytes=MAX_RESPONSE_CHARS)
        except RuneError as error:
            return Answer(
                at, self._ms_since(began), error=_ERRORS.get(type(error), AttemptError.BAD_RESPONSE)
            )
        asked = answer.retry_after_seconds
        return Answer(
            at,
            self._ms_since(began),
            status=answer.status,
            retry_after=None if asked is None else timedelta(seconds=asked),
            response=_printable(answer.head),
        )

    def _ms_since(self, began: float) -> int:
        return round((self._clock.monotonic_seconds() - began) * 1000)


def _printable(head: bytes) -> str | None:
    text = head.decode(errors="replace")
    shown = "".join(each if each.isprintable() or each == "\n" else " " for each in text)
    return shown[:MAX_RESPONSE_CHARS].strip() or None
