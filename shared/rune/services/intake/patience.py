"""How long something that cannot be accepted now is tried again."""

LONGEST_DELAY_SECONDS = 900
FIRST_DELAY_SECONDS = 15

MOST_RECEIVES = 18
"""After so many deliveries, over about three hours, it is refused with the reason of the last one.

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


def is_over(receive_count: int) -> bool:
    """Return whether it has been tried often enough."""
    return receive_count >= MOST_RECEIVES
