"""Stops sending to a server that refuses requests for their number, until it may take them again."""

import asyncio
import math

_LEAST_REFUSALS = 3
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 8.0


class CircuitBreaker:
    """Whether a point's next request may be sent, and when.

    A refusal takes a millisecond, so a closed load would ask as fast as it can: 190 requests within 0.6 s at a
    server that wants to be asked again after a minute. Every request that is sent meanwhile is lost, and some
    servers count it against the caller.

    Attributes
    ----------
    deadline
        When the point ends, on the loop's clock. A server that wants to be asked after that is not asked again.
    """

    def __init__(self) -> None:
        self.deadline = math.inf
        self._resumes_at = 0.0
        self._refusal_count = 0

    def open(self, retry_after_seconds: float | None) -> None:
        """Note a refusal, and how long the server wants to be left alone; None where it did not say.

        Without a word of the server's the third refusal in a row is followed by a pause of 0.25 s, and each further
        one by twice as long, up to 8 s.
        """
        self._refusal_count += 1
        pause_seconds = retry_after_seconds
        if not pause_seconds:
            doublings = self._refusal_count - _LEAST_REFUSALS
            pause_seconds = 0.0 if doublings < 0 else _FIRST_PAUSE_SECONDS * 2.0 ** min(doublings, 5)
            pause_seconds = min(pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._resumes_at = max(self._resumes_at, asyncio.get_running_loop().time() + pause_seconds)

    def close(self) -> None:
        """Note an answer."""
        self._refusal_count = 0

    async def wait(self) -> bool:
        """Return True when a request may be sent; False at once where that would be after the point's end."""
        loop = asyncio.get_running_loop()
        while (left_seconds := self._resumes_at - loop.time()) > 0:
            if self._resumes_at >= self.deadline:
                return False
            await asyncio.sleep(left_seconds)
        return True
