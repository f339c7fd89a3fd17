"""The windows of failed authentications, as rows of the one DynamoDB table.

================  =====  ================================================================================
pk                sk     what
================  =====  ================================================================================
LIMIT#<subject>   LIMIT  `n` failures, `s0` to `s9` their instants (ms, oldest first), `blocked_until` (ms)
================  =====  ================================================================================

`expires_at` (seconds) is the table's TTL. DynamoDB deletes days later, so code compares instants, never presence.

A failure is one conditional PutItem on top of the window that this environment saw last. If the row is another by
now, the refusal brings it along, and it is judged anew before anything is answered: each "wrong token" is one
write, and the writes of a row have an order. There is no update expression, hence no overlapping paths, which
DynamoDB refuses and emulators take.

An answer of DynamoDB that is lost may make the client try the same write again, which then counts twice: the block
comes early, never late.

Without the table the limiter stays open, except that each environment goes on counting by itself. Tokens have 256
random bits, so the limiter guards against noise and cost, not against guessing: a table in trouble must not turn
into a refusal of valid tokens.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rune.aws.errors import log_failed_call
from rune.clock import Clock, to_epoch_ms
from rune.tenants.limiter import EMPTY, FAILURE_LIMIT, SlidingWindow, after_failure, seconds_blocked

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    type Item = Mapping[str, AttributeValueTypeDef]

log = logging.getLogger(__name__)

SORT_KEY = "LIMIT"

REMEMBERED_SUBJECT_COUNT = 1024
"""Windows kept in memory per environment: about half a megabyte."""

TRY_COUNT = 2 * FAILURE_LIMIT
"""Each refusal means that another failure was counted, so eleven tries end in a block or a success; the others are
for transactions that hold the row at the moment."""

CONTENDED_SECONDS = 1
"""Retry-After where all tries met another write."""

NOT_BLOCKED = "attribute_not_exists(blocked_until) OR blocked_until <= :now"

_FIRST = "attribute_not_exists(pk) OR expires_at <= :now"


class DynamoLimiter:
    """Windows in a DynamoDB table, and this environment's memory of them.

    Every answer is the seconds for which the subject is blocked, for `Retry-After`, or None.

    Parameters
    ----------
    remembered_subject_count
        Bound of the memory; who was seen longest ago is forgotten first.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        clock: Clock,
        remembered_subject_count: int = REMEMBERED_SUBJECT_COUNT,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._memory = _Memory(remembered_subject_count)

    def recall(self, subject: str) -> int | None:
        """Return for how long the subject is blocked, as far as this environment knows; makes no call."""
        return seconds_blocked(self._memory.get(subject), self._now_ms())

    def row_key(self, subject: str) -> dict[str, AttributeValueTypeDef]:
        """Return the primary key of a subject's row, to read it together with others; see `learn`."""
        return key(subject)

    def read(self, subject: str) -> int | None:
        """Return for how long the subject is blocked; one consistent read, or none if memory knows of a block."""
        remaining = self.recall(subject)
        if remaining is not None:
            return remaining
        try:
            found = self._client.get_item(TableName=self._table, Key=key(subject), ConsistentRead=True)
        except (BotoCoreError, ClientError) as error:
            log_failed_call(log, "limiter.unreachable", error)
            return None
        return self.learn(subject, found.get("Item"))

    def learn(self, subject: str, item: Item | None) -> int | None:
        """Return for how long the subject is blocked by its row, which was read together with other rows."""
        window = EMPTY if item is None else from_item(item)
        self._memory.keep(subject, window)
        return seconds_blocked(window, self._now_ms())

    def not_blocked(self, subject: str) -> TransactWriteItemTypeDef:
        """Return what cancels a transaction if the subject is blocked; the reason brings the row for `learn`."""
        return {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": key(subject),
                "ConditionExpression": NOT_BLOCKED,
                "ExpressionAttributeValues": {":now": _number(self._now_ms())},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def count_failure(self, subject: str) -> int | None:
        """Count a failed authentication and return None, unless the subject is blocked: then for how long.

        One write if no other request counts for the subject at the same moment; no call if memory knows of a block.
        """
        now_ms = self._now_ms()
        window = self._memory.get(subject)
        for _ in range(TRY_COUNT):
            remaining = seconds_blocked(window, now_ms)
            if remaining is not None:
                return remaining
            if window.expires_at_seconds * 1000 <= now_ms:
                window = EMPTY
            following = after_failure(window, now_ms)
            try:
                found = self._replace(subject, window, following, now_ms)
            except (BotoCoreError, ClientError) as error:
                log_failed_call(log, "limiter.unreachable", error)
                found = following
            self._memory.keep(subject, found)
            if found is following:
                return None
            window = found
        return seconds_blocked(window, now_ms) or CONTENDED_SECONDS

    def _replace(
        self, subject: str, window: SlidingWindow, following: SlidingWindow, now_ms: int
    ) -> SlidingWindow:
        """Write `following` if the row still is `window`, and return the window that the row holds then."""
        condition, values = _still(window, now_ms)
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**key(subject), **to_attributes(following)},
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found = error.response.get("Item")
            return from_item(found) if found else EMPTY  # type: ignore[arg-type]  # stub says object
        except self._client.exceptions.TransactionConflictException:
            return window
        return following

    def _now_ms(self) -> int:
        return to_epoch_ms(self._clock.now())


