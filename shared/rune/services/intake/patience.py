"""How long something that cannot be accepted now is tried again."""

from datetime import timedelta

LONGEST_DELAY_SECONDS = 900
FIRST_DELAY_SECONDS = 15

PATIENCE = timedelta(hours=3)
"""From the first delivery. What fails after that is refused with the reason of that failure."""

MOST_RECEIVES = 38
"""Deliveries of one message, for a file whose lines take many invocations.

The queue itself gives up two deliveries later. That is for what kills the process each time, and leaves no reason.
"""


def delay_seconds(receive_count: int, asked_seconds: int = 0) -> int:
    """Return when to try again: later each time, and not before an answer asked for.

    Parameters
    ----------
    receive_count
        Deliveries so far, from 1.
    """
    doubled: int = FIRST_DELAY_SECONDS * 2 ** min(receive_count - 1, 10)
    return min(LONGEST_DELAY_SECONDS, max(doubled, asked_seconds))


def is_over(receive_count: int, age: timedelta) -> bool:
    """Return whether it has been tried for long enough.

    Parameters
    ----------
    age
        Since the first delivery.
    """
    return age >= PATIENCE or receive_count >= MOST_RECEIVES
