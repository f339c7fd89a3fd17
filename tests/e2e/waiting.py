"""Waiting for what happens elsewhere: by asking, with a limit, never by sleeping so long that it must have."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.5


def wait_until[Found](
    look: Callable[[], Found | None], what: str, *, limit_seconds: float, poll_seconds: float = POLL_SECONDS
) -> Found:
    """Return the first true thing that `look` returns.

    Raises
    ------
    AssertionError
        Nothing true came within the limit; names `what` and shows the last thing seen.
    """
    deadline = time.monotonic() + limit_seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {limit_seconds:.0f} s: {what}; last seen: {found!r}"
        time.sleep(poll_seconds)
