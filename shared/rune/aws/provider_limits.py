"""The provider limits, as two kinds of rows of the one DynamoDB table.

========  ===================  =========================================================================
pk        sk                   what
========  ===================  =========================================================================
PROVIDER  PACE#<endpoint>      `next_at` (ms): no call of the endpoint before
PROVIDER  LISTING              the latest listing of all machines: `begun_at` (ms), `instances` (JSON), `key_mark`,
                               `account_id`
========  ===================  =========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, override

from rune.aws.dynamodb_rows import Expression
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.clock import from_epoch_ms, to_epoch_ms
from rune.rentals.instance import Instance, Listing
from rune.rentals.store import MAX_CLOCK_ERROR, Endpoint, ProviderLimits

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

_PARTITION = "PROVIDER"
_LISTING = "LISTING"
_INSTANCE_FIELDS = frozenset(each.name for each in fields(Instance))

MAX_SHARED_BYTES = 300_000
"""A longer listing is not shared; about 700 machines fit. An item holds 400 KB
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html)."""


class DynamoProviderLimits(ProviderLimits):
    """Provider limits in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def reserve(self, endpoint: Endpoint, now: datetime, interval: timedelta) -> timedelta:
        next_at = _number(now + interval)
        expression = Expression(
            "SET #next_at = :next",
            "attribute_not_exists(#next_at) OR #next_at <= :now OR #next_at > :wrong",
            {"#next_at": "next_at"},
            {":next": next_at, ":now": _number(now), ":wrong": _number(now + MAX_CLOCK_ERROR)},
        )
        try:
            self._table.update(_key(f"PACE#{endpoint}"), expression)
        except ConditionFailedError as error:
            found = error.found[0]
            waiting = from_epoch_ms(int(found["next_at"]["N"])) - now if found else interval
            return max(waiting, timedelta(milliseconds=1))
        return timedelta(0)

    @override
    def back_off(self, endpoint: Endpoint, until: datetime) -> None:
        expression = Expression(
            "SET #next_at = :until",
            "attribute_not_exists(#next_at) OR #next_at < :until",
            {"#next_at": "next_at"},
            {":until": _number(until)},
        )
        try:
            self._table.update(_key(f"PACE#{endpoint}"), expression)
        except ConditionFailedError:
            return

    @override
    def read_listing(self) -> Listing | None:
        rows = self._table.get([_key(_LISTING)])
        if not rows:
            return None
        row = rows[0]
        try:
            instances = tuple(_read_instance(each) for each in json.loads(row["instances"]["S"]))
        except TypeError:
            # A newer version wrote it without a member that this one needs. It is as if none were shared.
            return None
        return Listing(
            begun_at=from_epoch_ms(int(row["begun_at"]["N"])),
            instances=instances,
            key_mark=row["key_mark"]["S"] if "key_mark" in row else "",
            account_id=int(row["account_id"]["N"]) if "N" in row.get("account_id", {}) else None,
        )

    @override
    def share_listing(self, listing: Listing) -> None:
        text = json.dumps([asdict(instance) for instance in listing.instances], separators=(",", ":"))
        if len(text.encode()) > MAX_SHARED_BYTES:
            return
        account_id = listing.account_id
        expression = Expression(
            "SET #begun_at = :begun, #instances = :instances, #key_mark = :key_mark, #account_id = :account_id",
            "attribute_not_exists(#begun_at) OR #begun_at < :begun OR #begun_at > :wrong",
            {
                "#begun_at": "begun_at",
                "#instances": "instances",
                "#key_mark": "key_mark",
                "#account_id": "account_id",
            },
            {
                ":begun": _number(listing.begun_at),
                ":instances": {"S": text},
                ":key_mark": {"S": listing.key_mark},
                ":account_id": {"NULL": True} if account_id is None else {"N": str(account_id)},
                ":wrong": _number(listing.begun_at + MAX_CLOCK_ERROR),
            },
        )
        try:
            self._table.update(_key(_LISTING), expression)
        except ConditionFailedError:
            return


def _read_instance(members: Mapping[str, Any]) -> Instance:
    """Return the machine; a field that a newer version wrote is ignored."""
    return Instance(**{name: value for name, value in members.items() if name in _INSTANCE_FIELDS})


def _key(sort_key: str) -> Item:
    return {"pk": {"S": _PARTITION}, "sk": {"S": sort_key}}


def _number(instant: datetime) -> AttributeValueTypeDef:
    return {"N": str(to_epoch_ms(instant))}
