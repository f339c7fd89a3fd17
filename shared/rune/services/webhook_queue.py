"""Handing events to endpoints: each endpoint gets each event once, behind those that it has got before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.clock import Clock
from rune.errors import StoreUnavailableError
from rune.events.envelopes import webhook_body_json
from rune.events.notices import EndpointNotice, NoticeQueue
from rune.events.record import PublicEvent
from rune.webhooks import lifecycle
from rune.webhooks.filters import ALL, wants
from rune.webhooks.record import CALLBACK_PREFIX, Delivery, DeliveryState, Endpoint, EndpointStatus
from rune.webhooks.store import MAX_ENQUEUED, EndpointRefused, WebhookStore

TRIES = 12
"""Of a write. An endpoint at work changes several times a second."""

type FindCallback = Callable[[PublicEvent], str | None]
"""From the last event of a job to its `callback_url`; None where it has none."""


@dataclass(frozen=True, slots=True)
class WebhookQueue:
    """Writes deliveries.

    Attributes
    ----------
    retention
        How long a delivery is kept: as long as a job.
    """

    store: WebhookStore
    notices: NoticeQueue
    clock: Clock
    retention: timedelta

    def enqueue(
        self, endpoint: Endpoint, events: Sequence[PublicEvent], *, is_test: bool = False
    ) -> Endpoint | None:
        """Write what the endpoint has not got yet, and send a notice; return the endpoint as it then is.

        Return None for one that is not enabled, which gets nothing. A notice that is lost is sent by the tick.

        Raises
        ------
        StoreUnavailableError
            Some were not written. Another call writes those alone.
        """
        present: Endpoint | None = endpoint
        for start in range(0, len(events), MAX_ENQUEUED):
            if present is not None:
                present = self._enqueue_some(present, events[start : start + MAX_ENQUEUED], is_test=is_test)
        now = self.clock.now()
        if present is not None and (present.not_before is None or present.not_before <= now):
            self.wake(present)
        return present

    def wake(self, endpoint: Endpoint) -> None:
        """Send a notice that there may be something to do."""
        self.notices.send(EndpointNotice(endpoint.key))

    def _enqueue_some(
        self, endpoint: Endpoint, events: Sequence[PublicEvent], *, is_test: bool
    ) -> Endpoint | None:
        left = list(events)
        for _ in range(TRIES):
            if endpoint.status is not EndpointStatus.ENABLED:
                return None
            now = self.clock.now()
            deliveries = [
                self._make(endpoint, event, number, now, is_once=is_test)
                for number, event in enumerate(left, start=1)
            ]
            change = lifecycle.enqueue(endpoint, len(left), now, is_test=is_test)
            match self.store.enqueue(endpoint, change, deliveries):
                case Endpoint() as written:
                    return written
                case EndpointRefused(found=found):
                    if found is None:
                        return None
                    endpoint = found
                case known:
                    left = [event for event in left if event.event_id not in known]
                    if not left:
                        return endpoint
        raise StoreUnavailableError("Others write the webhook all the time.")

    def _make(
        self, endpoint: Endpoint, event: PublicEvent, number: int, now: datetime, *, is_once: bool
    ) -> Delivery:
        return Delivery(
            endpoint_id=endpoint.endpoint_id,
            tenant=endpoint.tenant,
            position=endpoint.last_position + number,
            event_id=event.event_id,
            event_type=event.event_type,
            body=webhook_body_json(event),
            state=DeliveryState.PENDING,
            created_at=now,
            began_at=now,
            updated_at=now,
            expires_at=now + self.retention,
            is_once=is_once,
        )


class WebhookSink:
    """Gives published events to those of the tenant's endpoints that want them, and to a job's `callback_url`."""

    name = "webhooks"

    def __init__(self, queue: WebhookQueue, find_callback: FindCallback) -> None:
        self._queue = queue
        self._find_callback = find_callback

    def publish(self, events: Sequence[PublicEvent]) -> None:
        """Write deliveries for events of one subject; raises StoreUnavailableError."""
        tenant = events[0].tenant if events else ""
        if not tenant:
            # About no tenant, such as a machine that nobody's job rented.
            return
        for endpoint in self._queue.store.read_all(tenant):
            wanted = [event for event in events if wants(endpoint.events, event.event_type)]
            if wanted and endpoint.status is EndpointStatus.ENABLED:
                self._queue.enqueue(endpoint, wanted)
        for event in events:
            url = self._find_callback(event)
            if url is not None:
                self._queue.enqueue(self._callback(event, url), [event])

    def _callback(self, event: PublicEvent, url: str) -> Endpoint:
        now = self._queue.clock.now()
        return self._queue.store.create_callback(
            Endpoint(
                endpoint_id=f"{CALLBACK_PREFIX}{event.subject.subject_id}",
                tenant=event.tenant,
                url=url,
                events=(ALL,),
                status=EndpointStatus.ENABLED,
                secrets=(),
                created_at=now,
                updated_at=now,
                expires_at=now + self._queue.retention,
            )
        )
