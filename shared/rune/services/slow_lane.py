"""One invocation at a time posts to receivers that are not known to be well."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rune.errors import StoreUnavailableError

if TYPE_CHECKING:
    from rune.clock import Clock
    from rune.webhooks.store import WebhookStore

LANE_LEASE = timedelta(seconds=60)
"""After which the lane is free though nobody left it: the longest that an invocation lives."""


class SlowLane:
    """The right of one invocation to wait for receivers that may hang, so that they never take all invocations.

    It is shared by the endpoints of one invocation, and left with the last of them.
    """

    def __init__(self, store: WebhookStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._inside_count = 0
        self._is_refused = False
        self._until: datetime | None = None

    def enter(self) -> bool:
        """Return whether this invocation has the lane; each True is followed by `leave`."""
        if self._inside_count == 0 and not self._is_refused:
            now = self._clock.now()
            until = now + LANE_LEASE
            self._is_refused = not self._store.claim_slow_lane(now, until)
            self._until = until
        if self._is_refused:
            return False
        self._inside_count += 1
        return True

    def leave(self) -> None:
        """Leave the lane to others, with the last endpoint that is in it."""
        self._inside_count -= 1
        if self._inside_count == 0 and self._until is not None:
            # Without the store the lease ends by itself.
            with suppress(StoreUnavailableError):
                self._store.leave_slow_lane(self._until, self._clock.now())