def key(subject: str) -> dict[str, AttributeValueTypeDef]:
    """Return the primary key of a subject's row."""
    return {"pk": {"S": f"LIMIT#{subject}"}, "sk": {"S": SORT_KEY}}


def to_attributes(window: SlidingWindow) -> dict[str, AttributeValueTypeDef]:
    """Return what a row holds beside its key."""
    numbers = {"n": window.count, "expires_at": window.expires_at_seconds}
    numbers |= {f"s{place}": instant for place, instant in enumerate(window.failed_at_ms)}
    if window.blocked_until_ms is not None:
        numbers["blocked_until"] = window.blocked_until_ms
    return {name: _number(value) for name, value in numbers.items()}


def from_item(item: Item) -> SlidingWindow:
    """Return the window that a row holds."""
    places = [f"s{place}" for place in range(FAILURE_LIMIT)]
    return SlidingWindow(
        count=int(item["n"]["N"]),
        failed_at_ms=tuple(int(item[place]["N"]) for place in places if place in item),
        blocked_until_ms=int(item["blocked_until"]["N"]) if "blocked_until" in item else None,
    )


def _still(window: SlidingWindow, now_ms: int) -> tuple[str, dict[str, AttributeValueTypeDef]]:
    """Return the condition that the row is the window.

    The count tells failures of one millisecond apart. The newest instant tells rows apart: one that was deleted, by
    TTL or by an operator who lifts a block, begins to count anew.
    """
    if window == EMPTY:
        return _FIRST, {":now": _number(now_ms // 1000)}
    newest = f"s{len(window.failed_at_ms) - 1}"
    values = {":n": _number(window.count), ":newest": _number(window.newest_ms)}
    return f"n = :n AND {newest} = :newest", values


class _Memory:
    """The windows seen last, a bounded number of them; safe between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._windows: OrderedDict[str, SlidingWindow] = OrderedDict()
        self._lock = Lock()

    def get(self, subject: str) -> SlidingWindow:
        """Return the window, empty if it is not known."""
        with self._lock:
            return self._windows.get(subject, EMPTY)

    def keep(self, subject: str, window: SlidingWindow) -> None:
        """Remember the window instead of an earlier one, and forget what is too much.

        An empty window takes no room: the many who never fail must not drive out the few who do.
        """
        with self._lock:
            self._windows.pop(subject, None)
            if window == EMPTY:
                return
            self._windows[subject] = window
            while len(self._windows) > self._size:
                self._windows.popitem(last=False)


def _number(value: int) -> AttributeValueTypeDef:
    return {"N": str(value)}
