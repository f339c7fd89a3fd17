"""Webhooks in the one DynamoDB table.

======================  ======================  =============================================================
pk                      sk                      what
======================  ======================  =============================================================
TENANT#<tenant>         WEBHOOK#<id>            an endpoint, and how far its deliveries have got
TENANT#<tenant>         CALLBACK#<id>           the same of one job's `callback_url`
TENANT#<tenant>         WEBHOOKS                how many endpoints there are, and the secret of callbacks
WEBHOOK#<id>            DELIVERY#<10 digits>    one event for one endpoint, by its position
WEBHOOK#<id>            EVENT#<event id>        its position, so that an endpoint gets each event once
WEBHOOKS                SLOW_LANE               until when one invocation has the right to wait for slow receivers
======================  ======================  =============================================================

The index `due` holds endpoints with something to do, in one bucket, and deliveries that are to be tried again, in a
bucket for each endpoint. First tries are found by position in the table itself, which does not lag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import TTL_FIELD, attribute, from_row, to_expression, to_row
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.aws.outbox import log_writes
from rune.events.record import PublicEvent
from rune.storage.change import Change, Is, IsAbsentOrBefore, apply, make_change
from rune.webhooks.record import (
    CALLBACK_PREFIX,
    READ_AT_ONCE,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointStatus,
    TenantWebhooks,
)
from rune.webhooks.store import DeliveryPage, EndpointRefused, WebhookStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]
    type Key = dict[str, AttributeValueTypeDef]

DUE_BUCKET = "DUE#webhook"
_ENDPOINT = "WEBHOOK#"
_LAST_ENDPOINT = "WEBHOOK$"
_CALLBACK = "CALLBACK#"
_TENANT = "TENANT#"
_OF_TENANT = "WEBHOOKS"
_DELIVERY = "DELIVERY#"
_LAST_POSITION = 10**10 - 1
_SLOW_LANE: Key = {"pk": {"S": "WEBHOOKS"}, "sk": {"S": "SLOW_LANE"}}
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_IS_NEW = "attribute_not_exists(pk)"


class DynamoWebhookStore(WebhookStore):
    """Webhooks in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def create(self, endpoint: Endpoint, of_tenant: Change) -> bool:
        return self._try([self._new(endpoint), self._tenant_write(endpoint.tenant, of_tenant)])

    @override
    def create_callback(self, endpoint: Endpoint) -> Endpoint:
        if self._try([self._new(endpoint)]):
            return endpoint
        return self.read(endpoint.tenant, endpoint.endpoint_id) or endpoint

    @override
    def remove(self, endpoint: Endpoint, change: Change, of_tenant: Change) -> bool:
        return self._try(
            [self._endpoint_write(endpoint, change), self._tenant_write(endpoint.tenant, of_tenant)]
        )

    @override
    def update(self, endpoint: Endpoint, change: Change) -> Endpoint | EndpointRefused:
        key = _endpoint_key(endpoint.tenant, endpoint.endpoint_id)
        try:
            return from_row(Endpoint, self._table.update(key, to_expression(change, DUE_BUCKET)))
        except ConditionFailedError as error:
            found = error.found.get(0)
            return EndpointRefused(from_row(Endpoint, found) if found else None)

    @override
    def read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        rows = self._table.get([_endpoint_key(tenant, endpoint_id)])
        return from_row(Endpoint, rows[0]) if rows else None

    @override
    def read_all(self, tenant: str) -> tuple[Endpoint, ...]:
        rows = self._table.query(f"{_TENANT}{tenant}", _ENDPOINT, _LAST_ENDPOINT)
        endpoints = (from_row(Endpoint, row) for row in rows)
        present = (each for each in endpoints if each.status is not EndpointStatus.REMOVED)
        return tuple(sorted(present, key=lambda each: (each.created_at, each.endpoint_id)))

    @override
    def read_tenant(self, tenant: str, now: datetime) -> TenantWebhooks:
        rows = self._table.get([_tenant_key(tenant)])
        return from_row(TenantWebhooks, rows[0]) if rows else TenantWebhooks(now)

    @override
    def update_tenant(self, tenant: str, change: Change) -> bool:
        try:
            self._table.update(_tenant_key(tenant), to_expression(change))
        except ConditionFailedError:
            return False
        return True

    @override
    def enqueue(
        self, endpoint: Endpoint, change: Change, deliveries: Sequence[Delivery]
    ) -> Endpoint | EndpointRefused | frozenset[str]:
        writes = [self._endpoint_write(endpoint, change)]
        for each in deliveries:
            row: Item = {**_delivery_key(each.endpoint_id, each.position), **to_row(each)}
            writes += [self._table.put(row, _IS_NEW), self._table.put(_marker(each), _IS_NEW)]
        try:
            self._table.transact(writes)
        except ConditionFailedError as error:
            # The markers stand behind the deliveries, at 2, 4, and so on.
            known = frozenset(
                each.event_id for number, each in enumerate(deliveries) if 2 * number + 2 in error.found
            )
            return known or EndpointRefused(self.read(endpoint.tenant, endpoint.endpoint_id))
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
        expression = to_expression(of_delivery, _retry_bucket(endpoint))
        writes = [
            self._endpoint_write(endpoint, of_endpoint),
            self._table.change(_delivery_key(endpoint.endpoint_id, delivery.position), expression),
            *log_writes(self._table, events, delivery.expires_at),
        ]
        if not self._try(writes):
            return EndpointRefused(self.read(endpoint.tenant, endpoint.endpoint_id))
        return apply(of_endpoint, endpoint)

    @override
    def read_from(self, endpoint: Endpoint, position: int, limit: int = READ_AT_ONCE) -> tuple[Delivery, ...]:
        rows = self._table.query(
            f"{_ENDPOINT}{endpoint.endpoint_id}",
            _position_key(position),
            _position_key(_LAST_POSITION),
            limit=limit,
        )
        return tuple(from_row(Delivery, row) for row in rows)

    @override
    def read_retries(self, endpoint: Endpoint, limit: int = READ_AT_ONCE) -> tuple[Delivery, ...]:
        until = attribute("due_at", _END_OF_TIME)
        found = self._table.query_due(_retry_bucket(endpoint), until, limit)
        if not found:
            return ()
        rows = self._table.get([{"pk": row["pk"], "sk": row["sk"]} for row in found])
        deliveries = (from_row(Delivery, row) for row in rows)
        retries = (each for each in deliveries if each.state is DeliveryState.RETRYING)
        return tuple(sorted(retries, key=lambda each: (each.due_at or _END_OF_TIME, each.position)))

    @override
    def find_delivery(self, endpoint: Endpoint, event_id: str) -> Delivery | None:
        markers = self._table.get([_marker_key(endpoint.endpoint_id, event_id)])
        if not markers:
            return None
        rows = self._table.get([_delivery_key(endpoint.endpoint_id, int(markers[0]["position"]["N"]))])
        return from_row(Delivery, rows[0]) if rows else None

    @override
    def list_deliveries(self, endpoint: Endpoint, before: int | None, limit: int) -> DeliveryPage:
        last = _LAST_POSITION if before is None else before - 1
        if last < 0:
            # DynamoDB refuses a range that ends before it begins, which moto takes.
            return DeliveryPage((), None)
        # One more than asked for shows whether there are older ones.
        rows = self._table.query(
            f"{_ENDPOINT}{endpoint.endpoint_id}",
            _position_key(0),
            _position_key(last),
            newest_first=True,
            limit=limit + 1,
        )
        found = [from_row(Delivery, row) for row in rows]
        shown = tuple(found[:limit])
        return DeliveryPage(shown, shown[-1].position if len(found) > limit else None)

    @override
    def find_due(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        rows = self._table.query_due(DUE_BUCKET, attribute("due_at", now), limit)
        return [(row["pk"]["S"].removeprefix(_TENANT), row["sk"]["S"].partition("#")[2]) for row in rows]

    @override
    def claim_slow_lane(self, now: datetime, until: datetime) -> bool:
        free = IsAbsentOrBefore("lease_until", now)
        return self._write_lane(make_change("claim", now, requires=(free,), sets={"lease_until": until}))

    @override
    def leave_slow_lane(self, until: datetime, now: datetime) -> None:
        own = Is("lease_until", until)
        self._write_lane(make_change("leave", now, requires=(own,), sets={"lease_until": None}))

    def _write_lane(self, change: Change) -> bool:
        try:
            self._table.update(_SLOW_LANE, to_expression(change))
        except ConditionFailedError:
            return False
        return True

    def _try(self, writes: list[TransactWriteItemTypeDef]) -> bool:
        try:
            self._table.transact(writes)
        except ConditionFailedError:
            return False
        return True

    def _new(self, endpoint: Endpoint) -> TransactWriteItemTypeDef:
        row: Item = {**_endpoint_key(endpoint.tenant, endpoint.endpoint_id), **to_row(endpoint)}
        return self._table.put(row, _IS_NEW)

    def _endpoint_write(self, endpoint: Endpoint, change: Change) -> TransactWriteItemTypeDef:
        key = _endpoint_key(endpoint.tenant, endpoint.endpoint_id)
        return self._table.change(key, to_expression(change, DUE_BUCKET))

    def _tenant_write(self, tenant: str, change: Change) -> TransactWriteItemTypeDef:
        return self._table.change(_tenant_key(tenant), to_expression(change))


def _endpoint_key(tenant: str, endpoint_id: str) -> Key:
    prefix = _CALLBACK if endpoint_id.startswith(CALLBACK_PREFIX) else _ENDPOINT
    return {"pk": {"S": f"{_TENANT}{tenant}"}, "sk": {"S": f"{prefix}{endpoint_id}"}}


def _tenant_key(tenant: str) -> Key:
    return {"pk": {"S": f"{_TENANT}{tenant}"}, "sk": {"S": _OF_TENANT}}


def _position_key(position: int) -> str:
    return f"{_DELIVERY}{position:010d}"


def _delivery_key(endpoint_id: str, position: int) -> Key:
    return {"pk": {"S": f"{_ENDPOINT}{endpoint_id}"}, "sk": {"S": _position_key(position)}}


def _marker_key(endpoint_id: str, event_id: str) -> Key:
    return {"pk": {"S": f"{_ENDPOINT}{endpoint_id}"}, "sk": {"S": f"EVENT#{event_id}"}}


def _marker(delivery: Delivery) -> Item:
    return {
        **_marker_key(delivery.endpoint_id, delivery.event_id),
        "position": {"N": str(delivery.position)},
        TTL_FIELD: attribute(TTL_FIELD, delivery.expires_at),
    }


def _retry_bucket(endpoint: Endpoint) -> str:
    return f"DUE#delivery#{endpoint.endpoint_id}"
