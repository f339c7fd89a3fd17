"""The rental store, in the one DynamoDB table.

================  =====================  ===================================================================
pk                sk                     what
================  =====================  ===================================================================
JOB#<job id>      RENTAL#<4 digits>      one attempt of the job to rent a machine
JOB#<job id>      KEY#<4 digits>         the key of that machine's server, a secret; expires a day after its ceiling
TENANT#<tenant>   RENTAL#<rental id>     a line of the tenant's list; expires once the rental is proven gone
TENANT#<tenant>   ENDED#<ms>#<id>        a line of its ended rentals, by the moment of the end
TENANT#<tenant>   OPENED                 how many rentals it has opened, which puts their openings in an order
CREDIT            CREDIT                 what living rentals have reserved of the account's credit
================  =====================  ===================================================================

The rental's events and how far they are published stand in a partition of their own (`outbox`). Row, lines and
events are written in one transaction. The line of a released rental gets an `expires_at`, and the table's
TTL deletes it: so no function needs the right to delete. Lists of the living do not grow with the ended. A rental
that was opened again leaves a line of its earlier end behind, which is not shown. The index `due` holds the rows
that have a `due_at`: the living in one bucket, and those whose charges are to be read in another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, override

from rune.aws.budget_store import budget_writes
from rune.aws.credit_store import read_credit, reserve
from rune.aws.dynamodb_rows import TTL_FIELD, Expression, attribute, from_row, to_expression, to_row
from rune.aws.dynamodb_table import ConditionFailedError, DynamoTable
from rune.aws.job_rows import job_key, row_expression, row_key
from rune.aws.outbox import log_writes
from rune.clock import to_epoch_ms
from rune.errors import (
    CreditReservedError,
    LeaseLostError,
    RentalContendedError,
    StoppedError,
    UnreadableRowError,
)
from rune.events.notices import NoticeQueue, SubjectNotice
from rune.events.record import PublicEvent
from rune.jobs.places import stop_checks
from rune.jobs.record import ACTIVE
from rune.rentals.lifecycle import reservation_change_micro_usd
from rune.rentals.public_events import keep_events_until, rental_event
from rune.rentals.record import Rental, make_rental_id, parse_rental_id
from rune.rentals.settlement import budget_changes
from rune.rentals.store import EndedPage, RentalRefused, RentalStore, Turn
from rune.storage.change import Change, Value, apply

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]
    type Key = dict[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

ALIVE_BUCKET = "RENTAL"
UNCHARGED_BUCKET = "CHARGE"
"""Of ended rentals for which the provider's charges are still to be read."""
_PREFIX = "RENTAL#"
_KEY_PREFIX = "KEY#"
_KEY_OUTLIVES = timedelta(days=1)
_LAST = "RENTAL$"
_ENDED = "ENDED#"
_LAST_ENDED = "ENDED$"
_READ_AT_ONCE = 100
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


