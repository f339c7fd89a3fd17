"""What a worker knows of an endpoint's open deliveries while it works on them."""

from collections.abc import Sequence
from datetime import datetime

from rune.webhooks.record import READ_AT_ONCE, Delivery, DeliveryState, Endpoint
from rune.webhooks.store import WebhookStore


class Agenda:
    """The deliveries of one endpoint in the order in which they are tried: by when they were due.

    Those that were never tried come in their own order and do not wait for those that failed.
    """

    def __init__(self, store: WebhookStore) -> None:
        self._store = store
        self._pending: list[Delivery] = []
        self._retries: dict[int, Delivery] = {}
        self._over: dict[int, int] = {}
        self._has_read_retries = False

    def choose(self, endpoint: Endpoint, now: datetime) -> Delivery | None:
        """Return what to try next; None where nothing is due."""
        self._read_pending(endpoint)
        if endpoint.retrying_count and not self._has_read_retries:
            self._read_retries(endpoint)
        due = [each for each in self._retries.values() if each.due_at is not None and each.due_at <= now]
        retry = min(due, key=lambda each: (each.due_at or now, each.position), default=None)
        first = self._pending[0] if self._pending else None
        if retry is not None and (first is None or (retry.due_at or now) <= first.created_at):
            return retry
        return first or retry

    def note(self, delivery: Delivery) -> None:
        """Take up what became of a delivery."""
        self._pending = [each for each in self._pending if each.position != delivery.position]
        self._over[delivery.position] = delivery.version
        if delivery.state is DeliveryState.RETRYING:
            self._retries[delivery.position] = delivery
            return
        if self._retries.pop(delivery.position, None) is not None and not self._retries:
            # There may be more than one reading gives.
            self._has_read_retries = False

    def has_pending(self, endpoint: Endpoint) -> bool:
        """Return whether the table has deliveries that were never tried."""
        self._read_pending(endpoint)
        return bool(self._pending)

    def retries_at(self) -> Sequence[datetime]:
        """Return when those that are known are to be tried again."""
        return [each.due_at for each in self._retries.values() if each.due_at is not None]

    def forget(self) -> None:
        """Read again: there is more to do than was known."""
        self._pending.clear()
        self._has_read_retries = False

    def _read_pending(self, endpoint: Endpoint) -> None:
        if not self._pending and endpoint.tried_position < endpoint.last_position:
            self._pending = list(self._store.read_from(endpoint, endpoint.tried_position + 1))

    def _read_retries(self, endpoint: Endpoint) -> None:
        self._has_read_retries = True
        for each in self._store.read_retries(endpoint, READ_AT_ONCE):
            # The index is read first and the rows after it, so a row is never older than what was noted.
            if each.version >= self._over.get(each.position, 0):
                self._retries[each.position] = each
