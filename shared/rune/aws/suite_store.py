"""Suites, in the one DynamoDB table.

================  ==============================  =======================================================
pk                sk                              what
================  ==============================  =======================================================
TENANT#<tenant>   SUITE#<name>                    a suite
TENANT#<tenant>   SUITE-CASES#<name>#<digest>     a version's cases, compressed
TENANT#<tenant>   SUITES                          how many there are
================  ==============================  =======================================================

Cases stand in the table and not in the bucket, whose objects go with the jobs' retention. Of a deleted suite, and
of versions that no name stands for, the rows expire, so no function needs the right to delete.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import FORMAT, attribute, check_format, from_row, to_expression
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.errors import UnreadableRowError
from rune.jobs.suites import KEPT_FOR, Stale, Suite, SuiteStore, TooMany
from rune.storage.change import Change, Is, IsBelow

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]
    type Key = dict[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

_ROW = "SUITE#"
_LAST = "SUITE$"
_CASES = "SUITE-CASES#"
_COUNT = "SUITES"


class DynamoSuiteStore(SuiteStore):
    """Suites in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def read(self, tenant: str, name: str) -> Suite | None:
        rows = self._table.get([_key(tenant, f"{_ROW}{name}")])
        return from_row(Suite, rows[0]) if rows else None

    @override
    def read_cases(self, tenant: str, name: str, digest: str) -> str | None:
        rows = self._table.get([_cases_key(tenant, name, digest)])
        if not rows or "body" not in rows[0]:
            return None
        check_format(rows[0])
        try:
            return zlib.decompress(rows[0]["body"]["B"]).decode()
        except (KeyError, ValueError, zlib.error) as error:
            raise UnreadableRowError("This version does not understand the cases of a suite.") from error

    @override
    def read_all(self, tenant: str) -> tuple[Suite, ...]:
        rows = self._table.query(f"TENANT#{tenant}", _ROW, _LAST)
        found = (_understood(row) for row in rows)
        return tuple(suite for suite in found if suite is not None and suite.is_there)

    @override
    def write(
        self, before: Suite | None, after: Suite, cases_json: str | None, most: int
    ) -> Suite | TooMany | Stale:
        writes = [
            self._table.change(
                _key(after.tenant, f"{_ROW}{after.name}"),
                to_expression(
                    Change(
                        "write",
                        (Is("version", None if before is None else before.version),),
                        {each.name: getattr(after, each.name) for each in fields(Suite)},
                    )
                ),
            ),
            *self._write_cases(before, after, cases_json),
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

    def _write_cases(
        self, before: Suite | None, after: Suite, cases_json: str | None
    ) -> list[TransactWriteItemTypeDef]:
        writes = []
        if before is not None and before.digest is not None and before.digest != after.digest:
            expiry = Change("expire", (), {"expires_at": after.updated_at + KEPT_FOR})
            key = _cases_key(before.tenant, before.name, before.digest)
            writes.append(self._table.change(key, to_expression(expiry)))
        if cases_json is not None and after.digest is not None:
            # Over one that was to expire: the same cases may come back.
            body: Item = {
                **_cases_key(after.tenant, after.name, after.digest),
                "format": attribute("format", FORMAT),
                "body": {"B": zlib.compress(cases_json.encode(), 9)},
            }
            writes.append(self._table.put(body))
        return writes


def _understood(row: Item) -> Suite | None:
    """Return the suite; None, and a log line, for a row that this version does not understand."""
    try:
        return from_row(Suite, row)
    except UnreadableRowError:
        log.warning("row.unreadable", exc_info=True, extra={"suite": row["sk"]["S"]})
        return None


def _cases_key(tenant: str, name: str, digest: str) -> Key:
    return _key(tenant, f"{_CASES}{name}#{digest}")


def _key(tenant: str, sort_key: str) -> Key:
    return {"pk": {"S": f"TENANT#{tenant}"}, "sk": {"S": sort_key}}
