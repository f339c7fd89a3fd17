"""The rental store, in the one DynamoDB table.

================  =====================  ===================================================================
pk                sk                     what
================  =====================  ===================================================================
JOB#<job id>      RENTAL#<4 digits>      one attempt of the job to rent a machine
TENANT#<tenant>   RENTAL#<rental id>     a line of the tenant's list; expires once the rental is proven gone
================  =====================  ===================================================================

Row and line are written in one transaction. The line of a released rental gets an `expires_at`, and the table's
TTL deletes it: so no function needs the right to delete. The index `due` holds the rows that have a `due_at`, in a
bucket of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, override

from rune.aws.dynamodb_rows import TTL_FIELD, attribute, from_row, to_expression, to_row
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.errors import UnreadableRowError
from rune.rentals.record import Rental, make_rental_id, parse_rental_id
from rune.rentals.store import RentalRefused, RentalStore
from rune.storage.change import Change, Value

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]
    type Key = dict[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

ALIVE_BUCKET = "RENTAL"
_PREFIX = "RENTAL#"
_LAST = "RENTAL$"
_READ_AT_ONCE = 100
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


class DynamoRentalStore(RentalStore):
    """Rentals in a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    @override
    def open(self, rental: Rental) -> bool:
        row: Item = {
            **_key(rental.job_id, rental.attempt),
            **to_row(rental),
            "due_bucket": {"S": ALIVE_BUCKET},
        }
        try:
            self._table.transact(
                [
                    self._table.put(row, condition="attribute_not_exists(pk)"),
                    self._line_write(rental, expired_at=None),
                ]
            )
        except ConditionFailedError:
            return False
        return True

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        key = _key(rental.job_id, rental.attempt)
        expression = to_expression(change, ALIVE_BUCKET)
        try:
            if "due_at" not in change.sets:
                return from_row(Rental, self._table.update(key, expression))
            # The rental enters or leaves its tenant's list.
            is_alive = change.sets["due_at"] is not None
            line = self._line_write(rental, expired_at=None if is_alive else change.sets["updated_at"])
            self._table.transact([self._table.change(key, expression), line])
        except ConditionFailedError as error:
            found = error.found.get(0)
            return RentalRefused(from_row(Rental, found) if found else self.read(rental.rental_id))
        return self.read(rental.rental_id) or rental

    @override
    def read(self, rental_id: str) -> Rental | None:
        parsed = parse_rental_id(rental_id)
        rows = self._table.get([_key(*parsed)]) if parsed else []
        return from_row(Rental, rows[0]) if rows else None

    @override
    def read_attempts(self, job_id: str) -> tuple[Rental, ...]:
        return tuple(from_row(Rental, row) for row in self._table.query(f"JOB#{job_id}", _PREFIX, _LAST))

    @override
    def read_alive(self, tenant: str, *, needed_by: str | None = None) -> tuple[Rental, ...]:
        lines = self._table.query(f"TENANT#{tenant}", _PREFIX, _LAST)
        ids = [parse_rental_id(line["rental_id"]["S"]) for line in lines if TTL_FIELD not in line]
        keys = [_key(*parsed) for parsed in ids if parsed]
        rows: list[Item] = []
        for start in range(0, len(keys), _READ_AT_ONCE):
            rows += self._table.get(keys[start : start + _READ_AT_ONCE])
        rentals = [rental for row in rows if (rental := _read_or_leave_out(row, needed_by)) is not None]
        return tuple(sorted((r for r in rentals if r.is_alive), key=lambda r: (r.intended_at, r.rental_id)))

    @override
    def find_alive(self, limit: int) -> tuple[str, ...]:
        rows = self._table.query_due(ALIVE_BUCKET, attribute("due_at", _END_OF_TIME), limit)
        return tuple(_rental_id_of(row) for row in rows)

    def _line_write(self, rental: Rental, *, expired_at: Value) -> TransactWriteItemTypeDef:
        values: dict[str, AttributeValueTypeDef] = {":rental_id": {"S": rental.rental_id}}
        if expired_at is None:
            expression = f"SET rental_id = :rental_id REMOVE {TTL_FIELD}"
        else:
            expression = f"SET rental_id = :rental_id, {TTL_FIELD} = :at"
            values[":at"] = attribute(TTL_FIELD, expired_at)
        return {
            "Update": {
                "TableName": self._table.name,
                "Key": _line_key(rental),
                "UpdateExpression": expression,
                "ExpressionAttributeValues": values,
            }
        }


def _read_or_leave_out(row: Item, needed_by: str | None) -> Rental | None:
    """Return the rental; None for a row that cannot be read, unless a job needs it."""
    try:
        return from_row(Rental, row)
    except UnreadableRowError:
        if needed_by is not None and (
            row["pk"] == {"S": f"JOB#{needed_by}"} or row.get("holder") == {"S": needed_by}
        ):
            raise
        log.exception("row.unreadable", extra={"rental_id": _rental_id_of(row)})
        return None


def _rental_id_of(row: Item) -> str:
    return make_rental_id(row["pk"]["S"].removeprefix("JOB#"), int(row["sk"]["S"].removeprefix(_PREFIX)))


def _key(job_id: str, attempt: int) -> Key:
    return {"pk": {"S": f"JOB#{job_id}"}, "sk": {"S": f"{_PREFIX}{attempt:04d}"}}


def _line_key(rental: Rental) -> Key:
    return {"pk": {"S": f"TENANT#{rental.tenant}"}, "sk": {"S": f"{_PREFIX}{rental.rental_id}"}}
