"""The market as last seen, in the one DynamoDB table.

======  ====================  ===================================================================================
pk      sk                    what
======  ====================  ===================================================================================
MARKET  CLASS#<4 digits GiB>  what the latest search for this much memory has seen; below 4 KB
======  ====================  ===================================================================================

The table's TTL deletes a row some time after `expires_at`; a reader ignores it from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, override

from rune.amounts import MICRO_USD_PER_USD
from rune.aws.dynamodb_rows import TTL_FIELD, Expression, attribute, check_format
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.clock import from_epoch_ms
from rune.errors import UnreadableRowError
from rune.rentals.market import WIDE_FOR, MarketRow, MarketStore, Scope, decode_offers, encode_offers

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

_PARTITION = "MARKET"
_FIRST, _LAST = "CLASS#", "CLASS#~"
_PER_MILLION = 1_000_000

_REPLACES = (
    "attribute_not_exists(#as_of) OR (#as_of < :as_of AND (#as_of < :old OR ("
    "#max_micro_usd_per_hour <= :max_micro_usd_per_hour AND #reliability_ppm >= :reliability_ppm"
    " AND #time_needed_seconds >= :time_needed_seconds"
    " AND (:kept_count > :none OR (#vram_mb >= :vram_mb AND #disk_gb >= :disk_gb)))))"
)
"""`rune.rentals.market.replaces`."""

log = logging.getLogger(__name__)


class DynamoMarketStore(MarketStore):
    """Market rows in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def note(self, row: MarketRow) -> None:
        fields = _fields(row)
        names = {f"#{name}": name for name in fields}
        values = {f":{name}": value for name, value in fields.items()}
        sets = ", ".join(f"#{name} = :{name}" for name in fields)
        values |= {":old": attribute("as_of", row.as_of - WIDE_FOR), ":none": {"N": "0"}}
        values[":kept_count"] = {"N": str(len(row.offers))}
        try:
            self._table.update(_key(row), Expression(f"SET {sets}", _REPLACES, names, values))
        except ConditionFailedError:
            # What is there is better, or a step ran twice.
            return

    @override
    def read(self, now: datetime) -> tuple[MarketRow, ...]:
        rows = self._table.query(_PARTITION, _FIRST, _LAST, is_consistent=False)
        alive = (row for row in rows if int(row[TTL_FIELD]["N"]) > now.timestamp())
        return tuple(row for row in map(_read_row, alive) if row is not None)


def _key(row: MarketRow) -> Item:
    return {"pk": {"S": _PARTITION}, "sk": {"S": f"{_FIRST}{row.scope.class_gb:04d}"}}


def _fields(row: MarketRow) -> dict[str, AttributeValueTypeDef]:
    scope = row.scope
    usd = (scope.max_usd_per_hour * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING)
    return {
        "as_of": attribute("as_of", row.as_of),
        "vram_mb": {"N": str(scope.vram_mb)},
        "disk_gb": {"N": str(scope.disk_gb)},
        "max_micro_usd_per_hour": {"N": str(int(usd))},
        "reliability_ppm": {"N": str(round(scope.reliability_ratio * _PER_MILLION))},
        "time_needed_seconds": {"N": str(int(scope.time_needed.total_seconds()))},
        "offers": {"S": encode_offers(row.offers)},
        "offer_count": {"N": str(row.offer_count)},
        TTL_FIELD: attribute(TTL_FIELD, row.expires_at),
    }


def _read_row(row: Item) -> MarketRow | None:
    """Return what a row holds; None, and a log line, where this version does not understand it."""
    try:
        check_format(row)
        scope = Scope(
            vram_mb=_whole(row, "vram_mb"),
            disk_gb=_whole(row, "disk_gb"),
            max_usd_per_hour=Decimal(_whole(row, "max_micro_usd_per_hour")) / MICRO_USD_PER_USD,
            reliability_ratio=_whole(row, "reliability_ppm") / _PER_MILLION,
            time_needed=timedelta(seconds=_whole(row, "time_needed_seconds")),
        )
        as_of = from_epoch_ms(_whole(row, "as_of"))
        return MarketRow(scope, as_of, decode_offers(row["offers"]["S"]), _whole(row, "offer_count"))
    except (KeyError, ValueError, UnreadableRowError):
        log.warning("row.unreadable", exc_info=True)
        return None


def _whole(row: Item, name: str) -> int:
    return int(row[name]["N"])
