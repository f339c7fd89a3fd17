"""Webhooks in memory; `tests/functional/aws` shows that DynamoDB does the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import override

from rune.events.record import PublicEvent
from rune.storage.change import Change, allows, apply
from rune.webhooks.record import (
    READ_AT_ONCE,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointStatus,
    TenantWebhooks,
)
from rune.webhooks.store import DeliveryPage, EndpointRefused, WebhookStore
from tests.memory_outbox import MemoryOutbox

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


class MemoryWebhookStore(WebhookStore):
    """Webhooks.

    Attributes
    ----------
    index_lag
        By how much `read_retries` and `find_due` are behind, if there is a `now` to compare with.
    outbox
        Where events of endpoints are written.
    """

    def __init__(self, outbox: MemoryOutbox | None = None) -> None:
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.tenants: dict[str, TenantWebhooks] = {}
        self.deliveries: dict[tuple[str, int], Delivery] = {}
        self.outbox = outbox or MemoryOutbox()
        self.index_lag = timedelta(0)
        self.now: datetime | None = None
        self.slow_lane_until: datetime | None = None

    @override
    def create(self, endpoint: Endpoint, of_tenant: Change) -> bool:
        if not self.update_tenant(endpoint.tenant, of_tenant):
            return False
        self.endpoints[endpoint.tenant, endpoint.endpoint_id] = endpoint
        return True

    @override
    def create_callback(self, endpoint: Endpoint) -> Endpoint:
        return self.endpoints.setdefault((endpoint.tenant, endpoint.endpoint_id), endpoint)

    @override
    def remove(self, endpoint: Endpoint, change: Change, of_tenant: Change) -> bool:
        found = self.read(endpoint.tenant, endpoint.endpoint_id)
        if found is None or not allows(change, found):
            return False
        if not self.update_tenant(endpoint.tenant, of_tenant):
            return False
        self.endpoints[endpoint.tenant, endpoint.endpoint_id] = apply(change, found)
        return True

    @override
    def update(self, endpoint: Endpoint, change: Change) -> Endpoint | EndpointRefused:
        found = self.read(endpoint.tenant, endpoint.endpoint_id)
        if found is None or not allows(change, found):
            return EndpointRefused(found)
        written = apply(change, found)
        self.endpoints[endpoint.tenant, endpoint.endpoint_id] = written
        return written

    @override
    def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        return self.endpoints.get((tenant, endpoint_id))

    @override
    def read_all(self, tenant: str) -> tuple[Endpoint, ...]:
        own = (
            each
            for each in self.endpoints.values()
            if each.tenant == tenant and not each.is_callback and each.status is not EndpointStatus.REMOVED
        )
        return tuple(sorted(own, key=lambda each: (each.created_at, each.endpoint_id)))

    @override
    def read_tenant(self, tenant: str, now: datetime) -> TenantWebhooks:
        return self.tenants.get(tenant, TenantWebhooks(now))

    @override
    def update_tenant(self, tenant: str, change: Change) -> bool:
        at = change.sets["updated_at"]
        assert isinstance(at, datetime)
        found = self.read_tenant(tenant, at)
        if not allows(change, found):
            return False
        self.tenants[tenant] = apply(change, found)
        return True

    @override
    def enqueue(
        self, endpoint: Endpoint, change: Change, deliveries: Sequence[Delivery]
    ) -> Endpoint | EndpointRefused | frozenset[str]:
        of_endpoint = {each.event_id for each in self._of(endpoint)}
        known = frozenset(each.event_id for each in deliveries if each.event_id in of_endpoint)
        if known:
            return known
        written = self.update(endpoint, change)
        if isinstance(written, EndpointRefused):
            return written
        for each in deliveries:
            assert (each.endpoint_id, each.position) not in self.deliveries
            self.deliveries[each.endpoint_id, each.position] = each
        return apply(change, endpoint)

    @override
    def conclude(
        self,
        endpoint: Endpoint,
        of_endpoint: Change,
        delivery: Delivery,
        of_delivery: Change,
        events: Sequence[PublicEvent] = (),
    ) -> Endpoint | EndpointRefused:
        found = self.deliveries.get((delivery.endpoint_id, delivery.position))
        if found is None or not allows(of_delivery, found):
            return EndpointRefused(self.read(endpoint.tenant, endpoint.endpoint_id))
        written = self.update(endpoint, of_endpoint)
        if isinstance(written, EndpointRefused):
            return written
        self.deliveries[delivery.endpoint_id, delivery.position] = apply(of_delivery, found)
        self.outbox.write_log(events, delivery.expires_at)
        return apply(of_endpoint, endpoint)

    @override
    def read_from(self, endpoint: Endpoint, position: int, limit: int = READ_AT_ONCE) -> tuple[Delivery, ...]:
        return tuple(each for each in self._of(endpoint) if each.position >= position)[:limit]

    @override
    def read_retries(self, endpoint: Endpoint, limit: int = READ_AT_ONCE) -> tuple[Delivery, ...]:
        retries = [
            each
            for each in self._of(endpoint)
            if each.state is DeliveryState.RETRYING and self._is_indexed(each.updated_at)
        ]
        return tuple(sorted(retries, key=lambda each: (each.due_at or _END_OF_TIME, each.position))[:limit])

    @override
    def find_delivery(self, endpoint: Endpoint, event_id: str) -> Delivery | None:
        return next((each for each in self._of(endpoint) if each.event_id == event_id), None)

    @override
    def list_deliveries(self, endpoint: Endpoint, before: int | None, limit: int) -> DeliveryPage:
        found = [each for each in self._of(endpoint)[::-1] if before is None or each.position < before]
        shown = tuple(found[:limit])
        return DeliveryPage(shown, shown[-1].position if len(found) > limit else None)

    @override
    def find_due(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        due = [
            (each.due_at, each.tenant, each.endpoint_id)
            for each in self.endpoints.values()
            if each.due_at is not None and each.due_at <= now and self._is_indexed(each.updated_at)
        ]
        return [(tenant, endpoint_id) for _, tenant, endpoint_id in sorted(due)[:limit]]

    @override
    def claim_slow_lane(self, now: datetime, until: datetime) -> bool:
        if self.slow_lane_until is not None and self.slow_lane_until >= now:
            return False
        self.slow_lane_until = until
        return True

    @override
    def leave_slow_lane(self, until: datetime, now: datetime) -> None:
        if self.slow_lane_until == until:
            self.slow_lane_until = None

    def put(self, delivery: Delivery) -> None:
        """Write a row as it is."""
        self.deliveries[delivery.endpoint_id, delivery.position] = replace(delivery)

    def _of(self, endpoint: Endpoint) -> list[Delivery]:
        own = [each for (owner, _), each in self.deliveries.items() if owner == endpoint.endpoint_id]
        return sorted(own, key=lambda each: each.position)

    def _is_indexed(self, written_at: datetime) -> bool:
        return self.now is None or written_at + self.index_lag <= self.now
