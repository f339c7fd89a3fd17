"""The ports of the webhook store and of what sends to receivers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rune.events.record import PublicEvent
from rune.storage.change import Change
from rune.webhooks.answers import Answer
from rune.webhooks.record import READ_AT_ONCE, Delivery, Endpoint, TenantWebhooks

MAX_ENDPOINTS = 10
"""Of one tenant."""

MAX_ENQUEUED = 25
"""Deliveries in one write; each is two rows of a transaction's hundred."""


@dataclass(frozen=True, slots=True)
class EndpointRefused:
    """A requirement did not hold, so nothing was written; `found` is the row as it is, None where there is none."""

    found: Endpoint | None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Some of an endpoint's deliveries, newest first.

    Attributes
    ----------
    position
        Before which older ones follow; None where there are none.
    """

    deliveries: tuple[Delivery, ...]
    position: int | None = None


class WebhookStore(Protocol):
    """Where endpoints and their deliveries are stored. Every method raises StoreUnavailableError."""

    def create(self, endpoint: Endpoint, of_tenant: Change) -> bool:
        """Write a new endpoint and the change of its tenant, all or nothing; return whether that was allowed."""
        ...

    def create_callback(self, endpoint: Endpoint) -> Endpoint:
        """Write the endpoint of a job's callback, or return the one that is there."""
        ...

    def remove(self, endpoint: Endpoint, change: Change, of_tenant: Change) -> bool:
        """Write both changes, all or nothing; return whether their requirements held."""
        ...

    def update(self, endpoint: Endpoint, change: Change) -> Endpoint | EndpointRefused:
        """Write an endpoint if the change's requirements hold; return it as written."""
        ...

    def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint as all earlier writes left it."""
        ...

    def read_all(self, tenant: str) -> tuple[Endpoint, ...]:
        """Return a tenant's endpoints that are not removed, oldest first, as all earlier writes left them."""
        ...

    def read_tenant(self, tenant: str, now: datetime) -> TenantWebhooks:
        """Return what a tenant has besides; `now` stands in a row that is not there yet."""
        ...

    def update_tenant(self, tenant: str, change: Change) -> bool:
        """Write it if the change's requirements hold; return whether they did."""
        ...

    def enqueue(
        self, endpoint: Endpoint, change: Change, deliveries: Sequence[Delivery]
    ) -> Endpoint | EndpointRefused | frozenset[str]:
        """Write new deliveries and the change of their endpoint, all or nothing.

        Return the endpoint as written; the refusal of its change; or ids of events that it has got already.

        Parameters
        ----------
        deliveries
            At most `MAX_ENQUEUED`.
        """
        ...

    def conclude(
        self,
        endpoint: Endpoint,
        of_endpoint: Change,
        delivery: Delivery,
        of_delivery: Change,
        events: Sequence[PublicEvent] = (),
    ) -> Endpoint | EndpointRefused:
        """Write both changes, and events of the endpoint, all or nothing; return the endpoint as written."""
        ...

    def read_from(self, endpoint: Endpoint, position: int, limit: int = READ_AT_ONCE) -> tuple[Delivery, ...]:
        """Return deliveries from a position on, in order, as all earlier writes left them."""
        ...

    def read_retries(self, endpoint: Endpoint, limit: int = READ_AT_ONCE) -> tuple[Delivery, ...]:
        """Return deliveries that are to be tried again, earliest first.

        Each is as all earlier writes left it, but the latest may be missing.
        """
        ...

    def find_delivery(self, endpoint: Endpoint, event_id: str) -> Delivery | None:
        """Return the delivery of an event."""
        ...

    def list_deliveries(self, endpoint: Endpoint, before: int | None, limit: int) -> DeliveryPage:
        """Return deliveries, newest first, before a position."""
        ...

    def find_due(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Return tenant and id of endpoints that were due by `now`, longest overdue first; may lag."""
        ...

    def claim_slow_lane(self, now: datetime, until: datetime) -> bool:
        """Take the one right to wait for receivers that may hang; return False while another has it."""
        ...

    def leave_slow_lane(self, until: datetime, now: datetime) -> None:
        """Give back the right that was taken until then; nothing happens where another has it by now."""
        ...


class Sender(Protocol):
    """Posts to a receiver."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return what the receiver answered, or why it did not; raises nothing for a receiver's faults."""
        ...