class DynamoRentalStore(RentalStore):
    """Rentals in a DynamoDB table.

    Parameters
    ----------
    notices
        Who publishes events hears of them here, once they are written; without it, from the janitor.
    """

    def __init__(self, client: DynamoDBClient, table: str, notices: NoticeQueue | None = None) -> None:
        self._table = DynamoTable(client, table)
        self._notices = notices

    @override
    def open(
        self,
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        row: Item = {
            **_key(rental.job_id, rental.attempt),
            **to_row(rental),
            "due_bucket": {"S": ALIVE_BUCKET},
        }
        writes = {
            "row": self._table.put(row, condition="attribute_not_exists(pk)"),
            "line": self._line_write(rental, expired_at=None),
        }
        if opened_count is not None:
            writes["count"] = self._count_write(rental.tenant, opened_count)
        if rental.reserved_micro_usd:
            writes["credit"] = reserve(self._table, rental.reserved_micro_usd, credit_micro_usd)
        if key is not None:
            writes["key"] = self._key_write(rental, key)
        if turn is not None:
            writes["turn"] = self._turn_check(rental.job_id, turn)
        of_all, own = stop_checks(rental.tenant)
        writes["stop of all"] = self._table.require(row_key(of_all.row), row_expression(of_all))
        writes["stop"] = self._table.require(row_key(own.row), row_expression(own))
        try:
            self._table.transact([*writes.values()])
        except ConditionFailedError as error:
            refused = {[*writes][position] for position in error.found}
            if "row" in refused:
                return False
            if "turn" in refused:
                raise _lost_turn() from None
            if refused & {"stop", "stop of all"}:
                raise StoppedError(of_tenant="stop of all" not in refused) from None
            if "count" in refused:
                raise RentalContendedError("The tenant rents another machine at the same moment.") from None
            raise CreditReservedError(
                "The account's credit is kept for machines that are rented now."
            ) from None
        return True

    def _turn_check(self, job_id: str, turn: Turn) -> TransactWriteItemTypeDef:
        values = {":epoch": attribute("epoch", turn.epoch), ":seq": attribute("seq", turn.seq)}
        return self._table.check(job_key(job_id), "epoch = :epoch AND seq = :seq", values)

    def _use_check(self, job_id: str, used_micro_usd: int) -> TransactWriteItemTypeDef:
        """Return the check that a job's own row has the cost of its use of a machine that it gave back."""
        values = {
            ":used": attribute("borrowed_micro_usd", used_micro_usd),
            **{f":{status.value}": attribute("status", status) for status in ACTIVE},
        }
        active = ", ".join(f":{status.value}" for status in ACTIVE)
        condition = f"attribute_not_exists(pk) OR NOT #status IN ({active}) OR borrowed_micro_usd >= :used"
        return self._table.require(job_key(job_id), Expression("", condition, {"#status": "status"}, values))

    def _count_write(self, tenant: str, opened_count: int) -> TransactWriteItemTypeDef:
        values = {":one": attribute("opened_count", 1)}
        condition = "attribute_not_exists(#count)"
        if opened_count:
            values[":read"] = attribute("opened_count", opened_count)
            condition = "#count = :read"
        names = {"#count": "opened_count"}
        return self._table.change(_count_key(tenant), Expression("ADD #count :one", condition, names, values))

    @override
    def read_opened_count(self, tenant: str) -> int:
        rows = self._table.get([_count_key(tenant)])
        return int(rows[0]["opened_count"]["N"]) if rows else 0

    def _key_write(self, rental: Rental, key: str) -> TransactWriteItemTypeDef:
        # In a row of its own: a rental's row is shown, logged and copied.
        expires_at = (rental.ceiling_at + _KEY_OUTLIVES).replace(microsecond=0)
        row: Item = {
            **_server_key(rental.job_id, rental.attempt),
            "server_key": {"S": key},
            TTL_FIELD: attribute(TTL_FIELD, expires_at),
        }
        return self._table.put(row)

    @override
    def read_key(self, rental_id: str) -> str | None:
        parsed = parse_rental_id(rental_id)
        rows = self._table.get([_server_key(*parsed)]) if parsed else []
        return rows[0]["server_key"]["S"] if rows else None

    @override
    def read_reserved_micro_usd(self) -> int:
        return read_credit(self._table).reserved_micro_usd or 0

    @override
    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        return self._update(rental, change, ())

    @override
    def take(self, rental: Rental, change: Change, job_id: str, turn: Turn) -> Rental | RentalRefused:
        checks = [self._turn_check(job_id, turn)]
        if rental.used_by not in (None, job_id):
            checks.append(self._use_check(rental.used_by, rental.used_micro_usd))
        return self._update(rental, change, checks)

    def _update(
        self, rental: Rental, change: Change, checks: Sequence[TransactWriteItemTypeDef]
    ) -> Rental | RentalRefused:
        """Write a rental; raises as `take` where a check of another row fails."""
        key = _key(rental.job_id, rental.attempt)
        after = apply(change, rental)
        expression = to_expression(change, ALIVE_BUCKET if after.is_alive else UNCHARGED_BUCKET)
        event = rental_event(rental, change)
        events: list[TransactWriteItemTypeDef] = []
        if event is not None:
            events = log_writes(self._table, [event], keep_events_until(rental, event))
        try:
            budgets = budget_changes(rental, change)
            if after.is_alive is rental.is_alive and not events and not budgets and not checks:
                return from_row(Rental, self._table.update(key, expression))
            reserved = reservation_change_micro_usd(rental, change)
            self._table.transact(
                [
                    self._table.change(key, expression),
                    *checks,
                    *self._line_writes(rental, change),
                    *events,
                    *([reserve(self._table, reserved)] if reserved else []),
                    *budget_writes(self._table, budgets),
                ]
            )
        except ConditionFailedError as error:
            if checks and 1 in error.found:
                raise _lost_turn() from None
            if checks[1:] and 2 in error.found:  # noqa: PLR2004  # its place in the transaction
                raise RentalContendedError("What its last use has cost is not written yet.") from None
            found = error.found.get(0)
            return RentalRefused(from_row(Rental, found) if found else self.read(rental.rental_id))
        self._notify(event)
        # A transaction answers no row. Each of these writes requires the version, so this is the row.
        return after

    @override
    def tell_once(self, event: PublicEvent, expires_at: datetime) -> bool:
        told, *others = log_writes(self._table, [event], expires_at)
        told["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
        try:
            self._table.transact([told, *others])
        except ConditionFailedError:
            return False
        self._notify(event)
        return True

    def _notify(self, event: PublicEvent | None) -> None:
        if event is not None and self._notices is not None:
            self._notices.send(SubjectNotice(event.subject))

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
    def read_ended(self, tenant: str, before: str | None, limit: int) -> EndedPage:
        # One more than asked for shows whether there are older ones; the query begins at the position itself.
        last = f"{_ENDED}{before}" if before is not None else _LAST_ENDED
        found = self._table.query(f"TENANT#{tenant}", _ENDED, last, newest_first=True, limit=limit + 2)
        lines = [line["sk"]["S"].removeprefix(_ENDED) for line in found]
        older = [line for line in lines if line != before]
        shown = older[:limit]
        ended_at = {line.partition("#")[2]: int(line.partition("#")[0]) for line in reversed(shown)}
        keys = [_key(*parsed) for rental_id in ended_at if (parsed := parse_rental_id(rental_id))]
        rows = self._table.get(keys) if keys else []
        rentals = [rental for row in rows if (rental := _read_or_leave_out(row, None)) is not None]
        ended = [
            rental
            for rental in rentals
            if rental.released_at and to_epoch_ms(rental.released_at) == ended_at[rental.rental_id]
        ]
        ended.sort(key=lambda rental: ended_at[rental.rental_id], reverse=True)
        return EndedPage(tuple(ended), shown[-1] if len(older) > limit else None)

    @override
    def find_alive(self, limit: int) -> tuple[str, ...]:
        rows = self._table.query_due(ALIVE_BUCKET, attribute("due_at", _END_OF_TIME), limit)
        return tuple(_rental_id_of(row) for row in rows)

    @override
    def find_uncharged(self, now: datetime, limit: int) -> tuple[str, ...]:
        rows = self._table.query_due(UNCHARGED_BUCKET, attribute("due_at", now), limit)
        return tuple(_rental_id_of(row) for row in rows)

    def _line_writes(self, rental: Rental, change: Change) -> list[TransactWriteItemTypeDef]:
        """Return the writes by which the rental enters or leaves its tenant's list."""
        is_alive = apply(change, rental).is_alive
        if is_alive is rental.is_alive:
            return []
        writes = [self._line_write(rental, expired_at=None if is_alive else change.sets["updated_at"])]
        if not is_alive and rental.contract_id is not None:
            writes.append(self._ended_write(rental, change))
        return writes

    def _ended_write(self, rental: Rental, change: Change) -> TransactWriteItemTypeDef:
        ended_at = change.sets["released_at"]
        if not isinstance(ended_at, datetime):
            raise TypeError("A rental ends at a moment.")
        return {
            "Update": {
                "TableName": self._table.name,
                "Key": {
                    "pk": {"S": f"TENANT#{rental.tenant}"},
                    "sk": {"S": f"{_ENDED}{to_epoch_ms(ended_at):013d}#{rental.rental_id}"},
                },
                "UpdateExpression": f"SET {TTL_FIELD} = :at",
                "ExpressionAttributeValues": {":at": attribute(TTL_FIELD, change.sets[TTL_FIELD])},
            }
        }

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


def _lost_turn() -> LeaseLostError:
    return LeaseLostError("The job is another worker's by now, or has ended.")


def _key(job_id: str, attempt: int) -> Key:
    return {"pk": {"S": f"JOB#{job_id}"}, "sk": {"S": f"{_PREFIX}{attempt:04d}"}}


def _server_key(job_id: str, attempt: int) -> Key:
    return {"pk": {"S": f"JOB#{job_id}"}, "sk": {"S": f"{_KEY_PREFIX}{attempt:04d}"}}


def _count_key(tenant: str) -> Key:
    return {"pk": {"S": f"TENANT#{tenant}"}, "sk": {"S": "OPENED"}}


def _line_key(rental: Rental) -> Key:
    return {"pk": {"S": f"TENANT#{rental.tenant}"}, "sk": {"S": f"{_PREFIX}{rental.rental_id}"}}
