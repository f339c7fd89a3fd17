"""When a delivery is tried again, and for how long a receiver that fails is left alone."""

from datetime import timedelta

DELAYS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Before each try, from the one before: the example of Standard Webhooks, three days in all."""

JITTER_RATIO = 0.1
"""By how much of it a delay is longer at the most; never shorter, since a receiver may have asked for it."""

BACK_OFFS = (timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
"""For how long a receiver is left alone the first time in a row, the second, and so on.

Each is at most the delay of a delivery that failed as often, so that a single delivery keeps its schedule.
"""

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""Of what a receiver asks for."""

GIVEN_UP_AFTER = timedelta(days=5)
"""How old a delivery gets that could not be tried, as its receiver failed with others."""


def find_delay(tries_made: int, retry_after: timedelta | None, jitter: float) -> timedelta | None:
    """Return the wait before the next try; None after the last one.

    Parameters
    ----------
    tries_made
        At least 1.
    retry_after
        What the receiver asked for.
    jitter
        From 0 to 1, by chance.
    """
    if tries_made >= len(DELAYS):
        return None
    asked = min(retry_after or timedelta(0), LONGEST_RETRY_AFTER)
    return max(DELAYS[tries_made], asked) * (1 + JITTER_RATIO * jitter)


def find_back_off(step: int, retry_after: timedelta | None) -> timedelta:
    """Return for how long nothing is sent to a receiver that fails: as long as it asks, within bounds.

    Parameters
    ----------
    step
        At least 1; rises while the receiver goes on failing.
    retry_after
        What the receiver asked for.
    """
    if retry_after is not None:
        return min(max(retry_after, BACK_OFFS[0]), LONGEST_RETRY_AFTER)
    return BACK_OFFS[min(step, len(BACK_OFFS)) - 1]
