"""Baselines, in the one DynamoDB table.

================  ========================  =============================================================
pk                sk                        what
================  ========================  =============================================================
TENANT#<tenant>   BASELINE#<name>           a baseline
TENANT#<tenant>   BASELINE-REPORT#<name>    its report, compressed: a tenth of its size, and 15 to 30 kB at most
TENANT#<tenant>   BASELINES                 how many there are
================  ========================  =============================================================

Of a deleted baseline the rows expire, so no function needs the right to delete.
"""

from __future__ import annotations

import base64
import logging
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import FORMAT, attribute, check_format, from_row, to_expression
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.errors import UnreadableRowError
from rune.jobs.baselines import Baseline, BaselineStore, Stale, TooMany
from rune.storage.change import Change, Is, IsBelow

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]
    type Key = dict[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

_ROW = "BASELINE#"
_LAST = "BASELINE$"
_REPORT = "BASELINE-REPORT#"
_COUNT = "BASELINES"


class DynamoBaselineStore(BaselineStore):
    """Baselines in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self, tenant: str, name: str) -> Baseline | None:
        rows = self._table.get([_key(tenant, f"{_ROW}{name}")])
        return from_row(Baseline, rows[0]) if rows else None

    @override
    def read_report(self, tenant: str, name: str) -> tuple[str, str] | None:
        rows = self._table.get([_key(tenant, f"{_REPORT}{name}")])
        if not rows or "body" not in rows[0]:
            return None
        check_format(rows[0])
        try:
            body = zlib.decompress(base64.b64decode(rows[0]["body"]["S"])).decode()
            return rows[0]["job_id"]["S"], body
        except (KeyError, ValueError, zlib.error) as error:
            raise UnreadableRowError("This version does not understand the report of a baseline.") from error

    @override
    def read_all(self, tenant: str) -> tuple[Baseline, ...]:
        rows = self._table.query(f"TENANT#{tenant}", _ROW, _LAST)
        found = (_understood(row) for row in rows)
        return tuple(baseline for baseline in found if baseline is not None and baseline.is_there)

    @override
    def write(
        self, before: Baseline | None, after: Baseline, report_json: str | None, most: int
    ) -> Baseline | TooMany | Stale:
        writes = [
            self._table.change(
                _key(after.tenant, f"{_ROW}{after.name}"),
                to_expression(
                    Change(
                        "write",
                        (Is("version", None if before is None else before.version),),
                        {each.name: getattr(after, each.name) for each in fields(Baseline)},
                    )
                ),
            ),
            self._write_report(after, report_json),
        ]
        was_there = before is not None and before.is_there
        if after.is_there is not was_there:
            requires = (IsBelow("count", most),) if after.is_there else ()
            by = 1 if after.is_there else -1
            change = Change("count", requires, {"updated_at": after.updated_at}, adds={"count": by})
            writes.append(self._table.change(_key(after.tenant, _COUNT), to_expression(change)))
        try:
            self._table.transact(writes)
        except ConditionFailedError as error:
            return Stale() if 0 in error.found else TooMany()
        return after

    def _write_report(self, after: Baseline, report_json: str | None) -> TransactWriteItemTypeDef:
        key = _key(after.tenant, f"{_REPORT}{after.name}")
        if report_json is None:
            change = Change("delete", (), {"body": None, "expires_at": after.expires_at})
            return self._table.change(key, to_expression(change))
        body = base64.b64encode(zlib.compress(report_json.encode(), 9)).decode()
        return self._table.put(
            {
                **key,
                "format": attribute("format", FORMAT),
                "job_id": attribute("job_id", after.job_id),
                "body": attribute("body", body),
            }
        )


def _understood(row: Item) -> Baseline | None:
    """Return the baseline; None, and a log line, for a row that this version does not understand."""
    try:
        return from_row(Baseline, row)
    except UnreadableRowError:
        log.warning("row.unreadable", exc_info=True, extra={"baseline": row["sk"]["S"]})
        return None


def _key(tenant: str, sort_key: str) -> Key:
    return {"pk": {"S": f"TENANT#{tenant}"}, "sk": {"S": sort_key}}
