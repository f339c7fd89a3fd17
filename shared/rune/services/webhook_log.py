"""What was delivered to a tenant's webhooks, and having it delivered again."""

from collections.abc import Sequence
from datetime import datetime

from rune.clock import Clock
from rune.errors import DeliveryNotFoundError, StoreUnavailableError, WebhookDisabledError
from rune.services.webhook_queue import WebhookQueue
from rune.webhooks import attempts
from rune.webhooks.record import Delivery, DeliveryState, Endpoint, EndpointStatus
from rune.webhooks.store import DeliveryPage

TRIES = 8

MOST_AT_ONCE = 100
"""Deliveries that one call has delivered again: each is a write of 10 ms, and a call has 25 s."""

MOST_READ = 1000

_LONGEST_ID = 256


class WebhookLog:
    """The deliveries of an endpoint that the caller may see.

    Every method raises StoreUnavailableError when the store cannot be reached.
    """

    def __init__(self, queue: WebhookQueue, clock: Clock) -> None:
        self._queue = queue
        self._store = queue.store
        self._clock = clock

    def list_deliveries(
        self, endpoint: Endpoint, *, before: int | None, limit: int, state: DeliveryState | None = None
    ) -> DeliveryPage:
        """Return deliveries, newest first; a page may be short, also where more follow."""
        page = self._store.list_deliveries(endpoint, before, limit)
        shown = tuple(each for each in page.deliveries if state in (None, each.state))
        return DeliveryPage(shown, page.position)

    def find(self, endpoint: Endpoint, event_id: str) -> Delivery:
        """Return the delivery of an event; raises DeliveryNotFoundError."""
        found = self._store.find_delivery(endpoint, event_id) if len(event_id) <= _LONGEST_ID else None
        if found is None:
            raise DeliveryNotFoundError(event_id[:_LONGEST_ID])
        return found

    def redeliver(self, endpoint: Endpoint, event_id: str) -> None:
        """Have one event delivered again, whatever became of it.

        Raises
        ------
        DeliveryNotFoundError
            The endpoint never got it.
        WebhookDisabledError
            The endpoint gets nothing.
        """
        delivery = self.find(endpoint, event_id)
        self._require_enabled(endpoint)
        endpoint = self._ask_again(endpoint, delivery)
        self._queue.wake(endpoint)

    def redeliver_since(self, endpoint: Endpoint, since: datetime) -> tuple[int, datetime | None]:
        """Have all delivered again that failed, or wait to be tried again, of deliveries made since a moment.

        Return how many there were, and from when to go on; None at the end. Raises WebhookDisabledError.
        """
        self._require_enabled(endpoint)
        position = self._first_since(endpoint, since)
        asked_count = read_count = 0
        while True:
            page = self._store.read_from(endpoint, position, MOST_AT_ONCE)
            for delivery in page:
                if asked_count == MOST_AT_ONCE or read_count == MOST_READ:
                    self._queue.wake(endpoint)
                    return asked_count, delivery.created_at
                read_count += 1
                position = delivery.position + 1
                if delivery.state in (DeliveryState.FAILED, DeliveryState.RETRYING) and not delivery.is_once:
                    endpoint = self._ask_again(endpoint, delivery)
                    asked_count += 1
            if len(page) < MOST_AT_ONCE:
                break
        self._queue.wake(endpoint)
        return asked_count, None

    def _first_since(self, endpoint: Endpoint, since: datetime) -> int:
        """Return the position from which deliveries were made at the moment or later: positions rise with time."""
        first, end = 1, endpoint.last_position + 1
        while first < end:
            middle = (first + end) // 2
            found: Sequence[Delivery] = self._store.read_from(endpoint, middle, 1)
            if found and found[0].created_at < since:
                first = middle + 1
            else:
                end = middle
        return first

    def _ask_again(self, endpoint: Endpoint, delivery: Delivery) -> Endpoint:
        """Return the endpoint as it then is; of a delivery whose turn is still to come nothing is asked."""
        for _ in range(TRIES):
            if delivery.state is DeliveryState.PENDING:
                return endpoint
            now = self._clock.now()
            of_endpoint, of_delivery = attempts.ask_again(
                endpoint, delivery, now, now + self._queue.retention
            )
            written = self._store.conclude(endpoint, of_endpoint, delivery, of_delivery)
            if isinstance(written, Endpoint):
                return written
            if written.found is None:
                raise DeliveryNotFoundError(delivery.event_id)
            endpoint = written.found
            self._require_enabled(endpoint)
            delivery = self.find(endpoint, delivery.event_id)
        raise StoreUnavailableError("Others write the webhook all the time.")

    def _require_enabled(self, endpoint: Endpoint) -> None:
        if endpoint.status is not EndpointStatus.ENABLED:
            raise WebhookDisabledError(endpoint.endpoint_id)
