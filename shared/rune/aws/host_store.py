"""What is known of hosts, in the one DynamoDB table.

==================  ======  ===============================================================================
pk                  sk      what
==================  ======  ===============================================================================
HOST#<machine id>   RECORD  `failures_in_row`, `failed_at` (ms), `failure`, `mbit_per_second`, `rental_id`
==================  ======  ===============================================================================

The table's TTL deletes a row some time after `expires_at`; a reader ignores it from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import TTL_FIELD, Expression, attribute
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.clock import from_epoch_ms
from rune.rentals.hosts import REMEMBERED, HostRecord, HostReport, HostStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

_PREFIX = "HOST#"
_SORT_KEY = "RECORD"
_READ_AT_ONCE = 100
_LONGEST_FAILURE = 200


class DynamoHostStore(HostStore):
    """Reports about hosts in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self, machine_ids: Collection[int], now: datetime) -> Mapping[int, HostRecord]:
        keys = [_key(machine_id) for machine_id in sorted(set(machine_ids))]
        rows: list[Item] = []
        for start in range(0, len(keys), _READ_AT_ONCE):
            rows += self._table.get(keys[start : start + _READ_AT_ONCE])
        return {
            int(row["pk"]["S"].removeprefix(_PREFIX)): _read_record(row)
            for row in rows
            if int(row[TTL_FIELD]["N"]) > now.timestamp()
        }

    @override
    def note(self, report: HostReport) -> None:
        names = {"#rental_id": "rental_id", "#failures": "failures_in_row", "#expires_at": TTL_FIELD}
        values: dict[str, AttributeValueTypeDef] = {
            ":rental_id": {"S": report.rental_id},
            ":expires_at": attribute(TTL_FIELD, report.reported_at + REMEMBERED),
            ":zero": {"N": "0"},
        }
        sets = ["#rental_id = :rental_id", "#expires_at = :expires_at"]
        if report.failure is None:
            sets.append("#failures = :zero")
        else:
            names |= {"#failed_at": "failed_at", "#failure": "failure"}
            values |= {
                ":one": {"N": "1"},
                ":failed_at": attribute("failed_at", report.reported_at),
                ":failure": {"S": report.failure[:_LONGEST_FAILURE]},
            }
            sets += [
                "#failures = if_not_exists(#failures, :zero) + :one",
                "#failed_at = :failed_at",
                "#failure = :failure",
            ]
        if report.mbit_per_second is not None:
            names["#mbit"] = "mbit_per_second"
            values[":mbit"] = {"N": str(Decimal(f"{report.mbit_per_second:.3f}"))}
            sets.append("#mbit = :mbit")
        condition = "attribute_not_exists(#rental_id) OR #rental_id <> :rental_id"
        try:
            self._table.update(
                _key(report.machine_id), Expression("SET " + ", ".join(sets), condition, names, values)
            )
        except ConditionFailedError:
            # A step that ran twice.
            return


def _read_record(row: Item) -> HostRecord:
    failed_at, mbit = row.get("failed_at"), row.get("mbit_per_second")
    return HostRecord(
        failures_in_row=int(row["failures_in_row"]["N"]),
        failed_at=None if failed_at is None else from_epoch_ms(int(failed_at["N"])),
        mbit_per_second=None if mbit is None else float(mbit["N"]),
    )


def _key(machine_id: int) -> Item:
    return {"pk": {"S": f"{_PREFIX}{machine_id}"}, "sk": {"S": _SORT_KEY}}
